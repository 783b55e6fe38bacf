"""Learning with opponent Q-learning awareness (LOQA; Aghajohari et al., ICLR 2024, arXiv 2405.01035), by self-play.

The opponent is taken to play `softmax(Q / τ)` of its action values. The value of the action that it took is replaced by
an estimate of its return that is differentiable in one's own policy, so that a gradient step can make actions of the
opponent that help one worth more to it. Without that term (`shaping_weight=0`) this is a naive actor-critic.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Uniform, draw
from jaxmarl.core.checks import require
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.core.spaces import Discrete
from jaxmarl.core.vector import VectorEnv
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.loqa_config import LOQAConfig
from jaxmarl.learners.networks import GRU, orthonormal
from jaxmarl.learners.opponent_shaping import differentiable_action_values, discounted_sums, opponent_log_prob


@struct.dataclass
class LOQAState:
    """State of the learner.

    Attributes:
        params: of the networks `"actor"` and `"critic"`.
        target: moving average of the critic's.
        replay: past params, stacked.
        opt_state: of the optimiser.
        count: updates made.
        key: consumed by the next update.
    """

    params: PyTree
    target: PyTree
    replay: PyTree
    opt_state: PyTree
    count: Int32[Array, ""]
    key: Array


class Episodes(NamedTuple):
    """`T` steps of `B` episodes; the learner sits first, its opponent second."""

    obs: Float[Array, "T+1 B 2 F"]
    action: Int32[Array, "T B 2"]
    reward: Float[Array, "T B 2"]
    opponent_logits: Float[Array, "T+1 B A"]


class Network(nn.Module):
    """Dense layers, a memory if `recurrent`, and a linear output at each of `T` steps."""

    num_outputs: int
    layers: tuple[int, ...]
    recurrent: bool
    output_scale: float

    @nn.compact
    def __call__(
        self, memory: Float[Array, "*batch H"], x: Float[Array, "T *batch F"]
    ) -> tuple[Float[Array, "*batch H"], Float[Array, "T *batch O"]]:
        """Memory after the last step, and outputs."""
        for i, width in enumerate(self.layers):
            x = nn.relu(nn.Dense(width, kernel_init=orthonormal(2**0.5), name=f"layer_{i}")(x))
        if self.recurrent:
            memory, x = GRU(self.layers[-1], name="core")(memory, x, jnp.zeros(x.shape[:-1], bool))
        return memory, nn.Dense(self.num_outputs, kernel_init=orthonormal(self.output_scale), name="output")(x)

    def initial_memory(self, batch: tuple[int, ...] = ()) -> Float[Array, "*batch H"]:
        """The memory at an episode's start."""
        return jnp.zeros((*batch, self.layers[-1] if self.recurrent else 0), jnp.float32)

    def run(self, params: PyTree, memory: Array, x: Float[Array, "T *batch F"]) -> tuple[Array, Array]:
        """`apply`."""
        memory, outputs = self.apply(params, memory, x)
        return memory, jnp.asarray(outputs)

    def whole(self, params: PyTree, x: Float[Array, "T *batch F"]) -> Float[Array, "T *batch O"]:
        """Outputs over whole episodes."""
        return self.run(params, self.initial_memory(x.shape[1:-1]), x)[1]


def loqa(env: AnyEnvironment, config: LOQAConfig, env_params: PyTree = None) -> Learner:
    """A LOQA learner, which plays against its own past. Its policy is stochastic; its params are the actor's.

    Args:
        env: a symmetric game of two players with discrete actions, all legal, and a fixed horizon.
        config: settings.
        env_params: of the environment (default: `env.default_params`).

    Raises:
        ValueError: another kind of environment.
    """
    env_params = env.default_params if env_params is None else env_params
    fits = env.num_agents == 2 and env.symmetric and env.horizon is not None
    require(fits, "env", type(env).__name__, "a symmetric game of two players with a fixed horizon")
    space = env.action_space(env_params)
    if not isinstance(space, Discrete):
        raise ValueError(f"env must have discrete actions, got {space!r}")
    actor = Network(space.n, config.actor_layers, config.recurrent, 0.01)
    critic = Network(space.n, config.critic_layers, config.recurrent, 0.01)
    algorithm = _LOQA(env, config, env_params, actor, critic)

    def act(params, memory, obs, chance):
        memory, logits = actor.run(params, memory, obs.reshape(1, -1))
        return categorical(logits[0], chance), memory

    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=Policy(lambda chance: actor.initial_memory(), act, act_chance=Uniform(), name="loqa"),
        params=lambda state: state.params["actor"],
        steps_per_update=config.num_envs * algorithm.num_steps,
    )


