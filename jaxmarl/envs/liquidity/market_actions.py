"""How the actions of dealers and of a regulator are read: squashed numbers, or a grid of spreads, skews and sizes."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.spaces import Box, Discrete

LEVELS, SKEWS, SIZES = (0.3, 0.5, 0.7, 1.0, 1.5), (-0.2, 0.0, 0.2), (0.5, 1.0)
GRID = (len(LEVELS), len(SKEWS), len(SIZES))


@dataclass(frozen=True)
class ActionScale:
    """Reads actions.

    Continuous: `[4]`, or `[5]` where dealers trade among themselves, numbers in [-1, 1]: of bid and ask half-spread,
    mapped to `[low, high]`; of bid and ask size, from nothing at -1 to the full size at 0 and above, so that noise
    around the full size costs a learner little; of orders, to the nearest whole one. Discrete: `((level * 3 + skew) * 2
    + size)`, for 5 half-spreads, 3 skews (a positive one lowers both prices) and 2 sizes, and with orders that times
    `2 max_order + 1` plus `order + max_order`.

    Attributes:
        low: least half-spread.
        high: largest.
        max_order: largest order to other dealers, 0 where there are none.
        discrete: whether actions are discrete.
    """

    low: float
    high: float
    max_order: int
    discrete: bool

    @property
    def space(self) -> Box | Discrete:
        """Of one agent."""
        if self.discrete:
            return Discrete(int(np.prod(GRID)) * (2 * self.max_order + 1))
        return Box(-1.0, 1.0, (4 + (self.max_order > 0),))

    def decode(self, action: Array) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"], Float[Array, " N"]]:
        """Half-spreads (bid, ask), shares of the full size, and orders."""
        if self.discrete:
            cell, order = jnp.divmod(action, 2 * self.max_order + 1)
            level, skew, size = jnp.unravel_index(cell, GRID)
            shift = jnp.asarray(SKEWS, float)[skew][:, None] * np.asarray([1.0, -1.0])
            half_spreads = jnp.clip(jnp.asarray(LEVELS, float)[level][:, None] + shift, self.low, self.high)
            shares = jnp.broadcast_to(jnp.asarray(SIZES, float)[size][:, None], half_spreads.shape)
            return half_spreads, shares, (order - self.max_order).astype(half_spreads.dtype)
        unit = (jnp.clip(action, -1.0, 1.0) + 1) / 2
        half_spreads = self.low + (self.high - self.low) * unit[:, :2]
        orders = jnp.round(self.max_order * action[:, 4]) if self.max_order else jnp.zeros_like(unit[:, 0])
        return half_spreads, jnp.clip(1 + action[:, 2:4], 0.0, 1.0), orders

    def encode(
        self,
        half_spreads: Float[Array, "*batch N 2"],
        size_shares: Float[Array, "*batch N 2"] | float,
        orders: Float[Array, "*batch N"] | float,
    ) -> Float[Array, "*batch N d"]:
        """The continuous action that `decode` reads as these quotes, clipped to what can be quoted."""
        if self.discrete:
            raise ValueError("discrete must be False to encode quotes, got True")
        unit = (half_spreads - self.low) / (self.high - self.low)
        shares = jnp.broadcast_to(jnp.asarray(size_shares, unit.dtype), unit.shape)
        parts = [2 * unit - 1, shares - 1]
        if self.max_order:
            signed = jnp.asarray(orders, unit.dtype) / self.max_order
            parts.append(jnp.broadcast_to(signed, unit.shape[:-1])[..., None])
        return jnp.clip(jnp.concatenate(parts, axis=-1), -1.0, 1.0)

    def settings(self, action: Array) -> Float[Array, " four"]:
        """A regulator's settings in [0, 1] of its own action: of the grid, the levers but the backstop."""
        if not self.discrete:
            return (jnp.clip(action[:4], -1.0, 1.0) + 1) / 2
        places = jnp.unravel_index(action // (2 * self.max_order + 1), GRID)
        grid = [place / (size - 1) for place, size in zip(places, GRID, strict=True)]
        return jnp.stack([*grid, jnp.zeros_like(grid[0])])
