"""PSRO with dynamic programming as its oracle: mixtures are drawn once an episode, and responses are exact."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games import markov_game_from_normal_form, zero_sum_game
from jaxmarl.games.markov_metrics import policy_values
from jaxmarl.games.markov_zoo import random_zero_sum
from jaxmarl.solvers.psro import MarkovPsro, Psro, PsroSettings, unroll
from jaxmarl.solvers.zero_sum import zero_sum_lp

STEPS, STATES = 2, 2
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def game():
    return random_zero_sum(jax.random.key(3), STATES, (2, 2), discount=0.9, horizon=STEPS)


@pytest.fixture(scope="module")
def finished(game):
    psro = MarkovPsro(unroll(game))
    return psro, Psro(psro, PsroSettings(capacity=12, meta_solver="nash_lp")).run(KEY)


def test_histories_are_a_tree_with_the_payoffs_of_the_game(game):
    history = unroll(game)
    assert history.game.num_states == STATES + STATES * 4 * STATES
    rng = np.random.default_rng(1)
    policies = tuple(jnp.asarray(rng.dirichlet(np.ones(2), STATES), jnp.float32) for _ in range(2))
    unrolled = tuple(policy[history.state] for policy in policies)  # stationary policies
    worth = jax.jit(lambda game, policies: policy_values(game, policies) @ game.initial)
    np.testing.assert_allclose(worth(history.game, unrolled), worth(game, policies), atol=1e-6)


def test_a_response_to_a_mixture_is_the_best_of_all_pure_ones(game):
    """The opponent is one of two policies for the whole episode: every deterministic policy of histories is tried."""
    rng = np.random.default_rng(0)
    psro = MarkovPsro(unroll(game))
    history = psro.game
    members = jnp.asarray(np.stack([rng.dirichlet(np.ones(2), history.game.num_states) for _ in range(2)]), jnp.float32)
    weights, populations = jnp.asarray([0.3, 0.7]), (jnp.zeros_like(members), members)
    # only what the own moves allow matters: 2 first moves and 2 answers at each of the 2 x 2 histories after one
    second = np.flatnonzero(np.asarray(history.level) == 1)
    first_moves = np.asarray(history.actions)[second, 0, 0]
    value = jax.jit(lambda own: jnp.sum(weights * psro.payoff_row(0, own, populations, KEY).mean[0]))
    best = 0.0
    for start in range(STATES):
        # from each first state separately: payoffs add over starts
        here = np.asarray(history.ancestors)[second, 0] == start
        outcomes = []
        for move in range(2):
            open_ = second[here & (first_moves == move)]
            for answers in itertools.product(range(2), repeat=len(open_)):
                own = np.zeros((history.game.num_states, 2), np.float32)
                own[:, 0] = 1
                own[start] = np.eye(2)[move]
                own[open_] = np.eye(2)[list(answers)]
                outcomes.append(float(value(jnp.asarray(own))))
        base = np.zeros((history.game.num_states, 2), np.float32)
        base[:, 0] = 1
        best += max(outcomes) - float(value(jnp.asarray(base)))
    best += float(value(jnp.asarray(base)))
    response = jax.jit(psro.best_response, static_argnums=0)(0, populations, weights, KEY)
    assert float(value(response)) == pytest.approx(best, abs=1e-5)


@pytest.mark.slow
def test_it_finds_the_value_of_the_game(game, finished):
    """Against the value by backward induction over states, whose stage games are matrix games."""
    _, state = finished
    rows = state.rows()
    assert rows["nash_conv"][-1] < 1e-5
    values = np.zeros(STATES)
    rewards, kernel = np.asarray(game.rewards[0], np.float64), np.asarray(game.kernel.probabilities)
    for _ in range(STEPS):
        stages = rewards + 0.9 * kernel @ values
        values = np.array([float(zero_sum_lp(zero_sum_game(stage)).payoffs[0]) for stage in stages])
    assert rows["value"][-1, 0] == pytest.approx(float(values @ np.asarray(game.initial)), abs=1e-5)


@pytest.mark.slow
def test_payoffs_of_the_population(finished):
    psro, state = finished
    first, second = (np.asarray(population) for population in state.populations)
    expected = psro.payoffs((jnp.asarray(first[1]), jnp.asarray(second[2])))
    np.testing.assert_allclose(state.empirical.cells.mean[:, 1, 2], expected, atol=1e-6)


def test_games_that_do_not_fit_are_refused():
    endless = markov_game_from_normal_form(zero_sum_game(np.eye(2)), discount=0.9)
    with pytest.raises(ValueError, match="horizon None"):
        unroll(endless)
    long = markov_game_from_normal_form(zero_sum_game(np.eye(2)), discount=1.0, horizon=12)
    with pytest.raises(ValueError, match="more than 20000 histories"):
        unroll(long)
