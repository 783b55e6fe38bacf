"""Peterbot: one counter after the other: to a favourite move, rotation, counting, switching, copying."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import beat, beat_most_frequent, bot, lose_to, uniform_move


class Memory(NamedTuple):
    """What it remembers of both players, `[own, opponent]`.

    Attributes:
        n: throws made.
        fictitious: the last moves at the first throw, when there are none.
        previous: the moves before the last.
        counts: of every move.
        run: how many times in a row the opponent has just played the next move in the cycle.
    """

    n: Int32[Array, ""]
    fictitious: Int32[Array, " 2"]
    previous: Int32[Array, " 2"]
    counts: Int32[Array, "2 3"]
    run: Int32[Array, ""]


def _init(chance):
    other, other_previous, own, own_previous = uniform_move(chance)
    zero = jnp.zeros((), jnp.int32)
    fictitious, previous = jnp.stack([own, other]), jnp.stack([own_previous, other_previous])
    return Memory(zero, fictitious, previous, jnp.zeros((2, 3), jnp.int32), zero)


def _act(params, memory, obs, chance):
    n = memory.n
    own, other = jnp.where(n == 0, memory.fictitious, obs)
    own_previous, other_previous = memory.previous
    counts = memory.counts + (jnp.arange(3) == obs[:, None])
    run = jnp.where((n > 1) & (other == beat(other_previous)), memory.run + 1, 0)

    rotates = (n > 0) & (run >= jnp.minimum(n - 1, 50))
    # with 50 throws made the original reads a move before the first: the number 50, so the opponent began with rock
    rotates &= (n != 50) | (other == 1)
    predicted = beat_most_frequent(counts[0])
    default = jnp.where(other == beat(own_previous), lose_to(own), uniform_move(chance[0]))
    default = jnp.where(other != other_previous, beat(3 - other - other_previous), default)
    default = jnp.where((predicted == other) & (other == other_previous), beat(other), default)
    default = jnp.where(rotates, lose_to(other), default)
    stupid = 2 * counts[1] > jnp.sum(counts[1])
    move = jnp.where(jnp.any(stupid), beat(jnp.argmax(stupid)), default).astype(jnp.int32)
    return move, Memory(n + 1, memory.fictitious, obs.clip(min=0), counts, run)


BOT = bot(
    "peterbot",
    _init,
    _act,
    "a list of counters to simple bots, the first that applies",
    init_draws=4,
    act_draws=1,
    author="Peter Baylie",
)
