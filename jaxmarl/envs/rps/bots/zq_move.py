"""Zq_move: counts what followed earlier matches of the last one to eight throws, common contexts weighing more."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots import _lags
from jaxmarl.envs.rps.bots.base import beat, bot, uniform_move

_LENGTHS = 8


def _init(chance):
    return _lags.no_contexts(_LENGTHS)


def _act(params, contexts, obs, chance):
    contexts = _lags.extend(contexts, obs, joint=True)
    counts = _lags.followed(contexts)
    votes = jnp.sum((1 + jnp.sum(counts, axis=0)) * counts, axis=1)
    first, second, third = votes == jnp.max(votes)
    lower = jnp.where(first, 0, jnp.where(second, 1, 2))
    upper = jnp.where(third, 2, jnp.where(second, 1, 0))
    # the tied move of lower index if the draw is odd; one draw whether two or three are tied
    guess = jnp.where(chance[0] % 2 == 1, lower, upper)
    guess = jnp.where(first & second & third, uniform_move(chance[0]), guess)
    return beat(guess).astype(jnp.int32), contexts


BOT = bot(
    "zq_move",
    _init,
    _act,
    "beats what followed earlier matches of the last one to eight throws",
    act_draws=1,
    author="Neil Burch",
)
