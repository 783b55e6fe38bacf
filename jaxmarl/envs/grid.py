"""Moves on a rectangular grid, and random free cells from chance. Positions are int32 `[row, column]`, row 0 on top."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
"""(row, column) steps of the actions up, down, left, right, stay."""
UP, DOWN, LEFT, RIGHT, STAY = range(5)


def move(
    position: Int32[Array, "*batch 2"], action: Int[Array, "*batch"], shape: tuple[int, int], wrap: bool = False
) -> Int32[Array, "*batch 2"]:
    """Where an action of `MOVES` leads.

    Args:
        position: where from.
        action: index into `MOVES`.
        shape: rows and columns of the grid.
        wrap: whether the grid is a torus; else its border stops a move.
    """
    size = jnp.asarray(shape, jnp.int32)
    target = position + jnp.asarray(MOVES, jnp.int32)[action]
    return target % size if wrap else jnp.clip(target, 0, size - 1)


def distance(
    a: Int32[Array, "... 2"], b: Int32[Array, "... 2"], shape: tuple[int, int] | None = None
) -> Int32[Array, "..."]:
    """Number of moves between cells: on a torus of `shape` where one is given, else on a bounded grid.

    Leading axes broadcast.
    """
    apart = jnp.abs(a - b)
    if shape is not None:
        apart = jnp.minimum(apart, jnp.asarray(shape, jnp.int32) - apart)
    return jnp.sum(apart, axis=-1, dtype=jnp.int32)


def same_cell(a: Int32[Array, "... 2"], b: Int32[Array, "... 2"]) -> Bool[Array, "..."]:
    """Whether positions are equal; leading axes broadcast."""
    return jnp.all(a == b, axis=-1)


def occupied(positions: Int32[Array, "k 2"], shape: tuple[int, int]) -> Bool[Array, "rows columns"]:
    """The cells that hold one of the positions (positions off the grid hold none)."""
    rows, columns = (jnp.arange(n) for n in shape)
    at_row, at_column = positions[:, 0, None] == rows, positions[:, 1, None] == columns
    return jnp.any(at_row[:, :, None] & at_column[:, None, :], axis=0)


def free_cell(unit: Float[Array, ""], free: Bool[Array, "rows columns"]) -> Int32[Array, " 2"]:
    """The free cell that a uniform number selects, each with equal probability.

    Args:
        unit: in [0, 1).
        free: cells to choose from; where there is none, the bottom right cell is returned.
    """
    in_rows = jnp.sum(free, axis=1, dtype=jnp.int32)
    count = jnp.sum(in_rows, dtype=jnp.int32)
    chosen = jnp.minimum((unit * count).astype(jnp.int32), count - 1)
    row, before = _bin(in_rows, chosen)
    column, _ = _bin(free[row].astype(jnp.int32), chosen - before)
    last = jnp.asarray(free.shape, jnp.int32) - 1
    return jnp.where(count > 0, jnp.stack([row, column]), last)


def _bin(counts: Int32[Array, " n"], index: Int32[Array, ""]) -> tuple[Int32[Array, ""], Int32[Array, ""]]:
    """The bin that holds item `index` when bins are filled in order, and the number of items before that bin."""
    # a masked sum, since XLA compiles a running sum to many small programs
    up_to = jnp.sum(jnp.where(np.tri(counts.shape[0], dtype=bool), counts, 0), axis=1, dtype=jnp.int32)
    full, last = up_to <= index, counts.shape[0] - 1
    before = jnp.sum(jnp.where(full, counts, 0), dtype=jnp.int32)
    return jnp.minimum(jnp.sum(full, dtype=jnp.int32), last), before


def free_cells(units: Float[Array, " k"], free: Bool[Array, "rows columns"]) -> Int32[Array, "k 2"]:
    """Distinct free cells, one for each uniform number: every ordered choice has equal probability."""

    def choose(free, unit):
        cell = free_cell(unit, free)
        return free & ~occupied(cell[None], free.shape), cell

    return jax.lax.scan(choose, free, units)[1]


def deal_cells(
    units: Float[Array, " k"], lots: Float[Array, " n"], free: Bool[Array, "rows columns"]
) -> tuple[Int32[Array, "n 2"], Int32[Array, "m 2"]]:
    """Distinct free cells for `n` agents and `m = k - n` other things.

    Exchanging two agents' lots exchanges their cells and changes nothing else, as a game symmetric to its agents needs.

    Args:
        units: one uniform number a cell.
        lots: one an agent; the agents' ranks say who gets which of the first `n` cells.
        free: cells to choose from.
    """
    cells, index = free_cells(units, free), jnp.arange(lots.shape[0])
    before = (lots[None, :] < lots[:, None]) | ((lots[None, :] == lots[:, None]) & (index[None, :] < index[:, None]))
    return cells[: lots.shape[0]][jnp.sum(before, axis=1)], cells[lots.shape[0] :]
