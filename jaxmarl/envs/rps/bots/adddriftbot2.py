"""Adddriftbot2: adds the last moves of both players half the time, with a bias that drifts every 200 throws."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import below, bot, uniform_move
from jaxmarl.envs.rps.bots.driftbot import Memory, start


def _act(params, memory, obs, chance):
    n, gear = memory
    gear = jnp.where((n > 0) & (n % 200 == 0), (gear + 2) % 3, gear)
    move = jnp.where(below(chance[0], 0.5), uniform_move(chance[1]), (obs[0] + obs[1] + gear) % 3)
    return jnp.where(n == 0, uniform_move(chance[0]), move), Memory(n + 1, gear)


BOT = bot("adddriftbot2", start, _act, "noisy sum of both last moves, shifted every 200 throws", act_draws=2)
