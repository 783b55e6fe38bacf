"""Flatbot3: evens out its own moves."""

import jax.numpy as jnp

from jaxmarl.envs.rps.bots.base import bot, fewest, spin_row, uniform_move

# by the set of its least frequent moves, a bit mask: most weight on that set (the ends are not used)
_ROWS = ((0.0, 0.0), (0.8, 0.1), (0.1, 0.8), (0.45, 0.45), (0.1, 0.1), (0.45, 0.1), (0.1, 0.45), (0.0, 0.0))


def _init(chance):
    return jnp.zeros(3, jnp.int32)


def _act(params, counts, obs, chance):
    counts = counts + (jnp.arange(3) == obs[0])
    rare = fewest(counts)
    return jnp.where(rare == 7, uniform_move(chance[0]), spin_row(chance[0], _ROWS, rare)), counts


BOT = bot("flatbot3", _init, _act, "prefers the move it has played least", act_draws=1)
