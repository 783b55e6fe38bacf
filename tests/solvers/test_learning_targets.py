"""What multi-agent learners are to converge to, exactly: soft teams, magnets, preferences of self-play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import NormalFormGame, symmetric_game, zero_sum_game
from jaxmarl.solvers import no_regret as nr
from jaxmarl.solvers import sequential_logit_responses
from jaxmarl.solvers.zero_sum import zero_sum_lp

CLIMBING = np.array([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]])
# temperature: both strategies and the payoff of soft responses in turn, from uniform play (None: not stated)
SOFT = {
    5.0: ((0.014440, 0.656366, 0.329194), (0.003743, 0.427730, 0.568528), 4.881597),
    2.0: ((9e-6, 0.894441, 0.105549), (0, 0.545674, 0.454326), 6.094334),
    1.0: ((None, 0.995287, None), (0, 0.725463, 0.274537), 6.700237),
}


@pytest.fixture(scope="module")
def team():
    with jax.enable_x64(True):
        game = NormalFormGame(np.stack([CLIMBING, CLIMBING]))
        solve = jax.jit(jax.vmap(lambda temperature: sequential_logit_responses(game, 1 / temperature, 400)))
        return solve(jnp.asarray([*SOFT]))


@pytest.mark.parametrize("k", range(3), ids=[*map(str, SOFT)])
def test_soft_teams_settle_where_heterogeneous_soft_actor_critics_do(team, k):
    *wanted, payoff = list(SOFT.values())[k]
    for found, row in zip((strategy[k] for strategy in team.strategies), wanted, strict=True):
        known = [i for i, value in enumerate(row) if value is not None]
        np.testing.assert_allclose(found[jnp.array(known)], [row[i] for i in known], atol=6e-7)
    assert float(team.trace["payoff"][k, -1]) == pytest.approx(payoff, abs=1e-6)
    assert float(team.trace["residual"][k, -1]) < 1e-8


def test_every_soft_response_of_a_team_raises_payoff_plus_entropy():
    with jax.enable_x64(True):
        table = np.random.default_rng(0).normal(size=(2, 3, 4))
        game = NormalFormGame(np.stack([table] * 3))
        values = []
        for rounds in (1, 4):
            solution = sequential_logit_responses(game, 2.0, rounds)
            entropy = -sum(float(jnp.sum(x * jnp.log(x))) for x in solution.strategies)
            values.append(float(solution.trace["payoff"][-1]) + entropy / 2)
        assert (np.diff(values) >= -1e-12).all()
        assert values[-1] > values[0]


BIASED = np.array([[0.0, -1, 3], [1, 0, -1], [-3, 1, 0]])
MAGNETIC = {  # temperature: equilibrium with a uniform magnet, and what best responses gain there, in sum
    1.0: ((0.3860221, 0.4402821, 0.1736958), 0.424653),
    0.5: ((0.3239065, 0.5242437, 0.1518498), 0.344113),
    0.1: ((0.2238875, 0.5956838, 0.1804287), 0.086918),
}


@pytest.fixture(scope="module")
def magnetic():
    with jax.enable_x64(True):
        game = zero_sum_game(BIASED)

        def last(temperature):
            learner = nr.magnetic_mirror_descent(lambda *_: temperature, lambda *_: temperature / 9)
            return nr.self_play(game, learner, 20_000, normalise=False).last

        return jax.jit(jax.vmap(last))(jnp.asarray([*MAGNETIC]))


@pytest.mark.parametrize("k", range(3), ids=[*map(str, MAGNETIC)])
def test_magnetic_self_play_settles_in_a_quantal_response_equilibrium(magnetic, k):
    wanted, gain = list(MAGNETIC.values())[k]
    rows = [np.asarray(each[k]) for each in magnetic]
    for found in rows:
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    assert (BIASED @ rows[1]).max() + (-BIASED.T @ rows[0]).max() == pytest.approx(gain, abs=1e-6)


def test_one_magnetic_step():
    x, y = jnp.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    learner = nr.magnetic_mirror_descent(0.1, 0.2)
    state = learner.init(jnp.ones(3, bool))._replace(log_strategy=jnp.log(x))
    after = learner.strategy(learner.update(state, jnp.asarray(BIASED @ y), x))
    np.testing.assert_allclose(after, [0.5697703, 0.2573163, 0.1729135], atol=1e-6)


def test_a_magnet_that_follows_leads_to_the_equilibrium():
    """Regularised Nash dynamics: each outer fixed point is a quantal response to the magnet before."""
    with jax.enable_x64(True):
        learner = nr.magnetic_mirror_descent(0.5, 0.5 / 9, magnet_period=2000)
        last = nr.self_play(zero_sum_game(BIASED), learner, 60_000, normalise=False).last
        for strategy in last:
            np.testing.assert_allclose(strategy, [0.2, 0.6, 0.2], atol=1e-3)


def test_self_play_preferences_average_to_the_minimax_winner():
    """A policy rewarded by how often it is preferred to its own other draws (Swamy et al. 2024), without noise."""
    preferred = np.array([[0.5, 0.7, 0.2], [0.3, 0.5, 0.9], [0.8, 0.1, 0.5]])
    winner = np.array([4, 3, 2]) / 9
    np.testing.assert_allclose(zero_sum_lp(zero_sum_game(preferred - 0.5)).strategies[0], winner, atol=1e-6)
    result = nr.self_play(symmetric_game(preferred), nr.hedge(0.05), 10_000, normalise=False)
    average = np.asarray(result.average[0])
    np.testing.assert_allclose(average, winner, atol=1e-2)
    assert (preferred @ average).max() - 0.5 < 5e-3
