"""Iocainebot: history matchers of several ages, second- and triple-guessed, under judges of several ages."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots import _lags, _scores
from jaxmarl.envs.rps.bots.base import bot, spin

_AGES = (1000, 100, 10, 5, 2)
# a judge of one age looks at one throw less, and the one of age 1 at none; the first looks at all
_WINDOWS = (99, 9, 4, 1)
_PREDICTORS, _JUDGES = 34, 6
# where each predictor stands in the original's order, which decides ties: matchers by age, two frequencies, the rest
_PLACES = np.array([0, 1, 2, 4, 5, 6, *range(8, 32), 3, 7, 32, 33])
_RANKS = 3 * _PLACES + np.arange(3)[:, None]
_JUDGE_RANKS = 3 * np.arange(_JUDGES) + np.arange(3)[:, None]


class Memory(NamedTuple):
    """Throws made, the match by lag, move counts, and the last predictions and judgements with their scores."""

    n: Int32[Array, ""]
    lags: _lags.Lags
    counts: Int32[Array, "2 3"]
    guesses: Int8[Array, " predictors"]
    scores: _scores.Scores
    verdicts: Int8[Array, " judges"]
    judges: _scores.Scores


def _init(chance):
    return Memory(
        jnp.zeros((), jnp.int32),
        _lags.no_lags(),
        jnp.zeros((2, 3), jnp.int32),
        jnp.zeros(_PREDICTORS, jnp.int8),
        _scores.empty(_PREDICTORS, max(_WINDOWS)),
        jnp.zeros(_JUDGES, jnp.int8),
        _scores.empty(_JUDGES, 1),
    )


def _predict(lags, counts, random):
    keys = _lags.longest(lags, _AGES)
    followers = jnp.stack(_lags.followers(keys), axis=1)
    matched = jnp.where(_lags.found(keys)[:, None], followers, random)
    frequent = _lags.first_largest(*counts.T)
    return jnp.concatenate([matched.reshape(30), frequent, random[None], jnp.zeros(1, jnp.int32)])


def _act(params, memory, obs, chance):
    n = memory.n
    counts = memory.counts + (obs[:, None] == jnp.arange(3))
    lags = _lags.observe(memory.lags, obs)
    scores = _scores.record(memory.scores, memory.guesses, obs[1])
    judges = _scores.record(memory.judges, memory.verdicts, obs[1])

    guesses = _predict(lags, counts, spin(chance[0], 1 / 3, 1 / 3))
    windows = [_scores.overall(scores, n), *(_scores.windowed(scores, length, n) for length in _WINDOWS)]
    _, moves = _scores.leaders(windows, guesses, _RANKS)
    # the judge who looks at nothing takes the first prediction as it is
    verdicts = jnp.append(moves, guesses[0])
    _, (move,) = _scores.leaders([_scores.overall(judges, n)], verdicts, _JUDGE_RANKS)
    memory = Memory(n + 1, lags, counts, guesses.astype(jnp.int8), scores, verdicts.astype(jnp.int8), judges)
    return move.astype(jnp.int32), memory


BOT = bot(
    "iocainebot",
    _init,
    _act,
    "history matchers and frequencies, each of them second- and triple-guessed",
    act_draws=1,
    author="Dan Egnor",
)
