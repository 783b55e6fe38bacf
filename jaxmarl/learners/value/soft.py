"""Soft actor-critics on laws of the return (Haarnoja et al. 2018; Ma et al. 2020, "DSAC"), and their discrete version.

What they share is here: two critics, of which the less optimistic counts, a policy that maximises what a law is worth
plus weighted entropy, and a weight that moves until entropy is where it is aimed. `soft_box.py` has continuous actions.
"""

import abc
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, batch_params
from jaxmarl.core.spaces import Discrete
from jaxmarl.distributional.law import Law, ReturnLaw
from jaxmarl.distributional.quantile import Quantile
from jaxmarl.learners.base import Learner
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.networks import ILLEGAL_LOGIT
from jaxmarl.learners.value.acting import ValueNetwork
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.entropic import EntropicHead
from jaxmarl.learners.value.functionals import Functional, risk_neutral
from jaxmarl.learners.value.gaussian import GaussianHead
from jaxmarl.learners.value.heads import QuantileHead, ReturnHead, chosen
from jaxmarl.learners.value.loop import ValueLearning
from jaxmarl.learners.value.replay import Transition


class SoftOutputs(NamedTuple):
    """What the networks of the discrete learner say.

    Attributes:
        logits: `[..., A]`, of the policy.
        critics: outputs of two heads, `[..., A, ...]`, in units of return.
        log_temperature: scalar, of the weight of entropy.
    """

    logits: Float[Array, "*batch A"]
    critics: tuple[Array, Array]
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

    head: ReturnHead
    num_actions: int
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False
    temperature: float = 0.1

    @nn.compact
    def __call__(self, obs: Array, key: Array | None = None) -> SoftOutputs:
        features = Encoder(self.obs_shape, self.hidden, self.layer_norm, name="policy")(obs)
        logits = nn.Dense(self.num_actions, kernel_init=nn.initializers.normal(0.01), name="logits")(features)
        settings = self.head, self.num_actions, self.obs_shape, self.hidden, self.layer_norm
        first, second = (ValueNetwork(*settings, name=f"critic_{i}")(obs) for i in range(2))
        return SoftOutputs(logits, (first, second), log_temperature(self))


def log_temperature(module: Any) -> Float[Array, ""]:
    """The learned logarithm of the weight of entropy, from within a module."""
    return module.param("log_temperature", nn.initializers.constant(jnp.log(module.temperature)), ())


class SoftParts(NamedTuple):
    """What the loss of a soft actor-critic is made of.

    Attributes:
        predicted: of both critics, outputs for the action taken.
        following: law of what follows, `[..., M]`; of values, bonuses of entropy included where they count.
        improvement: `[...]`, what the policy minimises.
        entropy: `[...]`, of the policy.
        aimed: what entropy should be, `[...]` or a number.
        log_temperature: scalar.
    """

    predicted: tuple[PyTree, ...]
    following: Law
    improvement: Float[Array, "*batch"]
    entropy: Float[Array, "*batch"]
    aimed: Any
    log_temperature: Float[Array, ""]


@dataclass(frozen=True, eq=False)
class SoftLearning(ValueLearning, abc.ABC):
    """The algorithm: the loop of `ValueLearning` with other losses and another way to act.

    Attributes:
        entropy: aimed at.
        valued: whether the entropy of what is played later is a part of what follows, as in the soft actor-critic, or
            moves the policy only.
    """

    entropy: float = 0.5
    valued: bool = True

    @abc.abstractmethod
    def parts(self, params, target_params, batch: Transition, key: Array) -> SoftParts:
        """Of a batch `[batch, N, ...]`."""

    def losses(self, params, target_params, batch: Transition, key: Array) -> Float[Array, "batch N"]:
        fixed, head = jax.lax.stop_gradient, self.network.head
        parts = self.parts(params, target_params, batch, key)
        reward, discount = batch.reward[..., None], batch.discount[..., None]
        aim = fixed(Law(reward + discount * parts.following.atoms, parts.following.weights))
        regression = sum(head.against(outputs, aim) for outputs in parts.predicted)
        temperature = jnp.exp(parts.log_temperature) * (fixed(parts.entropy) - parts.aimed)
        return regression + parts.improvement + temperature


def soft_actor_critic(
    env: BatchedEnv,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    head: ReturnHead = QuantileHead(32),  # noqa: B008
    behaviour: Functional = risk_neutral,
    temperature: float = 0.1,
    entropy: float = 0.5,
    valued: bool = True,
    name: str = "soft_actor_critic",
) -> Learner:
    """A learner of a stochastic policy that maximises a functional of the return's law, plus weighted entropy.

    What follows a transition is the law over the policy's next actions, exactly, of the less optimistic critic at each
    level.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions.
        config: settings; exploration is the policy's own, `epsilon_*` are not read. A slow target network is usual
            (`target_every=1, target_rate=0.005`).
        env_params: of the environments (default: `env.default_params`).
        head: how laws are represented: by quantiles, normal laws, or certainty equivalents.
        behaviour: what a law is worth to the policy; what follows is the law of the policy's own play, so that with a
            functional other than the mean neither static nor nested risk is optimised.
        temperature: weight of entropy at the start; it moves so that the mean entropy becomes
        entropy: this share of that of the uniform policy.
        valued: whether the entropy of later play counts in what follows.
        name: of the policy.

    Raises:
        ValueError: actions that are not discrete, heads that do not fit, or numbers out of range.
    """
    env_params = batch_params(env, env_params)
    space = env.action_space(env_params)
    require(isinstance(space, Discrete), "action_space", space, "Discrete")
    check_soft(head, temperature)
    require(0 < entropy < 1, "entropy", entropy, "in (0, 1)")
    shape = env.observation_space(env_params).shape
    network: Any = SoftNetwork(head, space.n, shape, config.hidden, config.layer_norm, temperature)
    own = replace(config, epsilon_start=0.0, epsilon_end=0.0)
    learning = DiscreteSoftLearning(env, own, env_params, network, behaviour, risk_neutral, entropy, valued)
    return replace(learning.learner(name), policy=soft_policy(network, name))


