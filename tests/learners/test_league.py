"""Leagues and pools of a learner's past, and partners of several strengths for fictitious co-play."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from one_throw import SOFTMAX, bandit

from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.seating import Player
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.dilemmas import IteratedMatrix
from jaxmarl.envs.markov.tabular import tabular_game
from jaxmarl.envs.rps.repeated import RepeatedRPS, RPSParams
from jaxmarl.evaluation.cross_play import cross_play
from jaxmarl.games import markov_game_from_normal_form, symmetric_game
from jaxmarl.learners.league import LeagueConfig, empty_pool, league, opponent_weights, run_snapshots, with_snapshot

# rock wins double: equilibrium (1/4, 1/2, 1/4)
PAYOFFS = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-2.0, 1.0, 0.0]], np.float32)
CONFIG = LeagueConfig(30, "uniform", self_share=0.0, opponents=16, matches=8, updates=8, trials=64, memory=0.0)


def test_weights_of_opponents():
    alive = jnp.array([True, True, True, False])
    rates = jnp.array([0.9, 0.5, 0.1, 0.5])
    expected = {
        "uniform": [1, 1, 1],
        "linear": [0.1, 0.5, 0.9],
        "hard": [0.01, 0.25, 0.81],
        "variance": [0.09, 0.25, 0.09],
    }
    for name, weights in expected.items():
        found = opponent_weights(rates, alive, name)
        np.testing.assert_allclose(found, [*(np.array(weights) / np.sum(weights)), 0], atol=1e-6)
    # whoever draws with all pure strategies of rock-paper-scissors goes on meeting them equally
    even = opponent_weights(jnp.full(4, 0.5), alive, "variance")
    np.testing.assert_allclose(even, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)
    beaten = opponent_weights(jnp.ones(4), alive, "hard")
    np.testing.assert_allclose(beaten, [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-6)


def test_a_full_pool_gives_up_whom_it_plays_least():
    pool = empty_pool({"x": jnp.zeros(2)}, 2)
    for value in (1.0, 2.0):
        pool = with_snapshot(pool, {"x": jnp.full(2, value)}, jnp.array([0.0, 1.0]))
    assert pool.members["x"][:, 0].tolist() == [1.0, 2.0]
    pool = with_snapshot(pool.replace(matches=jnp.array([8.0, 8.0])), {"x": jnp.full(2, 3.0)}, jnp.array([0.7, 0.3]))
    assert pool.members["x"][:, 0].tolist() == [1.0, 3.0]
    assert pool.matches.tolist() == [8.0, 0.0]
    assert pool.win_rates.tolist() == pytest.approx([0.1, 0.5])


@pytest.fixture(scope="module")
def played():
    params = RPSParams(payoffs=jnp.asarray(PAYOFFS))
    learner = league(RepeatedRPS(num_throws=1), functools.partial(bandit, rate=0.5, decay=0.05), CONFIG, params)
    run = jax.jit(lambda key: jax.lax.scan(lambda s, _: learner.update(s), learner.init(key), length=90))
    return run(jax.random.key(0))


def exploitability(strategy):
    """Of a strategy in the symmetric game."""
    return float(np.max(PAYOFFS @ strategy))


def test_the_past_of_a_league_is_hard_to_exploit(played):
    """The newest player always can be; what has been learned is the mixture of the pool."""
    state, metrics = played
    strategies = np.asarray(jax.nn.softmax(state.pool.members, axis=-1))
    strategies = strategies[np.asarray(state.pool.alive)]
    members = [exploitability(each) for each in strategies]
    assert exploitability(strategies.mean(0)) < 0.12
    assert np.mean(members) > 1.5 * exploitability(strategies.mean(0))
    np.testing.assert_array_equal(metrics["pool_size"], np.minimum(1 + np.cumsum(metrics["snapshot"]), 30))


def test_win_rates_are_those_of_the_matches(played):
    state = played[0]
    own, members = (np.asarray(jax.nn.softmax(x, axis=-1)) for x in (state.learner[0], state.pool.members))
    exact = 0.5 + 0.5 * own @ np.sign(PAYOFFS) @ members.T
    met = np.asarray(state.pool.matches) == CONFIG.trials  # whoever is new has not been played yet
    assert met.sum() > 10
    assert np.abs(np.asarray(state.pool.win_rates) - exact)[met].max() < 4.5 * np.sqrt(1 / 4 / CONFIG.trials)


def test_who_has_met_many_conventions_follows_the_obvious_one():
    """Levers 0 to 3 pay 1 if both pull the same one, lever 4 pays 0.9: among strangers it is the best by far."""
    game = symmetric_game(np.diag([1.0, 1.0, 1.0, 1.0, 0.9]).astype(np.float32))
    env, params = tabular_game(markov_game_from_normal_form(game, horizon=1))
    make = functools.partial(bandit, num_actions=5)
    learner = make(VectorEnv(env, 64), params)
    members, curve = run_snapshots(learner, 8, 120, jax.random.key(3), looks=20)
    assert curve.shape == (8, 20)
    assert float(curve[:, -1].min()) > 0.85  # every run agrees with itself
    chances = np.asarray(jax.nn.softmax(members, axis=-1))
    alone = np.einsum("ia,ab,ib->i", chances, game.payoffs[0], chances)
    first, half, last = alone.reshape(3, 8)
    assert first.mean() < half.mean() < last.mean()
    arena = PopulationEnv(env, (Player(SOFTMAX, members, members=24),), 8)
    response = make(arena, (params, (members,)))
    run = jax.jit(lambda key: jax.lax.scan(lambda s, _: response.update(s), response.init(key), length=300)[0])
    answer = np.asarray(jax.nn.softmax(run(jax.random.key(4))[0]))
    worth = (game.payoffs[0] @ chances.T).mean(1)
    assert answer.argmax() == worth.argmax()
    strangers = cross_play(env, [Player(SOFTMAX, members[16:], members=8)], jax.random.key(5), 20, params)
    apart = strangers.payoffs[..., 0][~np.eye(8, dtype=bool)]
    assert apart.mean() < 0.6 < alone[16:].mean()


def test_games_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="env must be an environment of fixed horizon"):
        league(type("Endless", (RepeatedRPS,), {"horizon": None})(), bandit)
    with pytest.raises(ValueError, match=r"make must be a multiple of 3"):
        league(RepeatedRPS(num_throws=3), bandit)
    with pytest.raises(ValueError, match="weighting"):
        LeagueConfig(weighting="harder")
    with pytest.raises(ValueError, match="updates must be a multiple of looks"):
        run_snapshots(bandit(VectorEnv(IteratedMatrix(), 2), None), 2, 30, jax.random.key(0), looks=20)
