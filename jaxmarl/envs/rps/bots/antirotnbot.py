"""Antirotnbot: beats the opponent's most frequent rotation (stay, up, down); uniform play when losing."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Int32

from jaxmarl.envs.rps.bots.base import below, bot, score, uniform_move

# three different, evenly spaced counts: the shift added to the opponent's last move, [most][least frequent] rotation
_HEADS = ((0, 0, 1), (2, 0, 1), (0, 0, 0))  # the diagonals cannot occur
_TAILS = ((0, 1, 1), (2, 0, 2), (2, 0, 0))


class Memory(NamedTuple):
    """The opponent's move before last (-1: none), counts of their rotations, and the score."""

    previous: Int32[Array, ""]
    counts: Int32[Array, " 3"]
    total: Int32[Array, ""]


def _init(chance):
    return Memory(jnp.full((), -1, jnp.int32), jnp.zeros(3, jnp.int32), jnp.zeros((), jnp.int32))


def _act(params, memory, obs, chance):
    last = obs[1]
    total = memory.total + score(obs[0], last)
    seen = (memory.previous >= 0) & (jnp.arange(3) == (last - memory.previous) % 3)
    counts = memory.counts + seen

    low, middle, high = jnp.sort(counts)
    most, least = jnp.argmax(counts), jnp.argmin(counts)
    even = jnp.where(below(chance[0], 0.5), jnp.asarray(_HEADS)[most, least], jnp.asarray(_TAILS)[most, least])
    shift = jnp.where(middle - low < high - middle, most + 1, jnp.where(middle - low > high - middle, least + 2, even))
    # the fail-safe: 4 % of the throws of a full match
    random = (total < -40) | (low == high)
    move = jnp.where(random, uniform_move(chance[0]), (last + shift) % 3).astype(jnp.int32)
    return move, Memory(last, counts, total)


BOT = bot("antirotnbot", _init, _act, "beats the opponent's favourite rotation; uniform when far behind", act_draws=1)
