"""Halbot: recalls what followed the last 0 to 20 joint moves within 200 throws; trusts the length that did best."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32, UInt32

from jaxmarl.envs.rps.bots import _bits, _lags
from jaxmarl.envs.rps.bots.base import beat, bot, lose_to, uniform_move

_LENGTHS, _WINDOW, _WORDS = 21, 200, 7


def _windows():
    """Bits of the throws that a context of each length looks at: 200 less its length."""
    kept = np.arange(32 * _WORDS) < _WINDOW - np.arange(_LENGTHS)[:, None]
    bits = kept.reshape(_LENGTHS, _WORDS, 32) * (1 << np.arange(32, dtype=np.uint64))
    return bits.sum(axis=-1).astype(np.uint32)


_WINDOWS = _windows()


class Memory(NamedTuple):
    """The first move, the contexts, the last move of each length (-1: none), and how those moves fared."""

    first: Int32[Array, ""]
    contexts: _lags.Contexts
    moves: Int8[Array, " lengths"]
    fared: UInt32[Array, "3 lengths words"]  # bit histories: would have won, would have lost, was there


def _init(chance):
    fared = jnp.zeros((3, _LENGTHS, _WORDS), jnp.uint32)
    contexts = _lags.no_contexts(_LENGTHS - 1, words=_WORDS)
    return Memory(uniform_move(chance[0]), contexts, jnp.full(_LENGTHS, -1, jnp.int8), fared)


def _act(params, memory, obs, chance):
    moves = memory.moves
    newest = jnp.stack([moves == beat(obs[1]), moves == lose_to(obs[1]), moves >= 0])
    fared = _bits.push(memory.fared, newest)
    windows = jnp.asarray(_WINDOWS)
    won, lost, seen = _lags.tally(windows, fared)

    contexts = _lags.extend(memory.contexts, obs, joint=True)
    matching = jnp.concatenate([windows[:1], contexts.matching & windows[1:]])
    counts = _lags.tally(matching, contexts.past[1])
    moves = jnp.where(jnp.any(counts > 0, axis=0), _lags.first_largest(*_lags.margins(counts)), -1)

    value = (won - lost) / jnp.maximum(seen, 1).astype(jnp.float32)
    value = jnp.where(moves >= 0, value, -2.0)
    # the longest of the best
    key = jnp.where(value == jnp.max(value), 4 * jnp.arange(_LENGTHS) + moves, -1)
    move = jnp.where(obs[0] < 0, memory.first, jnp.max(key) & 3)
    return move.astype(jnp.int32), Memory(memory.first, contexts, moves.astype(jnp.int8), fared)


BOT = bot(
    "halbot",
    _init,
    _act,
    "recalls what followed the last 0 to 20 throws, at the length that did best lately",
    init_draws=1,
    author="Jason Hutchens",
)
