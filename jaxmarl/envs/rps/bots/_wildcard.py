"""Contexts with wildcards, as predbot and mod1bot keep them: index 3 of a context axis stands for any move."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FADE = 0.98


def hits(move: Int[Array, ""]) -> Bool[Array, " 4"]:
    """The indices that a move falls under: its own and the wildcard; none for -1."""
    index = jnp.arange(4)
    return (move >= 0) & ((index == move) | (index == 3))


def matching(table: Array, opponent: Int[Array, ""], own: Int[Array, ""]) -> Array:
    """The four cells of `[4, 4, …]` that match a joint move, the most specific first."""
    return table[jnp.stack([opponent, opponent, 3, 3]), jnp.stack([own, 3, own, 3])]


def margins(counts: Float[Array, "*cells 3"]) -> Float[Array, "*cells 3"]:
    """Wins less losses of each move against the counted ones."""
    return jnp.roll(counts, 1, axis=-1) - jnp.roll(counts, -1, axis=-1)
