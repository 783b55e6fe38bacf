"""The clipped policy gradient that PPO, independent PPO and MAPPO share: one roll-out, one loss, one shuffling.

One `update` is one jittable function: a roll-out of a batch of environments, and clipped gradient steps on it.
Sequences of `chunk_length` steps, each with the memory it started from, are the unit that minibatches shuffle: of one
agent, or of all agents of an instance where the network reads them together (`joint`).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require, require_choice, require_int, with_field_types
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, Trajectory, rollout, start_rollout
from jaxmarl.core.sharding import split_batch
from jaxmarl.learners.actions import BOUNDS, SPREADS, ActionHead
from jaxmarl.learners.base import Metrics, reward_metrics
from jaxmarl.learners.networks import Heads
from jaxmarl.learners.returns import ValueScale, gae, mean_of


class ActorCritic(Protocol):
    """What a network must offer: policy and values of steps, with a memory (`networks.RecurrentActorCritic`)."""

    joint: bool
    """Whether it reads all agents of an instance together: axes of agents are then never cut."""

    @property
    def init(self) -> Any:
        """Parameters, of a key, a memory, and obs, mask and start of a step."""

    def run(self, params: PyTree, memory: PyTree, seen: MaskedObs, start: Array) -> tuple[PyTree, Heads]:
        """Memory after `T` steps, and what the heads say at each."""

    def initial_memory(self, batch: tuple[int, ...] = ()) -> PyTree:
        """The memory at an episode's start."""


