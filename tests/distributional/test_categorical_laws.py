"""The projection onto a grid: hand-computed tables, what it preserves, and its two forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional.categorical import (
    Categorical,
    interpolation,
    project,
    scatter_projection,
    support_from_rewards,
    two_hot,
    uniform_atoms,
)
from jaxmarl.distributional.law import cdf, mean, quantiles, sample, variance

GRID = np.array([-1, -0.5, 0, 0.5, 1])
SOURCE, CHANCES = np.array([-1.7, -0.5, 0.1, 0.75, 1.2]), np.array([0.1, 0.2, 0.3, 0.25, 0.15])
LAW = np.array([0.1, 0.2, 0.4, 0.2, 0.1])

both = jax.jit(
    lambda points, mass, grid: (
        project(points, mass, grid),
        scatter_projection(mass, *interpolation(points, grid), grid.size),
    )
)


def floor_and_ceiling(points, mass, grid):
    """The projection of tutorials, which loses what falls on an atom."""
    place = (np.clip(points, grid[0], grid[-1]) - grid[0]) / (grid[1] - grid[0])
    low, high = np.floor(place).astype(int), np.ceil(place).astype(int)
    result = np.zeros(grid.size)
    np.add.at(result, low, mass * (high - place))
    np.add.at(result, high, mass * (place - low))
    return result


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "float64"])
def projected(request):
    """The rows of the table, projected both ways, with the tolerance."""
    points = np.stack([SOURCE, 0.3 + 0.9 * GRID, np.full(5, 0.3), 0.5 + GRID])
    mass = np.stack([CHANCES, LAW, LAW, LAW])
    uneven = np.array([-2, -1, 0, 0.5, 3])
    with jax.enable_x64(request.param):
        rows = [both(jnp.asarray(points), jnp.asarray(mass), jnp.asarray(grid)) for grid in (GRID, uneven)]
        return jax.tree.map(np.asarray, rows), 1e-12 if request.param else 1e-6


@pytest.mark.parametrize("form", [0, 1], ids=["dense", "scatter"])
def test_projections_computed_by_hand(projected, form):
    (even, uneven), atol = projected
    expected = [
        [0.1, 0.2, 0.24, 0.185, 0.275],
        [0.02, 0.14, 0.30, 0.34, 0.20],
        [0, 0, 0.4, 0.6, 0],  # the episode ended
        [0, 0.1, 0.2, 0.4, 0.3],  # every point on an atom, or clipped to one
    ]
    np.testing.assert_allclose(even[form], expected, atol=atol)
    np.testing.assert_allclose(uneven[form][0], [0.07, 0.13, 0.34, 0.393, 0.067], atol=atol)
    assert even[form].min() >= 0


def test_floor_and_ceiling_would_lose_everything_on_the_grid():
    assert floor_and_ceiling(0.5 + GRID, LAW, GRID).sum() == 0
    np.testing.assert_allclose(floor_and_ceiling(0.3 + 0.9 * GRID, LAW, GRID)[1:4], [0.14, 0.30, 0.34], atol=1e-12)


def test_projection_keeps_means_widens_laws_and_averages_the_cdf():
    rng = np.random.default_rng(0)
    points, mass = rng.uniform(-1, 1, (4, 5)), rng.dirichlet(np.ones(5), 4)
    with jax.enable_x64(True):
        probs = np.asarray(both(jnp.asarray(points), jnp.asarray(mass), jnp.asarray(GRID))[0])
    means = np.sum(points * mass, 1)
    np.testing.assert_allclose(probs @ GRID, means, atol=1e-12)
    assert np.all(probs @ GRID**2 > np.sum(points**2 * mass, 1))
    # cdf on a cell = average over the cell, from E(x - Y)^+ at its ends
    integral = np.sum(mass[..., None] * np.maximum(GRID - points[..., None], 0), 1)
    cells = np.diff(integral, axis=1) / 0.5
    np.testing.assert_allclose(np.cumsum(probs, 1)[:, :-1], cells, atol=1e-12)


def test_mass_is_never_lost_or_negative_in_float32():
    rng = np.random.default_rng(1)
    points = jnp.asarray(rng.choice([-20.0, 3.0, 0.5, 0.1, 7.7], (4, 5)) + rng.choice([0, 0.2], (4, 5)), jnp.float32)
    mass = jnp.asarray(rng.dirichlet(np.ones(5), 4), jnp.float32)
    for probs in both(points, mass, jnp.asarray(GRID, jnp.float32)):
        np.testing.assert_allclose(np.asarray(probs).sum(1), 1, atol=1e-6)
        assert np.asarray(probs).min() >= 0


@jax.jit
def described(laws, key):
    """What is asked of a batch of two laws."""
    return {
        "backup": laws.backup(jnp.full(2, 0.3), jnp.array([0.9, 0.0])).probs,
        "mixture": laws.mixture(jnp.array([0.25, 0.75])).probs,
        "mean": mean(laws),
        "variance": variance(laws),
        "cdf": cdf(laws, jnp.array([-0.5, 0.6])),
        "left": quantiles(laws, 0.3),
        "mid": quantiles(laws, 0.3, "mid"),
        "right": quantiles(laws, jnp.array([0.3])[None], "right"),
        "draws": sample(laws, key, (40, 100)),
        "two_hot": two_hot(jnp.array([0.3, -2.0, 1.0]), laws.atoms),
    }


def test_backup_mixture_and_moments_of_a_batch():
    certain = [0, 0, 0, 0.5, 0.5]
    laws = Categorical(jnp.asarray(GRID, jnp.float32), jnp.asarray([LAW, certain], jnp.float32))
    found = jax.tree.map(np.asarray, described(laws, jax.random.key(0)))
    draws = found.pop("draws")
    expected = {
        "backup": [[0.02, 0.14, 0.30, 0.34, 0.20], [0, 0, 0.4, 0.6, 0]],
        "mixture": 0.25 * LAW + 0.75 * np.array(certain),
        "mean": [0, 0.75],
        "variance": [0.3, 0.0625],
        "cdf": [[0.3, 0.9], [0, 0.5]],
        "left": [-0.5, 0.5],
        "mid": [-0.25, 0.5],
        "right": [[[0]], [[0.5]]],
        "two_hot": [[0, 0, 0.4, 0.6, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)
    assert draws.shape == (2, 40, 100)
    np.testing.assert_allclose(draws.mean((1, 2)), [0, 0.75], atol=4 * np.sqrt(0.3 / 4000))
    assert set(np.unique(draws[1])) == {0.5, 1.0}


def test_support_holds_every_return():
    np.testing.assert_allclose(support_from_rewards(-1.0, 2.0, 0.9, 3), [-10, 5, 20], rtol=1e-6)
    np.testing.assert_allclose(support_from_rewards(1.0, 2.0, 1.0, 2, horizon=3), [0, 6], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: uniform_atoms(1.0, 1.0, 3), "low, high"),
        (lambda: uniform_atoms(0.0, 1.0, 1), "num_atoms"),
        (lambda: support_from_rewards(0.0, 1.0, 1.0, 3), "discount"),
        (lambda: project(jnp.zeros(2), jnp.ones(2) / 2, jnp.zeros(1)), "atoms"),
        (lambda: quantiles(Categorical(jnp.arange(2.0), jnp.ones(2) / 2), 0.5, "middle"), "tie"),
    ],
)
def test_wrong_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()


def test_rlax_projects_alike():
    rlax = pytest.importorskip("rlax")
    expected = rlax.categorical_l2_project(jnp.asarray(SOURCE), jnp.asarray(CHANCES), jnp.asarray(GRID))
    np.testing.assert_allclose(
        project(jnp.asarray(SOURCE), jnp.asarray(CHANCES), jnp.asarray(GRID)), expected, atol=1e-6
    )


def test_rlax_projects_random_laws_and_edge_cases_alike():
    """Atoms on the grid, beyond it, all in one place; grids that are not equally spaced."""
    rlax = pytest.importorskip("rlax")
    draws = np.random.default_rng(0)
    sources = np.sort(draws.uniform(-2, 2, (8, 5)), axis=1)
    sources[1], sources[2], sources[3], sources[4] = GRID, GRID + 0.5, 0.3, [-9, -1, 0, 1, 9]
    chances = draws.dirichlet(np.ones(5), 8)
    for grid in (np.asarray(GRID), np.array([-2.0, -1, 0, 0.5, 3])):
        args = [jnp.asarray(x, jnp.float32) for x in (sources, chances, grid)]
        expected = jax.jit(jax.vmap(rlax.categorical_l2_project, in_axes=(0, 0, None)))(*args)
        np.testing.assert_allclose(jax.jit(project)(*args), expected, atol=2e-6)
