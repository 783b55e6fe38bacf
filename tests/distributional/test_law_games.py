"""Laws in small games and portfolios, whose tails and certainty equivalents are known in closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional import (
    Categorical,
    Law,
    cvar,
    entropic,
    mean,
    solve_cvar,
    tabular_mdp,
    uniform_quantile,
    variance,
)

PAYOFFS = np.array([[4.0, 0.0], [3.0, 2.0]])  # stag and hare (rows) against a hunter and a gatherer


def hunt(chance):
    """Laws of stag and hare against a hunter with this probability, `[2, 2]`."""
    weights = jnp.array([chance, 1 - chance])
    return Law(jnp.asarray(PAYOFFS), jnp.broadcast_to(weights, (2, 2)))


def test_mean_and_variance_of_the_known_law():
    law = Law(jnp.array([-4.0, -1, 0, 2, 5]), jnp.array([0.1, 0.2, 0.3, 0.25, 0.15]))
    assert float(mean(law)) == pytest.approx(0.65, abs=1e-6)
    assert float(variance(law)) == pytest.approx(6.1275, abs=1e-5)


@pytest.mark.parametrize("level", [0.25, 0.5, 0.75, 1.0])
def test_stag_is_the_best_tail_where_it_is_hunted_often_enough(level):
    """If and only if the probability is at least 1 - level / 3."""
    chances = np.linspace(0.005, 0.995, 100)
    tails = np.asarray(jax.vmap(lambda q: cvar(hunt(q), level))(jnp.asarray(chances)))
    np.testing.assert_array_equal(tails[:, 0] > tails[:, 1], chances > 1 - level / 3)
    tied = np.asarray(cvar(hunt(1 - level / 3), level))
    assert tied[0] == pytest.approx(tied[1], abs=1e-5)


def two_rounds(chance):
    """The hunt twice: what happened first is known by its payoff, so the stock tells it."""
    rewards = np.broadcast_to(PAYOFFS, (2, 2, 2))
    goes_on = np.array([True, False])[:, None, None]
    return tabular_mdp(np.array([chance, 1 - chance]), rewards, 1, goes_on)


@pytest.mark.parametrize(
    ("chance", "level", "best", "blind"),
    [(0.8, 0.5, 5.36, 5.20), (0.7, 0.5, 4.86, 4.82), (0.9, 0.25, 5.48, 5.20), (0.9, 0.5, 6.4, 6.4)],
)
def test_a_second_hunt_is_better_planned_by_what_the_first_brought(chance, level, best, blind):
    stocks = jnp.arange(-8.0, 1.0)
    found = solve_cvar(two_rounds(chance), level, 0, stocks, 2)
    assert float(found.value) == pytest.approx(best, abs=1e-5)
    weights = np.array([chance, 1 - chance])
    sums = [(PAYOFFS[a][:, None] + PAYOFFS[b]).ravel() for a, b in itertools.product(range(2), range(2))]
    law = Law(jnp.asarray(sums), jnp.broadcast_to(np.outer(weights, weights).ravel(), (4, 4))).law()
    assert float(jnp.max(cvar(law, level))) == pytest.approx(blind, abs=1e-5)
    if best > blind:  # hare first; then stag after 2, where there is nothing to lose, and hare after 3
        policy = np.asarray(found.solution.policy)
        start = int(np.searchsorted(np.asarray(stocks), float(found.stock)))
        assert policy[0, 0, start] == 1
        assert policy[1, 1, start + 2] == 0
        assert policy[1, 1, start + 3] == 1


def test_a_mixed_strategy_varies_more_than_its_portfolio():
    """Half stag, half hare against a hunter of 0.8: the average payoff has variance 1.0, the drawn one 1.4."""
    chances = np.array([0.8, 0.2])
    centred = PAYOFFS - (PAYOFFS @ chances)[:, None]
    covariance = (centred * chances) @ centred.T
    np.testing.assert_allclose(covariance, [[2.56, 0.64], [0.64, 0.16]], atol=1e-12)
    half = np.full(2, 0.5)
    portfolio = Law(jnp.asarray(half @ PAYOFFS), jnp.asarray(chances))
    assert float(variance(portfolio)) == pytest.approx(half @ covariance @ half, abs=1e-5)
    assert float(variance(portfolio)) == pytest.approx(1.0, abs=1e-5)
    atoms = jnp.arange(5.0)
    each = Categorical(atoms, jnp.array([[0.2, 0, 0, 0, 0.8], [0, 0, 0.2, 0.8, 0]]))
    assert float(variance(each.mixture(jnp.asarray(half)))) == pytest.approx(1.4, abs=1e-5)


def test_equal_levels_add_up_like_one_law_and_not_like_two():
    """Quantiles that are added share their level: U[0, 1] twice is U[0, 2]; independent, it is the triangle."""
    size = 64
    values = (jnp.arange(size) + 0.5) / size
    assert float(variance(uniform_quantile(2 * values))) == pytest.approx(1 / 3, abs=1e-3)
    sums = (values[:, None] + values).ravel()
    assert float(variance(uniform_quantile(sums))) == pytest.approx(1 / 6, abs=1e-3)


@pytest.mark.parametrize(("aversion", "equivalent"), [(1.0, 0.04), (5.0, 0.008)])
def test_a_portfolio_of_constant_risk_aversion(aversion, equivalent):
    """Normal returns: the best holdings are (1, 1) / aversion, and worth 0.04 / aversion a period."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    mu, sigma = np.array([0.05, 0.03]), np.array([[0.04, 0.01], [0.01, 0.02]])
    np.testing.assert_allclose(np.linalg.solve(sigma, mu), 1.0)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    outcomes = jnp.asarray(mu + grid @ np.linalg.cholesky(sigma).T)
    chances = jnp.asarray(np.outer(weights, weights).ravel() / weights.sum() ** 2)

    def worth(holdings):
        return entropic(Law(outcomes @ holdings, chances), aversion)

    value, slope = jax.value_and_grad(worth)(jnp.full(2, 1 / aversion))
    assert float(value) == pytest.approx(equivalent, rel=2e-4)
    np.testing.assert_allclose(slope, 0.0, atol=1e-5)
    assert float(worth(jnp.array([0.9, 1.1]) / aversion)) < equivalent
