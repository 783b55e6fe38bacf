"""Repeated rock-paper-scissors equals OpenSpiel's repeated `matrix_rps`: observations, rewards, ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.rps import RepeatedRPS

pyspiel = pytest.importorskip("pyspiel")

NUM_THROWS = 50


def play_open_spiel(recall: int, joint: np.ndarray):
    """Observation tensors `[T + 1, 2, 6R]`, rewards `[T, 2]`, ends `[T]`, returns `[2]`."""
    options = {"num_repetitions": NUM_THROWS, "recall": recall, "enable_infostate": True}
    state = pyspiel.create_repeated_game(pyspiel.load_game("matrix_rps"), options).new_initial_state()
    seen, rewards, over = [[state.observation_tensor(p) for p in (0, 1)]], [], []
    for a, b in joint:
        state.apply_actions([int(a), int(b)])
        seen.append([state.observation_tensor(p) for p in (0, 1)])
        rewards.append(state.rewards())
        over.append(state.is_terminal())
    return np.asarray(seen), np.asarray(rewards), np.asarray(over), np.asarray(state.returns())


def play_ours(recall: int, joint: np.ndarray):
    """The same of our environment."""
    env = RepeatedRPS(num_throws=NUM_THROWS, recall=recall, layout="open_spiel")
    params = env.default_params

    def throw(state, action):
        state, reward, terminated, _ = env.transition(state, action, (), params)
        return state, (env.observe(state, params), reward, terminated)

    start = env.initial((), params)
    seen, rewards, over = jax.lax.scan(throw, start, jnp.asarray(joint, jnp.int32))[1]
    return np.concatenate([env.observe(start, params)[None], seen]), rewards, over, rewards.sum(axis=0)


@pytest.mark.parametrize("recall", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_matches_are_equal(recall, seed):
    joint = np.random.default_rng(seed).integers(0, 3, (NUM_THROWS, 2))
    for ours, theirs in zip(play_ours(recall, joint), play_open_spiel(recall, joint), strict=True):
        np.testing.assert_array_equal(ours, theirs)
