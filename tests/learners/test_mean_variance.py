"""Mean less variance as rewards: what they add to, how the centre learns, and what learners then prefer."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, Discrete, Environment, Uniform
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import ReturnObserved
from jaxmarl.learners.mean_variance import MeanVarianceEnv
from jaxmarl.learners.ppo import PPOConfig, ppo
from jaxmarl.testing import check_env


@dataclass(frozen=True)
class Lottery(Environment):
    """Two steps; action 1 wins 0 or 3 in each, action 0 wins 1: 1.5 with variance 2.25 against 1 for sure."""

    num_agents = 1
    horizon = 2

    @property
    def default_params(self):
        return ()

    def action_space(self, params):
        return Discrete(2)

    def observation_space(self, params):
        return Box(0.0, 1.0, (1,))

    reset_chance = ()
    step_chance = Uniform()

    def initial(self, chance, params):
        return jnp.zeros((), jnp.int32)

    def transition(self, state, action, chance, params):
        won = jnp.where(action == 1, jnp.where(chance < 0.5, 0.0, 3.0), 1.0)
        return state + 1, won.astype(jnp.float32), jnp.zeros((), bool), {}

    def truncated(self, state, params):
        return state >= 2

    def observe(self, state, params):
        return jnp.ones((1, 1), jnp.float32)


GAME = ReturnObserved(Lottery(), scale=0.5)


def test_returns_are_seen():
    check_env(GAME)
    state = GAME.initial((), ())
    state, *_ = GAME.transition(state, jnp.ones(1, jnp.int32), jnp.float32(0.7), ())
    np.testing.assert_allclose(GAME.observe(state, ()), [[1.0, 0.5 * 3.0, 0.5]], rtol=1e-6)
    state, _, terminated, _ = GAME.transition(state, jnp.ones(1, jnp.int32), jnp.float32(0.7), ())
    assert bool(terminated)  # nothing follows, whereas the game itself is cut there
    assert not bool(GAME.truncated(state, ()))


def test_rewards_add_to_mean_less_variance():
    env = MeanVarianceEnv(VectorEnv(GAME, 64), risk_aversion=0.3, decay=0.75)
    _, state = env.reset(jax.random.key(0), ())
    centre = None
    for episode in range(4):
        _, state = env.begin(jax.random.key(10 + episode), state, ())
        if centre is not None:
            np.testing.assert_allclose(state.centre, centre, rtol=1e-5)
        y, total, collected = float(state.centre), np.zeros((64, 1)), np.zeros((64, 1))
        for t in range(2):
            key = jax.random.key(100 + 10 * episode + t)
            before = state.returns
            _, state, reward, *_ = env.step(key, state, jnp.ones((64, 1), jnp.int32), ())
            total += np.asarray(reward)
            collected += np.asarray(state.returns - before)
        gamma = 0.3 if episode else 0.0
        np.testing.assert_allclose(total, collected - gamma * ((collected - y) ** 2 - y**2), atol=1e-5)
        mean = collected.mean()
        centre = mean if centre is None else 0.75 * centre + 0.25 * mean


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="risk_aversion"):
        MeanVarianceEnv(VectorEnv(GAME, 2), -1.0)
    with pytest.raises(ValueError, match="decay"):
        MeanVarianceEnv(VectorEnv(GAME, 2), 1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("risk_aversion", "risky"), [(0.0, True), (0.05, True), (0.5, False)])
def test_learners_take_risks_that_pay(risk_aversion, risky):
    """Of both steps, risk brings 1 more with variance 4.5: worth it below gamma = 2/9."""
    env = MeanVarianceEnv(VectorEnv(GAME, 256), risk_aversion)
    config = PPOConfig(
        hidden=8, recurrent=False, chunk_length=2, minibatches=2, learning_rate=0.01, discount=1.0, label_weight=0.0
    )
    learner = ppo(env, config, ())

    @jax.jit
    def train(key):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), learner.init(key), None, 150)[0]

    centre = float(train(jax.random.key(0)).rollout.env.centre)
    assert abs(centre - (3.0 if risky else 2.0)) < 0.15
