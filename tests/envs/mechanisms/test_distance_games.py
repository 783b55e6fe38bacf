"""Distance preservation: the known example, exact best responses, the potential, and a game without stability."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.mechanisms.distance_games import best_position, distance_costs, jump_dynamics, jump_stable

IDEALS = np.array([[0, 0.5, 1], [0.5, 0, 0.2], [1, 0.2, 0]], np.float32)
GRID = np.array(list(itertools.product(np.linspace(0, 1, 21), repeat=3)))


def total_cost(points, ideals):
    """Of all agents at each of many profiles, in NumPy."""
    return np.abs(ideals - np.abs(points[:, :, None] - points[:, None])).sum(axis=(1, 2)) - np.trace(ideals)


@pytest.fixture(scope="module")
def games():
    """Symmetric wishes of three agents, and where play of jumps from random places ends."""
    generator = np.random.default_rng(0)
    wishes = np.round(generator.random((40, 3, 3)) * 20) / 20
    wishes = np.triu(wishes, 1) + np.triu(wishes, 1).swapaxes(1, 2)
    starts = generator.random((40, 3))
    play = jax.jit(jax.vmap(lambda x, d: jump_dynamics(x, d, 12)))
    return wishes, starts, jax.device_get(play(jnp.asarray(starts, jnp.float32), jnp.asarray(wishes, jnp.float32)))


def test_the_known_example():
    found = jax.jit(lambda x, d: jump_dynamics(x, d, 4))(jnp.zeros(3), jnp.asarray(IDEALS))
    np.testing.assert_allclose(found.positions, [1, 0.5, 0], atol=1e-6)
    assert bool(found.stable)
    assert float(found.costs[-1].sum()) == pytest.approx(0.6, abs=1e-6)
    assert total_cost(GRID, IDEALS).min() == pytest.approx(0.6, abs=1e-6)


def test_best_positions_against_a_grid():
    generator = np.random.default_rng(1)
    grid = np.linspace(0, 1, 1001)
    best = jax.jit(lambda x, d: best_position(x, d, 1))
    for _ in range(20):
        positions, ideals = generator.random(4), generator.random((4, 4))
        where, cost = best(jnp.asarray(positions, jnp.float32), jnp.asarray(ideals, jnp.float32))
        costs = sum(np.abs(ideals[1, j] - np.abs(grid - positions[j])) for j in (0, 2, 3))
        assert costs.min() - 3e-3 <= float(cost) <= costs.min() + 1e-5
        assert 0 <= float(where) <= 1


def test_symmetric_wishes_have_a_potential_so_play_ends(games):
    """Half the total cost falls with every jump; the end is stable."""
    wishes, starts, found = games
    assert found.stable.all()
    totals = np.concatenate([total_cost_each(starts, wishes)[:, None], found.costs.sum(axis=2)], axis=1)
    assert (np.diff(totals, axis=1) <= 1e-5).all()
    stable = jax.jit(jax.vmap(jump_stable))(jnp.asarray(found.positions), jnp.asarray(wishes, jnp.float32))
    assert np.asarray(stable).all()


def total_cost_each(points, wishes):
    return np.concatenate([total_cost(x[None], d) for x, d in zip(points, wishes, strict=True)])


def test_price_of_anarchy_is_of_welfare_and_not_of_cost(games):
    """Six pairs, each worth 1 minus its miss: half the optimum at least. Total cost may be nine times the least one.

    Ideal distances are multiples of 0.05, as is the grid on which the optimum is sought.
    """
    wishes, _, found = games
    reached = found.costs[:, -1].sum(axis=1)
    best = np.array([total_cost(GRID, ideals).min() for ideals in wishes])
    assert (2 * (6 - reached) >= 6 - best).all()
    assert (reached > 2 * best + 0.1).any()


def test_a_stable_state_of_nine_times_the_least_cost():
    """Wishes .25, .6, .8: at (0, .25, .7) nobody gains by moving, though the three fit together to within .05."""
    ideals = np.array([[0, 0.25, 0.6], [0.25, 0, 0.8], [0.6, 0.8, 0]])
    stuck = np.array([0, 0.25, 0.7])
    assert total_cost(GRID, ideals).min() == pytest.approx(0.1)
    assert total_cost(stuck[None], ideals)[0] == pytest.approx(0.9)
    for agent in range(3):
        moved = np.tile(stuck, (1001, 1))
        moved[:, agent] = np.linspace(0, 1, 1001)
        own = np.abs(ideals[agent] - np.abs(moved - moved[:, [agent]])).sum(axis=1)
        assert own.min() >= np.abs(ideals[agent] - np.abs(stuck - stuck[agent])).sum() - 1e-9
    assert bool(jax.jit(jump_stable)(jnp.asarray(stuck, jnp.float32), jnp.asarray(ideals, jnp.float32)))


def test_one_who_follows_and_one_who_flees_never_rest():
    ideals = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    profiles = jnp.asarray(np.stack(np.meshgrid(np.linspace(0, 1, 21), np.linspace(0, 1, 21)), -1).reshape(-1, 2))
    assert not np.asarray(jax.jit(jax.vmap(lambda x: jump_stable(x, ideals)))(profiles)).any()
    assert not bool(jax.jit(lambda x, d: jump_dynamics(x, d, 4))(jnp.array([0.2, 0.7]), ideals).stable)


def test_who_does_not_care_pays_nothing():
    ideals = jnp.asarray(np.where(np.eye(3, k=1, dtype=bool), 0.25, np.nan), jnp.float32)
    np.testing.assert_allclose(distance_costs(jnp.array([0.0, 0.5, 1.0]), ideals), [0.25, 0.25, 0], atol=1e-6)
