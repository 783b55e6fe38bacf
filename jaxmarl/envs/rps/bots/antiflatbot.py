"""Antiflatbot: beats a player who evens out their own moves."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import bot, fewest, uniform_move

# by the set of the opponent's least frequent moves, a bit mask (the ends are not used)
_REPLY = (0, 1, 2, 1, 0, 0, 2, 0)


def _init(chance):
    return jnp.zeros(3, jnp.int32)


def _act(params, counts, obs, chance):
    counts = counts + (jnp.arange(3) == obs[1])
    rare = fewest(counts)
    return jnp.where(rare == 7, uniform_move(chance[0]), jnp.asarray(_REPLY, jnp.int32)[rare]), counts


BOT = bot("antiflatbot", _init, _act, "beats the move the opponent has played least", act_draws=1)
