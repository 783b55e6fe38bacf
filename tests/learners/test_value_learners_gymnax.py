"""Deep value learners on small environments of gymnax: the answers are known."""

import jax
import jax.numpy as jnp
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.rollout import actor_from_policy, rollout, start_rollout
from jaxmarl.interop import GymnaxEnvironment
from jaxmarl.learners.value import CategoricalHead, MeanHead, QuantileHead, ValueConfig, deep_q

pytest.importorskip("gymnax")

HEADS = {"mean": MeanHead(), "categorical": CategoricalHead(-1.2, 1.2, 51), "quantile": QuantileHead(32, kappa=0.02)}


def greedy_return(env, head, length, agent_steps, **settings):
    """Mean return of 64 episodes after training."""
    config = ValueConfig(
        **{
            "hidden": (64, 64),
            "gradient_steps": 8,
            "learning_rate": 1e-3,
            "target_every": 100,
            "rounds": agent_steps // 32,
            "anneal_steps": agent_steps,
            "epsilon_steps": agent_steps // 2,
            **settings,
        }
    )
    learner, batch = deep_q(VectorEnv(env, 8), head, config), VectorEnv(env, 64)

    @jax.jit
    def score(key):
        state, _ = learner.update(learner.init(key))
        actor, params = actor_from_policy(learner.policy, 64, 1), env.default_params
        start = start_rollout(batch, actor, key, params)
        _, path, _ = rollout(batch, actor, learner.params(state), start, key, params, length)
        done = path.terminated | path.truncated
        first = done & (jnp.cumsum(done, 0) == 1)
        return jnp.sum(jnp.where(first, path.episode_return[..., 0], 0.0)) / jnp.sum(first)

    return float(score(jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_catch_is_solved(name):
    assert greedy_return(GymnaxEnvironment("Catch-bsuite"), HEADS[name], 9, 10_000) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean", "categorical"])
def test_a_small_deep_sea_is_crossed(name):
    env = GymnaxEnvironment("DeepSea-bsuite", (("size", 5),))
    assert greedy_return(env, HEADS[name], 5, 10_000) >= 0.98


@pytest.mark.slow
def test_a_pole_is_balanced_for_a_while():
    settings = {"n_step": 3, "target_every": 50, "learning_rate": 5e-4, "capacity": 50_000, "epsilon_steps": 10_000}
    assert greedy_return(GymnaxEnvironment("CartPole-v1"), MeanHead(), 500, 50_000, **settings) >= 150


@pytest.mark.parametrize("size", [8, 10])
def test_deep_sea_pays_a_player_without_aim_little(size):
    """All 2^N sequences of actions, from one start: the mean return of uniform play is 2^-N - 0.005."""
    env = GymnaxEnvironment("DeepSea-bsuite", (("size", size),))
    params, sequences = env.default_params, 2**size
    _, start = env.reset(jax.random.key(0), params)
    actions = (jnp.arange(sequences) >> jnp.arange(size)[:, None]) & 1

    def step(state, action):
        _, state, reward, *_ = jax.vmap(env.step, (None, 0, 0, None))(jax.random.key(1), state, action[:, None], params)
        return state, reward[:, 0]

    states = jax.tree.map(lambda x: jnp.broadcast_to(x, (sequences, *x.shape)), start)
    rewards = jax.jit(lambda s: jax.lax.scan(step, s, actions)[1])(states)
    assert float(jnp.mean(jnp.sum(rewards, 0))) == pytest.approx(2**-size - 0.005, abs=1e-7)
