"""Addshiftbot3: adds the last moves of both players, and shifts the sum when it is losing."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import below, bot, score, uniform_move


class Memory(NamedTuple):
    """The shift, and the throws and the score since it last changed."""

    gear: Int32[Array, ""]
    age: Int32[Array, ""]
    total: Int32[Array, ""]


def _init(chance):
    zero = jnp.zeros((), jnp.int32)
    return Memory(zero, zero, zero)


def _act(params, memory, obs, chance):
    first = obs[0] < 0
    age = memory.age + ~first
    total = memory.total + score(obs[0], obs[1])
    losing = total <= jnp.where(age <= 20, -3, -(age // 10))
    gear = jnp.where(losing, (memory.gear + 2) % 3, memory.gear)
    move = jnp.where(below(chance[0], 0.2), uniform_move(chance[1]), (obs[0] + obs[1] + gear) % 3)
    move = jnp.where(first, uniform_move(chance[0]), move)
    return move, Memory(gear, jnp.where(losing, 0, age), jnp.where(losing, 0, total))


BOT = bot("addshiftbot3", _init, _act, "noisy sum of both last moves, shifted when losing", act_draws=2)
