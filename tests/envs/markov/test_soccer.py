"""Littman's soccer: what optimal policies do in the environment, and what a learner makes of it."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.chance import Integers, draw
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.seating import Player
from jaxmarl.envs.markov import Soccer, SoccerState, enumerate_game, table_policy
from jaxmarl.evaluation.cross_play import play
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_fixtures import soccer
from jaxmarl.games.markov_metrics import policy_values
from jaxmarl.solvers.markov import QLearningOptions, hoffman_karp, minimax_q

values_of = jax.jit(policy_values)


def first_saddle(payoffs, mixed):
    """The first player's optimal policy: the first action of a saddle point where there is one, else `mixed`."""
    lows, highs = payoffs.min(2), payoffs.max(1)
    saddle = lows.max(1) >= highs.min(1) - 1e-9
    pure = jax.nn.one_hot(jnp.argmax(lows >= lows.max(1, keepdims=True) - 1e-9, axis=1), 5, dtype=mixed.dtype)
    return jnp.where(saddle[:, None], pure, mixed)


@pytest.fixture(scope="module")
def solved():
    """The table in double precision, its values, and optimal policies of both players."""
    with jax.enable_x64(True):
        game = soccer()
        solution = jax.jit(partial(hoffman_karp, tolerance=1e-9))(game)
        payoffs = game.action_values(0, solution.values[0])
        first = first_saddle(payoffs, solution.policies[0])
        return game, solution.values, (first, solution.policies[1])


def goals(game, policies):
    """Probabilities that each player scores before the draw."""
    scored = MarkovGame(jnp.maximum(game.rewards, 0), game.kernel, game.initial, game.discount)
    return np.asarray(values_of(scored, policies) @ game.initial)


def test_who_scores_before_the_draw(solved):
    with jax.enable_x64(True):
        game, _, optimal = solved
        uniform = game.uniform_policies()
        np.testing.assert_allclose(goals(game, optimal), [0.1805877] * 2, atol=1e-7)
        np.testing.assert_allclose(goals(game, uniform), [0.0191473] * 2, atol=1e-7)
        won, lost = goals(game, (optimal[0], uniform[1]))
        np.testing.assert_allclose([won, lost], [0.4300615, 0.0037356], atol=1e-7)
        np.testing.assert_allclose(won - lost, 0.4263259, atol=1e-7)
        np.testing.assert_allclose(won / (won + lost), 0.99139, atol=5e-6)


@pytest.mark.slow
def test_minimax_policies_differ_against_a_weak_opponent(solved):
    # The 704 states with a saddle have other optimal actions, too: the figure above is that of the first ones.
    with jax.enable_x64(True):
        game, values, (first, second) = solved
        np.testing.assert_allclose(values_of(game, (first, second))[0], values[0], atol=1e-7)
        last = first_saddle(game.action_values(0, values[0])[:, ::-1], first[:, ::-1])[:, ::-1]
        np.testing.assert_allclose(values_of(game, (last, second))[0], values[0], atol=1e-7)
        won, lost = goals(game, (last, game.uniform_policies()[1]))
        np.testing.assert_allclose(won / (won + lost), 0.99352, atol=5e-6)


def test_benchmark_is_the_value(solved):
    env = Soccer()
    start = jax.vmap(env.initial, (0, None))(jnp.arange(2), env.default_params)
    numbers = jax.vmap(env.state_index, (0, None))(start, env.default_params)
    known = env.benchmarks(env.default_params)["values"]
    np.testing.assert_allclose(known, np.asarray(solved[1])[:, np.asarray(numbers)].T, atol=1e-9)
    assert Soccer(num_rows=2, goal_rows=(0, 1), starts=((0, 2), (1, 1))).benchmarks(env.default_params) == {}


def decided(env, first, second, num_matches, key):
    """Wins of the first player and decided games in the environment."""
    view = replace(env, observation="index")
    players = tuple(
        Player(uniform_policy(5)) if policy is None else Player(table_policy(), jnp.asarray(policy, jnp.float32), view)
        for policy in (first, second)
    )
    returns = play(env, players, np.array([[0, 1]]), key, num_matches, max_steps=150, matches_per_call=num_matches)
    won, lost = (float(np.sum(returns[0, :, player] > 0)) for player in (0, 1))
    return won, won + lost


