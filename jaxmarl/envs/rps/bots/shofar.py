"""Shofar: 89 simple strategies, most of them random patterns, and a fading record of each; redraws the worst."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from jaxmarl.envs.rps.bots.base import beat, bot, lose_to, scale

_PATTERNS = 80
_SIMPLE = 9
_STRATEGIES = _SIMPLE + _PATTERNS
_LONGEST = 5


class Memory(NamedTuple):
    """What the strategies are worth and last played, the one followed (-1: none), and each pattern's next moves.

    A pattern is packed: a move in two bits, the next one lowest, and the length from bit 10. `first` is the draw that
    chooses the first throw's strategy, which comes right after the variable number of draws that made the patterns.
    """

    worth: Float32[Array, " strategies"]
    moves: Int32[Array, " strategies"]
    chosen: Int32[Array, ""]
    patterns: Int32[Array, " patterns"]
    first: Int32[Array, ""]


def _length(raw):
    return 1 + scale(raw, _LONGEST)


def _pattern(raw: Int32[Array, "*batch 6"]) -> Int32[Array, "*batch"]:
    """A packed pattern from the draw of its length and those of its moves."""
    length = _length(raw[..., 0])
    place = jnp.arange(_LONGEST)
    moves = jnp.where(place < length[..., None], scale(raw[..., 1:], 3) << 2 * place, 0)
    return jnp.sum(moves, axis=-1, dtype=jnp.int32) | length << 10


def _turn(pattern):
    """The pattern one move on."""
    length = pattern >> 10
    return length << 10 | (pattern & 0x3FC) >> 2 | (pattern & 3) << 2 * (length - 1)


def _init(chance):
    def after(start, _):
        return start + 1 + _length(chance[start]), start

    end, starts = jax.lax.scan(after, jnp.zeros((), jnp.int32), length=_PATTERNS)
    patterns = _pattern(chance[starts[:, None] + jnp.arange(1 + _LONGEST)])
    unplayed = jnp.full(_STRATEGIES, -1, jnp.int32)
    return Memory(jnp.zeros(_STRATEGIES, jnp.float32), unplayed, unplayed[0], patterns, chance[end])


def _choose(odds: Float32[Array, " strategies"], raw: Int32[Array, ""]) -> Int32[Array, ""]:
    """The strategy that a draw selects in proportion to `odds`: its row of ten, then its place there."""
    rows = jnp.pad(odds, (0, 1)).reshape(9, 10)  # cumulative sums are slow on long axes
    sums = jnp.cumsum(jnp.sum(rows, axis=1))
    left = raw.astype(jnp.float32) * 2.0**-31 * sums[-1]
    row = jnp.sum(sums < left, dtype=jnp.int32)
    left = left - jnp.where(row > 0, sums[row - 1], 0.0)
    column = jnp.sum(jnp.cumsum(rows[row])[:-1] < left, dtype=jnp.int32)
    return (10 * row + column).clip(max=_STRATEGIES - 1)


def _act(params, memory, obs, chance):
    begun = obs[0] >= 0
    result = (memory.moves == beat(obs[1])).astype(jnp.float32) - (memory.moves == lose_to(obs[1]))
    weight = jnp.where(jnp.arange(_STRATEGIES) == memory.chosen, 4.0, 3.0).astype(jnp.float32)
    worth = 0.99 * (memory.worth + weight * result)

    # the new pattern keeps the worth of the one that it replaces
    low = worth[_SIMPLE:] == jnp.min(worth[_SIMPLE:])
    index = jnp.arange(_PATTERNS)
    worst = jnp.min(jnp.where(low & begun, index, _PATTERNS))
    patterns = jnp.where(index == worst, _pattern(chance[:-1]), memory.patterns)
    # a constant, what the opponent played and what it played itself, each turned by 0, 1 and 2
    sources = jnp.stack([jnp.zeros((), jnp.int32), *obs[::-1].clip(min=0)])
    simple = (sources[:, None] + jnp.arange(3, dtype=jnp.int32)).reshape(-1) % 3
    moves = jnp.concatenate([simple, patterns & 3])

    raw = jnp.where(begun, chance[1 + _length(chance[0])], memory.first)
    chosen = _choose(jnp.exp(math.log(1.05) * worth), raw)
    return moves[chosen], Memory(worth, moves, chosen, _turn(patterns), memory.first)


BOT = bot(
    "shofar",
    _init,
    _act,
    "follows one of 89 simple strategies by how well they did lately; redraws the worst pattern every throw",
    init_draws=_PATTERNS * (1 + _LONGEST) + 1,
    act_draws=1 + _LONGEST + 1,
    author="Rudi Cilibrasi",
)