@dataclass(frozen=True, eq=False)
class _LOQA:
    """The algorithm, with everything static in one place."""

    env: AnyEnvironment
    config: LOQAConfig
    env_params: PyTree
    actor: Network
    critic: Network

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        start = optax.constant_schedule(0.0), optax.constant_schedule(config.actor_rate)
        rates = {
            "actor": optax.join_schedules(start, [config.warm_up]),
            "critic": optax.constant_schedule(config.critic_rate),
        }
        clip = optax.clip_by_global_norm(config.max_grad_norm)
        adams = {name: optax.chain(clip, optax.adam(rate)) for name, rate in rates.items()}
        return optax.multi_transform(adams, {k: k for k in adams})

    @property
    def num_steps(self) -> int:
        return int(self.env.horizon or 0)

    def init(self, key: Array) -> LOQAState:
        actor_key, critic_key, key = jax.random.split(key, 3)
        size = int(np.prod(self.env.observation_space(self.env_params).shape))
        params = {
            "actor": self.actor.init(actor_key, self.actor.initial_memory(), jnp.zeros((1, size))),
            "critic": self.critic.init(
                critic_key, self.critic.initial_memory(), jnp.zeros((1, size + self.config.clock))
            ),
        }
        replay = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.config.replay, *x.shape)), params)
        opt_state = self.optimiser.init(params)
        return LOQAState(params, params["critic"], replay, opt_state, jnp.zeros((), jnp.int32), key)

    def update(self, state: LOQAState) -> tuple[LOQAState, Metrics]:
        config = self.config
        key, pick_key, play_key = jax.random.split(state.key, 3)
        age = jnp.maximum(state.count - config.warm_up, 0)  # nobody meets the untrained critics of before
        picks = self._picked(age, pick_key)
        opponents = jax.tree.map(lambda x: x[picks], state.replay)
        episodes = self._play(state.params["actor"], opponents["actor"], play_key)
        opponent_q = self._opponent_values(opponents["critic"], episodes)
        weight = jnp.where(age >= config.naive_updates, config.shaping_weight, 0.0)
        softness = jnp.maximum(1 - state.count / config.anneal_updates, 0.0) if config.anneal_updates else 1.0
        loss = partial(self._loss, weight=weight, softness=softness)
        grads, metrics = jax.grad(loss, has_aux=True)(state.params, state.target, episodes, opponent_q)
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(params["critic"], state.target, 1 - config.target_decay)
        entry, kept = age // config.replay_every, config.naive_entries if config.naive_opponents else 0
        place = jnp.where(entry < config.replay, entry, kept + (entry - kept) % (config.replay - kept))
        keep = age % config.replay_every == 0
        replay = jax.tree.map(
            lambda old, new: old.at[place].set(jnp.where(keep, new, old[place])), state.replay, state.params
        )
        return LOQAState(params, target, replay, opt_state, state.count + 1, key), metrics

    def _picked(self, age: Int32[Array, ""], key: Array) -> Int32[Array, " opponents"]:
        """Rows of the replay that play this update; the first `naive_opponents` of them from the naive updates."""
        config = self.config
        entries = jnp.clip(1 + (age - 1) // config.replay_every, 1, config.replay)
        naive = jnp.minimum(entries, config.naive_entries)
        from_naive = jnp.arange(config.num_opponents) < config.naive_opponents
        low = jnp.where(from_naive, jnp.minimum(1, naive - 1), 0)  # the entry before the first lesson is left out
        return jax.random.randint(key, (config.num_opponents,), low, jnp.where(from_naive, naive, entries))

    def _play(self, params: PyTree, opponents: PyTree, key: Array) -> Episodes:
        """Whole episodes; each opponent plays an equal share of them."""
        config, actor = self.config, self.actor
        batch = VectorEnv(self.env, config.num_envs)
        groups = (config.num_opponents, config.num_envs // config.num_opponents)
        start_key, steps_key = jax.random.split(key)

        def flat(obs):
            return obs.reshape(config.num_envs, 2, -1).astype(jnp.float32)

        def step(carry, key):
            (obs, state), mine, theirs = carry
            act_key, env_key = jax.random.split(key)
            mine, logits = actor.run(params, mine, obs[None, :, 0])
            grouped = obs[:, 1].reshape(*groups, -1)
            theirs, others = jax.vmap(lambda p, m, x: actor.run(p, m, x[None]))(opponents, theirs, grouped)
            both = self._erring(jnp.stack([logits[0], others.reshape(config.num_envs, -1)], axis=1))
            action = categorical(both, draw(Uniform(), act_key, (config.num_envs, 2)))
            new_obs, state, reward, _, _, _ = batch.step(env_key, state, action, self.env_params)
            return ((flat(new_obs), state), mine, theirs), (obs, action, reward, both[:, 1])

        obs, state = batch.reset(start_key, self.env_params)
        memories = actor.initial_memory((config.num_envs,)), actor.initial_memory(groups)
        carry, (obs, action, reward, others) = jax.lax.scan(
            step, ((flat(obs), state), *memories), jax.random.split(steps_key, self.num_steps)
        )
        last = carry[0][0]
        grouped = last[:, 1].reshape(*groups, -1)
        _, final = jax.vmap(lambda p, m, x: actor.run(p, m, x[None]))(opponents, carry[2], grouped)
        others = jnp.concatenate([others, self._erring(final.reshape(1, config.num_envs, -1))])
        return Episodes(jnp.concatenate([obs, last[None]]), action, reward, others)

    def _erring(self, logits: Float[Array, "*batch A"]) -> Float[Array, "*batch A"]:
        """Log probabilities of actions, some of which are random."""
        rate, log_pi = self.config.exploration, jax.nn.log_softmax(logits)
        if not rate:
            return log_pi
        return jnp.logaddexp(np.log1p(-rate) + log_pi, np.log(rate / logits.shape[-1]))

    def _opponent_values(self, critics: PyTree, episodes: Episodes) -> Float[Array, "T+1 B A"]:
        """The opponents' own action values."""
        obs = self._timed(episodes.obs[:, :, 1])
        grouped = obs.reshape(len(obs), self.config.num_opponents, -1, obs.shape[-1])
        q = jax.vmap(self.critic.whole, (0, 1), 1)(critics, grouped)
        return q.reshape(*obs.shape[:2], -1)

    def _timed(self, obs: Float[Array, "T B F"]) -> Float[Array, "T B F"]:
        """What the critic reads."""
        if not self.config.clock:
            return obs
        time = jnp.arange(len(obs), dtype=obs.dtype)[:, None, None] / self.num_steps
        return jnp.concatenate([obs, jnp.broadcast_to(time, (*obs.shape[:-1], 1))], axis=-1)

    def _loss(self, params: PyTree, target: PyTree, episodes: Episodes, opponent_q: Array, weight, softness):
        config, gamma = self.config, self.config.discount
        obs, timed = episodes.obs[:, :, 0], self._timed(episodes.obs[:, :, 0])
        logits, q = self.actor.whole(params["actor"], obs), self.critic.whole(params["critic"], timed)
        log_pi = self._erring(logits)
        taken = jax.nn.one_hot(episodes.action[..., 0], q.shape[-1])
        log_prob = jnp.sum(taken * log_pi[:-1], axis=-1)
        policy = jax.lax.stop_gradient(jnp.exp(log_pi))
        own, other = episodes.reward[..., 0], episodes.reward[..., 1]
        value = jax.lax.stop_gradient(jnp.sum(policy * q, axis=-1))
        advantage = discounted_sums(own + gamma * value[1:] - value[:-1], gamma * config.advantage_trace)
        # a constant error of the critic would be an incentive to lower, or raise, everything an opponent gets
        grouped = advantage.reshape(len(advantage), config.num_opponents, -1)
        advantage = (grouped - jnp.mean(grouped, axis=(0, 2), keepdims=True)).reshape(advantage.shape)

        expected = jnp.sum(jax.nn.softmax(episodes.opponent_logits) * opponent_q, axis=-1)
        worth = differentiable_action_values(
            log_prob, other, expected[:-1], gamma, config.trace, expected[-1], config.return_trace
        )
        shaped = opponent_log_prob(opponent_q[:-1], episodes.action[..., 1], worth, config.temperature)
        entropy = -jnp.mean(jnp.sum(jnp.exp(log_pi[:-1]) * log_pi[:-1], axis=-1))
        policy_loss, shaping_loss = -jnp.mean(log_prob * advantage), -jnp.mean(shaped * advantage)

        aim = own + gamma * self._next_values(self.critic.whole(target, timed), policy, taken)
        critic_loss = jnp.mean(optax.huber_loss(jnp.sum(taken * q[:-1], axis=-1), aim))
        centred = logits[:-1] - jnp.mean(logits[:-1], axis=-1, keepdims=True)
        sureness = config.logit_weight * jnp.mean(jnp.sum(centred**2, axis=-1)) - config.entropy_weight * entropy
        loss = policy_loss + weight * shaping_loss + softness * sureness + critic_loss
        metrics = {
            "reward": jnp.mean(own),
            "opponent_reward": jnp.mean(other),
            "entropy": entropy,
            "critic_loss": critic_loss,
            "shaping_loss": shaping_loss,
        }
        return loss, metrics

    def _next_values(self, q: Array, policy: Array, taken: Array) -> Float[Array, "T B"]:
        """Value after each step by the target critic, of the action taken next; time limits do not end the game."""
        last = jnp.sum(policy[-1:] * q[-1:], axis=-1)
        return jnp.concatenate([jnp.sum(taken[1:] * q[1:-1], axis=-1), last])
