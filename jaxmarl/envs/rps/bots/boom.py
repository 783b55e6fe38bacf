"""Boom: bets on the most telling move of the last 27 throws, or pair of moves; plays at random when losing."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32, Int32

from jaxmarl.envs.rps.bots import _bits
from jaxmarl.envs.rps.bots.base import bot, score, spin

_LAGS = 27
# the original's float32 constants
_KEEP = np.float32(0.95)
_GAIN = np.float32(1) - _KEEP
_MILD, _HEAVY = np.float32(math.sqrt(0.05 / 3)), np.float32(math.sqrt(0.1))
# a tally holds counts of 10 bits: in a match longer than a tournament's, single moves are no longer counted afterwards
_COUNTED = 1023


class Memory(NamedTuple):
    """Histories, what followed what, and how the rotations of the bets and the bot itself have done."""

    n: Int32[Array, ""]
    history: _bits.History
    followed: Int32[Array, "3 3 lags"]  # tally of the opponent's moves after (opponent's, own) move at each lag
    total: Int32[Array, ""]  # wins minus losses
    gear: Int32[Array, ""]  # rotation in use
    gears: Float32[Array, " 3"]
    recent: Float32[Array, ""]  # fading score of the bot


def _init(chance):
    zero, recent = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
    tallies = jnp.zeros((3, 3, _LAGS), jnp.int32)
    return Memory(zero, _bits.empty(), tallies, zero, zero, jnp.zeros(3, jnp.float32), recent)


def _ages(first):
    return jnp.arange(first, first + _LAGS, dtype=jnp.uint32)


def _is(moves):
    return moves == jnp.arange(3, dtype=jnp.int32)[:, None]


def _follow(followed, history, n, obs):
    """The tallies with the last throw, once for each lag at which something came before it."""
    other, own = (_is(_bits.moves_at(history, player, _ages(1))) for player in (_bits.OTHER, _bits.OWN))
    before = (history[_bits.PLAYED, 0] >> _ages(1) & 1 == 1) & (n <= _COUNTED)
    last = _bits.single(obs[1])
    return followed + jnp.where(own[:, None] & other & before, last, 0)


def _best(tallies, n):
    """The most telling of tallies `[filters, lags]`: how telling, its index (the filter fastest), and the tally."""
    rock, paper, scissors = _bits.counts(tallies)
    margin = jnp.maximum(jnp.maximum(scissors - paper, rock - scissors), paper - rock)
    telling = margin.astype(jnp.float32) / (rock + paper + scissors + 5).astype(jnp.float32)
    lags = jnp.arange(_LAGS, dtype=jnp.int32)
    # the bits of floats above zero are ordered as they are, and integers are compared faster
    telling = lax.bitcast_convert_type(jnp.where(lags < n, telling, 0.0), jnp.int32)
    top = jnp.max(telling)
    index = 4 * lags + jnp.arange(tallies.shape[0], dtype=jnp.int32)[:, None]
    first = jnp.min(jnp.where(telling == top, index, 4 * _LAGS))
    return lax.bitcast_convert_type(top, jnp.float32), first, tallies[first % 4, first // 4]


def _total(tallies):
    # spelled out, three rows add up faster than by a reduction
    return tallies[0] + tallies[1] + tallies[2]


def _single(followed, history):
    """Tallies at each lag given the moves of both players, of the bot itself, of the opponent, or none."""
    other, own = (_is(_bits.moves_at(history, player, _ages(0))) for player in (_bits.OTHER, _bits.OWN))
    own_only = _total(jnp.where(own[:, None], followed, 0))
    unfiltered = _total(followed)
    return jnp.stack(
        [
            _total(jnp.where(other, own_only, 0)),
            _total(own_only),
            _total(jnp.where(other, unfiltered, 0)),
            _total(unfiltered),
        ]
    )


def _filters(history, ages):
    """Masks of the throws that came, at each age, after the present moves of both, of the bot, of the opponent."""
    own, other = (_bits.same(history, player, ages) for player in (_bits.OWN, _bits.OTHER))
    return own & other, own, other


def _double(history, first):
    """Tallies at each lag as of `_single`, among the throws of context `first`; the last filter is left out."""
    lag, kept = (first // 4).astype(jnp.uint32), first % 4
    contexts = jnp.stack([*_filters(history, lag), _bits.earlier(history[_bits.PLAYED], lag + 1)])
    # chosen by a sum, which XLA works out once, where a choice would be worked out again for every lag
    chosen = jnp.arange(4, dtype=jnp.int32)[:, None] == kept
    given = jnp.sum(jnp.where(chosen, contexts, 0), axis=0, dtype=jnp.uint32)
    ones, twos = history[_bits.OTHER, :-1], history[_bits.OTHER + 1, :-1]
    return jnp.stack([_bits.tally(given & mask, ones, twos) for mask in _filters(history, _ages(0))])


def _forecast(followed, history, n):
    """Tally of the opponent's moves in the most telling context of all."""
    telling, first, tally = _best(_single(followed, history), n)
    more_telling, _, double_tally = _best(_double(history, first), n)
    tally = jnp.where((telling < _KEEP) & (more_telling > telling), double_tally, tally)
    return jnp.where(telling > 0, tally, 0)


def _judge(memory, obs):
    """How the rotations and the bot itself have done, the last throw included."""
    result = score(obs[0], obs[1])
    # a win credits the rotation in use, a loss the one before it, a draw the one after; its successor is debited
    right = (memory.gear + jnp.where(result > 0, 0, jnp.where(result < 0, 2, 1))) % 3
    rotations = jnp.arange(3, dtype=jnp.int32)
    credit = (rotations == right).astype(jnp.float32) - (rotations == (right + 1) % 3).astype(jnp.float32)
    gears = memory.gears * _KEEP + jnp.where(memory.n > 0, _GAIN * credit, 0.0)
    return memory.total + result, gears, memory.recent * _KEEP + _GAIN * result.astype(jnp.float32)


def _bails(n, total, recent, raw):
    """Whether to play at random: never while losing no more than by chance, always when losing badly."""
    root = jnp.sqrt(n.clip(min=1).astype(jnp.float32))
    mild, heavy = root / np.float32(math.sqrt(3)), root * np.float32(math.sqrt(2))
    chance = jnp.maximum((mild + total) / (mild - heavy), (recent + _MILD) / (_MILD - _HEAVY))
    return (raw >> 7).astype(jnp.float32) * 2.0**-24 < chance


def _act(params, memory, obs, chance):
    n = memory.n
    history = _bits.observe(memory.history, obs)
    followed = _follow(memory.followed, history, n, obs)
    total, gears, recent = _judge(memory, obs)

    counts = jnp.stack(_bits.counts(_forecast(followed, history, n))).astype(jnp.float32)
    rock, paper, scissors = counts / jnp.sum(counts).clip(min=1)
    gear = jnp.argmax(gears).astype(jnp.int32)
    bet = jnp.argmax(jnp.stack([scissors - paper, rock - scissors, paper - rock])).astype(jnp.int32)
    bails = _bails(n, total, recent, chance[0])
    move = jnp.where(bails, spin(chance[1], 1 / 3, 1 / 3), (bet + gear) % 3)
    return move, Memory(n + 1, history, followed, total, gear, gears, recent)


BOT = bot(
    "boom",
    _init,
    _act,
    "bets on the most telling recent move or pair of moves, and plays at random when losing",
    act_draws=2,
    author="Jack van Rijswijk",
)
