"""Recorded episodes: what was played, to its end and no further."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import Player
from jaxmarl.evaluation import cross_play, play_episodes, play_profiles

ENV, PARAMS = make("intersection")
# both start 30 m from the crossing at 10 m/s: who holds is there after six steps
PARAMS = replace(PARAMS, start=jnp.full(2, -30.0), start_speed=jnp.full(2, 10.0))
HOLD, ACCELERATE = (Player(ENV.benchmarks(PARAMS)[name]) for name in ("hold", "accelerate"))


@pytest.fixture(scope="module")
def episodes():
    profiles = [[HOLD, HOLD], [ACCELERATE, HOLD], [HOLD, ACCELERATE]]
    return play_profiles(ENV, profiles, jax.random.key(0), num_episodes=2, num_steps=12, params=PARAMS)


def test_profiles_are_played_as_seated(episodes):
    crash, first, second = episodes
    assert crash.lengths.tolist() == [6, 6]
    np.testing.assert_allclose(crash.returns, 0.1 * 30 - 0.05 * 6 - 20, atol=1e-5)
    np.testing.assert_array_equal(first.returns, second.returns[:, ::-1])
    np.testing.assert_allclose(first.returns[0], [-16.425, -17.3], atol=1e-5)


def test_nothing_counts_after_the_end(episodes):
    crash = episodes[0]
    assert crash.rewards.shape == (12, 2, 2)
    assert not crash.rewards[6:].any()
    path = crash.path(1)
    assert len(path) == 7
    assert path[0].t == 0
    assert path[-1].crashed.all()


def test_returns_are_those_of_cross_play(episodes):
    table = cross_play(ENV, [HOLD, ACCELERATE], jax.random.key(1), 1, PARAMS, max_steps=12)
    np.testing.assert_allclose(table.returns[0, 0, 0], episodes[0].returns[0], atol=1e-6)
    np.testing.assert_allclose(table.returns[1, 0, 0], episodes[1].returns[0], atol=1e-6)


def test_wrong_input_is_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="players must be 2 players, one a seat, got 1"):
        play_episodes(ENV, [HOLD], key, num_steps=3)
    with pytest.raises(ValueError, match="num_steps must be given"):
        play_episodes(ENV, [HOLD, HOLD], key)
    with pytest.raises(ValueError, match="num_episodes must be an integer >= 1"):
        play_episodes(ENV, [HOLD, HOLD], key, num_episodes=0, num_steps=3)
