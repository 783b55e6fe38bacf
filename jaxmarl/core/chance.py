"""Explicit chance: what is random is declared, drawn in one call, and handed in.

A *chance specification* is a pytree (tuple, dict, dataclass …) whose leaves are `Uniform`, `Normal`, `Integers` or
`Key`; `()` draws nothing. `draw` turns a specification and one key into a pytree of the same structure, for a whole
batch at once: every numeric leaf is cut from a single block of random words, so a step of a thousand environments
costs one call of the generator, and a recorded stream can be put in place of the draw.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from jaxmarl.core.checks import require, require_int

ChanceSpec: TypeAlias = Any
"""A pytree of `Uniform`, `Normal`, `Integers` and `Key` leaves."""
Chance: TypeAlias = Any
"""What was drawn: arrays in the structure of the specification."""


@dataclass(frozen=True)
class Uniform:
    """float32, uniform on `[low, high)`, with 24 random bits."""

    shape: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Normal:
    """float32, standard normal (inverse error function of 23 random bits, so |x| < 5.4)."""

    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Integers:
    """int32, uniform on `{0, …, high - 1}`; the finite kind of chance, which can be enumerated.

    `high` is a power of two up to 2³¹ (exact) or at most 2¹⁶ (each value's probability is exact to 2⁻³²).
    """

    high: int
    shape: tuple[int, ...] = ()

    def __post_init__(self):
        require_int("high", self.high, 1, 2**31)
        power_of_two = self.high & (self.high - 1) == 0
        require(power_of_two or self.high <= 2**16, "high", self.high, "a power of two or at most 65536")


@dataclass(frozen=True)
class Key:
    """An opaque typed PRNG key, where nothing simpler fits."""

    shape: tuple[int, ...] = ()


Leaf = Uniform | Normal | Integers | Key


def is_leaf(x: Any) -> bool:
    """Whether `x` is a leaf of a chance specification."""
    return isinstance(x, Leaf)


def repeat(spec: ChanceSpec, *sizes: int) -> ChanceSpec:
    """The specification of `sizes` independent draws of `spec`: every leaf's shape gains leading axes."""
    return jax.tree.map(lambda leaf: replace(leaf, shape=(*sizes, *leaf.shape)), spec, is_leaf=is_leaf)


def draw(spec: ChanceSpec, key: Array, batch: tuple[int, ...] = ()) -> Chance:
    """Draws `spec` for a whole batch with one call of the generator.

    Args:
        spec: chance specification.
        key: a typed key (`jax.random.key`), consumed by this call.
        batch: leading axes of every drawn array.

    Returns:
        A pytree like `spec` with arrays of shape `batch + leaf.shape`.
    """
    leaves, treedef = jax.tree.flatten(spec, is_leaf=is_leaf)
    if not leaves:
        return jax.tree.unflatten(treedef, [])
    sizes = [0 if isinstance(leaf, Key) else math.prod(batch + leaf.shape) for leaf in leaves]
    has_keys = any(isinstance(leaf, Key) for leaf in leaves)
    word_key, *leaf_keys = jax.random.split(key, 1 + len(leaves)) if has_keys else [key]
    words = jax.random.bits(word_key, (sum(sizes),), jnp.uint32)
    drawn, start = [], 0
    for i, (leaf, size) in enumerate(zip(leaves, sizes, strict=True)):
        shape = batch + leaf.shape
        if isinstance(leaf, Key):
            drawn.append(jax.random.split(leaf_keys[i], shape))
        else:
            drawn.append(_from_words(leaf, words[start : start + size].reshape(shape)))
        start += size
    return jax.tree.unflatten(treedef, drawn)


def _from_words(leaf: Uniform | Normal | Integers, words: UInt32[Array, "..."]) -> Array:
    if isinstance(leaf, Uniform):
        unit = (words >> 8).astype(jnp.float32) * jnp.float32(2**-24)
        if (leaf.low, leaf.high) == (0.0, 1.0):
            return unit
        # rounding of the affine map may reach `high`, which is excluded
        below = jnp.nextafter(jnp.float32(leaf.high), jnp.float32(leaf.low))
        return jnp.minimum(leaf.low + (leaf.high - leaf.low) * unit, below)
    if isinstance(leaf, Normal):
        centred = ((words >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2**-22) - 1.0
        return jnp.float32(math.sqrt(2.0)) * jax.lax.erf_inv(centred)
    if leaf.high & (leaf.high - 1) == 0:
        bits = leaf.high.bit_length() - 1
        return (words >> (32 - bits)).astype(jnp.int32) if bits else jnp.zeros(words.shape, jnp.int32)
    # high 32 bits of the 48-bit product words * high, in 32-bit arithmetic
    low, top = words & 0xFFFF, words >> 16
    return ((top * leaf.high + ((low * leaf.high) >> 16)) >> 16).astype(jnp.int32)
