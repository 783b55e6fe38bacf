"""Rockbot: always rock."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import bot


def _act(params, memory, obs, chance):
    return jnp.zeros((), jnp.int32), memory


BOT = bot("rockbot", lambda chance: (), _act, "always rock")
