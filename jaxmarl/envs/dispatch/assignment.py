"""Who gets what, inside jit: matchings of rows and columns of largest value, and greedy ones, with static shapes.

The optimal one is the Hungarian algorithm of `optax.assignment` (Crouse 2016), which is exact, vmaps, and compiles in
seconds; it is imported when first used, so that importing environments does not import optax.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

UNMATCHED = -1


@jax.jit  # its loops would compile anew at each call outside jit
def optimal_matching(value: Float[Array, "R C"], allowed: Bool[Array, "R C"] | None = None) -> Int32[Array, " R"]:
    """The matching of largest total value in which a row has at most one column and a column at most one row.

    Pairs that are not allowed, or whose value is 0 or less, are never made: leaving both alone is as good.

    Args:
        value: finite, of each pair; rectangular either way.
        allowed: pairs that may be made (all where None).

    Returns:
        The column of each row, `UNMATCHED` where it has none.
    """
    from optax.assignment import hungarian_algorithm

    rows, worth = jnp.arange(value.shape[0]), _worth(value, allowed)
    # a full assignment in which worthless pairs cost nothing is a matching that may leave rows alone
    left, right = hungarian_algorithm(-worth)
    made = (left == rows[:, None]) & (worth[left, right] > 0)
    return jnp.where(jnp.any(made, axis=1), jnp.sum(jnp.where(made, right, 0), axis=1), UNMATCHED).astype(jnp.int32)


@jax.jit
def greedy_matching(value: Float[Array, "R C"], allowed: Bool[Array, "R C"] | None = None) -> Int32[Array, " R"]:
    """The matching that makes the most valuable pair left, again and again; worth at least half of the optimal one.

    Args:
        value: as for `optimal_matching`; of equal values, the first row, then the first column, comes first.
        allowed: likewise.

    Returns:
        The column of each row, `UNMATCHED` where it has none.
    """
    rows, columns = value.shape

    def make_pair(carry, _):
        worth, match = carry
        best = jnp.argmax(worth)
        row, column = best // columns, best % columns
        made = worth[row, column] > 0
        taken = (jnp.arange(rows) == row)[:, None] | (jnp.arange(columns) == column)
        match = jnp.where(made & (jnp.arange(rows) == row), column, match).astype(jnp.int32)
        return (jnp.where(taken, 0.0, worth), match), None

    start = _worth(value, allowed), jnp.full(rows, UNMATCHED, jnp.int32)
    return jax.lax.scan(make_pair, start, length=min(rows, columns))[0][1]


def matching_value(value: Float[Array, "R C"], match: Int32[Array, " R"]) -> Float[Array, ""]:
    """Total value of the pairs made."""
    return jnp.sum(jnp.where(match[:, None] == jnp.arange(value.shape[1]), value, 0.0))


def _worth(value: Float[Array, "R C"], allowed: Bool[Array, "R C"] | None) -> Float[Array, "R C"]:
    """Value of pairs worth making, else 0."""
    positive = jnp.maximum(value, 0.0)
    return positive if allowed is None else jnp.where(allowed, positive, 0.0)


MATCHINGS = {"optimal": optimal_matching, "greedy": greedy_matching}
