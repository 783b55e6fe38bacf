"""Foxtrotbot: uniform at odd throws, a shift of that move at even ones."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import bot, uniform_move


def _init(chance):
    return jnp.ones((), jnp.int32)


def _act(params, throw, obs, chance):
    return jnp.where(throw % 2 == 1, uniform_move(chance[0]), (obs[0] + throw) % 3), throw + 1


BOT = bot("foxtrotbot", _init, _act, "every other throw random, the next one a known shift of it", act_draws=1)
