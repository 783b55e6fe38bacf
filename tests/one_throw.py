"""The policy gradient of three logits on games of one move: a learner that costs nothing."""

import jax
import jax.numpy as jnp

from jaxmarl.core.chance import Uniform
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.learners.base import Learner

SOFTMAX = Policy(
    lambda chance: (), lambda params, memory, obs, chance: (categorical(params, chance), memory), act_chance=Uniform()
)


def bandit(env, params, num_actions=3, rate=2.0, decay=0.0):
    """A learner of one move; `decay` of its logits keeps every move alive."""

    def init(key):
        draw_key, key = jax.random.split(key)
        return 0.1 * jax.random.normal(draw_key, (num_actions,)), key

    def update(state):
        logits, key = state
        key, reset_key, act_key, step_key = jax.random.split(key, 4)
        start = env.reset(reset_key, params)[1]
        actions = categorical(logits, jax.random.uniform(act_key, (env.num_envs, env.num_agents)))
        reward = env.step(step_key, start, actions, params)[2]
        score = jax.nn.one_hot(actions, num_actions) - jax.nn.softmax(logits)
        gradient = jnp.mean((reward - jnp.mean(reward))[..., None] * score, axis=(0, 1))
        return ((1 - decay) * logits + rate * gradient, key), {"episode_return": jnp.mean(reward)}

    return Learner(init, update, SOFTMAX, lambda state: state[0], env.num_envs * env.num_agents)
