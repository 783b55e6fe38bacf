"""SunCrazybot: walks through a random table, drawn anew ever more probably while it does not win."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import bot, scale, score, spin


class Memory(NamedTuple):
    """The move to play after each own move, the last one, and the probability of a new table in twentieths."""

    table: Int32[Array, " 3"]
    move: Int32[Array, ""]
    unrest: Int32[Array, ""]


def _table(raw):
    return spin(raw, 1 / 3, 1 / 3)


def _init(chance):
    zero = jnp.zeros((), jnp.int32)
    return Memory(_table(chance), zero, zero)


def _act(params, memory, obs, chance):
    unrest = memory.unrest + jnp.where(obs[0] < 0, 0, 1 - score(obs[0], obs[1]))
    anew = scale(chance[0], 20) < unrest
    table = jnp.where(anew, _table(chance[1:]), memory.table)
    move = table[memory.move]
    return move, Memory(table, move, jnp.where(anew, 0, unrest))


BOT = bot(
    "sunCrazybot",
    _init,
    _act,
    "walks through a hidden random table, redrawn when it does not win",
    init_draws=3,
    act_draws=4,
    author="Sunir Shah",
)
