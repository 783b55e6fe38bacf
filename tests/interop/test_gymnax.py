"""Environments of gymnax as ours: the same steps, without the reset."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import uniform_policy
from jaxmarl.core.rollout import actor_from_policy, rollout, start_rollout
from jaxmarl.interop import GymnaxEnvironment
from jaxmarl.testing import check_env

gymnax = pytest.importorskip("gymnax")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CartPole-v1", ()),
        ("Catch-bsuite", ()),
        ("DeepSea-bsuite", (("size", 5),)),
        ("Breakout-MinAtar", ()),
        ("Pendulum-v1", ()),
    ],
)
def test_contract(name, options):
    check_env(GymnaxEnvironment(name, options), without=("runs_in_x64",))  # gymnax's own steps mix types there


def test_steps_are_those_of_gymnax_and_a_limit_is_a_truncation():
    env = GymnaxEnvironment()
    params = env.default_params.replace(max_steps_in_episode=jnp.int32(3))
    theirs = gymnax.make("CartPole-v1")[0]

    @jax.jit
    def both(key):
        _, state = env.reset(key, params)
        rows = []
        for t in range(3):
            step_key, action = jax.random.fold_in(key, t), jnp.array([t % 2])
            obs, *_ = theirs.step_env(step_key, state.inner, action[0], params)
            state, reward, terminated, _ = env.transition(state, action, step_key, params)
            rows.append((env.observe(state, params)[0], obs, reward[0], terminated, env.truncated(state, params)))
        return jax.tree.map(lambda *x: jnp.stack(x), *rows)

    ours, expected, reward, terminated, truncated = both(jax.random.key(0))
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(reward, 1)
    assert not terminated.any()
    np.testing.assert_array_equal(truncated, [False, False, True])
    assert env.observation_space(params).high == float("inf")


def mean_return(env, num_steps=200, num_envs=256):
    """Of a uniformly random player, over the episodes that ended, with its standard error."""
    batch = VectorEnv(env, num_envs)
    actor = actor_from_policy(uniform_policy(env.action_space(env.default_params).n), num_envs, 1)

    def play(key):
        params = env.default_params
        state = start_rollout(batch, actor, key, params)
        _, trajectory, _ = rollout(batch, actor, None, state, key, params, num_steps)
        return trajectory.episode_return[..., 0], trajectory.terminated | trajectory.truncated

    returns, done = (np.asarray(x) for x in jax.jit(play)(jax.random.key(1)))
    ended = returns[done]
    return ended.mean(), ended.std() / ended.size**0.5


def test_a_random_player_of_catch_and_deep_sea():
    """One of 5 columns is caught, whatever the paddle does without looking: -0.6."""
    mean, error = mean_return(GymnaxEnvironment("Catch-bsuite"), 90)
    assert abs(mean + 0.6) < 4 * error
    mean, error = mean_return(GymnaxEnvironment("DeepSea-bsuite", (("size", 4),)), 80)
    assert abs(mean - (2.0**-4 - 0.005)) < 4 * error


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="name must be one of"):
        GymnaxEnvironment("CartPole")
