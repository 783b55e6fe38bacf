"""Phasenbott: history matching, second-guessed to every depth, with a copy of itself among its own strategies."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots import _lags
from jaxmarl.envs.rps.bots.base import beat, bot, spin, uniform_move


class Memory(NamedTuple):
    """The match by lag, the own first move, and every strategy's last pair and the wins of its rotations.

    A pair is what a strategy would play, and what it takes the opponent to play if it reasons alike. Strategies: single
    histories, the joint one, random, the lesser judge; the last row is the one strategy that the lesser judge has.
    """

    lags: _lags.Lags
    first: Int8[Array, ""]
    pairs: Int8[Array, "5 2"]
    wins: Int32[Array, "5 4 3"]  # by kind, below, and rotation


# kinds of counters: which of a pair they are about, and whose move (0: own) it is compared with
_SUBJECT = np.array([0, 1, 1, 0])
_TARGET = np.array([1, 1, 0, 0])


def _random(raw):
    return spin(raw, 1 / 3, 1 / 3)


def _init(chance):
    # the first throw's pairs of the two strategies that match histories
    pairs = jnp.zeros((5, 2), jnp.int8).at[:2, 0].set(_random(chance).astype(jnp.int8))
    return Memory(_lags.no_lags(), jnp.full((), -1, jnp.int8), pairs, jnp.zeros((5, 4, 3), jnp.int32))


def _rotations(pairs):
    return (pairs.astype(jnp.int32)[:, _SUBJECT, None] + jnp.arange(3)) % 3


def _judge(pairs, wins):
    """The pair that the most successful rotations of the strategies' pairs recommend."""
    order = np.arange(3 * pairs.shape[0])[::-1].reshape(-1, 1, 3)  # the first of equals
    best = jnp.max((wins * 16 + order) * 4 + beat(_rotations(pairs)), axis=(0, 2))
    count, move = best >> 6, best & 3
    play = jnp.where(count[1] >= count[0], move[1], move[0])
    return jnp.stack([play, jnp.where(count[3] >= count[2], move[3], move[2])])


def _forecasts(keys, first, raw, start):
    """Pairs of the strategies but the lesser judge, and of the joint one as that judge draws it: `[4, 2]`."""
    own_found, opponent_found, both_found = _lags.found(keys)
    own, opponent = _lags.followers(keys)
    # a strategy draws only where nothing matches, so the draws of the next ones move up
    guess = _random(raw)
    drawn = jnp.where(start, 0, 2 - opponent_found - both_found.astype(jnp.int32))
    random = jnp.where(drawn == 2, guess[2:], jnp.where(drawn == 1, guess[1:4], guess[:3]))
    spare = jnp.where(opponent_found, guess[0], guess[1])
    single = beat(opponent[1]), beat(jnp.where(own_found, own[0], first))
    joint = beat(opponent[2]), beat(own[2])
    pairs = [
        (jnp.where(opponent_found, single[0], guess[0]), jnp.where(opponent_found, single[1], 0)),
        (jnp.where(both_found, joint[0], spare), jnp.where(both_found, joint[1], 0)),
        (random[0], random[1]),
        (jnp.where(both_found, joint[0], random[2]), jnp.where(both_found, joint[1], 0)),
    ]
    return jnp.stack([jnp.stack(pair) for pair in pairs])


def _act(params, memory, obs, chance):
    start = obs[0] < 0
    first = jnp.where(memory.first < 0, obs[0], memory.first)
    lags = _lags.observe(memory.lags, obs)
    wins = memory.wins + (_rotations(memory.pairs) == obs[_TARGET][:, None])

    single, joint, random, own_joint = _forecasts(_lags.longest(lags, (1000,))[0], first, chance, start)
    lesser = _judge(own_joint[None], wins[4:])
    lesser = jnp.where(start, jnp.stack([uniform_move(chance[3]), jnp.zeros((), jnp.int32)]), lesser)
    pairs = jnp.stack([single, joint, random, lesser, own_joint])
    pairs = jnp.where(start & (jnp.arange(5) < 2)[:, None], memory.pairs, pairs)
    move = jnp.where(start, uniform_move(chance[4]), _judge(pairs[:4], wins[:4])[0])
    return move.astype(jnp.int32), Memory(lags, first.astype(jnp.int8), pairs.astype(jnp.int8), wins)


BOT = bot(
    "phasenbott",
    _init,
    _act,
    "history matching second-guessed to every depth, by itself included",
    init_draws=2,
    act_draws=5,
    author="Jakob Mandelson",
)