@dataclass(frozen=True)
class PPOConfig:
    """Settings of the algorithm, and of the network of `ppo`.

    Attributes:
        hidden: width of the encoder and of the memory, or of two layers without one.
        recurrent: whether the network has a memory.
        chunk_length: steps of a training sequence (back-propagation through time stops at its start); must divide the
            horizon of a fixed-horizon environment.
        chunks_per_update: consecutive sequences that one update collects from each environment.
        epochs: passes over the collected steps.
        minibatches: gradient steps a pass; must divide the number of sequences, `chunks_per_update · num_envs ·
            num_agents`.
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
        value_norm: whether the network says values in units of a running mean and standard deviation of the returns.
        value_decay: weight of the past in those, an update.
        death_masking: whether agents that see nothing but zeros have left the game, and count in no loss.
        bounds: how continuous actions are kept in their box, `"squash"` or `"clip"` (`actions.GaussianActions`).
        spread: whether their standard deviations are `"shared"` by all observations or depend on the `"state"`.
        initial_std: of continuous actions before they are squashed.
    """

    hidden: int = 64
    recurrent: bool = True
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
    value_norm: bool = False
    value_decay: float = 0.99999
    death_masking: bool = False
    bounds: str = "squash"
    spread: str = "shared"
    initial_std: float = 0.5

    @with_field_types
    def __post_init__(self):
        for name in ("hidden", "chunk_length", "chunks_per_update", "epochs", "minibatches"):
            require_int(name, getattr(self, name), 1)
        require_int("anneal_updates", self.anneal_updates, 0)
        for name in ("learning_rate", "clip", "reward_scale", "max_grad_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "trace"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require(0 <= self.value_decay < 1, "value_decay", self.value_decay, "in [0, 1)")
        for name in ("entropy_weight", "value_weight", "label_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "non-negative")
        require_choice("bounds", self.bounds, BOUNDS)
        require_choice("spread", self.spread, SPREADS)


@struct.dataclass
class PolicyGradientState:
    """State of the learner.

    Attributes:
        params: of the network.
        opt_state: of the optimiser.
        rollout: environments, memories and running returns.
        key: consumed by the next update.
        scale: of values, if they are normalised.
    """

    params: PyTree
    opt_state: PyTree
    rollout: RolloutState
    key: Array
    scale: ValueScale | None


class Sequences(NamedTuple):
    """Training data: `S` sequences of `L` steps, with an axis of agents after the first where the network is joint."""

    memory: PyTree  # leaves [S, …]
    label: Int32[Array, " S"]
    seen: MaskedObs  # leaves [S, L, …], as the rest
    start: Bool[Array, "S L"]
    raw: Array  # draws behind the actions
    log_prob: Float[Array, "S L"]
    value: Float[Array, "S L"]  # as the network said it
    advantage: Float[Array, "S L"]
    target: Float[Array, "S L"]  # of the value: in units of rewards, or normalised once the scale is known


def with_mask(seen: Any) -> MaskedObs:
    """What a network reads: an observation without a mask of legal actions has None for it."""
    no_mask: Any = None
    return seen if isinstance(seen, MaskedObs) else MaskedObs(seen, no_mask)


def network_actor(env: BatchedEnv, network: ActorCritic, head: ActionHead, greedy: bool = False) -> Actor:
    """A network that plays all seats of a batch; `greedy` plays the most likely action instead of drawing one.

    What a roll-out keeps of it (`extras`) is `(raw draw, log probability, value)`.
    """
    lanes = env.num_envs, env.num_agents

    def act(params, memory, seen, start, key):
        memory, heads = one_step(network, lanes, params, memory, with_mask(seen), start)
        action, raw = head.sample(heads.policy, draw(repeat(head.chance, *lanes), key))
        action = head.mode(heads.policy) if greedy else action
        return action, memory, (raw, head.log_prob(heads.policy, raw), heads.value)

    return Actor(lambda key: network.initial_memory(lanes), act, masked=head.masked)


def one_step(network: ActorCritic, lanes: tuple[int, int], params, memory, seen: MaskedObs, start):
    """One step of all agents: `start` is `[B]`."""
    each = jnp.broadcast_to(start[:, None], lanes)[None]
    memory, heads = network.run(params, memory, jax.tree.map(lambda x: x[None], seen), each)
    return memory, jax.tree.map(lambda x: x[0], heads)


@dataclass(frozen=True, eq=False)
class ClippedPolicyGradient:
    """The algorithm, with everything static in one place."""

    env: BatchedEnv
    config: PPOConfig
    env_params: PyTree
    network: ActorCritic
    head: ActionHead

    keep_info: ClassVar[bool] = False
    """Whether trajectories keep what environments measure, for rewards that are made of it."""

    reads_mask: ClassVar[bool] = False
    """Whether it learns from masks of legal actions themselves, and so needs them where all are legal."""

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        steps = config.anneal_updates * config.epochs * config.minibatches
        schedule = optax.linear_schedule(config.learning_rate, 0.0, steps) if steps else config.learning_rate
        return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(schedule, eps=1e-5))

    @property
    def num_sequences(self) -> int:
        """Training sequences of an update."""
        lanes = self.env.num_envs * (1 if self.network.joint else self.env.num_agents)
        return self.config.chunks_per_update * lanes

    @property
    def steps_per_update(self) -> int:
        """Agent steps of an update."""
        config = self.config
        return config.chunks_per_update * config.chunk_length * self.env.num_envs * self.env.num_agents

    @property
    def actor(self) -> Actor:
        return network_actor(self.env, self.network, self.head)

    def init(self, key: Array) -> PolicyGradientState:
        net_key, env_key, key = jax.random.split(key, 3)
        carry = start_rollout(self.env, self.actor, env_key, self.env_params)
        obs = self.env.observe(carry.env, self.env_params)
        mask = self.env.action_mask(carry.env, self.env_params)[None] if self.head.masked else None
        start = jnp.ones((1, *carry.start.shape, self.env.num_agents), bool)
        params = self.network.init(net_key, carry.memory, obs[None], mask, start)
        scale = ValueScale.empty() if self.config.value_norm else None
        return PolicyGradientState(params, self.first_opt_state(params), carry, key, scale)

    def first_opt_state(self, params: PyTree) -> PyTree:
        """State of the optimiser before the first gradient."""
        return self.optimiser.init(params)

    def update(self, state: PolicyGradientState) -> tuple[PolicyGradientState, Metrics]:
        key, rollout_key, shuffle_key = jax.random.split(state.key, 3)
        carry, data, rollout_metrics = self._collect(state, rollout_key)
        scale = state.scale
        if scale is not None:
            scale = scale.update(data.target, self.alive(data.seen, data.start), self.config.value_decay)
            data = data._replace(target=scale.normalise(data.target))
        prepared = self.prepared(state, data)
        params, opt_state, loss_metrics = self._optimise(state.params, state.opt_state, prepared, shuffle_key)
        state = replace(state, params=params, opt_state=opt_state, rollout=carry, key=key, scale=scale)
        return state, {**rollout_metrics, **loss_metrics}

    def prepared(self, state: Any, data: Sequences) -> Any:
        """What the gradient steps of an update are made from; leaves `[S, ...]`."""
        return data

    def _apply(self, params, memory, seen: MaskedObs, start):
        return one_step(self.network, (self.env.num_envs, self.env.num_agents), params, memory, seen, start)

    def _collect(self, state: PolicyGradientState, key: Array) -> tuple[RolloutState, Sequences, Metrics]:
        """Plays the chunks of one update and turns them into training sequences."""
        config, params = self.config, state.params

        def chunk(carry, key):
            memory = carry.memory
            carry, trajectory, last = rollout(
                self.env, self.actor, params, carry, key, self.env_params, config.chunk_length, self.keep_info
            )
            next_value = self._next_value(params, memory, trajectory, carry, last)
            return carry, (memory, trajectory, next_value)

        carry, (memory, chunks, next_value) = jax.lax.scan(
            chunk, state.rollout, jax.random.split(key, config.chunks_per_update)
        )
        raw, log_prob, value = chunks.extras
        real, real_next = (value, next_value) if state.scale is None else map(state.scale.restore, (value, next_value))
        joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (chunks, real, real_next))
        advantage = self._advantage(state, *joined).reshape(value.shape)
        start = jnp.broadcast_to(chunks.start[..., None], value.shape)
        steps = (with_mask(chunks.obs), start, raw, log_prob, value, advantage, advantage + real)  # [C, L, B, N, …]
        by_sequence = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 3), steps)
        label = jnp.broadcast_to(self.env.labels[:, None], by_sequence[1].shape[:3])
        cut = 2 if self.network.joint else 3
        data = jax.tree.map(lambda x: x.reshape(self.num_sequences, *x.shape[cut:]), (memory, label, *by_sequence))
        return carry, Sequences(*data), self._rollout_metrics(joined[0])

    def _next_value(self, params, memory, trajectory: Trajectory, carry: RolloutState, last):
        """Value at the observation after each step, in the same episode, `[L, B, N]`."""
        value = trajectory.extras[-1]
        never = jnp.zeros_like(carry.start)
        _, heads = self._apply(params, carry.memory, with_mask(last), never)
        next_value = jnp.concatenate([value[1:], heads.value[None]])
        if self.env.horizon is not None:
            return next_value  # episodes end with the roll-out, so `last` is their final observation
        if not self.env.truncates:
            return next_value  # nothing follows the end of a game, whatever is said of its final observation
        cores = self._memories(params, memory, trajectory)
        everything: Any = jnp.ones_like(trajectory.obs.mask) if self.head.masked else None
        final = MaskedObs(trajectory.info["final_observation"], everything)
        _, heads = jax.vmap(self._apply, in_axes=(None, 0, 0, None))(params, cores, final, never)
        return jnp.where(trajectory.truncated[..., None], heads.value, next_value)

    def _memories(self, params, memory, trajectory: Trajectory):
        """Memory after every step of a roll-out, leaves `[L, B, N, …]`."""

        def step(memory, inputs):
            memory, _ = self._apply(params, memory, *inputs)
            return memory, memory

        return jax.lax.scan(step, memory, (with_mask(trajectory.obs), trajectory.start))[1]

    def _advantage(self, state: Any, trajectory: Trajectory, value, next_value):
        """Of all steps of an update, `[T, B, N]`; what learns from other rewards replaces the trajectory's here."""
        return gae(
            trajectory.reward * self.config.reward_scale,
            value,
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

    def alive(self, seen: MaskedObs, start: Array) -> Bool[Array, "..."] | None:
        """With death masking, who has not left the game: an agent that has sees zeros. None: everybody counts."""
        if not self.config.death_masking:
            return None
        return jnp.any(seen.obs.reshape(*start.shape, -1) != 0, axis=-1)

    def _optimise(self, params, opt_state, data: Sequences, key: Array):
        """Epochs of clipped gradient steps over shuffled sequences."""
        optimiser, minibatches = self.optimiser, self.config.minibatches

        def gradient_step(carry, index):
            params, opt_state = carry
            batch = split_batch(jax.tree.map(lambda x: x[index], data))
            (_, metrics), grads = jax.value_and_grad(self._loss, has_aux=True)(params, batch)
            updates, opt_state = optimiser.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), metrics

        def epoch(carry, key):
            order = jax.random.permutation(key, self.num_sequences).reshape(minibatches, -1)
            return jax.lax.scan(gradient_step, carry, order)

        keys = jax.random.split(key, self.config.epochs)
        (params, opt_state), metrics = jax.lax.scan(epoch, (params, opt_state), keys)
        first_ratio = metrics.pop("ratio")[0, 0]
        return params, opt_state, {**jax.tree.map(jnp.mean, metrics), "first_ratio": first_ratio}

    def heads(self, params: PyTree, batch: Sequences) -> Heads:
        """What the network says along sequences, `[S, (N,) L, ...]`."""
        time = batch.value.ndim - 1
        seen, start = jax.tree.map(lambda x: jnp.moveaxis(x, time, 0), (batch.seen, batch.start))
        _, heads = self.network.run(params, batch.memory, seen, start)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, time), heads)

    def _loss(self, params, batch: Any) -> tuple[Float[Array, ""], Metrics]:
        config, heads = self.config, self.heads(params, batch)
        alive = self.alive(batch.seen, batch.start)

        mean = partial(mean_of, counts=alive)

        def variance(x):
            return mean((x - mean(x)) ** 2)

        log_ratio = self.head.log_prob(heads.policy, batch.raw) - batch.log_prob
        # those who are gone may have odds of any size, whose gradient must not be infinity times 0
        ratio = jnp.exp(log_ratio if alive is None else jnp.where(alive, log_ratio, 0.0))
        spread = jnp.sqrt(variance(batch.advantage))
        advantage = (batch.advantage - mean(batch.advantage)) / (spread + 1e-8)
        clipped = jnp.clip(ratio, 1.0 - config.clip, 1.0 + config.clip)
        policy_loss = -mean(jnp.minimum(ratio * advantage, clipped * advantage))
        value_loss = self.value_loss(heads.value, batch, alive)
        entropy = mean(self.head.entropy(heads.policy))
        label_loss, label_metrics = self._label_loss(heads, batch.label)
        loss = policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy
        return loss + config.label_weight * label_loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "explained_variance": 1.0 - variance(batch.target - heads.value) / (variance(batch.target) + 1e-8),
            "entropy": entropy,
            **label_metrics,
            "clip_fraction": mean(jnp.abs(ratio - 1.0) > config.clip),
            "ratio": mean(ratio),
        }

    def value_loss(self, value: Array, batch: Sequences, alive: Array | None) -> Float[Array, ""]:
        """Half the squared error, or that of the value clipped to near what it was, whichever is larger."""
        near = batch.value + jnp.clip(value - batch.value, -self.config.clip, self.config.clip)
        return 0.5 * mean_of(jnp.maximum((value - batch.target) ** 2, (near - batch.target) ** 2), alive)

    def _label_loss(self, heads: Heads, label: Array) -> tuple[Array | float, Metrics]:
        """Cross-entropy of the head that names the opponent, if the network has one."""
        if heads.label_logits is None:
            return 0.0, {}
        label = jnp.broadcast_to(label[..., None], heads.value.shape)
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(heads.label_logits, label))
        hits = jnp.mean(jnp.argmax(heads.label_logits, -1) == label)
        return loss, {"label_loss": loss, "label_accuracy": hits}
