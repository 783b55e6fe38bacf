"""Cars merge into one lane."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool

from jaxmarl.core.registry import register
from jaxmarl.envs.driving.kinematics import Driving, DrivingParams, too_close

SHARED = 30.0


@register("merge")
@dataclass(frozen=True)
class Merge(Driving):
    """Straight lanes become one, on which cars must keep their distance; they leave it after 30 m.

    As in `Intersection`, but two cars that are both on the shared stretch at the end of a step crash where they are
    less than `headway` (4 m) apart, or have passed through each other in that step.

    `info`: `crashed [N]`, `cleared [N]`, whether a car crashed or left in this step.
    """

    @property
    def exit(self) -> float:
        return SHARED

    @property
    def give_way_gap(self) -> float:
        return 10.0

    def _crashes(self, before: Array, after: Array, params: DrivingParams) -> Bool[Array, "N N"]:
        merged = (after[:, None] >= 0) & (after[None, :] >= 0)
        return too_close(before, after, params.headway) & (merged | np.equal.outer(self.lanes, self.lanes))
