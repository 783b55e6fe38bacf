"""The grid games of Hu and Wellman: values by planning, and play along shortest paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.markov import GridGame, GridGameState
from jaxmarl.games.markov_fixtures import grid_game

UP, DOWN, LEFT, RIGHT = range(4)


@pytest.mark.parametrize(
    ("which", "friend", "planner"), [("opposite", 97.0299, 194.0598), ("common", 98.01, 194.079208)]
)
def test_what_cooperation_is_worth(which, friend, planner):
    with jax.enable_x64(True):
        game = grid_game(which)

        @jax.jit
        def plan(rewards):
            def sweep(_, values):
                return jnp.max(rewards + game.discount * game.kernel.expect(values), axis=(1, 2))

            return jax.lax.fori_loop(0, 60, sweep, jnp.zeros(game.num_states)) @ game.initial

        for player in range(2):
            np.testing.assert_allclose(plan(game.rewards[player]), friend, atol=1e-9)
        np.testing.assert_allclose(plan(game.rewards.sum(0)), planner, atol=1e-6)


def play(env, actions, chances):
    params, state, paid = env.default_params, env.initial((), env.default_params), []
    for action, chance in zip(actions, chances, strict=True):
        state, reward, ended, info = env.transition(state, jnp.array(action), chance, params)
        paid.append(reward)
    return state, np.asarray(paid), bool(ended), info


def test_paths_that_do_not_cross():
    env = GridGame("opposite")
    # the second player lets the first one pass below it
    actions = [(RIGHT, UP), (RIGHT, UP), (UP, LEFT), (UP, LEFT)]
    _, paid, ended, info = play(env, actions, [()] * 4)
    np.testing.assert_array_equal(paid, [[0, 0]] * 3 + [[100, 100]])
    assert ended
    assert info["arrived"].all()
    known = env.benchmarks(env.default_params)["equilibrium_values"]
    np.testing.assert_allclose(known, 0.99 ** np.arange(4) @ paid, rtol=1e-6)


@pytest.mark.parametrize("stopped", [0, 1])
def test_the_barrier_stops_half_of_the_time(stopped):
    env = GridGame("common")
    actions = [(RIGHT, UP), (UP, UP), (UP, LEFT)]
    # where the second player gets through it arrives with the first one, in one cell
    _, paid, ended, info = play(env, actions, [jnp.array([1, stopped])] + [jnp.array([1, 1])] * 2)
    assert ended
    assert info["arrived"].tolist() == [True, not stopped]
    np.testing.assert_array_equal(paid[-1], [100, 0 if stopped else 100])
    known = env.benchmarks(env.default_params)["equilibrium_values"]
    np.testing.assert_allclose(known, [98.01, 49.005], rtol=1e-6)


@pytest.mark.parametrize(
    ("cells", "actions"),
    [
        (((1, 0), (1, 2)), (RIGHT, LEFT)),  # into one cell
        (((1, 0), (1, 1)), (RIGHT, LEFT)),  # past each other
        (((1, 1), (1, 2)), (RIGHT, RIGHT)),  # into one who runs into the wall
    ],
    ids=["meet", "swap", "stay"],
)
def test_collisions_cost_both(cells, actions):
    env = GridGame()
    state = GridGameState(jnp.array(cells, jnp.int32), jnp.int32(0))
    after, reward, ended, info = env.transition(state, jnp.array(actions), (), env.default_params)
    np.testing.assert_array_equal(after.cells, state.cells)
    np.testing.assert_array_equal(reward, [-1, -1])
    assert info["collided"]
    assert not ended


def test_one_may_follow_the_other():
    env = GridGame()
    state = GridGameState(jnp.array([(1, 0), (1, 1)], jnp.int32), jnp.int32(0))
    after, reward, _, _ = env.transition(state, jnp.array([RIGHT, RIGHT]), (), env.default_params)
    np.testing.assert_array_equal(after.cells, [(1, 1), (1, 2)])
    np.testing.assert_array_equal(reward, [0, 0])


def test_planes_and_pictures():
    for which, goals in (("opposite", [[0, 2], [0, 0]]), ("common", [[0, 1], [0, 1]])):
        env = GridGame(which, max_steps=5)
        obs, state = env.reset(jax.random.key(0), env.default_params)
        for agent in range(2):
            own, other, goal = (np.argwhere(plane).tolist() for plane in obs[agent])
            assert (own, other, goal) == ([[2, 2 * agent]], [[2, 2 - 2 * agent]], [goals[agent]])
        assert env.render(state, env.default_params).shape == (121, 121, 3)
