"""Driftbot: copies the opponent half the time, with a bias that drifts every 111 throws."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import below, bot, uniform_move


class Memory(NamedTuple):
    """Throws made, and the drift added to every move."""

    n: Int32[Array, ""]
    gear: Int32[Array, ""]


def start(chance):
    """No throw made, no drift."""
    zero = jnp.zeros((), jnp.int32)
    return Memory(zero, zero)


def _act(params, memory, obs, chance):
    n, gear = memory
    base = jnp.where(below(chance[0], 0.5), obs[1], uniform_move(chance[1]))
    gear = jnp.where((n > 0) & (n % 111 == 0), (gear + 2) % 3, gear)
    move = jnp.where(n == 0, uniform_move(chance[0]), (base + gear) % 3)
    return move, Memory(n + 1, gear)


BOT = bot("driftbot", start, _act, "noisy copy of the opponent, shifted every 111 throws", act_draws=2)
