"""Observation and action spaces of one agent: frozen, hashable, usable inside jit."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxmarl.core.checks import require, require_int


@dataclass(frozen=True)
class Discrete:
    """The integers `0, …, n - 1` as int32 scalars."""

    n: int

    def __post_init__(self):
        require_int("n", self.n, 1)

    shape = ()
    dtype = jnp.int32

    def sample(self, key: Array) -> Array:
        """One uniformly drawn element."""
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, x: Any) -> Bool[Array, ""]:
        """Whether `x` is an integer scalar in range (a traced bool)."""
        x = jnp.asarray(x)
        fits = x.shape == () and jnp.issubdtype(x.dtype, jnp.integer)
        return jnp.logical_and(fits, (x >= 0) & (x < self.n)) if fits else jnp.asarray(False)


@dataclass(frozen=True)
class Box:
    """Arrays of one shape between `low` and `high` (scalars, inclusive; infinite where unbounded)."""

    low: float
    high: float
    shape: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    def __post_init__(self):
        require(self.low < self.high, "low", self.low, f"below high ({self.high})")

    def __repr__(self) -> str:
        return f"Box(low={self.low}, high={self.high}, shape={self.shape}, dtype={jnp.dtype(self.dtype).name})"

    def sample(self, key: Array) -> Array:
        """Uniform on a bounded box, standard normal (clipped into the box) on an unbounded one."""
        if jnp.issubdtype(self.dtype, jnp.integer):
            return jax.random.randint(key, self.shape, int(self.low), int(self.high) + 1, self.dtype)
        if math.isfinite(self.low) and math.isfinite(self.high):
            return jax.random.uniform(key, self.shape, self.dtype, self.low, self.high)
        return jnp.clip(jax.random.normal(key, self.shape, self.dtype), self.low, self.high)

    def contains(self, x: Any) -> Bool[Array, ""]:
        """Whether `x` has the box's shape and kind of number, is not NaN, and lies within its bounds."""
        x = jnp.asarray(x)
        fits = x.shape == self.shape and jnp.issubdtype(x.dtype, jnp.integer) == jnp.issubdtype(self.dtype, jnp.integer)
        return jnp.all((x >= self.low) & (x <= self.high)) if fits else jnp.asarray(False)


Space = Discrete | Box
