"""SunNervebot: a random mixture for each joint last move, reinforced by its results."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float32, Int32

from jaxmarl.envs.rps.bots.base import RAW, bot, mixed_move, score, spin


class Memory(NamedTuple):
    """The mixture after each joint move, and the joint move that the last mixture came from."""

    mixture: Float32[Array, "3 3 3"]
    last: Int32[Array, " 2"]


def _init(chance):
    # the original fills its table from the far end
    first, second = jnp.moveaxis(chance.astype(jnp.float32).reshape(3, 3, 2)[::-1, ::-1] / float(RAW), -1, 0)
    second = second * (1.0 - first)
    return Memory(jnp.stack([first, second, 1.0 - first - second], axis=-1), jnp.ones(2, jnp.int32))


def _reinforced(mixture, move, result):
    """The mixture after `move` had `result`; the other two moves share the difference in proportion.

    The original takes the last entry as 1 less the others; scaling both keeps their ratio exact when they are tiny.
    """
    chosen = jnp.arange(3) == move
    others = jnp.where(chosen, 0.0, jnp.maximum(mixture, 1e-30))
    rest = jnp.sum(others)
    gain = jnp.where(result > 0, 0.2 * rest, jnp.where(result < 0, -0.2, -0.1) * mixture[move])
    return jnp.where(chosen, mixture + gain, others * (1.0 - gain / rest))


def _act(params, memory, obs, chance):
    started = obs[0] >= 0
    own, other = memory.last
    mixture = memory.mixture[own, other]
    mixture = jnp.where(started, _reinforced(mixture, obs[0], score(obs[0], obs[1])), mixture)
    table = memory.mixture.at[own, other].set(mixture)
    current = table[obs[0], obs[1]]
    move = jnp.where(started, mixed_move(chance[0], current[0], current[1]), spin(chance[0], 1 / 3, 1 / 3))
    # the original credits its first throw to the joint move (paper, paper)
    return move, Memory(table, jnp.where(started, obs, 1))


BOT = bot(
    "sunNervebot",
    _init,
    _act,
    "reinforces a random mixture for each joint last move",
    init_draws=18,
    act_draws=1,
    author="Sunir Shah",
)
