"""Robertot: lets the joint moves of each of the last ten throws vote on the opponent's next move."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import beat, bot, lose_to, push, uniform_move
from jaxmarl.envs.rps.bots.tables import VOTES

_LAGS = 10


class Memory(NamedTuple):
    """What the opponent played after each joint move at each lag, and the last ten joint moves (-1: none yet)."""

    followed: Int32[Array, "lags 9 3"]
    joint: Int32[Array, " lags"]  # newest first, 3 * opponent + own


def _init(chance):
    return Memory(jnp.zeros((_LAGS, 9, 3), jnp.int32), jnp.full(_LAGS, -1, jnp.int32))


def _act(params, memory, obs, chance):
    def at(joint):
        return joint[:, None, None] == jnp.arange(9)[:, None]

    # one-hot comparisons make the missing entries (-1) count for nothing
    followed = memory.followed + (at(memory.joint) & (jnp.arange(3) == obs[1]))
    joint = push(memory.joint, jnp.where(obs[0] < 0, -1, 3 * obs[1] + obs[0]))
    counts = jnp.sum(jnp.where(at(joint), followed, 0), axis=1)
    total = jnp.sum(counts, axis=1, keepdims=True)
    votes = jnp.where(total > 0, jnp.asarray(VOTES)[200 * counts // total.clip(min=1)], 0)

    tally = jnp.sum(votes, axis=0)
    tally = tally - jnp.min(tally)
    tally = tally // (3 * jnp.max(tally) // 4).clip(min=1)  # near misses of the top become ties
    leaders = jnp.sum(tally == jnp.max(tally))
    # against two likely moves, the one of them that loses to neither
    move = jnp.where(leaders == 1, beat(jnp.argmax(tally)), lose_to(jnp.argmin(tally)))
    move = jnp.where(leaders == 3, uniform_move(chance[0]), move)
    return move.astype(jnp.int32), Memory(followed, joint)


BOT = bot(
    "robertot",
    _init,
    _act,
    "beats the move voted for by the joint moves of each of the last ten throws",
    act_draws=1,
    author="Andreas Junghanns",
)
