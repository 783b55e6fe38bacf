"""What has happened before, by lag: how the match as it stands continued from each earlier throw like it.

Everything here is indexed by lag and shifted once a throw. A throw that was `k` throws ago *matches* to length `L` if
the `L` throws up to it equal the `L` throws up to now; what followed it is then the forecast. One more throw makes the
match at a lag one longer or ends it, so what is kept by lag never moves. Two forms of it: `Lags` holds the length
itself, whatever it is; `Contexts` holds, for each of the first few lengths, the set of lags as bits.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Int8, Int16, Int32, UInt32

from jaxmarl.envs.rps.bots import _bits
from jaxmarl.envs.rps.bots.base import highest

# throws remembered: a tournament match; in a longer one the oldest are forgotten (a power of two, for `highest`)
SPAN = 1024
WORDS = SPAN // 32

_NEVER = 15  # the joint code of no throw; codes are 4 * own + opponent
_FOLLOWER_BITS, _LENGTH_BIT = 4, 14
_OWN, _BOTH = 3 << 2, 15
_ALL = np.uint32(0xFFFFFFFF)


class Lags(NamedTuple):
    """Joint moves, newest first, and the length to which each lag (entry `k - 1` for lag `k`) matches."""

    past: Int8[Array, " span"]
    own: Int16[Array, " span"]
    opponent: Int16[Array, " span"]


def no_lags() -> Lags:
    """Before the first throw."""
    return Lags(jnp.full(SPAN, _NEVER, jnp.int8), jnp.zeros(SPAN, jnp.int16), jnp.zeros(SPAN, jnp.int16))


def observe(lags: Lags, moves: Int32[Array, " 2"]) -> Lags:
    """The lags after one more throw; -1 and -1 (no throw) matches nothing."""
    code = (4 * moves[0] + moves[1]).astype(jnp.int8)
    differs = lags.past ^ code

    def longer(length, ignored):
        alike = (differs & np.int8(~ignored)) == 0
        return jnp.where(alike, jnp.minimum(length, SPAN - 2) + 1, 0).astype(jnp.int16)

    past = jnp.concatenate([code[None], lags.past[:-1]])
    return Lags(past, longer(lags.own, 3), longer(lags.opponent, _OWN))


def longest(lags: Lags, ages: tuple[int, ...]) -> Int32[Array, "ages 3"]:
    """The longest match among lags `1 … age - 1`, the most recent of equals, for own, opponent's and joint moves.

    The result packs what followed for `found` and `followers`: one maximum answers how long, how recent and what next.
    """
    recency = (SPAN - 1 - jnp.arange(SPAN, dtype=jnp.int32)) << _FOLLOWER_BITS
    # this entry of `past` is the throw after the one that matches
    packed = recency | (lags.past & _BOTH)
    lengths = lags.own, lags.opponent, jnp.minimum(lags.own, lags.opponent)
    keys = [length.astype(jnp.int32) << _LENGTH_BIT | packed for length in lengths]
    found = []
    for age in ages:
        size = min(SPAN, max(16, 1 << (age - 2).bit_length()))
        within = jnp.arange(size) < age - 1
        found += [highest(jnp.where(within, key[:size], 0)) for key in keys]
    return jnp.stack(found).reshape(len(ages), 3)


def found(key: Int32[Array, "..."]) -> Bool[Array, "..."]:
    """Whether anything matched."""
    return key >= 1 << _LENGTH_BIT


def followers(key: Int32[Array, "..."]) -> tuple[Int32[Array, "..."], Int32[Array, "..."]]:
    """The own and the opponent's move that followed the match."""
    return key >> 2 & 3, key & 3


class Contexts(NamedTuple):
    """Moves as bits, newest first (bit `k - 1` is the throw after lag `k`), and who matches to each length.

    `past[p, x]` has the throws in which player `p` (0: itself) played `x`; `matching[…, c - 1]` the lags that match to
    length `c` or more.
    """

    past: UInt32[Array, "2 3 words"]
    matching: UInt32[Array, "*kinds lengths words"]


def no_contexts(*kinds_and_lengths: int, words: int = WORDS) -> Contexts:
    """Before the first throw; the last number is the greatest length told apart."""
    return Contexts(jnp.zeros((2, 3, words), jnp.uint32), jnp.zeros((*kinds_and_lengths, words), jnp.uint32))


def tally(sets: UInt32[Array, "*rows words"], classes: UInt32[Array, "3 #*rows words"]) -> Int32[Array, "3 *rows"]:
    """How many members of each set are in each of three classes, at most 1023."""
    # three counts of ten bits in one number: one pass of additions
    zero, one, two = [lax.population_count(sets & members).astype(jnp.int32) for members in classes]
    packed = jnp.sum(zero | one << 10 | two << 20, axis=-1, dtype=jnp.int32)
    return jnp.stack([packed & 1023, packed >> 10 & 1023, packed >> 20])


def extend(contexts: Contexts, moves: Int32[Array, " 2"], joint: bool) -> Contexts:
    """The contexts after one more throw: of joint moves, or of own and opponent's moves apart (a leading axis of 2)."""
    now = moves[:, None] == jnp.arange(3)
    same = contexts.past & jnp.where(now, _ALL, 0)[:, :, None]
    same = same[:, 0] | same[:, 1] | same[:, 2]
    if joint:
        same = same[0] & same[1]
    shorter = contexts.matching[..., :-1, :]
    # to length 0 every lag matches; the last of the span is left out, for `tally` counts up to 1023
    every = np.full((*shorter.shape[:-2], 1, shorter.shape[-1]), _ALL)
    every[..., -1] >>= 1
    matching = same[..., None, :] & jnp.concatenate([every, shorter], axis=-2)
    return Contexts(_bits.push(contexts.past, now), matching)


def followed(contexts: Contexts) -> Int32[Array, "3 *kinds lengths"]:
    """How often each move of the opponent followed a match of each length or more."""
    return tally(contexts.matching, contexts.past[1])


def margins(counts: Int[Array, "3 ..."]) -> tuple[Array, Array, Array]:
    """Wins less losses of each move against the counted ones."""
    rock, paper, scissors = counts
    return scissors - paper, rock - scissors, paper - rock


def first_largest(zero: Array, one: Array, two: Array) -> Array:
    """Which of three is the largest, the first of equals: `argmax` without its scalar loop."""
    return jnp.where((zero >= one) & (zero >= two), 0, jnp.where(one >= two, 1, 2))
