"""Scripted players of the Coin Game: along shortest paths to their own coin, or to any."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require_choice
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.envs.dilemmas.coin_game import CoinGame, move_table

KINDS = ("cooperate", "defect")


def coin_policy(env: CoinGame, kind: str) -> Policy:
    """A player that reads observations of `env` and moves along shortest paths, with ties drawn uniformly.

    - `"cooperate"` goes to its own coin, along a shortest path that avoids the other's coin where there is one; without
      a coin of its own it makes any move that does not take the other's.
    - `"defect"` goes to the nearest coin, whoever owns it.

    Args:
        env: fixes the moves and the layout of observations.
        kind: `"cooperate"` or `"defect"`.
    """
    require_choice("kind", kind, KINDS)
    moves, apart = move_table(env.version, env.size), torus_distances(env.size)

    def act(params, memory, obs, chance):
        planes = obs.reshape(-1)[: 4 * env.num_cells].reshape(env.num_cells, 4)
        cells = jnp.argmax(planes, axis=0)
        present = jnp.max(planes, axis=0) > 0
        reached = jnp.asarray(moves)[cells[0]]
        to_own, to_other = (jnp.asarray(apart)[reached, cells[k]] for k in (2, 3))
        if kind == "defect":
            far = 2 * env.size
            cost = jnp.minimum(jnp.where(present[2], to_own, far), jnp.where(present[3], to_other, far))
        else:
            takes = present[3] & (to_other == 0)
            cost = jnp.where(present[2], 2 * to_own, 0) + takes
        return categorical(jnp.where(cost == jnp.min(cost), 0.0, -jnp.inf), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=kind)


def torus_distances(size: int) -> Int32[np.ndarray, "cells cells"]:
    """Steps between the cells of a torus, numbered row by row."""
    line = np.arange(size)
    around = np.abs(line[:, None] - line)
    around = np.minimum(around, size - around)
    grid = around[:, None, :, None] + around[None, :, None, :]
    return grid.reshape(size**2, size**2).astype(np.int32)
