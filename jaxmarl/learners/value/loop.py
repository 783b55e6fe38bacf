"""The loop that all learners from a replay share: play, store, sample, step. What differs is in the head."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.traverse_util import path_aware_map
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.rollout import (
    Actor,
    BatchedEnv,
    RolloutState,
    Trajectory,
    batch_params,
    check_num_steps,
    rollout,
    start_rollout,
)
from jaxmarl.learners.base import Learner, Metrics, reward_metrics
from jaxmarl.learners.value.acting import ValueNetwork, exploring_actor, greedy_policy, linear_decay, value_network
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.functionals import Functional, risk_neutral
from jaxmarl.learners.value.heads import ReturnHead, chosen
from jaxmarl.learners.value.replay import Replay, Sample, Transition, steps_of


@struct.dataclass
class ValueState:
    """State of a learner.

    Attributes:
        params: of the online network.
        target: of the target network.
        opt_state: of the optimiser.
        rollout: environments and running returns.
        replay: what was played.
        rounds: int32, rounds done.
        key: consumed by the next update.
    """

    params: PyTree
    target: PyTree
    opt_state: PyTree
    rollout: RolloutState
    replay: PyTree
    rounds: Int32[Array, ""]
    key: Array


def deep_q(
    env: BatchedEnv,
    head: ReturnHead,
    config: ValueConfig,
    env_params: PyTree = None,
    *,
    behaviour: Functional = risk_neutral,
    target: Functional = risk_neutral,
    name: str | None = None,
) -> Learner:
    """A learner of the returns of discrete actions, off-policy, from a replay.

    Its parameters are shared by all agents of `env`, each of which learns from its own rewards. `learner.init` plays
    the warm-up; `learner.policy` is greedy in `behaviour`.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions.
        head: what is learned of returns, and by which loss.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        behaviour: what a law is worth when acting, for example `partial(risk.cvar, level=0.25)`.
        target: what it is worth when the next action of a target is chosen. With a functional other than the mean
            neither static nor nested risk is optimised (Lim and Malik 2022); for static risk see `stock_q`.
        name: of the policy (default: the head's type).

    Raises:
        ValueError: actions that are not discrete, sizes that do not fit.
    """
    env_params = batch_params(env, env_params)
    network = value_network(env, env_params, head, config.hidden, config.layer_norm)
    return ValueLearning(env, config, env_params, network, behaviour, target).learner(name or type(head).__name__)


@dataclass(frozen=True, eq=False)
class ValueLearning:
    """The algorithm, with everything static in one place; `losses` is what a variant replaces.

    Attributes:
        env: batch of environments.
        config: settings.
        env_params: of the environments.
        network: encoder and head.
        behaviour: functional of acting.
        select: functional of choosing the next action in targets.
    """

    env: BatchedEnv
    config: ValueConfig
    env_params: PyTree
    network: ValueNetwork
    behaviour: Functional
    select: Functional

    def __post_init__(self):
        check_num_steps(self.env, self.config.collect)

    def learner(self, name: str) -> Learner:
        """The algorithm under the learners' contract."""
        return Learner(
            init=self.init,
            update=self.update,
            policy=greedy_policy(self.network, self.behaviour, name),
            params=lambda state: state.params,
            steps_per_update=self.config.rounds * self.steps_per_round,
        )

    @cached_property
    def replay(self) -> Replay:
        """Where experience is kept."""
        config = self.config
        return Replay(
            self.env.num_envs,
            config.capacity,
            config.batch,
            config.n_step,
            config.discount,
            config.priority,
            config.importance,
        )

    @property
    def actor(self) -> Actor:
        return exploring_actor(self.env, self.network, self.behaviour)

    @property
    def steps_per_round(self) -> int:
        """Agent steps of a round."""
        return self.config.collect * self.env.num_envs * self.env.num_agents

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        updates = config.anneal_steps * config.gradient_steps // self.steps_per_round
        return value_optimiser(optax.adam, config, updates, self.network.head.rates)

    def init(self, key: Array) -> ValueState:
        net_key, env_key, first_key, warm_key, key = jax.random.split(key, 5)
        carry = start_rollout(self.env, self.actor, env_key, self.env_params)
        obs = self.env.observe(carry.env, self.env_params)
        params = self.network.init(net_key, obs, net_key)
        steps = jax.eval_shape(lambda: self._play(params, carry, first_key, 1.0)[1])
        replay = self.replay.init(jax.tree.map(lambda x: jnp.zeros(x.shape[2:], x.dtype), steps))

        def warm(state, key):
            carry, replay = state
            carry, steps, _ = self._play(params, carry, key, 1.0)
            return (carry, self.replay.add(replay, steps)), None

        played = self.config.collect * self.env.num_envs
        rounds = max(-(-self.config.warmup // played), -(-self.config.n_step // self.config.collect))
        (carry, replay), _ = jax.lax.scan(warm, (carry, replay), jax.random.split(warm_key, rounds))
        # a copy: chunks of updates donate their state, and no buffer may be donated twice
        target = jax.tree.map(jnp.copy, params)
        zero = jnp.zeros((), jnp.int32)
        return ValueState(params, target, self.first_opt_state(params), carry, replay, zero, key)

    def first_opt_state(self, params: PyTree) -> PyTree:
        """State of the optimiser before the first gradient."""
        return self.optimiser.init(params)

    def update(self, state: ValueState) -> tuple[ValueState, Metrics]:
        state, (metrics, totals, ended) = jax.lax.scan(self._round, state, length=self.config.rounds)
        episode_return = jnp.sum(totals) / jnp.sum(ended)  # NaN where no episode ended
        return state, {**jax.tree.map(jnp.mean, metrics), "episode_return": episode_return}

    def _round(self, state: ValueState, _: None):
        """Plays `collect` steps and makes `gradient_steps`."""
        config = self.config
        key, play_key, learn_key = jax.random.split(state.key, 3)
        done = state.rounds * self.steps_per_round
        epsilon = linear_decay(config.epsilon_start, config.epsilon_end, config.epsilon_steps, done)
        carry, steps, trajectory = self._play(state.params, state.rollout, play_key, epsilon)
        state = replace(state, rollout=carry, replay=self.replay.add(state.replay, steps), key=key)
        numbers = state.rounds * config.gradient_steps + jnp.arange(1, config.gradient_steps + 1)
        keys = jax.random.split(learn_key, config.gradient_steps)
        state, metrics = jax.lax.scan(self._gradient_step, state, (numbers, keys))
        metrics = {**jax.tree.map(jnp.mean, metrics), **reward_metrics(self.env, trajectory.reward), "epsilon": epsilon}
        return replace(state, rounds=state.rounds + 1), (metrics, *ended_returns(trajectory))

    def _play(self, params, carry: RolloutState, key: Array, epsilon: Any):
        actor_params = params, epsilon
        carry, trajectory, last = rollout(
            self.env, self.actor, actor_params, carry, key, self.env_params, self.config.collect, keep_info=False
        )
        steps = steps_of(trajectory, last, self.env.horizon is not None)
        return carry, replace(steps, reward=steps.reward * self.config.reward_scale), trajectory

    def _gradient_step(self, state: ValueState, inputs: tuple[Array, Array]) -> tuple[ValueState, Metrics]:
        number, key = inputs
        sample_key, prepare_key, loss_key = jax.random.split(key, 3)
        sample = self.replay.sample(state.replay, sample_key)
        batch = self.network.head.prepare(sample.transition, prepare_key)
        state, losses, metrics = self._improve(state, batch, sample, loss_key)
        rate = jnp.where(number % self.config.target_every == 0, self.config.target_rate, 0.0)
        target = optax.incremental_update(state.params, state.target, rate)
        replay = self.replay.rank(state.replay, sample, jnp.mean(losses, -1))
        return replace(state, target=target, replay=replay), metrics

    def _improve(
        self, state: ValueState, batch: Transition, sample: Sample, key: Array
    ) -> tuple[ValueState, Float[Array, "batch N"], Metrics]:
        """One step of the optimiser on a batch: new parameters, losses of the transitions, and metrics."""
        grads, losses = jax.grad(self._loss, has_aux=True)(state.params, state.target, batch, sample, key)
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": jnp.mean(losses), "grad_norm": optax.tree.norm(grads)}
        return replace(state, params=params, opt_state=opt_state), losses, metrics

    def _loss(self, params, target_params, batch: Transition, sample: Sample, key: Array):
        losses = self.losses(params, target_params, batch, key)
        return jnp.mean(sample.weight[:, None] * losses), losses

    def losses(self, params, target_params, batch: Transition, key: Array) -> Float[Array, "batch N"]:
        """Loss of each transition and agent."""
        head, now_key, next_key, choice_key = self.network.head, *jax.random.split(key, 3)
        now = self.network.apply(params, batch.obs, now_key)
        following = self.network.apply(target_params, batch.next.obs, next_key)
        judged = self.network.apply(params, batch.next.obs, choice_key) if self.config.double else following
        worth = jnp.where(batch.next.mask, self.select(head.law(judged, batch.next.obs)), -jnp.inf)
        target = head.target(chosen(following, jnp.argmax(worth, -1)), batch.reward, batch.discount)
        return head.loss(chosen(now, batch.action), jax.lax.stop_gradient(target))


def value_optimiser(
    rule: Callable[..., optax.GradientTransformation],
    config: Any,
    updates: int,
    rates: dict[str, float] | None = None,
) -> optax.GradientTransformation:
    """`rule` on clipped gradients; its rate falls to 0 in `updates` (0: never), `rates` are factors of submodules."""
    rate = config.learning_rate
    schedule = optax.linear_schedule(rate, 0.0, updates) if updates else rate
    parts = [optax.clip_by_global_norm(config.max_grad_norm), rule(schedule, eps=config.adam_epsilon)]
    for module, factor in (rates or {}).items():
        parts.append(optax.masked(optax.scale(factor), partial(_within, module)))
    return optax.chain(*parts)


def _within(module: str, tree: PyTree) -> PyTree:
    """Which leaves belong to a submodule."""
    return path_aware_map(lambda path, _: module in path, tree)


def ended_returns(trajectory: Trajectory) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum and number of the returns of episodes that ended in a roll-out, one an agent."""
    done = (trajectory.terminated | trajectory.truncated)[..., None]
    total = jnp.sum(jnp.where(done, trajectory.episode_return, 0.0))
    return total, jnp.sum(jnp.broadcast_to(done, trajectory.episode_return.shape), dtype=jnp.float32)
