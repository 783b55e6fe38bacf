"""Episodes of one length: the game as it is until it ends, and nothing after."""

import jax
import numpy as np
import pytest

from jaxmarl.core.fixed_horizon import FixedHorizon
from jaxmarl.envs.markov.soccer import Soccer
from jaxmarl.testing import check_env

STEPS = 12


@pytest.fixture(scope="module")
def played():
    """Both environments from the same start, by the same actions and chance; the game's own until it ended."""
    game = Soccer(num_rows=2, num_columns=3, goal_rows=(0,), starts=((0, 2), (1, 0)))
    env, params = FixedHorizon(game, STEPS), game.default_params

    @jax.jit
    def run(key):
        def step(carry, key):
            state, inner = carry
            action_key, key = jax.random.split(key)
            action = jax.random.randint(action_key, (2,), 0, 5)
            obs, state, reward, terminated, truncated, _ = env.step(key, state, action, params)
            seen, inner, paid, ended, _, _ = game.step(key, inner, action, params)
            return (state, inner), (obs, reward, terminated | truncated, seen, paid, ended)

        first, second = jax.random.split(key)
        start = env.reset(first, params)[1], game.reset(first, params)[1]
        return jax.lax.scan(step, start, jax.random.split(second, STEPS))[1]

    return jax.vmap(run)(jax.random.split(jax.random.key(0), 50))


def test_it_is_the_game_until_the_end_and_nothing_after(played):
    obs, reward, done, seen, paid, ended = map(np.asarray, played)
    for episode in range(50):
        last = int(np.argmax(ended[episode])) if ended[episode].any() else STEPS - 1
        np.testing.assert_array_equal(reward[episode, : last + 1], paid[episode, : last + 1])
        np.testing.assert_array_equal(obs[episode, :last], seen[episode, :last])
        assert not reward[episode, last + 1 :].any()
        if ended[episode].any():
            assert not obs[episode, last:].any()
        assert done[episode].tolist() == [False] * (STEPS - 1) + [True]
    assert ended[:, : STEPS // 2].any(axis=1).mean() > 0.3  # the test is of something


@pytest.mark.slow
def test_it_is_an_environment():
    check_env(FixedHorizon(Soccer(num_rows=2, num_columns=3, goal_rows=(0,), starts=((0, 2), (1, 0))), 5))


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="steps must be"):
        FixedHorizon(Soccer(), 0)
