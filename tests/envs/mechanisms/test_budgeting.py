"""Public projects: fair shares by brute force, equal shares, and rounding within one project's cost."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.mechanisms.budgeting import (
    best_own_sets,
    dependent_rounding,
    equal_shares,
    fair_shares,
    is_represented,
    random_dictatorship,
)


@pytest.fixture(scope="module")
def elections():
    """Thirty elections: `(costs, approvals, budget)`."""
    generator = np.random.default_rng(0)
    return [(generator.integers(1, 8, 6), generator.random((5, 6)) < 0.5, 10.0) for _ in range(30)]


def test_fair_shares_against_all_sets(elections):
    sets = np.array(list(itertools.product([0, 1], repeat=6)))
    for costs, approvals, budget in elections:
        feasible = sets[sets @ costs <= budget]
        np.testing.assert_allclose(fair_shares(costs, approvals, budget), (feasible @ approvals.T).max(axis=0) / 5)
        own = best_own_sets(costs, approvals, budget)
        assert (own @ costs <= budget).all()


def test_random_dictatorship_gives_individual_and_unanimous_fair_shares(elections):
    for costs, approvals, budget in elections:
        ballots = approvals.copy()
        ballots[1] = ballots[0]
        utilities = ballots @ random_dictatorship(costs, ballots, budget)
        together = fair_shares(costs, ballots, budget, unanimous=True)
        assert (utilities >= together - 1e-12).all()
        alike = (ballots == ballots[0]).all(axis=1).sum()
        assert alike >= 2
        np.testing.assert_allclose(together[0], alike * fair_shares(costs, ballots, budget)[0])
        assert random_dictatorship(costs, ballots, budget) @ costs <= budget + 1e-9


def test_equal_shares_by_hand():
    """Budget 12 for three voters. The first project costs its three supporters 2 each, the second its two ones 2; then
    nobody has 3 left for the third."""
    approvals = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], bool)
    np.testing.assert_array_equal(equal_shares(np.array([6, 4, 3]), approvals, 12.0), [1, 1, 0])
    np.testing.assert_array_equal(equal_shares(np.array([6, 4, 2]), approvals, 12.0), [1, 1, 1])


def test_equal_shares_represent_everybody_who_could_pay(elections):
    found = 0
    for costs, approvals, budget in elections:
        chosen = equal_shares(costs, approvals, budget)
        assert costs[chosen].sum() <= budget + 1e-9
        assert is_represented(costs, approvals, budget, chosen)
        found += not is_represented(costs, approvals, budget, np.zeros(6, bool))
    assert found > 10  # the check does refuse: nothing built represents nobody


@pytest.fixture(scope="module")
def draws():
    """Many sets of projects, drawn by dependent rounding."""
    rounding = jax.jit(jax.vmap(dependent_rounding, (None, None, 0)))

    def draw(seed, marginals, costs):
        units = jax.random.uniform(jax.random.key(seed), (20_000, 6))
        rounded = rounding(jnp.asarray(marginals, jnp.float32), jnp.asarray(costs, jnp.float32), units)
        return np.asarray(rounded), np.asarray(units)

    return draw


def test_rounding_keeps_chances_and_the_budget(draws):
    costs = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 2.0])
    q = np.array([0.3, 0.5, 1.0, 0.25, 0.8, 0.0])
    drawn, units = draws(0, q, costs)
    errors = np.abs(drawn.mean(axis=0) - q)
    assert (errors <= 3 * (q * (1 - q) / 20_000) ** 0.5).all()
    spent, expected = drawn @ costs, q @ costs
    assert np.abs(spent - expected).max() <= 5 + 1e-4
    independent = (units < q) @ costs
    assert np.abs(independent - expected).max() > 5  # drawing each alone would not do
    assert spent.std() < independent.std() / 1.5


def test_rounding_of_a_fair_lottery_is_within_one_project(elections, draws):
    costs, approvals, budget = elections[0]
    marginals = random_dictatorship(costs, approvals, budget)
    drawn, _ = draws(1, marginals, costs)
    assert np.abs(drawn @ costs - marginals @ costs).max() <= costs.max() + 1e-4
    errors = np.abs(drawn.mean(axis=0) - marginals)
    assert (errors <= 4 * (marginals * (1 - marginals) / 20_000) ** 0.5 + 1e-6).all()