def test_the_minimax_policy_in_the_environment(solved):
    won, games = decided(Soccer(), np.asarray(solved[2][0]), None, 40_000, jax.random.key(0))
    error = np.sqrt(0.99139 * 0.00861 / games)
    assert abs(won / games - 0.99139) < 4 * error
    assert abs(games / 40_000 - (0.4300615 + 0.0037356)) < 4 * np.sqrt(0.434 * 0.566 / 40_000)


@pytest.mark.slow
def test_minimax_q_beats_random_play():
    # The field of Greenwald and Hall (2003): two rows, four columns.
    env = Soccer(num_rows=2, num_columns=4, goal_rows=(0, 1), starts=((0, 2), (1, 1)))
    game = enumerate_game(env, replace(env.default_params, draw=jnp.zeros(())), discount=0.9).game
    options = QLearningOptions(2000, batch_size=128, refresh_every=50, restart_probability=0.1)
    learned = jax.jit(lambda key: minimax_q(game, key, options))(jax.random.key(1)).solution
    # both learned policies, in the environment, against random players
    won, games = decided(env, np.asarray(learned.policies[0]), None, 4000, jax.random.key(2))
    assert won / games > 0.95
    won, games = decided(env, None, np.asarray(learned.policies[1]), 4000, jax.random.key(3))
    assert won / games < 0.05
    even, games = decided(env, None, None, 4000, jax.random.key(4))
    assert abs(even / games - 0.5) < 4 * np.sqrt(0.25 / games)


def half_turn(state: SoccerState) -> SoccerState:
    cells = jnp.array([3, 4]) - state.cells
    return SoccerState(cells[::-1], 1 - state.ball, state.t)


def test_half_a_turn_exchanges_the_players():
    env, plain = Soccer(turned=True), Soccer()
    params = env.default_params
    states = jax.tree.map(lambda x: jnp.asarray(x)[::3], plain.all_states(params))
    count = states.ball.size
    actions, (first, luck) = draw((Integers(5, (2,)), env.step_chance), jax.random.key(5), (count,))

    @jax.jit
    @jax.vmap
    def both(state, action, first, luck):
        after, reward, ended, _ = env.transition(state, action, (first, luck), params)
        other, paid, over, _ = env.transition(half_turn(state), action[::-1], (1 - first, luck), params)
        same = env.observe(after, params), reward, ended
        return same, (env.observe(other, params)[::-1], paid[::-1], over)

    same, exchanged = both(states, actions, first, luck)
    live = ~np.asarray(same[2])
    assert live.sum() > 100
    np.testing.assert_array_equal(np.asarray(same[0])[live], np.asarray(exchanged[0])[live])
    np.testing.assert_array_equal(same[1], exchanged[1])
    np.testing.assert_array_equal(same[2], exchanged[2])


def test_planes_and_picture():
    env = Soccer()
    params = env.default_params
    obs, state = env.reset(jax.random.key(0), params)
    assert obs.shape == (2, 4, 4, 5)
    assert np.argwhere(obs[0, 0]).tolist() == [[1, 3]] == np.argwhere(obs[1, 1]).tolist()
    assert np.argwhere(obs[1, 0]).tolist() == [[2, 1]] == np.argwhere(obs[0, 1]).tolist()
    np.testing.assert_array_equal(obs[:, 2:].mean((2, 3)), np.eye(2) if state.ball == 0 else 1 - np.eye(2))
    first, second = (env.render(replace(state, ball=jnp.int32(ball)), params) for ball in (0, 1))
    assert first.shape == (241, 281, 3)
    assert (first != second).any()


def test_the_time_limit_is_no_end():
    env = Soccer(max_steps=3)
    params = replace(env.default_params, draw=jnp.zeros(()))
    _, state = env.reset(jax.random.key(0), params)
    for t in range(3):
        assert bool(env.truncated(state, params)) == (t == 3)
        _, state, _, terminated, truncated, _ = env.step(jax.random.key(t), state, jnp.array([4, 4]), params)
        assert not terminated
    assert truncated
