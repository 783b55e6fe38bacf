"""Learning contracts: regrets of bandits and of discovery on a problem with a known optimum (0.645)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.mechanisms import four_efforts, linear_grid
from jaxmarl.solvers.mechanisms import discover_and_cover, ucb_contracts

PROBLEM = jax.tree.map(lambda x: jnp.asarray(x, float), four_efforts())
OPTIMUM, LINEAR = 0.645, 0.4375


@pytest.fixture(scope="module")
def linear_bandit():
    """20 000 rounds of UCB on linear contracts, four seeds."""
    grid = jnp.asarray(linear_grid(np.asarray(PROBLEM.rewards), math.ceil(20_000 ** (1 / 3))), float)
    run = jax.jit(jax.vmap(lambda key: ucb_contracts(PROBLEM, grid, key, 20_000)))
    return np.asarray(run(jax.random.split(jax.random.key(0), 4)), float)


def test_linear_bandits_approach_the_best_linear_contract_and_not_the_optimum(linear_bandit):
    late = linear_bandit[:, 10_000:].mean(axis=1)
    assert np.all(late < LINEAR)
    assert np.all(late > LINEAR - 0.06)
    assert np.all(OPTIMUM - linear_bandit.mean(axis=1) > OPTIMUM - LINEAR)


def test_regret_of_linear_bandits_grows_more_slowly_than_time(linear_bandit):
    regret = np.cumsum(LINEAR - linear_bandit, axis=1).mean(axis=0)
    slope = math.log(regret[-1] / regret[1999]) / math.log(10)
    assert slope < 0.85


@pytest.fixture(scope="module")
def discovered():
    return [
        [discover_and_cover(four_efforts(), num_rounds, seed) for seed in range(4)] for num_rounds in (10**4, 10**6)
    ]


def test_discovery_finds_all_actions_their_laws_and_their_costs(discovered):
    problem = four_efforts()
    for found in discovered[1]:
        order = np.argsort(found.costs)
        np.testing.assert_allclose(found.laws[order], problem.laws, atol=0.04)
        np.testing.assert_allclose(found.costs[order], problem.costs, atol=0.04)


def test_discovery_commits_to_a_contract_near_the_optimum(discovered):
    for found in discovered[1]:
        assert OPTIMUM - 0.02 < found.utilities[-1] < OPTIMUM


def test_regret_of_discovery_is_sublinear(discovered):
    means = [
        np.mean([run.regret(OPTIMUM, np.array([t]))[0] for run in runs]) / t
        for runs, t in zip(discovered, (10**4, 10**6), strict=True)
    ]
    assert means[1] < means[0] * 100 ** (-1 / 5)
    assert means[1] < OPTIMUM - LINEAR


def test_all_rounds_are_accounted_for(discovered):
    for found in discovered[0]:
        assert found.rounds.sum() == 10**4
        assert 0 < found.exploration < 10**4
    short = discover_and_cover(four_efforts(), 50, 0)
    assert short.rounds.sum() == 50
    assert short.exploration == 50


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="num_rounds must be"):
        discover_and_cover(four_efforts(), 0, 0)
    with pytest.raises(ValueError, match="accuracy must be"):
        discover_and_cover(four_efforts(), 100, 0, accuracy=-1.0)
