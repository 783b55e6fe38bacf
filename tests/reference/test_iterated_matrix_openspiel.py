"""Iterated matrix games equal OpenSpiel's: observations, rewards, ends, and returns of strategies under a discount.

OpenSpiel's `coin_game` is not compared with ours, as it is another game: players move in turn on a bounded board that
they block, coins have colours but no owner and never come back, and the only payment is at the end, the square of the
number of coins collected of one's own preferred colour, plus that of others', less that of the rest. Ours with two
coins is compared with JaxMARL's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.dilemmas import IteratedMatrix, IteratedMatrixParams
from jaxmarl.games.iterated import MEMORY_ONE, memory_one_values

pyspiel = pytest.importorskip("pyspiel")
peer_games = pytest.importorskip("open_spiel.python.environments.iterated_matrix_game")
ROUNDS, BATCH = 20, 32
PEERS = {"prisoners_dilemma": "IteratedPrisonersDilemma", "matching_pennies": "IteratedMatchingPennies"}


@pytest.mark.parametrize("game", PEERS)
def test_observations_rewards_and_ends(game):
    actions = np.random.default_rng(0).integers(0, 2, (ROUNDS, BATCH, 2))
    peer = getattr(peer_games, PEERS[game])(ROUNDS, BATCH)
    steps = [peer.reset(), *(peer.step(a) for a in actions)]
    env = IteratedMatrix(num_steps=ROUNDS, game=game)
    params = env.default_params

    @jax.jit
    @jax.vmap
    def play(actions):
        def step(state, action):
            state, reward, terminated, _ = env.transition(state, action, (), params)
            return state, (env.observe(state, params), reward, terminated | env.truncated(state, params))

        start = env.initial((), params)
        return env.observe(start, params), *jax.lax.scan(step, start, actions)[1]

    start, seen, reward, over = play(jnp.asarray(actions.swapaxes(0, 1), jnp.int32))
    theirs = np.stack([step.observations["info_state"] for step in steps])  # [T + 1, player, batch, 5]
    np.testing.assert_array_equal(np.concatenate([start[:, None], seen], axis=1), theirs.transpose(2, 0, 1, 3))
    np.testing.assert_array_equal(reward, np.stack([step.rewards for step in steps[1:]]).transpose(2, 0, 1))
    np.testing.assert_array_equal(over, np.broadcast_to([step.last() for step in steps[1:]], (BATCH, ROUNDS)))


@pytest.mark.parametrize("pair", [("tit_for_tat", "all_defect"), ("win_stay_lose_shift", "all_defect")])
def test_random_ends_are_a_discount(pair):
    """Expected returns in a game that goes on with probability γ after each round, over all its lengths."""
    pytest.importorskip("open_spiel.python.games.iterated_prisoners_dilemma")
    game = pyspiel.load_game("python_iterated_prisoners_dilemma", {"termination_probability": 0.125})
    params = IteratedMatrixParams(jnp.array([[[5.0, 0.0], [10.0, 1.0]], [[5.0, 10.0], [0.0, 1.0]]]))
    env = IteratedMatrix()
    strategies = np.array([MEMORY_ONE[name] for name in pair])  # deterministic: probabilities 0 and 1
    state, ours = game.new_initial_state(), env.initial((), params)
    expected, alive = np.zeros(2), 1.0
    for _ in range(120):
        action = (strategies[[0, 1], np.argmax(env.observe(ours, params), axis=1)] < 0.5).astype(int)
        ours, reward, _, _ = env.transition(ours, jnp.asarray(action, jnp.int32), (), params)
        state.apply_actions(action.tolist())
        np.testing.assert_array_equal(state.rewards(), reward)
        expected += alive * reward
        chance = dict(state.chance_outcomes())
        alive *= chance[0]
        state.apply_action(0)
    values = memory_one_values(*jnp.asarray(strategies, jnp.float32), params.payoffs, 0.875) / 0.125
    np.testing.assert_allclose(expected, values, rtol=1e-5)
