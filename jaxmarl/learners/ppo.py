"""Recurrent proximal policy optimisation (Schulman et al. 2017) with an opponent-identity head.

One `update` is one jittable function: a roll-out of a batch of environments, and clipped gradient steps on it.
Sequences of `chunk_length` steps, each with the memory it started from, are the unit that minibatches shuffle.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, Trajectory, check_num_steps, rollout, start_rollout
from jaxmarl.learners.actions import BOUNDS, SPREADS, ActionHead, action_head
from jaxmarl.learners.base import Learner, Metrics, reward_metrics
from jaxmarl.learners.networks import RecurrentActorCritic
from jaxmarl.learners.returns import gae


@dataclass(frozen=True)
class PPOConfig:
    """Settings of `ppo`.

    Attributes:
        hidden: width of the encoder and of the memory.
        chunk_length: steps of a training sequence (back-propagation through time stops at its start); must divide the
            horizon of a fixed-horizon environment.
        chunks_per_update: consecutive sequences that one update collects from each environment.
        epochs: passes over the collected steps.
        minibatches: gradient steps a pass; must divide `chunks_per_update · num_envs · num_agents`.
        learning_rate: of Adam (ε = 1e-5).
        anneal_updates: updates over which the learning rate falls linearly to zero (0: constant).
        discount: γ.
        trace: λ of the advantage estimates.
        clip: ε of the clipped surrogate and of the value loss.
        entropy_weight: of the entropy bonus.
        value_weight: of the value loss.
        label_weight: of the cross-entropy of the opponent-identity head.
        reward_scale: multiplies rewards, to keep values near one.
        max_grad_norm: global gradient norm is clipped to it.
        bounds: how continuous actions are kept in their box, `"squash"` or `"clip"` (`actions.GaussianActions`).
        spread: whether their standard deviations are `"shared"` by all observations or depend on the `"state"`.
        initial_std: of continuous actions before they are squashed.
    """

    hidden: int = 64
    chunk_length: int = 100
    chunks_per_update: int = 1
    epochs: int = 2
    minibatches: int = 4
    learning_rate: float = 1e-3
    anneal_updates: int = 0
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    label_weight: float = 0.1
    reward_scale: float = 1.0
    max_grad_norm: float = 0.5
    bounds: str = "squash"
    spread: str = "shared"
    initial_std: float = 0.5

    def __post_init__(self):
        for name in ("hidden", "chunk_length", "chunks_per_update", "epochs", "minibatches"):
            require_int(name, getattr(self, name), 1)
        require_int("anneal_updates", self.anneal_updates, 0)
        for name in ("learning_rate", "clip", "reward_scale", "max_grad_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "trace"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        for name in ("entropy_weight", "value_weight", "label_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "non-negative")
        require_choice("bounds", self.bounds, BOUNDS)
        require_choice("spread", self.spread, SPREADS)


@struct.dataclass
class PPOState:
    """State of the learner.

    Attributes:
        params: of the network.
        opt_state: of the optimiser.
        rollout: environments, memories and running returns.
        key: consumed by the next update.
    """

    params: PyTree
    opt_state: PyTree
    rollout: RolloutState
    key: Array


class Sequences(NamedTuple):
    """Training data: `S` sequences of `L` steps."""

    memory: Float[Array, "S H"]
    label: Int32[Array, " S"]
    seen: MaskedObs  # leaves [S, L, …], as the rest
    start: Bool[Array, "S L"]
    raw: Array  # draws behind the actions
    log_prob: Float[Array, "S L"]
    value: Float[Array, "S L"]
    advantage: Float[Array, "S L"]


def ppo(env: BatchedEnv, config: PPOConfig, env_params: PyTree = None) -> Learner:
    """A PPO learner whose parameters are shared by all agents of `env`.

    Args:
        env: a `VectorEnv` or `PopulationEnv`; actions are discrete or a box of floats.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: an action space of another kind, or sizes do not divide.
    """
    env_params = env.default_params if env_params is None else env_params
    head = action_head(env.action_space(env_params), config.bounds, config.spread, config.initial_std)
    check_num_steps(env, config.chunk_length)
    num_sequences = config.chunks_per_update * env.num_envs * env.num_agents
    divides = num_sequences % config.minibatches == 0
    require(divides, "minibatches", config.minibatches, f"a divisor of the {num_sequences} sequences of an update")
    network = RecurrentActorCritic(head.num_outputs, env.num_labels, config.hidden, head.free)
    algorithm = _PPO(env, config, env_params, network, head)
    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=network_policy(network, head),
        params=lambda state: state.params,
        steps_per_update=num_sequences * config.chunk_length,
    )


def network_policy(network: RecurrentActorCritic, head: ActionHead, name: str = "ppo") -> Policy:
    """The stochastic policy of a network, for one agent; its params are the network's."""

    def act(params, memory, seen, chance):
        seen = jax.tree.map(lambda x: x[None], _with_mask(seen))
        memory, heads = network.run(params, memory, seen, jnp.zeros((1,), bool))
        return head.sample(heads.policy[0], chance)[0], memory

    return Policy(lambda chance: network.initial_memory(), act, act_chance=head.chance, masked=head.masked, name=name)


