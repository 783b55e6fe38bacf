"""One risk-averse player: the quadratic program, its perturbation, other measures, the frontier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxmarl.solvers.risk import (
    EntropicRisk,
    LowerPartialMoment,
    Variance,
    covariance,
    efficient_frontier,
    logit_risk_averse_response,
    mean_payoffs,
    prospect,
    risk_averse_response,
)
from jaxmarl.solvers.risk.measures import spectral_bound

OUTCOMES = np.array([[5.0, 1, -2, 0], [2, 2, 1, 1], [0, 4, 3, -1]])
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
# risk aversion: strategy, utility, mean, variance
PROGRAM = {
    0.0: ((1, 0, 0), 1.9, 1.9, 7.49),
    0.05: ((0.50900901, 0, 0.49099099), 1.73957207, 1.80180180, 1.24459459),
    0.1: ((0.25, 0.45, 0.30), 1.691, 1.75, 0.59),
    0.5: ((0, 0.95, 0.05), 1.6, 1.7, 0.2),
    2.0: ((0, 0.95, 0.05), 1.3, 1.7, 0.2),
    10.0: ((0, 0.95, 0.05), -0.3, 1.7, 0.2),
}
PERTURBED = {  # (risk aversion, temperature): strategy
    (0.1, 0.1): (0.29861496, 0.35190542, 0.34947962),
    (0.1, 1.0): (0.32064799, 0.33597133, 0.34338068),
    (0.5, 0.1): (0.05062502, 0.80565520, 0.14371978),
    (0.0, 1.0): (0.37915245, 0.31042377, 0.31042377),
}


@pytest.fixture(scope="module")
def frontiers():
    """Of the sheet's prospect in both precisions."""
    found = {}
    for x64 in (False, True):
        with jax.enable_x64(x64):
            solve = jax.jit(lambda m, q, gammas: efficient_frontier(m, q, gammas, iterations=1500))
            found[x64] = solve(*(jnp.asarray(x, float) for x in (OUTCOMES, WEIGHTS, [*PROGRAM])))
    return found


