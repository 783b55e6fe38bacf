"""Predbot: fading counts of the opponent's next move in four contexts; answers the context with the clearest habit."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from jaxmarl.envs.rps.bots._wildcard import FADE, hits, margins, matching
from jaxmarl.envs.rps.bots.base import bot, uniform_move


class Memory(NamedTuple):
    """Counts by (opponent's, own) last move: of each next move, and of all; the joint move before; the first move."""

    counts: Float32[Array, "4 4 4"]
    last: Int32[Array, " 2"]
    first: Int32[Array, ""]


def _init(chance):
    return Memory(jnp.zeros((4, 4, 4), jnp.float32), jnp.full(2, -1, jnp.int32), uniform_move(chance[0]))


def _act(params, memory, obs, chance):
    own, opponent = memory.last
    context = hits(opponent)[:, None] & hits(own)
    counts = FADE * (memory.counts + (context[:, :, None] & hits(obs[1])))
    cells = matching(counts, obs[1], obs[0])
    total = cells[:, 3]
    habit = jnp.max(cells[:, :3], axis=1) / jnp.where(total > 0, total, 1.0)
    chosen = cells[jnp.argmax(habit), :3]
    # in a joint move never seen before the original compares with NaN, which leaves it with the empty counts
    move = jnp.where(total[0] > 0, jnp.argmax(jnp.trunc(margins(chosen))), 0)
    move = jnp.where(obs[0] < 0, memory.first, move)
    return move.astype(jnp.int32), Memory(counts, obs, memory.first)


BOT = bot(
    "predbot",
    _init,
    _act,
    "answers the clearest habit among fading contexts of the last throw",
    init_draws=1,
    author="Don Beal",
)
