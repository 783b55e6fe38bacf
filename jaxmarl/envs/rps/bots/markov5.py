"""Markov5: samples the opponent's next move from what followed similar runs of five of its moves, and beats it."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import Bot, beat, bot, push, scale, score, spin


class Memory(NamedTuple):
    """What followed each context, the opponent's last six moves (newest first, -1 where there is none), own score."""

    tally: Int32[Array, "27 3"]
    recent: Int32[Array, " 6"]
    score: Int32[Array, ""]


def _init(chance):
    return Memory(jnp.zeros((27, 3), jnp.int32), jnp.full(6, -1, jnp.int32), jnp.zeros((), jnp.int32))


def _context(last_five):
    # the original meant five base-3 digits; its code lumps the older four together
    return last_five[0] + 3 * jnp.sum(last_five[1:])


def markov(name: str, summary: str, bails: bool) -> Bot:
    """The bot; with `bails` it plays at random for as long as it is more than 50 throws behind."""

    def act(params, memory, obs, chance):
        recent = push(memory.recent, obs[1])
        total = memory.score + score(obs[0], obs[1])
        ready = recent[5] >= 0
        tally = memory.tally.at[_context(recent[1:]), recent[0]].add(ready.astype(jnp.int32))
        row = tally[_context(recent[:5])]
        seen = jnp.sum(row)
        drawn = scale(chance[0], seen)
        sampled = (drawn >= row[0]).astype(jnp.int32) + (drawn >= row[0] + row[1])
        sampled = jnp.where(seen > 0, sampled, spin(chance[0], 0.33, 0.33))
        informed = ready & (total >= -50) if bails else ready
        move = jnp.where(informed, beat(sampled), spin(chance[0], 0.33333, 0.33333))
        return move, Memory(tally, recent, total)

    return bot(name, _init, act, summary, act_draws=1, author="Markian Hlynka")


BOT = markov("markov5", "samples the opponent's next move from a Markov chain of order five and beats it", bails=False)
