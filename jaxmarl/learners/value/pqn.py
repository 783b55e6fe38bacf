"""Q-learning without replay or target network, on lambda-returns (Gallici et al. 2024, "PQN")."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.checks import require, require_int, with_field_types
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, batch_params, check_num_steps, rollout, start_rollout
from jaxmarl.learners.base import Learner, Metrics, reward_metrics
from jaxmarl.learners.returns import gae
from jaxmarl.learners.value.acting import ValueNetwork, exploring_actor, greedy_policy, linear_decay, value_network
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.heads import MeanHead, chosen
from jaxmarl.learners.value.loop import ended_returns, value_optimiser
from jaxmarl.learners.value.replay import Step, steps_of


@dataclass(frozen=True)
class PQNConfig:
    """Settings of `pqn`.

    Attributes:
        hidden: widths of the encoder's dense layers.
        layer_norm: whether they are normalised; what keeps values finite without a target network.
        collect: steps of an update in each environment; must divide the horizon of a fixed-horizon environment.
        epochs: passes over them.
        minibatches: gradient steps a pass; must divide the number of steps.
        discount: γ.
        trace: λ of the targets.
        learning_rate: of RAdam.
        adam_epsilon: of RAdam.
        anneal_steps: agent steps over which the learning rate falls linearly to zero (0: constant).
        max_grad_norm: global gradient norm is clipped to it.
        epsilon_start: probability of a random action, at the start.
        epsilon_end: the same in the end.
        epsilon_steps: agent steps over which it falls linearly.
        reward_scale: multiplies rewards.
    """

    hidden: tuple[int, ...] = (128, 128)
    layer_norm: bool = True
    collect: int = 32
    epochs: int = 2
    minibatches: int = 8
    discount: float = 0.99
    trace: float = 0.65
    learning_rate: float = 5e-4
    adam_epsilon: float = 1e-8
    anneal_steps: int = 0
    max_grad_norm: float = 10.0
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_steps: int = 10_000
    reward_scale: float = 1.0

    @with_field_types
    def __post_init__(self):
        for name in ("collect", "epochs", "minibatches"):
            require_int(name, getattr(self, name), 1)
        for name in ("anneal_steps", "epsilon_steps"):
            require_int(name, getattr(self, name), 0)
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm", "reward_scale"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "trace", "epsilon_start", "epsilon_end"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")


@struct.dataclass
class PQNState:
    """State of the learner.

    Attributes:
        params: of the network.
        opt_state: of the optimiser.
        rollout: environments and running returns.
        updates: int32, done.
        key: consumed by the next update.
    """

    params: PyTree
    opt_state: PyTree
    rollout: RolloutState
    updates: Int32[Array, ""]
    key: Array


def pqn(env: BatchedEnv, config: PQNConfig, env_params: PyTree = None) -> Learner:
    """A learner of expected returns from what it has just played; parameters are shared by all agents of `env`.

    Args:
        env: a `VectorEnv` or `PopulationEnv` with discrete actions; many instances, as nothing is played twice.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: actions that are not discrete, sizes that do not divide.
    """
    env_params = batch_params(env, env_params)
    network = value_network(env, env_params, MeanHead(), config.hidden, config.layer_norm)
    algorithm = ParallelQ(env, config, env_params, network)
    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=greedy_policy(network, risk_neutral, "pqn"),
        params=lambda state: state.params,
        steps_per_update=algorithm.steps_per_update,
    )


def lambda_returns(
    reward: Float[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    next_value: Float[Array, "T *batch"],
    terminated: Array,
    truncated: Array,
    discount: float,
    trace: float,
) -> Float[Array, "T *batch"]:
    """Targets `r + γ (λ G' + (1 - λ) V')` of Q-learning, with `V` the best action's value; arguments as for `gae`."""
    return value + gae(reward, value, next_value, terminated, truncated, discount, trace)


def shuffled(key: Array, size: int) -> Int32[Array, " size"]:
    """The numbers below `size` in random order.

    One sort by 32 random bits, where `jax.random.permutation` may sort twice. A pair ties once in 2³² times, and then
    stays in order: no matter for minibatches.
    """
    return jnp.argsort(jax.random.bits(key, (size,)))


