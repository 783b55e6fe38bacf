"""Regularised Nash dynamics (Perolat et al. 2022, "DeepNash"): equilibria of transformed games, one after the other.

Rewards are transformed by how far the players have moved from a regularisation policy, `r_i - η log(π_i / π_reg,i) +
η log(π_j / π_reg,j)`. Each transformed game has one equilibrium, which policies reach in their last iterate. Every so
many updates the regularisation policy is replaced by a moving average of the learner: the equilibria of the sequence of
games converge to a Nash equilibrium of the game.

The policy follows replicator dynamics on its logits (NeuRD, Hennes et al. 2020), within a window of logits. Each update
plays anew and makes its gradient steps on that play alone; there the V-trace estimator that DeepNash uses for stale
play is the λ-return from own turn to own turn, which is what is computed here, and the values of actions are corrected
by importance as in V-trace: `q(a) = v - η log(π(a) / π_reg(a)) + [a played] (advantage) / π(a)`.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.rollout import BatchedEnv, Trajectory
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.policy_gradient import Sequences
from jaxmarl.learners.regularised import (
    Regularised,
    RegularisedPolicyGradient,
    RegularisedState,
    SelfPlayConfig,
    self_play_learner,
)
from jaxmarl.learners.returns import mean_of


@dataclass(frozen=True)
class RNaDConfig(SelfPlayConfig):
    """Settings of `rnad`.

    Attributes:
        temperature: η of the transformation of rewards.
        period: Δ, updates between two replacements of the regularisation policy.
        average_rate: how far the moving average of parameters moves to the learner's after each update.
        window: β; a logit further than this from the mean of the legal ones is not pushed further out.
        force_clip: largest estimated advantage of an action, in absolute terms.
    """

    temperature: float = 0.2
    period: int = 100
    average_rate: float = 0.05
    window: float = 2.0
    force_clip: float = 1e4

    def __post_init__(self):
        super().__post_init__()
        require_int("period", self.period, 1)
        require(0 < self.average_rate <= 1, "average_rate", self.average_rate, "in (0, 1]")
        for name in ("temperature", "window", "force_clip"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")


@struct.dataclass
class NashState(RegularisedState):
    """State of the learner.

    Attributes:
        average: moving average of the parameters, which the regularisation policy is replaced by.
        updates: int32, updates done.
    """

    average: PyTree
    updates: Int32[Array, ""]


@dataclass(frozen=True, eq=False)
class NashDynamics(RegularisedPolicyGradient):
    """The algorithm of `rnad`."""

    config: RNaDConfig

    def init(self, key: Array) -> NashState:
        state = super().init(key)
        return NashState(**vars(state), average=jax.tree.map(jnp.copy, state.params), updates=jnp.zeros((), jnp.int32))

    def followed(self, state: NashState) -> NashState:
        updates = state.updates + 1
        rate, due = self.config.average_rate, updates % self.config.period == 0
        average = jax.tree.map(lambda old, new: old + rate * (new - old), state.average, state.params)
        reference = jax.tree.map(lambda old, new: jnp.where(due, new, old), state.reference, average)
        return replace(state, average=average, reference=reference, updates=updates)

    def shaped(self, state: RegularisedState, trajectory: Trajectory) -> Float[Array, "T B N"]:
        log_prob, start = trajectory.extras[1], jnp.broadcast_to(trajectory.start[..., None], trajectory.reward.shape)
        _, heads = self.network.run(state.reference, (), trajectory.obs, start)
        own = log_prob - self.head.log_prob(heads.policy, trajectory.extras[0])
        return trajectory.reward + self.config.temperature * (own[..., ::-1] - own)

    def prepared(self, state: RegularisedState, data: Sequences) -> Regularised:
        old, reference = self.log_probs(state.params, data), self.log_probs(state.reference, data)
        return Regularised(data, old, reference)

    def _loss(self, params: PyTree, batch: Regularised) -> tuple[Float[Array, ""], Metrics]:
        steps = batch.steps
        heads, alive = self.heads(params, steps), self.alive(steps.seen, steps.start)
        force = jax.lax.stop_gradient(self._force(heads.policy, batch))
        policy_loss = -mean_of(jnp.sum(force * self._centred(heads.policy, steps), axis=-1), alive)
        return self._losses(heads, steps, alive, policy_loss)

    def _centred(self, logits: Array, steps: Sequences) -> Float[Array, "S L A"]:
        """Logits from the mean of the legal ones; 0 where illegal."""
        legal = steps.seen.mask
        mean = jnp.sum(jnp.where(legal, logits, 0.0), axis=-1, keepdims=True) / jnp.sum(legal, axis=-1, keepdims=True)
        return jnp.where(legal, logits - mean, 0.0)

    def _force(self, logits: Array, batch: Regularised) -> Float[Array, "S L A"]:
        """Estimated advantages of all actions in the transformed game, 0 where they push a logit out of the window."""
        config, steps, legal = self.config, batch.steps, batch.steps.seen.mask
        log_probs = jax.nn.log_softmax(logits)
        moved = jnp.where(legal, log_probs - batch.reference, 0.0)
        played = jax.nn.one_hot(steps.raw, logits.shape[-1], dtype=logits.dtype)
        then = jnp.sum(jnp.where(legal, played * (batch.old - batch.reference), 0.0), axis=-1)
        # what the played action gained, without the part of the transformation that depends on the action itself
        gain = (steps.advantage + config.temperature * then) * jnp.exp(-steps.log_prob)
        values = -config.temperature * moved + played * gain[..., None]
        mean = jnp.sum(jnp.where(legal, jnp.exp(log_probs) * values, 0.0), axis=-1, keepdims=True)
        force = jnp.clip(values - mean, -config.force_clip, config.force_clip)
        centred = self._centred(logits, steps)
        inside = jnp.where(force > 0, centred < config.window, centred > -config.window)
        return jnp.where(legal & inside, force, 0.0)


def rnad(env: BatchedEnv, config: RNaDConfig, env_params: PyTree = None) -> Learner:
    """Regularised Nash dynamics in self-play: both players share the parameters, and the last iterate converges.

    Args:
        env: a batch of environments of two players with discrete actions and a fixed horizon; for trees `padded=True`.
            That they are zero-sum depends on params, and is not checked.
        config: settings; `chunk_length` must be the horizon.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: another kind of environment, or sizes that do not fit.
    """
    require(env.num_agents == 2, "env", f"{env.num_agents} agents", "a game of two players")
    return self_play_learner(env, config, env_params, NashDynamics, "rnad")


def finetuned(
    probabilities: Float[Array, "*batch A"], threshold: float = 0.03, levels: int = 32
) -> Float[Array, "*batch A"]:
    """Probabilities without those below `threshold`, rounded up to multiples of `1 / levels`, the largest first.

    What DeepNash plays in the end: mistakes of small probability are what a learned softmax cannot avoid.

    Args:
        probabilities: distributions.
        threshold: smaller ones are dropped, the largest excepted.
        levels: n of the multiples of 1 / n.

    Raises:
        ValueError: `levels` below 1.
    """
    require_int("levels", levels, 1)
    kept = (probabilities >= threshold) | (probabilities == jnp.max(probabilities, axis=-1, keepdims=True))
    left = jnp.where(kept, probabilities, 0.0)
    left = left / jnp.sum(left, axis=-1, keepdims=True)
    order = jnp.argsort(-left, axis=-1)
    # less a margin, so that multiples that rounding put a little too high stay what they are
    rounded = jnp.ceil(jnp.take_along_axis(left, order, axis=-1) * levels - 1e-4) / levels
    filled = jnp.minimum(jnp.cumsum(rounded, axis=-1), 1.0)
    shares = jnp.diff(filled, axis=-1, prepend=0.0)
    return jnp.take_along_axis(shares, jnp.argsort(order, axis=-1), axis=-1)
