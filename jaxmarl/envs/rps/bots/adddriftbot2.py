"""Adddriftbot2: adds the last moves of both players half the time, with a bias that drifts every 200 throws."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import below, bot, uniform_move


class Memory(NamedTuple):
    """Throws made, and the drift added to the sum."""

    n: Int32[Array, ""]
    gear: Int32[Array, ""]


def _init(chance):
    zero = jnp.zeros((), jnp.int32)
    return Memory(zero, zero)


def _act(params, memory, obs, chance):
    n, gear = memory
    gear = jnp.where((n > 0) & (n % 200 == 0), (gear + 2) % 3, gear)
    move = jnp.where(below(chance[0], 0.5), uniform_move(chance[1]), (obs[0] + obs[1] + gear) % 3)
    return jnp.where(n == 0, uniform_move(chance[0]), move), Memory(n + 1, gear)


BOT = bot("adddriftbot2", _init, _act, "noisy sum of both last moves, shifted every 200 throws", act_draws=2)
