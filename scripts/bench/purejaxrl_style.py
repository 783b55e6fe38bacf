"""PPO and DQN on gymnax as single functions, written as PureJaxRL writes them, to be timed beside ours.

Not a copy: the structure is theirs (Lu et al. 2022): `vmap` of the environment's own resetting step with a key for each
instance, everything in nested scans, networks and minibatches of the same sizes as ours. JaxMARL's independent PPO is
the same on rows of all agents (`ippo.py`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import flashbax
import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState


class ActorCritic(nn.Module):
    """Policy and value, each with layers of its own."""

    actions: int
    width: int = 64

    @nn.compact
    def __call__(self, x):
        outputs = []
        for size in (self.actions, 1):
            hidden = x
            for _ in range(2):
                hidden = nn.tanh(nn.Dense(self.width)(hidden))
            outputs.append(nn.Dense(size)(hidden))
        return distrax.Categorical(outputs[0]), outputs[1][..., 0]


class QNetwork(nn.Module):
    """Values of actions."""

    actions: int
    width: int = 64

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.Dense(self.width)(x))
        return nn.Dense(self.actions)(x)


class Transition(NamedTuple):
    """A step as PPO learns from it."""

    done: Any
    action: Any
    value: Any
    reward: Any
    log_prob: Any
    obs: Any
    info: Any


class World(NamedTuple):
    """Instances that reset themselves: `reset(key)` gives rows of observations and a state."""

    actions: int
    reset: Callable[..., Any]
    step: Callable[..., Any]
    """(key, state, actions) -> (observations, state, rewards, dones, info), which starts again what ended."""


def _cart_pole(num_envs: int) -> World:
    env, params = gymnax.make("CartPole-v1")

    def reset(key):
        return jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), params)

    def step(key, state, action):
        keys = jax.random.split(key, num_envs)
        obs, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(keys, state, action, params)
        return obs, state, reward, terminated | truncated, {}

    return World(env.action_space(params).n, reset, step)


def ppo(num_envs: int, num_steps: int, epochs: int, minibatches: int):
    """`init(key)` and `update(state)` of PPO on CartPole."""
    init, update = ppo_on(_cart_pole(num_envs), num_steps, epochs, minibatches)
    return init, lambda state: update(state)[0]


def ppo_on(world: World, num_steps: int, epochs: int, minibatches: int):
    """`init(key)` and `update(state)`, which also returns metrics, of PPO."""
    network: Any = ActorCritic(world.actions)
    optimiser = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(2.5e-4, eps=1e-5))

    def init(key):
        obs, env_state = world.reset(key)
        train = TrainState.create(apply_fn=network.apply, params=network.init(key, obs), tx=optimiser)
        return train, env_state, obs, key

    def loss(params, batch, advantages, targets):
        pi, value = network.apply(params, batch.obs)
        clipped = batch.value + (value - batch.value).clip(-0.2, 0.2)
        value_loss = 0.5 * jnp.maximum((value - targets) ** 2, (clipped - targets) ** 2).mean()
        ratio = jnp.exp(pi.log_prob(batch.action) - batch.log_prob)
        scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        actor = -jnp.minimum(ratio * scaled, jnp.clip(ratio, 0.8, 1.2) * scaled).mean()
        entropy = pi.entropy().mean()
        parts = {"value_loss": value_loss, "actor_loss": actor, "entropy": entropy, "ratio": ratio}
        return actor + 0.5 * value_loss - 0.01 * entropy, parts

    def play(carry, _):
        train, env_state, obs, key = carry
        key, act_key = jax.random.split(key)
        pi, value = network.apply(train.params, obs)
        action = pi.sample(seed=act_key)
        log_prob = pi.log_prob(action)
        key, env_key = jax.random.split(key)
        after, env_state, reward, done, info = world.step(env_key, env_state, action)
        return (train, env_state, after, key), Transition(done, action, value, reward, log_prob, obs, info)

    def update(state):
        (train, env_state, obs, key), path = jax.lax.scan(play, state, length=num_steps)
        last = network.apply(train.params, obs)[1]

        def backward(carry, row):
            gae, following = carry
            alive = 1 - row.done
            gae = row.reward + 0.99 * following * alive - row.value + 0.99 * 0.95 * alive * gae
            return (gae, row.value), gae

        _, advantages = jax.lax.scan(backward, (jnp.zeros_like(last), last), path, reverse=True, unroll=16)
        data = path, advantages, advantages + path.value

        def epoch(carry, _):
            train, key = carry
            key, sub = jax.random.split(key)
            order = jax.random.permutation(sub, path.value.size)
            flat = jax.tree.map(
                lambda x: x.reshape(-1, *x.shape[2:])[order].reshape(minibatches, -1, *x.shape[2:]), data
            )

            def minibatch(train, rows):
                (total, parts), grads = jax.value_and_grad(loss, has_aux=True)(train.params, *rows)
                return train.apply_gradients(grads=grads), {"loss": total, **parts}

            train, told = jax.lax.scan(minibatch, train, flat)
            return (train, key), told

        (train, key), told = jax.lax.scan(epoch, (train, key), length=epochs)
        return (train, env_state, obs, key), jax.tree.map(jnp.mean, {**told, **path.info})

    return init, update


def dqn(num_envs: int, gradient_steps: int, batch: int, capacity: int):
    """`init(key)` and `update(state)` of DQN: a step of each instance, then gradient steps."""
    actions, reset, step = _cart_pole(num_envs)
    network: Any = QNetwork(actions)
    optimiser = optax.adam(1e-3)
    buffer = flashbax.make_flat_buffer(
        max_length=capacity, min_length=batch, sample_batch_size=batch, add_sequences=False, add_batch_size=num_envs
    )

    def init(key):
        obs, env_state = reset(key)
        params = network.init(key, obs)
        train = TrainState.create(apply_fn=network.apply, params=params, tx=optimiser)
        row = {"obs": obs[0], "action": jnp.int32(0), "reward": jnp.float32(0), "done": jnp.bool_(False)}
        return train, jax.tree.map(jnp.copy, params), buffer.init(row), env_state, obs, key

    def play(state):
        train, target, memory, env_state, obs, key = state
        key, explore_key, random_key, env_key = jax.random.split(key, 4)
        greedy = jnp.argmax(network.apply(train.params, obs), -1)
        anything = jax.random.randint(random_key, greedy.shape, 0, actions)
        action = jnp.where(jax.random.uniform(explore_key, greedy.shape) < 0.1, anything, greedy)
        after, env_state, reward, done, _ = step(env_key, env_state, action)
        rows = {"obs": obs, "action": action, "reward": reward.astype(jnp.float32), "done": done}
        return train, target, buffer.add(memory, rows), env_state, after, key

    def update(state):
        train, target, memory, env_state, obs, key = play(state)
        key, *keys = jax.random.split(key, gradient_steps + 1)

        def gradient(carry, key):
            train, target = carry
            pair = buffer.sample(memory, key).experience
            following = network.apply(target, pair.second["obs"])
            best = jnp.argmax(network.apply(train.params, pair.second["obs"]), -1)
            value = jnp.take_along_axis(following, best[:, None], 1)[:, 0]
            aim = pair.first["reward"] + 0.99 * (1 - pair.first["done"]) * value

            def loss(params):
                q = jnp.take_along_axis(network.apply(params, pair.first["obs"]), pair.first["action"][:, None], 1)
                return jnp.mean((q[:, 0] - aim) ** 2)

            train = train.apply_gradients(grads=jax.grad(loss)(train.params))
            return (train, optax.incremental_update(train.params, target, 0.02)), None

        (train, target), _ = jax.lax.scan(gradient, (train, target), jnp.stack(keys))
        return train, target, memory, env_state, obs, key

    return init, update
