"""A facility on a street, placed by a rule that must ask people where they live (Moulin 1980)."""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.mechanisms.facility_rules import (
    RULES,
    STRATEGYPROOF,
    expected_utilities,
    geometric_mean,
    gini,
    optimal_locations,
)
from jaxmarl.envs.mechanisms.truthfulness import DirectMechanism


@struct.dataclass
class FacilityParams:
    """Numbers of the street.

    Attributes:
        low: least position.
        high: greatest position; positions are uniform between the two.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]


@struct.dataclass
class FacilityState:
    """State of the street.

    Attributes:
        t: int32, 1 once the facility is built.
        positions: `[N]`, where agents live.
    """

    t: Int32[Array, ""]
    positions: Float[Array, " N"]


@register("facility_location")
@dataclass(frozen=True)
class FacilityLocation(DirectMechanism[FacilityState, FacilityParams]):
    """Agents report positions in [0, 1] at once; a rule places the facility, and it is worth `1 - distance` to each.

    An observation is the own position, an action a reported one, both `[1]`. Where the rule is a lottery, rewards are
    expected utilities. Strategyproof rules: `"median"` (the left one), `"leftmost"`, `"rightmost"`, `"dictator"` (agent
    0), `"half"`, `"mid_or_nearest"` (½, clipped to the reports), `"left_right_middle"` (the extremes with probability ¼
    each, their midpoint with ½). Manipulable ones: `"mean"`, `"midpoint"`, `"nash"` (largest product of utilities).

    `info`: `location` (mean of the lottery), and of the utilities `welfare` (their sum), `least`, `geometric_mean`,
    `gini`.

    Attributes:
        num_agents: N.
        rule: how reports place the facility.
        num_misreports: points of the grid on which `misreport_gain` looks for lies.
    """

    num_agents: int = 5
    rule: str = "median"
    num_misreports: int = 201

    horizon = 1

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_choice("rule", self.rule, RULES)
        require_int("num_misreports", self.num_misreports, 2)

    @property
    def symmetric(self) -> bool:
        return self.rule != "dictator"

    @property
    def default_params(self) -> FacilityParams:
        return FacilityParams(jnp.zeros((), float), jnp.ones((), float))

    def validate(self, params: FacilityParams) -> None:
        low, high = np.asarray(params.low), np.asarray(params.high)
        require(bool(((low >= 0) & (low <= high)).all()), "low", low.tolist(), "in [0, high]")
        require(bool((high <= 1).all()), "high", high.tolist(), "at most 1")

    def action_space(self, params: FacilityParams) -> Box:
        return Box(0.0, 1.0, (1,))

    def observation_space(self, params: FacilityParams) -> Box:
        return Box(0.0, 1.0, (1,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Positions."""
        return Uniform((self.num_agents,))

    def initial(self, chance, params: FacilityParams) -> FacilityState:
        positions = params.low + (params.high - params.low) * chance
        return FacilityState(jnp.zeros((), jnp.int32), positions.astype(jnp.float32))

    def transition(self, state: FacilityState, action: Float[Array, "N 1"], chance, params: FacilityParams):
        lottery = RULES[self.rule](jnp.clip(action[:, 0], 0.0, 1.0).astype(jnp.float32))
        utilities = expected_utilities(lottery, state.positions)
        info = {
            "location": jnp.vdot(lottery.weights, lottery.locations),
            "welfare": jnp.sum(utilities),
            "least": jnp.min(utilities),
            "geometric_mean": geometric_mean(utilities),
            "gini": gini(utilities),
        }
        after = replace(state, t=state.t + 1)
        return after, utilities.astype(jnp.float32), after.t >= 1, info

    def observe(self, state: FacilityState, params: FacilityParams) -> Float[Array, "N 1"]:
        return state.positions[:, None]

    def utilities(self, types: Float[Array, "N 1"], reports: Float[Array, "N 1"], params: FacilityParams):
        return expected_utilities(RULES[self.rule](reports[:, 0]), types[:, 0])

    def misreports(self, params: FacilityParams) -> Float[Array, "K 1"]:
        """A grid on [0, 1]."""
        return jnp.linspace(0.0, 1.0, self.num_misreports)[:, None]

    def optimal(self, types: Float[Array, "N 1"], params: FacilityParams) -> dict[str, Any]:
        """The best location for each objective (`welfare`, `egalitarian`, `nash`, `gini`), positions known."""
        return dict(optimal_locations(types[:, 0]))

    def benchmarks(self, params: FacilityParams) -> dict[str, Any]:
        """`truthful` (policy), `strategyproof`: whether no profile tempts anybody away from it."""
        return {"truthful": self.truthful(params), "strategyproof": self.rule in STRATEGYPROOF}