def test_moments_of_the_example():
    faced = prospect(jnp.asarray(OUTCOMES, jnp.float32), jnp.asarray(WEIGHTS, jnp.float32))
    np.testing.assert_allclose(mean_payoffs(faced), [1.9, 1.7, 1.7], rtol=1e-6)
    expected = [[7.49, 0.97, -3.23], [0.97, 0.21, 0.01], [-3.23, 0.01, 3.81]]
    np.testing.assert_allclose(covariance(faced), expected, atol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_quadratic_program(frontiers, x64):
    frontier, allowed = frontiers[x64], 6e-9 if x64 else 2e-6
    strategies, utilities, means, variances = zip(*PROGRAM.values(), strict=True)
    np.testing.assert_allclose(frontier.strategies, strategies, atol=allowed)
    np.testing.assert_allclose(frontier.mean, means, atol=2 * allowed)
    np.testing.assert_allclose(frontier.variance, variances, atol=10 * allowed)
    worth = np.asarray(frontier.mean) - np.array([*PROGRAM]) * np.asarray(frontier.variance)
    np.testing.assert_allclose(worth, utilities, atol=20 * allowed)
    assert float(frontier.certificate.max()) < (1e-9 if x64 else 1e-5)


def test_logit_responses():
    with jax.enable_x64(True):
        outcomes, weights, pairs = jnp.array(OUTCOMES), jnp.array(WEIGHTS), jnp.array([*PERTURBED])

        def answer(pair):
            return logit_risk_averse_response(outcomes, weights, pair[0], pair[1], iterations=2000)

        found = jax.jit(jax.vmap(answer))(pairs)
        np.testing.assert_allclose(found, [*PERTURBED.values()], atol=6e-9)


@pytest.fixture(scope="module")
def large_batch():
    """The size of an empirical game late in PSRO: 256 prospects of 50 actions, 100 steps in float32."""
    rng = np.random.default_rng(0)
    outcomes = rng.uniform(-1, 1, (256, 50, 50)).astype(np.float32)
    weights = rng.dirichlet(np.ones(50), 256).astype(np.float32)
    return jax.jit(jax.vmap(lambda m, q: risk_averse_response(m, q, 2.0)))(outcomes, weights)


def test_a_hundred_steps_suffice_in_float32(large_batch):
    assert float(large_batch.certificate.max()) < 1.4e-6
    assert float(jnp.median(large_batch.certificate)) <= 4e-8


def test_the_best_response_gets_safer_with_risk_aversion():
    rng = np.random.default_rng(1)
    gammas = jnp.linspace(0, 3, 13)
    outcomes, weights = rng.normal(size=(8, 4, 6)).astype(np.float32), rng.dirichlet(np.ones(6), 8).astype(np.float32)
    frontier = jax.jit(jax.vmap(lambda m, q: efficient_frontier(m, q, gammas)))(outcomes, weights)
    assert np.diff(frontier.mean, axis=1).max() < 1e-4
    assert np.diff(frontier.variance, axis=1).max() < 1e-4
    spread = jax.vmap(lambda m, q: covariance(prospect(m, q)))(outcomes, weights)
    least = np.linalg.eigvalsh(spread)[:, 0]
    assert (least > -1e-6 * np.trace(spread, axis1=1, axis2=2)).all()


def test_risk_does_not_depend_on_the_level_of_payoffs():
    weights = jnp.asarray(WEIGHTS, jnp.float32)
    raised = covariance(prospect(jnp.asarray(OUTCOMES + 1000, jnp.float32), weights))
    np.testing.assert_allclose(raised, covariance(prospect(jnp.asarray(OUTCOMES, jnp.float32), weights)), atol=2e-3)


def test_illegal_actions_and_order_do_not_matter():
    order = np.array([2, 0, 3, 1])
    padded = np.vstack([OUTCOMES, np.full((1, 4), 1e3)])[order].astype(np.float32)
    response = risk_averse_response(
        jnp.array(padded), jnp.asarray(WEIGHTS, jnp.float32), 0.1, mask=jnp.array(order != 3), iterations=400
    )
    np.testing.assert_allclose(response.strategy, np.array([0.25, 0.45, 0.30, 0])[order], atol=1e-5)


def test_the_bound_on_the_largest_eigenvalue():
    rng = np.random.default_rng(2)
    for size in (1, 3, 30):
        root = rng.normal(size=(size, size)).astype(np.float32)
        exact = np.linalg.eigvalsh(root @ root.T)[-1]
        assert exact * (1 - 1e-5) <= float(spectral_bound(jnp.array(root @ root.T))) <= 1.12 * exact
    exchangeable = jnp.eye(3) - 1 / 3  # with ones in its kernel
    assert 1 <= float(spectral_bound(exchangeable)) <= 1.03
    assert float(spectral_bound(jnp.zeros((3, 3)))) == 0


def _utility(measure, gamma, x):
    payoffs, mean = x @ OUTCOMES, x @ OUTCOMES @ WEIGHTS
    if isinstance(measure, Variance):
        return mean - gamma * WEIGHTS @ (payoffs - mean) ** 2
    if isinstance(measure, EntropicRisk):
        return -np.log(WEIGHTS @ np.exp(-2 * gamma * payoffs)) / (2 * gamma)
    return mean - gamma * WEIGHTS @ np.maximum(measure.target - payoffs, 0) ** measure.order


@pytest.mark.parametrize(
    "measure", [Variance(), LowerPartialMoment(1.0), EntropicRisk()], ids=lambda m: type(m).__name__
)
def test_smooth_measures_against_scipy(measure):
    gamma = 0.3
    best = scipy.optimize.minimize(
        lambda x: -_utility(measure, gamma, x),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    with jax.enable_x64(True):
        found = risk_averse_response(jnp.array(OUTCOMES), jnp.array(WEIGHTS), gamma, measure=measure, iterations=1000)
        np.testing.assert_allclose(found.strategy, best.x, atol=1e-6)
        assert float(found.utility) == pytest.approx(-best.fun, abs=1e-9)
        assert float(found.certificate) < 1e-8


def test_expected_shortfall_below_a_target_is_a_linear_program():
    """max x m - gamma q s : s >= t - x M, s >= 0."""
    gamma, target, width = 1.5, 1.0, 1e-3
    objective = -np.concatenate([OUTCOMES @ WEIGHTS, -gamma * WEIGHTS])
    matrix = np.hstack([-OUTCOMES.T, -np.eye(4)])
    exact = scipy.optimize.linprog(
        objective, matrix, np.full(4, -target), A_eq=np.array([[1.0] * 3 + [0] * 4]), b_eq=[1.0]
    )
    with jax.enable_x64(True):
        measure = LowerPartialMoment(target, order=1, width=width)
        found = risk_averse_response(jnp.array(OUTCOMES), jnp.array(WEIGHTS), gamma, measure=measure, iterations=4000)
    worth = _utility(measure, gamma, np.asarray(found.strategy))
    assert -exact.fun - worth <= gamma * width * np.log(2) + float(found.certificate)
    assert float(found.certificate) < 1e-4


def test_a_little_entropic_risk_is_variance():
    outcomes, weights = (jnp.asarray(x, jnp.float32) for x in (OUTCOMES, WEIGHTS))
    x = jnp.array([0.25, 0.45, 0.30])
    for gamma in (0.0, 1e-5, 1e-3):
        entropic, variance = (
            measure.objective(prospect(outcomes, weights), gamma) for measure in (EntropicRisk(), Variance())
        )
        assert float(entropic.value(x)) == pytest.approx(float(variance.value(x)), abs=5e-7)
        np.testing.assert_allclose(entropic.gradient(x), variance.gradient(x), atol=1e-5)


def test_bad_arguments_are_refused():
    outcomes, weights = jnp.zeros((2, 3)), jnp.full(3, 1 / 3)
    with pytest.raises(ValueError, match=r"^risk_aversion must be a number >= 0, got -1"):
        risk_averse_response(outcomes, weights, -1.0)
    with pytest.raises(ValueError, match=r"^temperature must be positive"):
        logit_risk_averse_response(outcomes, weights, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"^order must be an integer in \[1, 2\], got 3$"):
        LowerPartialMoment(order=3)
