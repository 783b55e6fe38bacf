"""Piedra: beats what most often followed the last joint move; plays at random for good once 40 behind."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32

from jaxmarl.envs.rps.bots.base import Bot, beat_most_frequent, bot, score, spin


class Memory(NamedTuple):
    """The opponent's moves after each joint move, counted and the latest; joint move before; score; given up."""

    followed: Int32[Array, "3 3 3"]
    latest: Int32[Array, "3 3"]
    last: Int32[Array, " 2"]
    score: Int32[Array, ""]
    lost: Bool[Array, ""]


def _init(chance):
    return Memory(
        jnp.zeros((3, 3, 3), jnp.int32),
        jnp.zeros((3, 3), jnp.int32),
        jnp.full(2, -1, jnp.int32),
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )


def stone(name: str, summary: str, answer: Callable[[Array, Array, Array], Array]) -> Bot:
    """The bot that answers with `answer(counts of what followed, the latest to follow, raw draw)`."""

    def act(params, memory, obs, chance):
        own, other = memory.last
        known = own >= 0
        followed = memory.followed.at[own, other, obs[1]].add(known.astype(jnp.int32))
        latest = memory.latest.at[own, other].set(jnp.where(known, obs[1], memory.latest[own, other]))
        total = memory.score + score(obs[0], obs[1])
        lost = memory.lost | (total == -40)

        row = followed[obs[0], obs[1]]
        informed = answer(row, latest[obs[0], obs[1]], chance[0])
        move = jnp.where(jnp.sum(row) > 0, informed, spin(chance[0], 0.33, 0.33))
        move = jnp.where(lost, spin(chance[0], 0.333, 0.333), move)
        return move, Memory(followed, latest, obs, total, lost)

    return bot(name, _init, act, summary, act_draws=1, author="Lourdes Pena")


BOT = stone(
    "piedra",
    "beats what most often followed the last joint move; random for good once 40 behind",
    lambda row, latest, raw: beat_most_frequent(row),
)
