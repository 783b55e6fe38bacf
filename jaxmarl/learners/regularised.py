"""Policy gradients that converge in two-player zero-sum games in the last iterate: magnetic mirror descent.

PPO's self-play circles around mixed equilibria. *Magnetic mirror descent* (Sokota et al. 2023) pulls the policy towards
a magnet, `-α KL(π, ρ)`, and holds it near where it was, `-KL(π, π_old) / η`: with a uniform magnet it converges to a
quantal response equilibrium of temperature α, linearly where η is small enough; with a magnet that slowly follows the
policy, towards a Nash equilibrium. In games of turns only the player on the move counts in the losses,
and advantages lead from one own turn to the next (`returns.turn_gae`).
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.checks import require
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.rollout import BatchedEnv, Trajectory, batch_params
from jaxmarl.learners.actions import CategoricalActions, action_head
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.networks import ILLEGAL_LOGIT, FeedForwardActorCritic
from jaxmarl.learners.policy_gradient import ClippedPolicyGradient, PolicyGradientState, PPOConfig, Sequences
from jaxmarl.learners.ppo import network_policy, policy_gradient_learner
from jaxmarl.learners.returns import mean_of, turn_gae


@dataclass(frozen=True)
class SelfPlayConfig(PPOConfig):
    """Settings that `mmd` and `rnad` share: those of `ppo`, with whole episodes and without memory.

    Networks have no memory, since past parameters are asked about the observations of the present; in a game of perfect
    recall information states tell all.
    """

    recurrent: bool = False
    chunk_length: int = 1
    epochs: int = 1
    minibatches: int = 1
    discount: float = 1.0
    trace: float = 1.0
    entropy_weight: float = 0.0
    label_weight: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        require(not self.recurrent, "recurrent", self.recurrent, "False: past parameters have no memory of the present")


@dataclass(frozen=True)
class MMDConfig(SelfPlayConfig):
    """Settings of `mmd`.

    Attributes:
        temperature: α, weight of the divergence from the magnet.
        step_size: η; the divergence from the policy before the update is charged with weight `1 / η`.
        magnet_rate: how far the magnet's parameters move to the learner's after each update; 0: the magnet is the
            uniform policy.
    """

    temperature: float = 0.3
    step_size: float = 1.0
    magnet_rate: float = 0.01

    def __post_init__(self):
        super().__post_init__()
        require(self.temperature >= 0, "temperature", self.temperature, "non-negative")
        require(self.step_size > 0, "step_size", self.step_size, "positive")
        require(0 <= self.magnet_rate <= 1, "magnet_rate", self.magnet_rate, "in [0, 1]")


@struct.dataclass
class RegularisedState(PolicyGradientState):
    """State of the learner.

    Attributes:
        reference: parameters of the policy that the learner is kept near: the magnet, or R-NaD's regularisation policy.
    """

    reference: PyTree


class Regularised(NamedTuple):
    """Training data, with what other policies say of it; leaves `[S, L, ...]`."""

    steps: Sequences
    old: Float[Array, "S L A"]
    """Log-probabilities of the policy before the update, as `reference`."""
    reference: Float[Array, "S L A"]


@dataclass(frozen=True, eq=False)
class RegularisedPolicyGradient(ClippedPolicyGradient):
    """What `mmd` and `rnad` share: turns, the state, and what other policies say of the data."""

    config: Any

    reads_mask = True

    def init(self, key: Array) -> RegularisedState:
        state = super().init(key)
        # a copy: chunks of updates donate their state, and no buffer may be donated twice
        return RegularisedState(**vars(state), reference=jax.tree.map(jnp.copy, state.params))

    def update(self, state: Any) -> tuple[Any, Metrics]:
        state, metrics = super().update(state)
        return self.followed(state), metrics

    def followed(self, state: Any) -> Any:
        """The state with its reference moved."""
        raise NotImplementedError

    def alive(self, seen: MaskedObs, start: Array) -> Bool[Array, "..."]:
        """Whose turn it is: those with a choice, unless they have left the game."""
        turn, there = jnp.sum(seen.mask, axis=-1) > 1, super().alive(seen, start)
        return turn if there is None else turn & there

    def value_loss(self, value: Array, batch: Sequences, alive: Array | None) -> Float[Array, ""]:
        """Half the squared error."""
        return 0.5 * mean_of((value - batch.target) ** 2, alive)

    def _advantage(self, state: Any, trajectory: Trajectory, value: Array, next_value: Array) -> Array:
        turn = self.alive(trajectory.obs, trajectory.start[..., None] & jnp.ones(value.shape, bool))
        ended = jnp.broadcast_to((trajectory.terminated | trajectory.truncated)[..., None], value.shape)
        reward = self.config.reward_scale * self.shaped(state, trajectory)
        return turn_gae(reward, value, turn, ended, self.config.discount, self.config.trace)

    def shaped(self, state: RegularisedState, trajectory: Trajectory) -> Float[Array, "T B N"]:
        """Rewards as the learner sees them."""
        return trajectory.reward

    def log_probs(self, params: PyTree, batch: Sequences) -> Float[Array, "S L A"]:
        """Of all actions at each step, very negative where one is illegal."""
        return jax.nn.log_softmax(self.heads(params, batch).policy)

    def _losses(self, heads: Any, batch: Sequences, alive: Array, policy_loss: Array) -> tuple[Array, Metrics]:
        """The whole loss, given that of the policy, and metrics."""
        config, entropy = self.config, mean_of(self.head.entropy(heads.policy), alive)
        value_loss = self.value_loss(heads.value, batch, alive)
        ratio = jnp.exp(self.head.log_prob(heads.policy, batch.raw) - batch.log_prob)
        loss = policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy
        metrics = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
        return loss, {**metrics, "ratio": mean_of(ratio, alive)}


@dataclass(frozen=True, eq=False)
class MagneticPolicyGradient(RegularisedPolicyGradient):
    """The algorithm of `mmd`."""

    config: MMDConfig

    def followed(self, state: RegularisedState) -> RegularisedState:
        rate = self.config.magnet_rate
        if not rate:
            return state
        reference = jax.tree.map(lambda old, new: old + rate * (new - old), state.reference, state.params)
        return replace(state, reference=reference)

    def prepared(self, state: RegularisedState, data: Sequences) -> Regularised:
        config, mask = self.config, data.seen.mask
        uniform = jax.nn.log_softmax(jnp.where(mask, 0.0, ILLEGAL_LOGIT))
        reference = self.log_probs(state.reference, data) if config.magnet_rate else uniform
        return Regularised(data, self.log_probs(state.params, data), reference)

    def _loss(self, params: PyTree, batch: Regularised) -> tuple[Float[Array, ""], Metrics]:
        config, steps = self.config, batch.steps
        heads, alive = self.heads(params, steps), self.alive(steps.seen, steps.start)
        log_probs = jax.nn.log_softmax(heads.policy)

        def divergence(other: Array) -> Array:
            shares = jnp.where(steps.seen.mask, jnp.exp(log_probs), 0.0)
            return jnp.sum(shares * jnp.where(steps.seen.mask, log_probs - other, 0.0), axis=-1)

        ratio = jnp.exp(self.head.log_prob(heads.policy, steps.raw) - steps.log_prob)
        clipped = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
        gain = mean_of(jnp.minimum(ratio * steps.advantage, clipped * steps.advantage), alive)
        from_magnet, from_old = (mean_of(divergence(other), alive) for other in (batch.reference, batch.old))
        policy_loss = -gain + config.temperature * from_magnet + from_old / config.step_size
        loss, metrics = self._losses(heads, steps, alive, policy_loss)
        return loss, {**metrics, "kl_magnet": from_magnet, "kl_old": from_old}


def mmd(env: BatchedEnv, config: MMDConfig, env_params: PyTree = None) -> Learner:
    """Magnetic mirror descent by policy gradients, in self-play: all agents share the parameters.

    The clipped surrogate of PPO with advantages as they are, not standardised, so that `temperature` is in units of
    rewards (times `reward_scale`). The last iterate is what converges. `behaviour_strategies` of `envs.trees` says how
    far from an equilibrium it is.

    Args:
        env: a batch of environments with discrete actions and a fixed horizon; for trees `padded=True`.
        config: settings; `chunk_length` must be the horizon.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: another kind of environment, or sizes that do not fit.
    """
    return self_play_learner(env, config, env_params, MagneticPolicyGradient, "mmd")


def self_play_learner(
    env: BatchedEnv, config: SelfPlayConfig, env_params: PyTree, kind: type[RegularisedPolicyGradient], name: str
) -> Learner:
    """The learner of a kind of regularised policy gradient.

    Args:
        env: as for `mmd`.
        config: settings of the kind.
        env_params: of the environments; None for `env.default_params`.
        kind: the algorithm.
        name: of the policy.

    Raises:
        ValueError: actions that are not discrete, or a `chunk_length` that is not a fixed horizon.
    """
    env_params = batch_params(env, env_params)
    head = action_head(env.action_space(env_params))
    require(isinstance(head, CategoricalActions), "action_space", env.action_space(env_params), "Discrete")
    whole = env.horizon is not None and config.chunk_length == env.horizon
    require(whole, "chunk_length", config.chunk_length, f"the horizon of the environment, which is {env.horizon}")
    network = FeedForwardActorCritic(head.num_outputs, env.num_labels, config.hidden)
    policy = network_policy(network, head, name)
    return policy_gradient_learner(env, config, env_params, network, head, policy, kind)
