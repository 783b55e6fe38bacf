"""Soft actor-critic on laws of the return, for discrete actions (Christodoulou 2019; Ma et al. 2020, "DSAC")."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import Actor, BatchedEnv
from jaxmarl.core.spaces import Discrete
from jaxmarl.distributional.losses import quantile_huber_loss
from jaxmarl.distributional.quantile import midpoint_levels, uniform_quantile
from jaxmarl.learners.base import Learner
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.networks import ILLEGAL_LOGIT
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.functionals import Functional, risk_neutral
from jaxmarl.learners.value.heads import QuantileHead, chosen
from jaxmarl.learners.value.loop import ValueLearning
from jaxmarl.learners.value.replay import Transition


class SoftOutputs(NamedTuple):
    """What the networks of the learner say.

    Attributes:
        logits: `[..., A]`, of the policy.
        critics: two of `[..., A, N]`, quantiles of the return, bonuses of entropy included.
        log_temperature: scalar, of the weight of entropy.
    """

    logits: Float[Array, "*batch A"]
    critics: tuple[Float[Array, "*batch A N"], Float[Array, "*batch A N"]]
    log_temperature: Float[Array, ""]


class SoftNetwork(nn.Module):
    """A policy and two critics, each with an encoder of its own.

    Attributes:
        head: of each critic.
        num_actions: A.
        obs_shape: of one observation.
        hidden: widths of the encoders' dense layers.
        layer_norm: whether they are normalised.
        temperature: at the start.
    """

    head: QuantileHead
    num_actions: int
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False
    temperature: float = 0.1

    @nn.compact
    def __call__(self, obs: Array, key: Array | None = None) -> SoftOutputs:
        def encoded(name: str) -> Array:
            return Encoder(self.obs_shape, self.hidden, self.layer_norm, name=name)(obs)

        logits = nn.Dense(self.num_actions, kernel_init=nn.initializers.normal(0.01), name="logits")(encoded("policy"))
        size = self.head.num_quantiles
        first, second = (
            nn.Dense(self.num_actions * size, name=f"{name}_outputs")(encoded(name)).reshape(*logits.shape, size)
            for name in ("critic_0", "critic_1")
        )
        start = nn.initializers.constant(jnp.log(self.temperature))
        return SoftOutputs(logits, (first, second), self.param("log_temperature", start, ()))


def soft_actor_critic(
    env: BatchedEnv,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    head: QuantileHead = QuantileHead(32),  # noqa: B008
    behaviour: Functional = risk_neutral,
    temperature: float = 0.1,
    entropy: float = 0.5,
) -> Learner:
    """A learner of a stochastic policy that maximises a functional of the return's law, plus weighted entropy.

    What follows a transition is the law over the policy's next actions, exactly, of the less optimistic critic at each
    level. The policy improves on the observations that transitions lead to, of which legal actions are known.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions.
        config: settings; exploration is the policy's own, `epsilon_*` are not read. A slow target network is usual
            (`target_every=1, target_rate=0.005`).
        env_params: of the environments (default: `env.default_params`).
        head: how laws are represented.
        behaviour: what a law is worth to the policy; what follows is the law of the policy's own play, so that with a
            functional other than the mean neither static nor nested risk is optimised.
        temperature: weight of entropy at the start; it moves so that the mean entropy becomes
        entropy: this share of that of the uniform policy.

    Raises:
        ValueError: actions that are not discrete, or numbers out of range.
    """
    env_params = env.default_params if env_params is None else env_params
    space = env.action_space(env_params)
    require(isinstance(space, Discrete), "action_space", space, "Discrete")
    require(temperature > 0, "temperature", temperature, "positive")
    require(0 < entropy < 1, "entropy", entropy, "in (0, 1)")
    shape = env.observation_space(env_params).shape
    network: Any = SoftNetwork(head, space.n, shape, config.hidden, config.layer_norm, temperature)
    own = replace(config, epsilon_start=0.0, epsilon_end=0.0)
    learning = SoftLearning(env, own, env_params, network, behaviour, risk_neutral, entropy)
    return replace(learning.learner("soft_actor_critic"), policy=soft_policy(network))


@dataclass(frozen=True, eq=False)
class SoftLearning(ValueLearning):
    """The algorithm: the loop of `ValueLearning` with other losses and another way to act.

    Attributes:
        entropy: aimed at, as a share of the most.
    """

    entropy: float = 0.5

    @property
    def actor(self) -> Actor:
        lanes = self.env.num_envs, self.env.num_agents

        def act(params, memory, seen: MaskedObs, start, key):
            weights, epsilon = params
            coin, pick = draw(repeat((Uniform(), Uniform()), *lanes), key)
            outputs: Any = self.network.apply(weights, seen.obs)
            logits = legal(outputs, seen.mask)
            anything = legal(None, seen.mask)
            return categorical(jnp.where((coin < epsilon)[..., None], anything, logits), pick), memory, ()

        return Actor(lambda key: (), act, masked=True)

    def losses(self, params, target_params, batch: Transition, key: Array) -> Float[Array, "batch N"]:
        network: Any = self.network
        fixed, head = jax.lax.stop_gradient, network.head
        now: SoftOutputs = network.apply(params, batch.obs)
        after: SoftOutputs = network.apply(params, batch.next.obs)
        critics = network.apply(target_params, batch.next.obs).critics
        log_policy = jax.nn.log_softmax(legal(after, batch.next.mask))
        policy, temperature = jnp.exp(log_policy), jnp.exp(fixed(now.log_temperature))
        following = jnp.minimum(*critics)
        aim = fixed(self._target(following, log_policy, temperature, batch))
        weights = fixed(jnp.repeat(policy / head.num_quantiles, head.num_quantiles, axis=-1))
        levels = midpoint_levels(head.num_quantiles, aim.dtype)
        regression = sum(
            quantile_huber_loss(chosen(critic, batch.action), levels, aim, head.kappa, target_weights=weights)
            for critic in now.critics
        )
        worth = fixed(self.behaviour(uniform_quantile(following)))
        improvement = jnp.sum(policy * (temperature * log_policy - worth), -1)
        entropy = fixed(-jnp.sum(policy * log_policy, -1))
        aimed = self.entropy * jnp.log(jnp.sum(batch.next.mask, -1))
        return regression + improvement + jnp.exp(now.log_temperature) * (entropy - aimed)

    def _target(self, following, log_policy, temperature, batch: Transition) -> Float[Array, "batch N AM"]:
        """Atoms of what follows, of all next actions."""
        soft = following - temperature * log_policy[..., None]
        atoms = batch.reward[..., None, None] + batch.discount[..., None, None] * soft
        return atoms.reshape(*batch.reward.shape, -1)


def legal(outputs: SoftOutputs | None, mask: Array) -> Float[Array, "*batch A"]:
    """Logits of the policy (None: of the uniform one), with illegal actions masked."""
    return jnp.where(mask, 0.0 if outputs is None else outputs.logits, ILLEGAL_LOGIT)


def soft_policy(network: SoftNetwork) -> Policy:
    """Draws an action from the network's policy; its params are the network's."""

    def act(params, memory, seen: MaskedObs, chance):
        outputs: Any = network.apply(params, seen.obs)
        return categorical(legal(outputs, seen.mask), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name="soft_actor_critic")
