"""How scripted agents walk: one step nearer to the nearest goal, ties at random."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.envs.grid import MOVES

FAR = 10_000


def nearest(positions: Int32[Array, "k 2"], goals: Bool[Array, "rows columns"]) -> Int32[Array, " k"]:
    """Moves from each position (which may lie off the grid) to the nearest goal; `FAR` where there is no goal."""
    rows, columns = (jnp.arange(n, dtype=jnp.int32) for n in goals.shape)
    down, right = jnp.abs(positions[:, 0, None] - rows), jnp.abs(positions[:, 1, None] - columns)
    apart = down[:, :, None] + right[:, None, :]
    return jnp.min(jnp.where(goals, apart, FAR), axis=(1, 2))


def step_towards(
    position: Int32[Array, " 2"],
    goals: Bool[Array, "rows columns"],
    unit: Float[Array, ""],
    allowed: Bool[Array, "rows columns"] | None = None,
) -> Int32[Array, ""]:
    """The action of `MOVES` that leads nearest to a goal, among equal ones the one that `unit` selects.

    Without goals every allowed move is as good. Where no cell around is allowed, the agent stays.

    Args:
        position: of the agent.
        goals: cells to go to.
        unit: in [0, 1).
        allowed: cells that may be entered (all of the grid where None).
    """
    shape = goals.shape
    targets = position + jnp.asarray(MOVES, jnp.int32)
    inside = jnp.all((targets >= 0) & (targets < jnp.asarray(shape)), axis=1)
    if allowed is not None:
        held = jnp.clip(targets, 0, jnp.asarray(shape, jnp.int32) - 1)
        inside &= allowed[held[:, 0], held[:, 1]]
    cost = jnp.where(inside, nearest(targets, goals), 2 * FAR)
    return pick(cost == jnp.min(cost), unit)


def pick(candidates: Bool[Array, " k"], unit: Float[Array, ""]) -> Int32[Array, ""]:
    """Index of the candidate that `unit` selects, each with equal probability; the last index where there is none."""
    count = jnp.sum(candidates, dtype=jnp.int32)
    chosen = jnp.minimum((unit * count).astype(jnp.int32), count - 1)
    index = jnp.minimum(jnp.sum(jnp.cumsum(candidates) <= chosen, dtype=jnp.int32), candidates.shape[0] - 1)
    return jnp.where(count > 0, index, candidates.shape[0] - 1)
