"""Multisets of states of like agents: their numbers, and expectations when every member moves by itself."""

import itertools
import math
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require

MOST_MULTISETS = 2_000_000


def num_multisets(num_kinds: int, size: int) -> int:
    """Number of multisets of `size` members of `num_kinds` kinds."""
    return math.comb(size + num_kinds - 1, size)


def rank(members: Int32[Array, "*batch k"], num_kinds: int) -> Int32[Array, "*batch"]:
    """Number of a multiset given by its members in ascending order: `Σ_i C(m_i + i, i + 1)`."""
    size = members.shape[-1]
    table = jnp.asarray(_binomials(num_kinds, size), jnp.int32)
    return jnp.sum(table[members, np.arange(size)], axis=-1, dtype=jnp.int32)


@lru_cache(maxsize=64)
def multisets(num_kinds: int, size: int) -> np.ndarray:
    """All multisets `[M, size]` by their number, members in ascending order (on the host).

    Raises:
        ValueError: more than two million of them.
    """
    count = num_multisets(num_kinds, size)
    require(count <= MOST_MULTISETS, "size", size, f"so small that there are at most {MOST_MULTISETS} multisets")
    # descending kinds in lexicographic order are ascending numbers once reversed
    listed = np.fromiter(
        itertools.chain.from_iterable(itertools.combinations_with_replacement(range(num_kinds - 1, -1, -1), size)),
        np.int32,
        count * size,
    ).reshape(count, size)
    return np.ascontiguousarray(listed[::-1, ::-1])


@lru_cache(maxsize=64)
def with_one_more(num_kinds: int, size: int) -> np.ndarray:
    """`[M, num_kinds]`: number of the multiset of `size + 1` members that has one more of a kind."""
    small = multisets(num_kinds, size)
    added = np.broadcast_to(np.arange(num_kinds, dtype=np.int32)[:, None], (len(small), num_kinds, 1))
    kept = np.broadcast_to(small[:, None, :], (len(small), num_kinds, size))
    larger = np.sort(np.concatenate([kept, added], axis=-1), axis=-1)
    return _host_rank(larger, num_kinds)


def expectation(values: Float[Array, " M"], kernel: Float[Array, "L L"], size: int) -> Float[Array, " M"]:
    """Expected value, by the multiset now, of the next one, each of whose members moves by `kernel`.

    One member after the other is moved: after j steps the table has j members before and the rest after their moves.
    """
    num_kinds = kernel.shape[0]
    table = values[None, :]
    for moved in range(size):
        left = size - moved - 1
        ahead = table[:, with_one_more(num_kinds, left)]
        stepped = jnp.einsum("rbl,al->rab", ahead, kernel)
        larger = multisets(num_kinds, moved + 1)
        others = _host_rank(larger[:, 1:], num_kinds)
        table = stepped[others, larger[:, 0]]
    return table[:, 0]


def _host_rank(members: np.ndarray, num_kinds: int) -> np.ndarray:
    size = members.shape[-1]
    return _binomials(num_kinds, size)[members, np.arange(size)].sum(-1).astype(np.int32)


def _binomials(num_kinds: int, size: int) -> np.ndarray:
    """`[m, i]`: what the i-th member, if it is m, adds to the number of a multiset."""
    table = [[math.comb(m + i, i + 1) for i in range(size)] for m in range(num_kinds)]
    return np.array(table, np.int64).reshape(num_kinds, size)
