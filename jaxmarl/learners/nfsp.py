"""Neural fictitious self-play (Heinrich and Silver 2016): best responses by deep Q-learning, and their average.

Each agent plays an episode by its best response with probability η and by the average policy otherwise. The best
response is learned from a replay of everything; the average policy imitates, from a reservoir, what best responses have
ever done. The average policy is what comes to an equilibrium in two-player zero-sum games.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, batch_params
from jaxmarl.learners.base import Learner
from jaxmarl.learners.networks import ILLEGAL_LOGIT
from jaxmarl.learners.reservoir import Reservoir
from jaxmarl.learners.returns import mean_of
from jaxmarl.learners.value.acting import ValueNetwork, explore, scores, value_network
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.heads import MeanHead, ReturnHead
from jaxmarl.learners.value.loop import ValueLearning, value_optimiser
from jaxmarl.learners.value.replay import Replay, Step, Transition, merge_turns


@dataclass(frozen=True)
class NFSPConfig(ValueConfig):
    """Settings of `nfsp`: those of `deep_q`, for the best response, and of the average policy.

    Attributes:
        hidden: widths of the dense layers of both networks.
        n_step: steps within which an agent's turn comes again, or the episode ends; turns for which neither happens are
            not learned from.
        anticipation: η, probability that an agent plays its best response in an episode.
        reservoir: decisions of best responses that are kept.
        average_batch: decisions of a gradient step of the average policy.
        average_rate: learning rate of the average policy.
    """

    hidden: tuple[int, ...] = (64,)
    batch: int = 128
    n_step: int = 3
    discount: float = 1.0
    learning_rate: float = 1e-3
    capacity: int = 100_000
    epsilon_start: float = 0.06
    epsilon_end: float = 0.001
    epsilon_steps: int = 1_000_000
    anticipation: float = 0.1
    reservoir: int = 200_000
    average_batch: int = 128
    average_rate: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        require_int("reservoir", self.reservoir, 1)
        require_int("average_batch", self.average_batch, 1)
        require(0 < self.anticipation <= 1, "anticipation", self.anticipation, "in (0, 1]")
        require(self.average_rate > 0, "average_rate", self.average_rate, "positive")
        require(self.priority == 0, "priority", self.priority, "0: the replay is uniform")


class FictitiousNetwork(nn.Module):
    """Values of the best response, and next to them the logits of the average policy.

    Attributes:
        response: what `apply` gives.
        average: what `apply(..., method="logits")` gives.
    """

    response: ValueNetwork
    average: ValueNetwork

    @property
    def head(self) -> ReturnHead:
        """What is learned of returns."""
        return self.response.head

    def __call__(self, obs: Array, key: Array | None = None) -> PyTree:
        """Values of all actions `[..., A]`."""
        if self.is_initializing():
            self.average(obs)
        return self.response(obs, key)

    def logits(self, obs: Array) -> Float[Array, "*batch A"]:
        """Of the average policy, legal or not."""
        return self.average(obs)


class Played(NamedTuple):
    """What a roll-out keeps, `[T, B, ...]`.

    Attributes:
        step: whose `obs` has the mask of legal actions.
        best: `[..., N]`, whether the agent plays its best response.
        unit: `[..., N]`, a uniform number, for the reservoir.
    """

    step: Step
    best: Bool[Array, "*steps N"]
    unit: Float[Array, "*steps N"]


class Decision(NamedTuple):
    """What a best response did: an entry of the reservoir.

    Attributes:
        seen: observation and legal actions.
        action: int32, one of them.
    """

    seen: MaskedObs
    action: Array


class FictitiousSample(NamedTuple):
    """A batch for both networks.

    Attributes:
        transition: leaves `[batch, N, ...]`, for the best response.
        counts: `[batch, N]`, which transitions it learns from.
        decisions: leaves `[average_batch, ...]`, for the average policy.
        any_decisions: whether there are such.
    """

    transition: Transition
    counts: Bool[Array, "batch N"]
    decisions: Decision
    any_decisions: Bool[Array, ""]


@dataclass(frozen=True)
class FictitiousReplay(Replay):
    """A replay of all steps, and a reservoir of best responses' decisions.

    Attributes:
        reservoir: of the decisions.
    """

    reservoir: Reservoir = field(default_factory=lambda: Reservoir(1, 1))

    def init(self, step: Any) -> PyTree:
        entry = Decision(*jax.tree.map(lambda x: x[0], (step.step.obs, step.step.action)))
        return super().init(step.step), self.reservoir.init(entry)

    def add(self, state: PyTree, steps: Any) -> PyTree:
        turn = jnp.sum(steps.step.obs.mask, axis=-1) > 1
        flat = (steps.step.obs, steps.step.action, steps.best & turn, steps.unit)
        seen, action, counts, unit = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), flat)
        return super().add(state[0], steps.step), self.reservoir.add(state[1], Decision(seen, action), counts, unit)

    def sample(self, state: PyTree, key: Array) -> Any:
        turn_key, decision_key = jax.random.split(key)
        transition, counts = merge_turns(self._buffer.sample(state[0], turn_key).experience, self.discount)
        transition = replace(transition, obs=transition.obs.obs)
        return FictitiousSample(transition, counts, *self.reservoir.sample(state[1], decision_key))

    def rank(self, state: PyTree, sample: Any, losses: Array) -> PyTree:
        return state


@dataclass(frozen=True, eq=False)
class FictitiousSelfPlay(ValueLearning):
    """The algorithm: the loop of value learners, with two networks and two memories."""

    config: NFSPConfig
    network: Any

    @cached_property
    def replay(self) -> FictitiousReplay:
        config, num_envs = self.config, self.env.num_envs
        kept = Reservoir(config.reservoir, config.average_batch)
        return FictitiousReplay(num_envs, config.capacity, config.batch, config.n_step, config.discount, reservoir=kept)

    @property
    def actor(self) -> Actor:
        """Its memory is who plays a best response in this episode."""
        lanes, chance = (self.env.num_envs, self.env.num_agents), (Uniform(),) * 5

        def act(params, best, seen: MaskedObs, start, key):
            weights, epsilon = params
            mode, coin, pick, draw_average, unit = draw(repeat(chance, *lanes), key)
            best = jnp.where(start[:, None], mode < self.config.anticipation, best)
            response = explore(scores(self.network, self.behaviour, weights, seen), seen.mask, epsilon, coin, pick)
            average = categorical(average_logits(self.network, weights, seen), draw_average)
            return jnp.where(best, response, average), best, (best, unit)

        return Actor(lambda key: jnp.zeros(lanes, bool), act, masked=True)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        updates = config.anneal_steps * config.gradient_steps // self.steps_per_round
        return value_optimiser(optax.adam, config, updates, {"average": config.average_rate / config.learning_rate})

    def _play(self, params, carry: RolloutState, key: Array, epsilon: Any):
        carry, step, trajectory = super()._play(params, carry, key, epsilon)
        return carry, Played(replace(step, obs=trajectory.obs), *trajectory.extras), trajectory

    def _loss(self, params, target_params, batch: Transition, sample: Any, key: Array):
        """That of both networks; they share no parameters."""
        losses = self.losses(params, target_params, batch, key)
        logits = average_logits(self.network, params, sample.decisions.seen)
        imitation = optax.softmax_cross_entropy_with_integer_labels(logits, sample.decisions.action)
        total = mean_of(losses, sample.counts) + jnp.where(sample.any_decisions, jnp.mean(imitation), 0.0)
        return total, jnp.where(sample.counts, losses, 0.0)


def average_logits(network: FictitiousNetwork, params: PyTree, seen: MaskedObs) -> Float[Array, "*batch A"]:
    """Of the average policy, very negative where an action is illegal."""
    logits: Any = network.apply(params, seen.obs, method="logits")
    return jnp.where(seen.mask, logits, ILLEGAL_LOGIT)


def average_policy(network: FictitiousNetwork, name: str = "nfsp") -> Policy:
    """The average policy for one agent; its params are those of both networks."""

    def act(params, memory, seen: MaskedObs, chance):
        return categorical(average_logits(network, params, seen), chance), memory

    def probabilities(params, memory, seen: MaskedObs):
        return jax.nn.softmax(average_logits(network, params, seen))

    return Policy(lambda chance: (), act, act_chance=Uniform(), masked=True, name=name, probabilities=probabilities)


def nfsp(env: BatchedEnv, config: NFSPConfig, env_params: PyTree = None) -> Learner:
    """Neural fictitious self-play; all agents share the parameters of both networks, and `policy` is the average.

    Args:
        env: a batch of environments with discrete actions, in which all agents learn.
        config: settings; turns that come again later than `n_step` steps are not learned from.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: actions that are not discrete, sizes that do not fit.
    """
    env_params = batch_params(env, env_params)
    parts = [value_network(env, env_params, MeanHead(), config.hidden, config.layer_norm) for _ in range(2)]
    network = FictitiousNetwork(*parts)
    algorithm = FictitiousSelfPlay(env, config, env_params, network, risk_neutral, risk_neutral)
    return replace(algorithm.learner("nfsp"), policy=average_policy(network))
