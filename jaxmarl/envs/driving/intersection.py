"""Cars cross an intersection without a light."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool

from jaxmarl.core.registry import register
from jaxmarl.envs.driving.kinematics import Driving, DrivingParams, in_zone, too_close

ZONE = 6.0


@register("intersection")
@dataclass(frozen=True)
class Intersection(Driving):
    """Straight lanes cross in a zone 6 m long; two cars of different lanes in it in one step crash.

    Actions are brake, hold, accelerate (by -3, 0, 2 m/s², for half a second). A car is in the zone in a step if some of
    the way it drives in that step is; cars of one lane crash where they come closer than `headway` or pass through each
    other. Reward of a step is a tenth of the metres driven less 0.05, 1 for leaving the zone, and -20 to each car in a
    crash, which ends the episode; so does the last car's leaving. Cars that have left get nothing. First positions are
    uniform on [-40, -25] m and speeds on [7, 12] m/s; further cars of a lane start 20 m behind. All of this is in
    `params`. An episode is truncated after `num_steps` steps.

    An observation lists `(position / 10 m, speed / 10 m/s, 1 if on the road, 1 if in my lane)` of oneself, then of the
    other cars in cyclic order.

    `info`: `crashed [N]`, `cleared [N]`, whether a car crashed or left in this step.
    """

    @property
    def exit(self) -> float:
        return ZONE

    def _crashes(self, before: Array, after: Array, params: DrivingParams) -> Bool[Array, "N N"]:
        inside = in_zone(before, after, ZONE)
        together = np.equal.outer(self.lanes, self.lanes)
        crossing = inside[:, None] & inside[None, :] & ~together
        return crossing | (too_close(before, after, params.headway) & together)
