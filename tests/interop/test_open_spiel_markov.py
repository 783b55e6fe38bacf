"""Markov games as OpenSpiel games: OpenSpiel's own test passes, and its values are ours."""

import numpy as np
import pytest

import jaxmarl
from jaxmarl.envs.markov import enumerate_game
from jaxmarl.games import DenseKernel, MarkovGame
from jaxmarl.games.markov_zoo import random_zero_sum
from jaxmarl.interop import markov_game_to_open_spiel

pyspiel = pytest.importorskip("pyspiel")


def small(horizon=3, discount=0.9):
    """Two states, two actions each, one illegal; a profile in which the game may end."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(2, 2, 2, 2))
    rows = rng.dirichlet(np.ones(2), size=(2, 2, 2))
    rows[1, 0, 0] *= 0.5
    masks = (np.array([[True, True], [True, False]]), np.ones((2, 2), bool))
    return MarkovGame(rewards, DenseKernel(rows), np.array([0.25, 0.75]), discount, horizon, masks)


def expected(game, state, policies):
    """Payoffs of OpenSpiel's tree under policies of the Markov game, by enumeration."""
    if state.is_terminal():
        return np.array(state.returns())
    if state.is_chance_node():
        return sum(
            (share * expected(game, state.child(outcome), policies) for outcome, share in state.chance_outcomes()),
            np.zeros(game.num_players()),
        )
    legal = [state.legal_actions(player) for player in range(game.num_players())]
    total = np.zeros(game.num_players())
    for a in legal[0]:
        for b in legal[1]:
            child = state.clone()
            child.apply_actions([a, b])
            share = policies[0][state.place, a] * policies[1][state.place, b]
            total = total + share * expected(game, child, policies)
    return total


def test_open_spiel_s_own_test():
    pyspiel.random_sim_test(markov_game_to_open_spiel(small()), num_sims=20, serialize=False, verbose=False)


def test_payoffs_are_those_of_the_markov_game():
    ours = small()
    theirs = markov_game_to_open_spiel(ours)
    policies = [np.asarray(p) for p in ours.uniform_policies()]
    values = np.zeros((2, 3))  # the third is the end
    for _ in range(ours.horizon):
        rewards, rows = np.asarray(ours.rewards, float), np.asarray(ours.kernel.probabilities, float)
        nexts = np.einsum("sabt,it->isab", rows, values[:, :2])
        values[:, :2] = np.einsum("isab,sa,sb->is", rewards + 0.9 * nexts, *policies)
    wanted = values[:, :2] @ np.asarray(ours.initial)
    start = theirs.new_initial_state()
    assert start.is_chance_node()
    assert dict(start.chance_outcomes()) == pytest.approx({0: 0.25, 1: 0.75})
    np.testing.assert_allclose(expected(theirs, start, policies), wanted, rtol=1e-5)


def test_open_spiel_solves_our_zero_sum_game():
    import jax
    from open_spiel.python.algorithms.cfr import CFRSolver

    from jaxmarl.solvers.markov import shapley_iteration

    game = random_zero_sum(jax.random.key(0), num_states=2, num_actions=(2, 2), discount=0.9, horizon=2)
    spiel = markov_game_to_open_spiel(game)
    solver = CFRSolver(pyspiel.convert_to_turn_based(spiel))
    for _ in range(200):
        solver.evaluate_and_update_policy()
    from open_spiel.python.algorithms import expected_game_score

    start = pyspiel.convert_to_turn_based(spiel).new_initial_state()
    found = expected_game_score.policy_value(start, [solver.average_policy()] * 2)[0]
    exact = shapley_iteration(game)
    assert found == pytest.approx(float(exact.values[0] @ game.initial), abs=0.02)


def test_an_environment_is_an_open_spiel_game_by_way_of_its_table():
    env, params = jaxmarl.make("two_step_game")
    game = enumerate_game(env, params, discount=1.0).game
    spiel = markov_game_to_open_spiel(game, horizon=2)
    pyspiel.random_sim_test(spiel, num_sims=5, serialize=False, verbose=False)
    state = spiel.new_initial_state()
    assert state.current_player() == pyspiel.PlayerId.SIMULTANEOUS
    assert state.observation_tensor(0)[-1] == 0
    state.apply_actions([1, 0])
    state.apply_actions([1, 1])
    assert state.is_terminal()
    assert max(state.returns()) > 0


def test_a_game_without_end_needs_a_horizon():
    endless = MarkovGame(np.zeros((2, 1, 2, 2)), DenseKernel(np.ones((1, 2, 2, 1))), discount=0.5)
    with pytest.raises(ValueError, match="horizon must be given for a game without end, got None"):
        markov_game_to_open_spiel(endless)
    assert markov_game_to_open_spiel(endless, horizon=4).max_game_length() == 4
