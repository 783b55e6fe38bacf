"""Moves, distances and random free cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs import grid
from jaxmarl.envs.picture import PAPER, Mark, agent_marks, draw_grid, tiles


def test_moves_stop_at_the_border_or_wrap_around():
    corner = jnp.zeros((5, 2), jnp.int32)
    actions = jnp.arange(5)
    assert grid.move(corner, actions, (3, 4)).tolist() == [[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]]
    assert grid.move(corner, actions, (3, 4), wrap=True).tolist() == [[2, 0], [1, 0], [0, 3], [0, 1], [0, 0]]


def test_distances():
    a, b = jnp.asarray([0, 0], jnp.int32), jnp.asarray([3, 4], jnp.int32)
    assert int(grid.distance(a, b)) == 7
    assert int(grid.distance(a, b, (4, 5))) == 2


def test_free_cells_are_distinct_free_and_equally_likely():
    free = np.zeros((3, 4), bool)
    free[[0, 0, 1, 2, 2], [1, 3, 2, 0, 3]] = True
    units = jax.random.uniform(jax.random.key(0), (4000, 3))
    cells = np.asarray(jax.vmap(grid.free_cells, (0, None))(units, jnp.asarray(free)))
    assert free[cells[..., 0], cells[..., 1]].all()
    codes = cells[..., 0] * 4 + cells[..., 1]
    orders, counts = np.unique(codes @ np.array([144, 12, 1]), return_counts=True)
    assert len(orders) == 60  # 5 · 4 · 3 ordered choices: none repeats a cell
    assert counts.std() < 4 * np.sqrt(4000 / 60)
    assert abs(counts - 4000 / 60).max() < 4.5 * np.sqrt(4000 / 60)


def test_a_full_grid_gives_the_last_cell():
    assert grid.free_cell(jnp.float32(0.3), jnp.zeros((2, 3), bool)).tolist() == [1, 2]


def test_occupied_ignores_what_is_off_the_grid():
    positions = jnp.asarray([[0, 1], [-1, 0], [2, 2], [0, 1]], jnp.int32)
    assert grid.occupied(positions, (2, 3)).tolist() == [[False, True, False], [False, False, False]]


def test_pictures():
    marks = [*tiles(np.eye(2, 3, dtype=bool), (0, 0, 0)), *agent_marks([[0, 2], [0, 2]]), Mark((5, 5), (9, 9, 9))]
    image = draw_grid((2, 3), marks, tile=20)
    assert image.shape == (41, 61, 3)
    assert image.dtype == np.uint8
    assert (image[:21, :21] == 0).all()
    assert (image[10, 30] == PAPER).all()
    left, right = image[15, 45], image[15, 55]  # two agents in one cell, side by side
    assert (left != right).any()
    assert (left != PAPER).any()
    labelled = draw_grid((1, 1), [Mark((0, 0), (0, 0, 0), label="A1")])
    assert (labelled == 255).all(axis=-1).any()
    with pytest.raises(ValueError, match="tile must be an integer >= 12"):
        draw_grid((1, 1), [], tile=3)
    with pytest.raises(ValueError, match="kind must be one of tile, disc"):
        draw_grid((1, 1), [Mark((0, 0), (0, 0, 0), "disk")])
