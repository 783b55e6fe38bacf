"""Demand response: a grid operator moves the supply level, and consumers want what they want (arXiv 2403.00222)."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.envs.pricing.global_local import GlobalLocal, GlobalLocalTables

MOVES = np.array([-1, 0, 1])


@struct.dataclass
class DemandResponseParams:
    """Numbers of the rewards.

    Attributes:
        low_supply_gain: G, gained at supply level 1, and `G / s` at level s.
        reduction_cost: W, of each reduction of the level.
        excess_cost: C, of each consumer above the level.
    """

    low_supply_gain: Float[Array, ""]
    reduction_cost: Float[Array, ""]
    excess_cost: Float[Array, ""]


@register("demand_response")
@dataclass(frozen=True)
class DemandResponse(GlobalLocal[DemandResponseParams]):
    """The operator lowers, keeps or raises (0, 1, 2) the supply level s of 1 to `levels`; it stops at the ends.

    A consumer's state is its consumption x and its demand y, each of 1 to `levels`. Demand of at most s is met, `x' =
    y`; of others, half come part of the way or beyond, `x' = clip(y + s - x)`, and half do as they like, `x' = y`. The
    next demand is uniform. Rewards are `G / s - W [lowered]` and the mean of `x - C [x > s]` over consumers.

    The default numbers are those of the published experiment, where lowering is best in every state, whatever consumers
    do; at `hard_params` it depends on them.

    Attributes:
        levels: of supply, consumption and demand.
    """

    levels: int = 5

    differentiable_params = ("low_supply_gain", "reduction_cost", "excess_cost")

    def __post_init__(self):
        super().__post_init__()
        require_int("levels", self.levels, 2)

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.levels, 3, self.levels**2

    @property
    def default_params(self) -> DemandResponseParams:
        return DemandResponseParams(*(jnp.full((), x, float) for x in (15.0, 1.0, 0.5)))

    @property
    def hard_params(self) -> DemandResponseParams:
        """Numbers at which the best action depends on what consumers do."""
        return DemandResponseParams(*(jnp.full((), x, float) for x in (3.0, 0.5, 3.0)))

    def validate(self, params: DemandResponseParams) -> None:
        for name, value in vars(params).items():
            number = np.asarray(value)
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")

    def tables(self, params: DemandResponseParams) -> GlobalLocalTables:
        m, level, kind = self.levels, np.arange(self.levels), params.excess_cost.dtype
        moved = np.clip(level[:, None] + MOVES, 0, m - 1)
        use, wish = np.divmod(np.arange(m * m), m)
        supply = level[:, None]
        partly = np.clip(wish + supply - use, 0, m - 1)
        half = (np.eye(m)[np.where(wish <= supply, wish, partly)] + np.eye(m)[wish]) / 2
        kernel = np.broadcast_to(half[..., None] / m, (m, m * m, m, m)).reshape(m, m * m, m * m)
        gain = params.low_supply_gain / jnp.asarray(level + 1, kind)
        local = jnp.asarray(use + 1, kind) - params.excess_cost * jnp.asarray(use > supply, kind)
        lowered = jnp.asarray(MOVES < 0, kind)
        reward = gain[:, None] - params.reduction_cost * lowered
        return GlobalLocalTables(jnp.asarray(np.eye(m)[moved], kind), jnp.asarray(kernel, kind), reward, local)
