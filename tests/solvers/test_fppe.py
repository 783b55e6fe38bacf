"""First-price pacing equilibria: listed solutions, certificates, degenerate markets, PACE, invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.auctions.budget_closed_forms import uniform_pair_fppe, uniform_values
from jaxmarl.solvers.auctions.fppe import duality_gap, fppe
from jaxmarl.solvers.auctions.fppe_allocation import fppe_with_allocation
from jaxmarl.solvers.auctions.pace import pace

SIX_ITEMS = np.array(
    [[1, 0.2, 0.5], [0.8, 0.9, 0.1], [0.3, 0.7, 0.6], [0.6, 0.4, 0.9], [0.2, 0.5, 0.3], [0.9, 0.1, 0.4]]
)
SIX_BUDGETS = np.array([0.15, 0.10, 0.40])
PAIRS = {  # budgets: multipliers, spend, revenue, Nash welfare, limits of β2, revenue and Nash welfare
    (0.3, 0.2): ((0.8, 0.692820), (0.3, 0.2), 0.5, -0.542739, 0.141159, 0, 0.0326154),
    (0.6, 0.1): ((1, 0.547723), (0.45, 0.1), 0.55, -0.476555, 0.233094, 0.0799101, 0.00776980),
}
HESSIANS = {
    (0.3, 0.2): [[0.78125, -0.360844], [-0.360844, 0.833333]],
    (0.6, 0.1): [[0.7, -0.182574], [-0.182574, 0.666667]],
}

solve_batch = jax.jit(jax.vmap(fppe))


@pytest.fixture(scope="module")
def six_items():
    with jax.enable_x64(True):
        return fppe_with_allocation(jnp.asarray(SIX_ITEMS), jnp.asarray(SIX_BUDGETS))


def test_listed_finite_market(six_items):
    found = six_items.equilibrium
    np.testing.assert_allclose(found.multipliers, [0.5, 0.6, 1], atol=1e-7)
    np.testing.assert_allclose(found.prices, [0.5, 0.54, 0.6, 0.9, 0.3, 0.45], atol=1e-7)
    np.testing.assert_allclose(found.spend, [0.15, 0.1, 0.298333], atol=1e-6)
    assert found.revenue == pytest.approx(0.548333, abs=1e-6)
    assert found.nash_welfare == pytest.approx(-0.726288, abs=1e-6)
    assert found.revenue - SIX_BUDGETS @ np.log(found.multipliers) == pytest.approx(0.703388, abs=1e-6)
    np.testing.assert_allclose(six_items.allocation[[0, 4]], [[0.9, 0, 0.1], [0, 0.2, 0.8]], atol=1e-5)
    np.testing.assert_allclose(six_items.allocation.sum(axis=1), 1, atol=1e-9)
    assert six_items.budget_error < 1e-7
    assert 0 <= found.duality_gap < 1e-7


def test_listed_finite_market_in_float32():
    found = fppe(jnp.asarray(SIX_ITEMS, jnp.float32), jnp.asarray(SIX_BUDGETS, jnp.float32))
    np.testing.assert_allclose(found.multipliers, [0.5, 0.6, 1], atol=5e-5)
    np.testing.assert_allclose(found.spend, [0.15, 0.1, 0.298333], atol=1e-4)
    assert float(found.multipliers[2]) == 1
    assert float(found.relative_gap) <= 1e-6


@pytest.mark.parametrize("budgets", PAIRS)
def test_uniform_pair(budgets):
    truth = uniform_pair_fppe(jnp.array(budgets))
    multipliers, spend, revenue, nash, avar, avar_revenue, avar_nash = PAIRS[budgets]
    np.testing.assert_allclose(truth.multipliers, multipliers, atol=1e-6)
    np.testing.assert_allclose(truth.spend, spend, atol=1e-6)
    assert (truth.revenue, truth.nash_welfare) == pytest.approx((revenue, nash), abs=1e-6)
    np.testing.assert_allclose(truth.hessian, HESSIANS[budgets], atol=1e-6)
    limits = (truth.covariance[1, 1], truth.revenue_variance, truth.nash_variance)
    np.testing.assert_allclose(limits, (avar, avar_revenue, avar_nash), atol=1e-6)
    if budgets == (0.3, 0.2):
        np.testing.assert_allclose(truth.covariance[0], [0.178692, -0.0197521], atol=1e-6)
    # The continuum on a grid of 500 x 500 items.
    axis = (jnp.arange(500) + 0.5) / 500
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    found = fppe(grid, jnp.array(budgets))
    np.testing.assert_allclose(found.multipliers, truth.multipliers, atol=2e-3)
    np.testing.assert_allclose(found.spend, truth.spend, atol=1e-3)
    assert float(found.relative_gap) <= 1e-6


def random_markets(kind, items, buyers, count=20):
    rng = np.random.default_rng(5)
    uniform = rng.uniform(0, 1, (count, items, buyers))
    values = {
        "uniform": uniform,
        "tied": np.round(3 * uniform) / 3,
        "many scales": np.exp(3 * rng.normal(size=uniform.shape)),
        "duplicate buyers": np.repeat(uniform[:, :, :1], buyers, axis=2),
        "duplicate items": np.repeat(uniform[:, :1], items, axis=1),
        "sparse": uniform * (rng.uniform(size=uniform.shape) < 0.3),
    }[kind]
    budgets = rng.uniform(0.01, 1, (count, buyers)) / buyers * values.max(axis=2).mean(axis=1)[:, None]
    return jnp.asarray(values, jnp.float32), jnp.asarray(budgets, jnp.float32)


@pytest.mark.parametrize("shape", [(6, 3), (40, 10), (8, 20)])
@pytest.mark.parametrize("kind", ["uniform", "tied", "many scales", "duplicate buyers", "duplicate items", "sparse"])
def test_the_gap_closes_in_float32(kind, shape):
    values, budgets = random_markets(kind, *shape)
    found = solve_batch(values, budgets)
    assert np.all(np.isfinite(found.multipliers))
    assert float(found.relative_gap.max()) <= 2e-6
    assert int(found.iterations.max()) < 100
    # A certificate in float64 of the multipliers as they were returned, with an allocation of its own.
    best = fppe_with_allocation(values[0], budgets[0])
    np.testing.assert_allclose(found.multipliers[0], best.equilibrium.multipliers, rtol=3e-4)
    assert float(best.equilibrium.duality_gap) <= 1e-7 * float(best.equilibrium.revenue)
    assert best.budget_error <= 1e-6 * float(budgets[0].max())


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_homogeneous_in_values_and_budgets(scale):
    values, budgets = random_markets("uniform", 40, 10)
    plain, scaled = solve_batch(values, budgets), solve_batch(values * scale, budgets * scale)
    np.testing.assert_allclose(scaled.multipliers, plain.multipliers, rtol=2e-4)
    np.testing.assert_allclose(scaled.revenue, plain.revenue * scale, rtol=1e-4)


def test_revenue_grows_with_buyers_and_budgets():
    values, budgets = random_markets("uniform", 40, 10)
    all_buyers = solve_batch(values, budgets).revenue
    absent = jnp.where(jnp.arange(10) < 9, values, 0)
    assert np.all(solve_batch(absent, budgets).revenue <= all_buyers * (1 + 1e-5))
    assert np.all(solve_batch(values, budgets.at[:, 3].mul(1.5)).revenue >= all_buyers * (1 - 1e-5))


def test_chunks_and_supply_do_not_matter():
    values, budgets = random_markets("uniform", 40, 10)
    whole = fppe(values[0], budgets[0])
    chunked = fppe(values[0], budgets[0], chunk_size=7)
    np.testing.assert_allclose(chunked.multipliers, whole.multipliers, rtol=1e-4)
    doubled = fppe(jnp.repeat(values[0], 2, axis=0), budgets[0], supply=jnp.tile(jnp.array([0.75, 0.25]), 40) / 40)
    np.testing.assert_allclose(doubled.multipliers, whole.multipliers, rtol=1e-4)


def test_a_large_market_is_warm_started():
    values = jax.random.uniform(jax.random.key(0), (100_000, 10))
    budgets = jnp.linspace(0.02, 0.2, 10)
    found = fppe(values, budgets)
    assert float(found.relative_gap) <= 1e-6
    assert int(found.iterations) <= 12
    bids = np.asarray(values, np.float64) * np.asarray(found.multipliers, np.float64)
    assert float(found.revenue) == pytest.approx(bids.max(axis=1).mean(), rel=1e-5)
    paced = np.asarray(found.multipliers) < 1
    np.testing.assert_allclose(np.asarray(found.spend)[paced], np.asarray(budgets)[paced], rtol=2e-3)


@pytest.mark.parametrize(("value", "budget", "multiplier"), [(2.0, 1.0, 0.5), (0.5, 1.0, 1.0), (0.0, 1.0, 1.0)])
def test_one_buyer(value, budget, multiplier):
    found = fppe(jnp.array([[value]]), jnp.array([budget]))
    assert float(found.multipliers[0]) == pytest.approx(multiplier, rel=1e-5)
    assert float(found.relative_gap) <= 1e-6


def test_the_duality_gap_of_wrong_answers_is_positive():
    values, budgets = jnp.asarray(SIX_ITEMS, jnp.float32), jnp.asarray(SIX_BUDGETS, jnp.float32)
    right = jnp.array([0.5, 0.6, 1.0])
    winners = jax.nn.one_hot(jnp.argmax(values * right, axis=1), 3)
    assert float(duality_gap(values, budgets, right, winners)) > 1e-4  # ties not shared
    assert float(duality_gap(values, budgets, right, winners * 0.5)) > 0.1  # items unsold
    assert float(duality_gap(values, budgets, right * 0.9, winners)) > 1e-3  # bids shaded


def test_pace_approaches_the_continuum():
    run = pace(uniform_values(jax.random.key(1), 100_000), jnp.array([0.6, 0.1]))
    truth = uniform_pair_fppe(jnp.array([0.6, 0.1]))
    errors = np.abs(np.asarray(run.path[jnp.array([999, 9_999, 99_999]), 1]) - truth.multipliers[1])
    # Four standard deviations of an efficient estimate.
    assert np.all(errors < 4 * np.sqrt(truth.covariance[1, 1] / np.array([1e3, 1e4, 1e5])))
    np.testing.assert_allclose(run.spend, truth.spend, atol=3e-3)
    assert float(run.multipliers[0]) == 1


def test_pace_works_as_written():
    run = pace(jnp.asarray(SIX_ITEMS[:3], jnp.float32), jnp.asarray(SIX_BUDGETS, jnp.float32))
    np.testing.assert_allclose(run.path, [[1, 1, 1], [0.15, 1, 1], [0.3, 0.1 / 0.45, 1]], rtol=1e-6)
    np.testing.assert_array_equal(run.winners, [0, 1, 2])
    np.testing.assert_allclose(run.prices, [1, 0.9, 0.6], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "budgets", "message"),
    [
        (jnp.ones((4, 2)), jnp.array([1.0, 0]), "budgets must be finite and positive"),
        (-jnp.ones((4, 2)), jnp.ones(2), "values must be finite and non-negative"),
        (jnp.full((4, 2), jnp.nan), jnp.ones(2), "values must be finite"),
    ],
)
def test_refusals(values, budgets, message):
    for solver in (fppe, pace, fppe_with_allocation):
        with pytest.raises(ValueError, match=message):
            solver(values, budgets)
