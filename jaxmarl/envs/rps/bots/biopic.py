"""Biopic: four weighted guesses of the opponent, the best so far played; plays at random for a while when losing."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots import _lags
from jaxmarl.envs.rps.bots.base import beat, bot, score, uniform_move

_LENGTHS = 10
# a match to each length adds a power of three, so longer matches outweigh shorter ones
_WEIGHTS = 3 ** np.arange(_LENGTHS, dtype=np.int32)
_LARGE = 99999


class Memory(NamedTuple):
    """Throws made, points, throws left of a pause, the four guesses and their wins, move counts, contexts."""

    n: Int32[Array, ""]
    points: Int32[Array, ""]
    pause: Int32[Array, ""]
    guesses: Int8[Array, " 4"]
    wins: Int32[Array, " 4"]
    counts: Int32[Array, "2 3"]  # of own and of the opponent's moves
    contexts: _lags.Contexts


def _init(chance):
    zero = jnp.zeros((), jnp.int32)
    contexts = _lags.no_contexts(2, _LENGTHS)
    four, counts = jnp.zeros(4, jnp.int32), jnp.zeros((2, 3), jnp.int32)
    return Memory(zero, zero, zero, four.astype(jnp.int8), four, counts, contexts)


def _portion(raw, total):
    """`⌊total · raw / 2³¹⌋` exactly, for a `total` below 2²⁷."""
    raw, total = raw.astype(jnp.uint32), total.astype(jnp.uint32)
    high, low = raw >> 16, raw & 0xFFFF
    middle = high * (total & 0xFFFF) + low * (total >> 16) + (low * (total & 0xFFFF) >> 16)
    return (2 * high * (total >> 16) + (middle >> 15)).astype(jnp.int32)


def _pick(weights, raw):
    """A move against an opponent of these weights (`[3, 4]`), one draw each."""
    edge = jnp.stack([jnp.maximum(margin, 0) for margin in _lags.margins(weights)])
    # the original means "certain" by a large number, which is small beside some of the weights
    edge = jnp.where(5 * edge >= 3 * jnp.sum(edge, axis=0), _LARGE, edge)
    at = _portion(raw, jnp.sum(edge, axis=0))
    return (at >= edge[0]).astype(jnp.int8) + (at >= edge[0] + edge[1])


def _act(params, memory, obs, chance):
    n = memory.n
    points = memory.points + score(obs[0], obs[1])
    counts = memory.counts + (obs[:, None] == jnp.arange(3))
    # guesses are scored on throws played at random too, when they are old
    wins = memory.wins + ((n > 1) & (memory.guesses == beat(obs[1])))
    halve = (n % 32 == 0).astype(jnp.int32)
    counts, wins = counts >> halve, wins >> halve
    contexts = _lags.extend(memory.contexts, obs, joint=False)

    hopeless = (n == 0) | (points < -25)
    pause = jnp.where(hopeless, memory.pause, jnp.maximum(memory.pause - 1, 0))
    starts = ~hopeless & (points <= -10) & (pause == 0)
    at_random = hopeless | (pause >= 8) | starts
    pause = jnp.where(starts, 16, pause)

    matches = jnp.sum(_lags.followed(contexts) * _WEIGHTS, axis=2)
    weights = jnp.concatenate([matches[:, ::-1], counts.T], axis=1)
    guesses = jnp.where(at_random, memory.guesses, _pick(weights, chance))
    best = guesses[3]
    top = jnp.max(wins)
    for i in (2, 1, 0):
        best = jnp.where(wins[i] == top, guesses[i], best)
    move = jnp.where(at_random, uniform_move(chance[0]), best)
    return move.astype(jnp.int32), Memory(n + 1, points, pause, guesses, wins, counts, contexts)


BOT = bot(
    "biopic",
    _init,
    _act,
    "weighted guesses from matches and frequencies, random pauses when losing",
    act_draws=4,
    author="Jonathan Schaeffer",
)
