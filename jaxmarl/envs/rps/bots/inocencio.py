"""Inocencio: looks for a move the opponent favours, lately or after three-move patterns, and beats it."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int8, Int32

from jaxmarl.envs.rps.bots.base import beat, bot, mixed_move, push, uniform_move


class Memory(NamedTuple):
    """The opponent's last 20 moves, both players' last three as base-3 codes, the opponent's move after each code.

    The leading axis of the codes and of the counts tells the opponent's patterns (0) from the bot's own (1).
    """

    recent: Int8[Array, " 20"]  # newest first, -1 where there is none yet
    code: Int32[Array, " 2"]
    after: Int32[Array, "2 27 3"]


def _init(chance):
    return Memory(jnp.full(20, -1, jnp.int8), jnp.zeros(2, jnp.int32), jnp.zeros((2, 27, 3), jnp.int32))


def _share(counts):
    """Frequencies with one imagined count of each move."""
    return (counts + 1.0) / (jnp.sum(counts, axis=-1, keepdims=True) + 3.0)


def _act(params, memory, obs, chance):
    recent = push(memory.recent, obs[1])
    both = jnp.arange(2)
    complete = recent[3] >= 0  # three moves before the last
    after = memory.after.at[both, memory.code, obs[1]].add(complete.astype(jnp.int32))
    code = memory.code // 3 + 9 * obs[::-1].clip(min=0)

    lately = jnp.sum(recent[:, None] == jnp.arange(3), axis=0)
    counts = jnp.stack([lately, *after[both, code]])
    # a share above 0.45, in integers; the first in the order of the rows wins
    favoured = 20 * (counts + 1) > 9 * (jnp.sum(counts, axis=1, keepdims=True) + 3)
    favourite = jnp.argmax(favoured.ravel()) % 3

    # the original looks its own code up in the opponent's table, and does not normalise
    guess = _share(lately) + (_share(counts[1]) + _share(after[0, code[1]])) / 3
    move = jnp.where(jnp.any(favoured), beat(favourite), mixed_move(chance[0], guess[2], guess[0]))
    move = jnp.where(recent[19] < 0, uniform_move(chance[0]), move)
    return move.astype(jnp.int32), Memory(recent, code, after)


BOT = bot(
    "inocencio",
    _init,
    _act,
    "beats a move the opponent clearly favours, lately or after the last three moves",
    act_draws=1,
    author="Rafael Morales",
)