def entropic_actor_critic(
    env: BatchedEnv,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    aversion: float = 1.0,
    limit: float = 10.0,
    temperature: float = 0.1,
    entropy: float = 0.1,
) -> Learner:
    """An actor-critic under exponential utility: critics learn certainty equivalents by the Itakura-Saito loss.

    With `config.discount=1` and episodes that end it maximises `-(1 / a) log E exp(-a G)` of the return, up to what the
    aimed entropy costs; the bonus for entropy moves the policy and is no part of what is valued (Udovichenko et al.
    2025). The randomness of later actions counts as risk, as that of the environment does.

    Args:
        env: as for `soft_actor_critic`.
        config: as for `soft_actor_critic`.
        env_params: of the environments (default: `env.default_params`).
        aversion: a, in 1 / return as the learner sees it (times `config.reward_scale`).
        limit: see `EntropicHead`.
        temperature: weight of entropy at the start; it moves so that the mean entropy becomes
        entropy: this share of that of the uniform policy.

    Raises:
        ValueError: as `soft_actor_critic`.
    """
    head = EntropicHead(aversion, limit)
    options: Any = {"temperature": temperature, "entropy": entropy, "valued": False, "name": "entropic_actor_critic"}
    return soft_actor_critic(env, config, env_params, head=head, **options)


def check_soft(head: ReturnHead, temperature: float) -> None:
    """Refuses what no soft actor-critic takes."""
    known = QuantileHead, GaussianHead, EntropicHead
    require(isinstance(head, known), "head", type(head).__name__, "a head of quantiles, normal or entropic")
    require(temperature > 0, "temperature", temperature, "positive")


@dataclass(frozen=True, eq=False)
class DiscreteSoftLearning(SoftLearning):
    """The learner of discrete actions; its aimed entropy is a share of the most that legal actions allow."""

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

    def _play(self, params, carry: RolloutState, key: Array, epsilon: Any):
        carry, steps, trajectory = super()._play(params, carry, key, epsilon)
        return carry, replace(steps, obs=trajectory.obs), trajectory  # with what was legal

    def parts(self, params, target_params, batch: Transition, key: Array) -> SoftParts:
        network: Any = self.network
        fixed, seen = jax.lax.stop_gradient, batch.obs
        now: SoftOutputs = network.apply(params, seen.obs)
        temperature = jnp.exp(fixed(now.log_temperature))
        log_policy = jax.nn.log_softmax(legal(now, seen.mask))
        policy = jnp.exp(log_policy)
        worth = fixed(self.behaviour(network.head.law(jnp.minimum(*now.critics), seen.obs)))
        improvement = jnp.sum(policy * (temperature * log_policy - worth), -1)
        entropy = -jnp.sum(policy * log_policy, -1)
        aimed = self.entropy * jnp.log(jnp.sum(seen.mask, -1))
        predicted = tuple(chosen(critic, batch.action) for critic in now.critics)
        following = self._following(params, target_params, batch.next, temperature)
        return SoftParts(predicted, following, improvement, entropy, aimed, now.log_temperature)

    def _following(self, params, target_params, after: MaskedObs, temperature: Array) -> Law:
        """The law of what follows, over all next actions."""
        network: Any = self.network
        log_policy = jax.nn.log_softmax(legal(network.apply(params, after.obs), after.mask))
        critics = network.apply(target_params, after.obs).critics
        atoms, weights = in_order_of_outputs(network.head.law(jnp.minimum(*critics), after.obs))
        if self.valued:
            atoms = atoms - temperature * log_policy[..., None]
        shares = jnp.exp(log_policy)[..., None] * weights
        return Law(*(x.reshape(*x.shape[:-2], -1) for x in (atoms, shares)))


def in_order_of_outputs(dist: ReturnLaw) -> Law:
    """Atoms and probabilities of one shape, unsorted: what losses need."""
    assert isinstance(dist, Quantile | Law)
    atoms, weights = (dist.values, dist.weights) if isinstance(dist, Quantile) else dist
    return Law(atoms, jnp.broadcast_to(weights, atoms.shape))


def legal(outputs: SoftOutputs | None, mask: Array) -> Float[Array, "*batch A"]:
    """Logits of the policy (None: of the uniform one), with illegal actions masked."""
    return jnp.where(mask, 0.0 if outputs is None else outputs.logits, ILLEGAL_LOGIT)


def soft_policy(network: SoftNetwork, name: str = "soft_actor_critic") -> Policy:
    """Draws an action from the network's policy; its params are the network's."""

    def act(params, memory, seen: MaskedObs, chance):
        outputs: Any = network.apply(params, seen.obs)
        return categorical(legal(outputs, seen.mask), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name=name)