def _with_mask(seen: Any) -> MaskedObs:
    """What a network reads: an observation without a mask of legal actions has None for it."""
    no_mask: Any = None
    return seen if isinstance(seen, MaskedObs) else MaskedObs(seen, no_mask)


@dataclass(frozen=True, eq=False)
class _PPO:
    """The algorithm, with everything static in one place."""

    env: BatchedEnv
    config: PPOConfig
    env_params: PyTree
    network: RecurrentActorCritic
    head: ActionHead

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        steps = config.anneal_updates * config.epochs * config.minibatches
        schedule = optax.linear_schedule(config.learning_rate, 0.0, steps) if steps else config.learning_rate
        return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(schedule, eps=1e-5))

    @property
    def actor(self) -> Actor:
        head, lanes = self.head, (self.env.num_envs, self.env.num_agents)

        def act(params, memory, seen, start, key):
            memory, heads = self._apply(params, memory, _with_mask(seen), start)
            action, raw = head.sample(heads.policy, draw(repeat(head.chance, *lanes), key))
            return action, memory, (raw, head.log_prob(heads.policy, raw), heads.value)

        return Actor(lambda key: self.network.initial_memory(lanes), act, masked=head.masked)

    def init(self, key: Array) -> PPOState:
        net_key, env_key, key = jax.random.split(key, 3)
        carry = start_rollout(self.env, self.actor, env_key, self.env_params)
        obs = self.env.observe(carry.env, self.env_params)
        mask = self.env.action_mask(carry.env, self.env_params)[None] if self.head.masked else None
        start = jnp.ones((1, *carry.start.shape, self.env.num_agents), bool)
        params = self.network.init(net_key, carry.memory, obs[None], mask, start)
        return PPOState(params, self.optimiser.init(params), carry, key)

    def update(self, state: PPOState) -> tuple[PPOState, Metrics]:
        key, rollout_key, shuffle_key = jax.random.split(state.key, 3)
        carry, data, rollout_metrics = self._collect(state.params, state.rollout, rollout_key)
        params, opt_state, loss_metrics = self._optimise(state.params, state.opt_state, data, shuffle_key)
        return PPOState(params, opt_state, carry, key), {**rollout_metrics, **loss_metrics}

    def _apply(self, params, memory, seen: MaskedObs, start):
        """One step of all agents: `start` is `[B]`."""
        each = jnp.broadcast_to(start[:, None], (self.env.num_envs, self.env.num_agents))[None]
        memory, heads = self.network.run(params, memory, jax.tree.map(lambda x: x[None], seen), each)
        return memory, jax.tree.map(lambda x: x[0], heads)

    def _collect(self, params, carry: RolloutState, key: Array) -> tuple[RolloutState, Sequences, Metrics]:
        """Plays the chunks of one update and turns them into training sequences."""
        config = self.config

        def chunk(carry, key):
            memory = carry.memory
            carry, trajectory, last = rollout(
                self.env, self.actor, params, carry, key, self.env_params, config.chunk_length, keep_info=False
            )
            next_value = self._next_value(params, memory, trajectory, carry, last)
            return carry, (memory, trajectory, next_value)

        carry, (memory, chunks, next_value) = jax.lax.scan(
            chunk, carry, jax.random.split(key, config.chunks_per_update)
        )
        joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (chunks, next_value))
        advantage = self._advantage(*joined).reshape(next_value.shape)
        raw, log_prob, value = chunks.extras
        start = jnp.broadcast_to(chunks.start[..., None], value.shape)
        steps = (_with_mask(chunks.obs), start, raw, log_prob, value, advantage)  # [C, L, B, N, …]
        by_sequence = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 3), steps)
        label = jnp.broadcast_to(self.env.labels[:, None], memory.shape[:-1])
        data = Sequences(*jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), (memory, label, *by_sequence)))
        return carry, data, self._rollout_metrics(joined[0])

    def _next_value(self, params, memory, trajectory: Trajectory, carry: RolloutState, last):
        """Value at the observation after each step, in the same episode, `[L, B, N]`."""
        value = trajectory.extras[-1]
        never = jnp.zeros_like(carry.start)
        _, heads = self._apply(params, carry.memory, _with_mask(last), never)
        next_value = jnp.concatenate([value[1:], heads.value[None]])
        if self.env.horizon is not None:
            return next_value  # episodes end with the roll-out, so `last` is their final observation
        cores = self._memories(params, memory, trajectory)
        everything: Any = jnp.ones_like(trajectory.obs.mask) if self.head.masked else None
        final = MaskedObs(trajectory.info["final_observation"], everything)
        _, heads = jax.vmap(self._apply, in_axes=(None, 0, 0, None))(params, cores, final, never)
        return jnp.where(trajectory.truncated[..., None], heads.value, next_value)

    def _memories(self, params, memory, trajectory: Trajectory):
        """Memory after every step of a roll-out, `[L, B, N, H]`."""

        def step(memory, inputs):
            memory, _ = self._apply(params, memory, *inputs)
            return memory, memory

        return jax.lax.scan(step, memory, (_with_mask(trajectory.obs), trajectory.start))[1]

    def _advantage(self, trajectory: Trajectory, next_value):
        return gae(
            trajectory.reward * self.config.reward_scale,
            trajectory.extras[-1],
            next_value,
            jnp.broadcast_to(trajectory.terminated[..., None], next_value.shape),
            jnp.broadcast_to(trajectory.truncated[..., None], next_value.shape),
            self.config.discount,
            self.config.trace,
        )

    def _rollout_metrics(self, trajectory: Trajectory) -> Metrics:
        """Mean reward a step, overall and against the worst kind of opponent, and returns of ended episodes."""
        done = (trajectory.terminated | trajectory.truncated)[..., None]
        ended = jnp.sum(done) * self.env.num_agents
        total = jnp.sum(jnp.where(done, trajectory.episode_return, 0.0))
        return {
            **reward_metrics(self.env, trajectory.reward),
            "episode_return": total / ended,  # NaN where no episode ended
        }

    def _optimise(self, params, opt_state, data: Sequences, key: Array):
        """Epochs of clipped gradient steps over shuffled sequences."""
        optimiser, minibatches = self.optimiser, self.config.minibatches
        num_sequences = data.label.shape[0]

        def gradient_step(carry, index):
            params, opt_state = carry
            batch = jax.tree.map(lambda x: x[index], data)
            (_, metrics), grads = jax.value_and_grad(self._loss, has_aux=True)(params, batch)
            updates, opt_state = optimiser.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), metrics

        def epoch(carry, key):
            order = jax.random.permutation(key, num_sequences).reshape(minibatches, -1)
            return jax.lax.scan(gradient_step, carry, order)

        keys = jax.random.split(key, self.config.epochs)
        (params, opt_state), metrics = jax.lax.scan(epoch, (params, opt_state), keys)
        first_ratio = metrics.pop("ratio")[0, 0]
        return params, opt_state, {**jax.tree.map(jnp.mean, metrics), "first_ratio": first_ratio}

    def _loss(self, params, batch: Sequences) -> tuple[Float[Array, ""], Metrics]:
        config = self.config
        seen, start = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), (batch.seen, batch.start))
        _, heads = self.network.run(params, batch.memory, seen, start)
        heads = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), heads)
        ratio = jnp.exp(self.head.log_prob(heads.policy, batch.raw) - batch.log_prob)
        advantage = (batch.advantage - jnp.mean(batch.advantage)) / (jnp.std(batch.advantage) + 1e-8)
        clipped = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
        policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
        target = batch.advantage + batch.value
        near = batch.value + jnp.clip(heads.value - batch.value, -config.clip, config.clip)
        value_loss = 0.5 * jnp.mean(jnp.maximum((heads.value - target) ** 2, (near - target) ** 2))
        entropy = jnp.mean(self.head.entropy(heads.policy))
        label = jnp.broadcast_to(batch.label[:, None], heads.value.shape)
        label_loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(heads.label_logits, label))
        loss = policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy
        loss = loss + config.label_weight * label_loss
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "explained_variance": 1.0 - jnp.var(target - heads.value) / (jnp.var(target) + 1e-8),
            "entropy": entropy,
            "label_loss": label_loss,
            "label_accuracy": jnp.mean(jnp.argmax(heads.label_logits, -1) == label),
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1.0) > config.clip),
            "ratio": jnp.mean(ratio),
        }