@dataclass(frozen=True, eq=False)
class ParallelQ:
    """The algorithm, with everything static in one place.

    Attributes:
        env: batch of environments.
        config: settings.
        env_params: of the environments.
        network: encoder and a head of means.
    """

    env: BatchedEnv
    config: PQNConfig
    env_params: PyTree
    network: ValueNetwork
    actor: Actor = field(init=False)

    shuffled: ClassVar[int] = 3
    """How many of the axes `[T, B, N]` of what was played are shuffled together."""

    def __post_init__(self):
        config, rows = self.config, self.rows
        check_num_steps(self.env, config.collect)
        require(rows % config.minibatches == 0, "minibatches", config.minibatches, f"a divisor of {rows} steps")
        object.__setattr__(self, "actor", exploring_actor(self.env, self.network, risk_neutral))

    @property
    def steps_per_update(self) -> int:
        """Agent steps of an update."""
        return self.config.collect * self.env.num_envs * self.env.num_agents

    @property
    def rows(self) -> int:
        """Rows that minibatches shuffle."""
        return prod((self.config.collect, self.env.num_envs, self.env.num_agents)[: self.shuffled])

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        updates = config.anneal_steps * config.epochs * config.minibatches // self.steps_per_update
        return value_optimiser(optax.radam, config, updates)

    def init(self, key: Array) -> PQNState:
        net_key, env_key, key = jax.random.split(key, 3)
        carry = start_rollout(self.env, self.actor, env_key, self.env_params)
        params = self.network.init(net_key, self.env.observe(carry.env, self.env_params))
        return PQNState(params, self.optimiser.init(params), carry, jnp.zeros((), jnp.int32), key)

    def update(self, state: PQNState) -> tuple[PQNState, Metrics]:
        config = self.config
        key, play_key, shuffle_key = jax.random.split(state.key, 3)
        done = state.updates * self.steps_per_update
        epsilon = linear_decay(config.epsilon_start, config.epsilon_end, config.epsilon_steps, done)
        actor_params = state.params, epsilon
        carry, trajectory, last = rollout(
            self.env,
            self.actor,
            actor_params,
            state.rollout,
            play_key,
            self.env_params,
            config.collect,
            keep_info=False,
        )
        steps = steps_of(trajectory, last, self.env.horizon is not None)
        steps = replace(steps, reward=steps.reward * config.reward_scale)
        data = (steps.obs, steps.action, self._targets(state.params, steps))
        data = jax.tree.map(lambda x: x.reshape(self.rows, *x.shape[self.shuffled :]), data)
        keys = jax.random.split(shuffle_key, config.epochs)
        (params, opt_state), losses = jax.lax.scan(self._epoch(data), (state.params, state.opt_state), keys)
        total, ended = ended_returns(trajectory)
        metrics = {
            "loss": jnp.mean(losses),
            "epsilon": epsilon,
            "episode_return": total / ended,  # NaN where no episode ended
            **reward_metrics(self.env, trajectory.reward),
        }
        return PQNState(params, opt_state, carry, state.updates + 1, key), metrics

    def _targets(self, params: PyTree, steps: Step) -> Float[Array, "T B N"]:
        outputs: Any = self.network.apply(params, steps.next.obs)
        next_value = jnp.max(jnp.where(steps.next.mask, outputs, -jnp.inf), -1)
        # in an episode, the value at a step is the one after the step before; elsewhere it is not read
        value = jnp.concatenate([jnp.zeros_like(next_value[:1]), next_value[:-1]])
        terminated, done = (jnp.broadcast_to(x[..., None], value.shape) for x in (steps.terminated, steps.done))
        config = self.config
        return lambda_returns(
            steps.reward, value, next_value, terminated, done & ~terminated, config.discount, config.trace
        )

    def _loss(self, params: PyTree, batch: Any) -> Float[Array, ""]:
        """Of rows of observations, actions and targets."""
        obs, action, target = batch
        outputs = chosen(self.network.apply(params, obs), action)
        return jnp.mean((outputs - target) ** 2) / 2

    def _epoch(self, data: Any):
        """A pass over the steps: (params and optimiser, key) to the same and the losses."""

        def gradient_step(carry, index):
            params, opt_state = carry
            value, grads = jax.value_and_grad(self._loss)(params, jax.tree.map(lambda x: x[index], data))
            updates, opt_state = self.optimiser.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), value

        def epoch(carry, key):
            order = shuffled(key, self.rows).reshape(self.config.minibatches, -1)
            return jax.lax.scan(gradient_step, carry, order)

        return epoch
