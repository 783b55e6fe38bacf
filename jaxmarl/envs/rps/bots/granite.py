"""Granite: adds up what followed each of nine views of the last three throws and beats the most frequent move."""

from itertools import product
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32

from jaxmarl.envs.rps.bots.base import Bot, beat, below, bot, scale, score

# the throws looked at, the newest 0, as (own moves, the opponent's)
_VIEWS = [
    ((), ()),
    ((), (0,)),
    ((0,), ()),
    ((), (0, 1)),
    ((0, 1), ()),
    ((1,), (0,)),
    ((0,), (1,)),
    ((), (0, 1, 2)),
    ((0, 1, 2), ()),
]
# whose probability a coin has: the first by the set of most frequent moves (a bit mask), the second by the only one
_FIRST_COIN = (0, 2, 2, 2, 0, 1, 0, 0)
_SECOND_COIN = (1, 0, 1)


def _contexts() -> tuple[np.ndarray, np.ndarray]:
    """What every view can see, as bits of the packed record: which it looks at, and their values there."""
    masks, values = [], []
    for own, other in _VIEWS:
        shifts = [2 * lag for lag in own] + [6 + 2 * lag for lag in other]
        for moves in product(range(3), repeat=len(shifts)):
            masks.append(sum(3 << shift for shift in shifts))
            values.append(sum(move << shift for move, shift in zip(moves, shifts, strict=True)))
    return np.array(masks, np.int32), np.array(values, np.int32)


_MASKS, _VALUES = _contexts()


class Memory(NamedTuple):
    """What the opponent played in each context, the last three throws, and the number of throws lost in a row.

    `recent` packs a move in two bits (3: none yet), the newest lowest, the opponent's above the own.
    """

    followed: Int32[Array, "3 contexts"]
    recent: Int32[Array, ""]
    lost: Int32[Array, ""]


def _init(chance):
    zeros = jnp.zeros((3, len(_MASKS)), jnp.int32)
    return Memory(zeros, jnp.full((), 0xFFF, jnp.int32), jnp.zeros((), jnp.int32))


def _present(recent: Int32[Array, ""]) -> Bool[Array, " contexts"]:
    """Which contexts the packed record is in."""
    return (recent & jnp.asarray(_MASKS)) == jnp.asarray(_VALUES)


def _observe(memory: Memory, obs: Int32[Array, " 2"]) -> Memory:
    seen = _present(memory.recent) & (obs[1] == jnp.arange(3))[:, None]
    own, other = obs & 3
    recent = (memory.recent << 2) & 0xF3C | other << 6 | own
    lost = jnp.where(score(obs[0], obs[1]) < 0, memory.lost + 1, 0)
    return Memory(memory.followed + seen, recent, lost)


def views(name: str, summary: str, doubts: bool) -> Bot:
    """The bot; one that `doubts` departs from its best move by chance once it has lost 20 throws in a row."""

    def act(params, memory, obs, chance):
        memory = _observe(memory, obs)
        counts = memory.followed @ _present(memory.recent).astype(jnp.int32)
        rock, paper, scissors = leading = counts == jnp.max(counts)
        low, high = jnp.where(rock, 0, 2 - paper), jnp.where(scissors, 2, paper)
        single = low == high
        # of two equally frequent moves it plays one, and beats neither
        tied = jnp.where(below(chance[1] if doubts else chance[0], 0.5), low, high)
        move = jnp.where(single, beat(low), tied)
        if doubts:
            leaders = jnp.sum(leading << jnp.arange(3), dtype=jnp.int32)
            drawn = (chance >> 7).astype(jnp.float32) * 2.0**-24 * jnp.sum(counts)
            first, second = jnp.asarray(_FIRST_COIN)[leaders], jnp.asarray(_SECOND_COIN)[low]
            losing = memory.lost >= 20
            move = jnp.where(losing & single & (drawn[1] < counts[second]), beat(second), move)
            move = jnp.where(losing & (drawn[0] < counts[first]), beat(first), move)
        return jnp.where(jnp.all(leading), scale(chance[0], 3), move).astype(jnp.int32), memory

    return bot(name, _init, act, summary, act_draws=2, author="Aaron Davidson")


BOT = views(
    "granite",
    "beats what most often followed nine views of the last throws; doubts it after 20 losses in a row",
    doubts=True,
)
