"""The network of values, and acting by it: greedily, or with a probability of a random action."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import Actor, BatchedEnv
from jaxmarl.core.spaces import Discrete
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.value.functionals import Functional
from jaxmarl.learners.value.heads import ReturnHead


class ValueNetwork(nn.Module):
    """An encoder with a head on it.

    Attributes:
        head: what is said about returns.
        num_actions: A.
        obs_shape: of one observation.
        hidden: widths of the encoder's dense layers.
        layer_norm: whether they are normalised.
    """

    head: ReturnHead
    num_actions: int
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Array, key: Array | None = None) -> PyTree:
        """Outputs of the head for all actions, of `[..., *obs_shape]`."""
        seen = self.head.see(obs)
        shape = seen.shape[obs.ndim - len(self.obs_shape) :]
        features = Encoder(shape, self.hidden, self.layer_norm, name="encoder")(seen)
        return self.head.outputs(features, self.num_actions, key)


def value_network(
    env: BatchedEnv, env_params: PyTree, head: ReturnHead, hidden: tuple[int, ...], layer_norm: bool
) -> ValueNetwork:
    """The network for an environment.

    Raises:
        ValueError: actions are not discrete.
    """
    space = env.action_space(env_params)
    require(isinstance(space, Discrete), "action_space", space, "Discrete")
    return ValueNetwork(head, space.n, env.observation_space(env_params).shape, hidden, layer_norm)


def scores(network: ValueNetwork, functional: Functional, params: PyTree, seen: MaskedObs) -> Float[Array, "*batch A"]:
    """What each action is worth, minus infinity where it is illegal."""
    law = network.head.law(network.apply(params, seen.obs), seen.obs)
    return jnp.where(seen.mask, functional(law), -jnp.inf)


def exploring_actor(env: BatchedEnv, network: ValueNetwork, functional: Functional) -> Actor:
    """Plays all seats; its params are `(network's params, probability of a random legal action)`."""
    lanes = env.num_envs, env.num_agents

    def act(params, memory, seen: MaskedObs, start, key):
        weights, epsilon = params
        coin, pick = draw(repeat((Uniform(), Uniform()), *lanes), key)
        worth = scores(network, functional, weights, seen)
        return explore(worth, seen.mask, epsilon, coin, pick), memory, ()

    return Actor(lambda key: (), act, masked=True)


def explore(
    worth: Float[Array, "*batch A"], mask: Array, epsilon: Any, coin: Array, pick: Array
) -> Int32[Array, "*batch"]:
    """The best action, lowest index among equals, or a random legal one if `coin < epsilon`."""
    random = categorical(jnp.where(mask, 0.0, -jnp.inf), pick)
    return jnp.where(coin < epsilon, random, jnp.argmax(worth, -1)).astype(jnp.int32)


def greedy_policy(network: ValueNetwork, functional: Functional, name: str) -> Policy:
    """Plays the best action; its params are the network's."""

    def act(params, memory, seen: MaskedObs, chance):
        return jnp.argmax(scores(network, functional, params, seen), -1).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, masked=True, name=name)


def linear_decay(start: float, end: float, steps: int, now: Any) -> Float[Array, ""]:
    """From `start` to `end` in `steps`, then constant."""
    share = jnp.clip(now / max(steps, 1), 0.0, 1.0) if steps else jnp.ones(())
    return jax.numpy.asarray(start + (end - start) * share, jnp.float32)
