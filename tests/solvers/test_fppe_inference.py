"""Intervals and A/B tests of pacing equilibria: Hessians, limits, coverage, power."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxmarl.envs.auctions.budget_closed_forms import uniform_pair_fppe, uniform_values
from jaxmarl.solvers.auctions.fppe_experiments import ab_tests, fppe_coverage, rejections
from jaxmarl.solvers.auctions.fppe_inference import fppe_inference, price_curvature, split_items

BUDGETS = [(0.6, 0.1), (0.3, 0.2)]


def coverage(budgets, num_items, num_replications):
    truth = uniform_pair_fppe(jnp.array(budgets))
    found = fppe_coverage(
        jax.random.key(20),
        uniform_values,
        jnp.array(budgets),
        jnp.asarray(truth.multipliers, jnp.float32),
        truth.revenue,
        truth.nash_welfare,
        num_items=num_items,
        num_replications=num_replications,
    )
    return truth, found


@pytest.mark.parametrize("budgets", BUDGETS)
def test_a_large_sample_recovers_the_limits(budgets):
    truth = uniform_pair_fppe(jnp.array(budgets))
    items = 60_000
    found = fppe_inference(uniform_values(jax.random.key(3), items), jnp.array(budgets))
    np.testing.assert_array_equal(found.unpaced, truth.multipliers == 1)
    np.testing.assert_allclose(found.hessian, truth.hessian, atol=0.06)
    np.testing.assert_allclose(found.covariance * items, truth.covariance, atol=0.015)
    assert float(found.revenue_error**2 * items) == pytest.approx(truth.revenue_variance, rel=0.05, abs=1e-9)
    assert float(found.nash_error**2 * items) == pytest.approx(truth.nash_variance, rel=0.05)


def test_curvature_against_differences_of_the_mean_in_float64():
    rng = np.random.default_rng(2)
    values, beta, step = rng.uniform(size=(3000, 5)), rng.uniform(0.6, 1, 5), 0.05

    def mean(i, j, signs):
        moved = beta.copy()
        moved[i] *= 1 + signs[0] * step
        moved[j] *= 1 + signs[1] * step
        return (values * moved).max(axis=1).mean()

    curvature = price_curvature(jnp.asarray(values, jnp.float32), jnp.asarray(beta, jnp.float32), step)
    for i in range(5):
        for j in range(i):
            expected = mean(i, j, (1, 1)) - mean(i, j, (1, -1)) - mean(i, j, (-1, 1)) + mean(i, j, (-1, -1))
            assert float(curvature[i, j]) == pytest.approx(expected / (4 * step**2), abs=2e-5)
    np.testing.assert_allclose(curvature.sum(axis=1), 0, atol=1e-5)
    assert np.linalg.eigvalsh(curvature).min() > -1e-5


def test_curvature_of_one_buyer_vanishes():
    assert float(price_curvature(jnp.ones((4, 1)), jnp.ones(1), 0.1)[0, 0]) == 0


def test_revenue_is_certain_where_all_pace():
    found = fppe_inference(uniform_values(jax.random.key(5), 1000), jnp.array([0.3, 0.2]))
    assert float(found.revenue_error) < 1e-7
    assert float(found.equilibrium.revenue) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("num_items", [200, 1000])
def test_coverage_with_an_unpaced_buyer(num_items):
    truth, found = coverage((0.6, 0.1), num_items, 400)
    for share in (found.multipliers[1], found.revenue, found.nash):
        assert abs(float(share) - 0.945) <= 4 * np.sqrt(0.95 * 0.05 / 400)
    deviation = 0.282684
    assert np.sqrt(truth.revenue_variance) == pytest.approx(deviation, abs=1e-5)
    assert float(found.revenue_deviation) == pytest.approx(deviation, rel=4 / np.sqrt(800))
    assert float(found.revenue_width) == pytest.approx({200: 0.0779, 1000: 0.0351}[num_items], rel=0.02)
    assert float(found.worst_gap) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("budgets", BUDGETS)
def test_coverage_at_length(budgets):
    truth, found = coverage(budgets, 1000, 400)
    shares = [*found.multipliers, found.revenue, found.nash]
    uncertain = [*(truth.multipliers < 1), truth.revenue_variance > 1e-12, True]
    for share, random in zip(shares, uncertain, strict=True):
        assert 0.93 <= float(share) <= 0.97 if random else float(share) == 1
    spreads = (found.multipliers_deviation, found.nash_deviation)
    limits = (np.sqrt(np.diag(truth.covariance)), np.sqrt(truth.nash_variance))
    for spread, limit in zip(spreads, limits, strict=True):
        np.testing.assert_allclose(spread, limit, rtol=4 / np.sqrt(800))


def keep(values):
    return values


def lift(values):
    return values * jnp.array([1.3, 1.0])


def test_ab_tests_with_unequal_shares_have_their_size_and_find_a_lift():
    share, items, replications = 0.3, 400, 192
    options = {"num_items": items, "num_replications": replications, "share": share}
    budgets = jnp.array([0.6, 0.1])
    same = ab_tests(jax.random.key(8), uniform_values, keep, budgets, **options)
    for interval in (same.revenue_interval, same.nash_interval, same.multipliers_interval[:, :, 1]):
        assert float(rejections(interval)) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / replications)
    truth = uniform_pair_fppe(budgets)
    deviation = np.sqrt(truth.revenue_variance * (1 / share + 1 / (1 - share)))
    assert float(same.revenue_effect.std()) * items**0.5 == pytest.approx(deviation, rel=4 / np.sqrt(2 * replications))
    lifted = ab_tests(jax.random.key(8), uniform_values, lift, budgets, **options)
    assert float(rejections(lifted.revenue_interval)) > 0.95


def lift_by(values, lift):
    return values * jnp.array([1 + lift, 1.0])


def test_the_power_curve_is_that_of_a_normal_test():
    """Rejections rise with the lift, as often as the effects' own mean and spread say; for revenue and for welfare."""
    replications, budgets = 192, jnp.array([0.6, 0.1])
    found = []
    for lift in (0.0, 0.15, 0.4):
        treated = jax.tree_util.Partial(lift_by, lift=lift)
        tests = ab_tests(
            jax.random.key(9), uniform_values, treated, budgets, num_items=400, num_replications=replications
        )
        for effect, interval in (
            (tests.revenue_effect, tests.revenue_interval),
            (tests.nash_effect, tests.nash_interval),
        ):
            distance = np.abs(np.mean(effect)) / np.std(effect)
            power = norm.cdf(distance - 1.96) + norm.cdf(-distance - 1.96)
            found.append(float(rejections(interval)))
            # 4 standard errors of a share, and 2 of the mean and the spread that it is predicted from
            of_distance = (1 + distance) / np.sqrt(replications)
            slack = 4 * np.sqrt(power * (1 - power) / replications) + 2 * of_distance * norm.pdf(distance - 1.96)
            assert abs(found[-1] - power) <= slack
    assert np.all(np.diff(found[::2]) > 0)
    assert found[4] > 0.9
    assert max(found[:2]) < 0.12


def test_split_items():
    values = jnp.arange(20.0).reshape(10, 2)
    treated, control = split_items(jax.random.key(0), values + 100, values, 0.3)
    assert treated.shape == (3, 2)
    np.testing.assert_array_equal(np.sort(np.r_[treated[:, 0] - 100, control[:, 0]]), values[:, 0])
    with pytest.raises(ValueError, match="share must be"):
        split_items(jax.random.key(0), values, values, 0.01)


def test_refusals():
    values, budgets = jnp.ones((4, 2)), jnp.ones(2)
    with pytest.raises(ValueError, match="level must be"):
        fppe_inference(values, budgets, level=1.5)
    with pytest.raises(ValueError, match="step_exponent must be"):
        fppe_inference(values, budgets, step_exponent=0.5)
