"""Soft actor-critic on laws of the return, for continuous actions (Haarnoja et al. 2018; Ma et al. 2020, "DSAC")."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, batch_params
from jaxmarl.core.spaces import Box
from jaxmarl.distributional.law import Law
from jaxmarl.learners.actions import GaussianActions, action_head
from jaxmarl.learners.base import Learner
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.value.acting import ValueNetwork
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.entropic import EntropicHead
from jaxmarl.learners.value.functionals import Functional, risk_neutral
from jaxmarl.learners.value.heads import QuantileHead, ReturnHead
from jaxmarl.learners.value.replay import Transition
from jaxmarl.learners.value.soft import SoftLearning, SoftParts, check_soft, in_order_of_outputs, log_temperature


class BoxSoftNetwork(nn.Module):
    """A policy of squashed normal numbers, and two critics of pairs of observation and action.

    Attributes:
        head: of each critic.
        actions: what the policy's outputs mean.
        obs_shape: of one observation.
        hidden: widths of the encoders' dense layers.
        layer_norm: whether they are normalised.
        temperature: at the start.
    """

    head: ReturnHead
    actions: GaussianActions
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False
    temperature: float = 0.1

    def setup(self) -> None:
        self.policy = Encoder(self.obs_shape, self.hidden, self.layer_norm)
        self.outputs = nn.Dense(self.actions.num_outputs, kernel_init=nn.initializers.normal(0.01))
        size = math.prod(self.obs_shape) + self.actions.size
        settings = self.head, 1, (size,), self.hidden, self.layer_norm
        self.critic_networks = [ValueNetwork(*settings) for _ in range(2)]
        self.log_temperature = log_temperature(self)

    def __call__(self, obs: Array, key: Array | None = None) -> tuple[PyTree, PyTree]:
        """All that there is, so that `init` makes it."""
        outputs = self.act(obs)
        action = self.actions.mode(outputs)
        return outputs, self.critics(obs, action)

    def act(self, obs: Array) -> Float[Array, "*batch O"]:
        """Outputs of the policy."""
        return self.outputs(self.policy(obs))

    def critics(self, obs: Array, action: Array) -> tuple[PyTree, ...]:
        """Outputs `[...]` of both critics; actions are read as the policy's raw numbers are, around 0."""
        batch = obs.shape[: obs.ndim - len(self.obs_shape)]
        pair = jnp.concatenate([obs.reshape(*batch, -1), self.actions.encode(action)], -1)
        return tuple(jax.tree.map(lambda x: x[..., 0, :], network(pair)) for network in self.critic_networks)


def box_soft_actor_critic(
    env: BatchedEnv,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    head: ReturnHead = QuantileHead(32),  # noqa: B008
    behaviour: Functional = risk_neutral,
    temperature: float = 0.1,
    entropy: float = -1.0,
    initial_std: float = 0.5,
) -> Learner:
    """`soft_actor_critic` for actions that are floats in a box.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with a `Box` of floats as actions.
        config: as for `soft_actor_critic`.
        env_params: of the environments (default: `env.default_params`).
        head: how laws are represented: by quantiles, or normal laws ("DSAC-T").
        behaviour: what a law is worth to the policy, see `soft_actor_critic`.
        temperature: weight of entropy at the start; it moves so that the mean entropy becomes
        entropy: so many nats an entry of an action, of a box between -1 and 1.
        initial_std: of the policy, before it is squashed.

    Raises:
        ValueError: actions that are no box of floats, or numbers out of range.
    """
    env_params = batch_params(env, env_params)
    space = env.action_space(env_params)
    require(isinstance(space, Box), "action_space", space, "a Box")
    require(not isinstance(head, EntropicHead), "head", type(head).__name__, "a head of laws")
    check_soft(head, temperature)
    actions = action_head(space, spread="state", initial_std=initial_std)
    assert isinstance(actions, GaussianActions)
    shape = env.observation_space(env_params).shape
    network: Any = BoxSoftNetwork(head, actions, shape, config.hidden, config.layer_norm, temperature)
    learning = BoxSoftLearning(env, config, env_params, network, behaviour, risk_neutral, entropy)
    return replace(learning.learner("soft_actor_critic"), policy=box_policy(network))


@dataclass(frozen=True, eq=False)
class BoxSoftLearning(SoftLearning):
    """The learner of continuous actions; its aimed entropy is in nats an entry."""

    @property
    def actor(self) -> Actor:
        actions = self.network.actions
        chance = repeat(actions.chance, self.env.num_envs, self.env.num_agents)

        def act(params, memory, obs, start, key):
            weights, _ = params
            outputs = self.network.apply(weights, obs, method="act")
            return actions.sample(outputs, draw(chance, key))[0], memory, ()

        return Actor(lambda key: (), act)

    def parts(self, params, target_params, batch: Transition, key: Array) -> SoftParts:
        network: Any = self.network
        fixed = jax.lax.stop_gradient
        now_key, next_key = jax.random.split(key)
        log_weight = params["params"]["log_temperature"]
        temperature = jnp.exp(fixed(log_weight))
        predicted = network.apply(params, batch.obs, batch.action, method="critics")
        # critics judge, and do not learn from, what the policy does now
        action, log_prob = self._drawn(params, batch.obs, now_key)
        judged = network.apply(fixed(params), batch.obs, action, method="critics")
        improvement = temperature * log_prob - self._worth(judged, batch.obs)
        after, after_log_prob = self._drawn(params, batch.next.obs, next_key)
        critics = network.apply(target_params, batch.next.obs, after, method="critics")
        atoms, weights = in_order_of_outputs(network.head.law(jnp.minimum(*critics), batch.next.obs))
        if self.valued:
            atoms = atoms - temperature * after_log_prob[..., None]
        aimed = aimed_entropy(network.actions, self.entropy)
        return SoftParts(predicted, Law(atoms, weights), improvement, -log_prob, aimed, log_weight)

    def _drawn(self, params, obs: Array, key: Array) -> tuple[Array, Array]:
        network: Any = self.network
        actions, outputs = network.actions, network.apply(params, obs, method="act")
        action, raw = actions.sample(outputs, draw(repeat(actions.chance, *outputs.shape[:-1]), key))
        return action, actions.log_prob(outputs, raw)

    def _worth(self, critics: tuple[Array, Array], obs: Array) -> Array:
        return self.behaviour(self.network.head.law(jnp.minimum(*critics), obs))


def aimed_entropy(actions: GaussianActions, entropy: float) -> float:
    """Entropy of a whole action, given nats an entry of an action in a box between -1 and 1."""
    width = (actions.high - actions.low) / 2
    return actions.size * (entropy + (math.log(width) if math.isfinite(width) else 0.0))


def box_policy(network: BoxSoftNetwork, greedy: bool = False) -> Policy:
    """Draws an action from the network's policy, or takes its mode; its params are the network's."""
    actions = network.actions
    apply: Callable[..., Any] = network.apply

    def act(params, memory, obs, chance):
        outputs = apply(params, obs, method="act")
        action = actions.mode(outputs) if greedy else actions.sample(outputs, chance)[0]
        return action, memory

    return Policy(lambda chance: (), act, act_chance=actions.chance, name="soft_actor_critic")
