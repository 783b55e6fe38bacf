"""Coordination of a team by flow matching, offline, with continuous actions (Lee et al. 2025, "MAC-Flow").

A flow learns what the team does together; one-step policies of single agents are distilled from it, and moved to where
a sum of values is larger (Park et al. 2025, "Flow Q-learning", for one agent).
"""

import math
from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Normal
from jaxmarl.core.checks import require, require_choice, require_int, with_field_types
from jaxmarl.core.policy import Policy
from jaxmarl.core.rollout import BatchedEnv, batch_params
from jaxmarl.core.spaces import Box
from jaxmarl.learners.actions import GaussianActions
from jaxmarl.learners.base import Metrics
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.offline.learning import OfflineLearner, draw_sequences, repeat_steps
from jaxmarl.learners.team.mixers import StateOf, side_by_side
from jaxmarl.learners.team.targets import TeamStep, team_reward


@dataclass(frozen=True)
class MACFlowConfig:
    """Settings of `mac_flow`.

    Attributes:
        hidden: widths of the dense layers of all networks.
        layer_norm: whether those of the critics are normalised.
        alpha: weight of the distance of the agents' policies to the flow, beside values of mean size 1. What the flow
            leaves to chance between agents the policies average: see `mac_flow`.
        flow_steps: Euler steps of the flow. Ten make narrow distributions narrower: standard deviations of 0.1 and 0.2
            (half the box is 1) become 0.06 and 0.15.
        reward: what is learned from, the `"sum"` of the agents' rewards or their `"mean"`.
        discount: γ.
        batch: steps of a sample.
        updates: gradient steps of an update.
        learning_rate: of Adam.
        adam_epsilon: of Adam.
        anneal_steps: gradient steps in which the learning rate falls to 0 (0: it does not).
        target_rate: how far target critics move to the critics in a step.
    """

    hidden: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    alpha: float = 1.0
    flow_steps: int = 10
    reward: str = "sum"
    discount: float = 0.99
    batch: int = 256
    updates: int = 100
    learning_rate: float = 3e-4
    adam_epsilon: float = 1e-8
    anneal_steps: int = 0
    target_rate: float = 0.005

    @with_field_types
    def __post_init__(self):
        for name in ("flow_steps", "batch", "updates"):
            require_int(name, getattr(self, name), 1)
        require_int("anneal_steps", self.anneal_steps, 0)
        require(self.alpha >= 0, "alpha", self.alpha, "at least 0")
        require_choice("reward", self.reward, ("sum", "mean"))
        require(0 <= self.discount <= 1, "discount", self.discount, "in [0, 1]")
        for name in ("learning_rate", "adam_epsilon"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(0 < self.target_rate <= 1, "target_rate", self.target_rate, "in (0, 1]")


class TeamFlow(nn.Module):
    """All that is learned; actions are flat, `d` numbers an agent, in units in which the box is [-1, 1].

    Attributes:
        size: d.
        num_agents: N.
        hidden: widths of the dense layers.
        layer_norm: whether those of the critics are normalised.
        num_axes: of one agent's observation.
        state_of: what of the observations the flow reads.
    """

    size: int
    num_agents: int
    hidden: tuple[int, ...]
    layer_norm: bool
    num_axes: int
    state_of: StateOf

    def setup(self) -> None:
        self.flow = _Dense(self.num_agents * self.size, self.hidden)
        self.student = _Dense(self.size, self.hidden)
        twins = nn.vmap(_Dense, {"params": 0}, {"params": True}, in_axes=None, out_axes=-1, axis_size=2)
        self.critics = twins(1, self.hidden, self.layer_norm)

    def __call__(self, obs: Array, action: Array) -> PyTree:
        """All that there is, so that `init` makes it."""
        return self.velocity(obs, action, action[..., :1, :1]), self.act(obs, action), self.value(obs, action)

    def velocity(self, obs: Array, action: Float[Array, "*batch N d"], time: Array) -> Float[Array, "*batch N d"]:
        """Of joint actions at a time in [0, 1], `[*batch, 1, 1]`."""
        batch = action.shape[:-2]
        flat = action.reshape(*batch, -1), time.reshape(*batch, 1), self.state_of(obs)
        return self.flow(jnp.concatenate(flat, axis=-1)).reshape(action.shape)

    def act(self, obs: Array, noise: Float[Array, "*batch N d"]) -> Float[Array, "*batch N d"]:
        """Each agent's action, of its own observation and noise, before it is clipped."""
        return self.student(self._own(obs, noise))

    def value(self, obs: Array, action: Float[Array, "*batch N d"]) -> Float[Array, "*batch 2"]:
        """Of joint actions by both critics: sums of values of each agent's observation and action."""
        return jnp.sum(self.critics(self._own(obs, action)), axis=(-3, -2))

    def _own(self, obs: Array, numbers: Float[Array, "*batch N d"]) -> Float[Array, "*batch N F"]:
        """What each agent's network reads; parameters are shared, so that it is told which agent it is."""
        flat = obs.reshape(*obs.shape[: obs.ndim - self.num_axes], -1).astype(jnp.float32)
        told = jnp.broadcast_to(jnp.eye(self.num_agents), (*numbers.shape[:-1], self.num_agents))
        return jnp.concatenate([flat, numbers, told], axis=-1)


class _Dense(nn.Module):
    """An encoder of flat numbers, and outputs.

    Attributes:
        num_outputs: of the last layer.
        hidden: widths of the layers before.
        layer_norm: whether these are normalised.
    """

    num_outputs: int
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*batch F"]) -> Float[Array, "*batch O"]:
        x = Encoder(x.shape[-1:], self.hidden, self.layer_norm)(x)
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.lecun_uniform())(x)


@struct.dataclass
class MACFlowState:
    """State of the learner.

    Attributes:
        params: of `TeamFlow`.
        target: those of the target critics.
        opt_state: of the optimiser.
        key: consumed by the next update.
    """

    params: PyTree
    target: PyTree
    opt_state: PyTree
    key: Array


def mac_flow(
    env: BatchedEnv, config: MACFlowConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> OfflineLearner:
    """A learner of a team from recorded play with continuous actions. The environment gives shapes; it is not played.

    Each gradient step takes one sample of steps, and lowers the sum of three losses, none of which reaches the
    parameters of another's:

    - of the flow: `|v(x_t, t, s) - (a - ε)|²` at `x_t = (1 - t) ε + t a`, for joint actions a and normal ε;
    - of the critics: square errors of `Q(s, a) = Σ_i Q_i(o_i, a_i)` to `r + γ min Q(s', μ(o', ε'))`;
    - of the agents' policies: `α Σ_i |μ_i(o_i, ε_i) - x_i(ε)|² - min Q(s, μ) / mean |Q|`, x the flow's joint action.

    An agent's noise is its own, so that far from values (α large) its policy is the mean of what the flow makes of its
    noise and all possible noise of others: agents that the data show to act independently given what they see are
    cloned; of two conventions, values must choose one.

    Its policy plays for all agents, observations `[N, ...]` to actions `[N, ...]`; `member_student` is that of one
    agent alone, `flow_policy` that of the flow.

    Args:
        env: what was played, a `VectorEnv` or `PopulationEnv` whose actions are a bounded `Box` of floats.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        state_of: observations of all agents to what the flow reads (default: side by side).

    Raises:
        ValueError: actions of another space.
    """
    env_params = batch_params(env, env_params)
    actions, network = team_flow(env, config, env_params, state_of)
    algorithm = _MACFlow(config, network, actions, env.observation_space(env_params).shape)
    return OfflineLearner(algorithm.init, algorithm.update, algorithm.policy, lambda state: state.params)


def team_flow(
    env: BatchedEnv, config: MACFlowConfig, env_params: PyTree = None, state_of: StateOf | None = None
) -> tuple[GaussianActions, TeamFlow]:
    """What scales actions, and the networks; arguments and errors as of `mac_flow`."""
    env_params = batch_params(env, env_params)
    space = env.action_space(env_params)
    fits = isinstance(space, Box) and jnp.issubdtype(space.dtype, jnp.floating)
    fits = fits and math.isfinite(space.low) and math.isfinite(space.high)
    require(fits, "action_space", space, "a bounded Box of floats")
    axes, size = len(env.observation_space(env_params).shape), math.prod(space.shape)
    state_of = state_of or side_by_side(axes)
    actions = GaussianActions(space.shape, float(space.low), float(space.high))
    return actions, TeamFlow(size, env.num_agents, config.hidden, config.layer_norm, axes, state_of)


def flow_policy(
    env: BatchedEnv, config: MACFlowConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> Policy:
    """What the data's team does, all agents together: joint actions by the flow; params are those of `mac_flow`.

    Arguments and errors as of `mac_flow`.
    """
    actions, network = team_flow(env, config, env_params, state_of)

    def act(params, memory, obs, noise):
        return actions.decode(flow_action(network, params, obs, noise, config.flow_steps)), memory

    return Policy(lambda chance: (), act, act_chance=Normal((network.num_agents, network.size)), name="flow")


def member_student(
    env: BatchedEnv, config: MACFlowConfig, agent: int, env_params: PyTree = None, name: str | None = None
) -> Policy:
    """The policy of one agent alone, unbatched, for cross-play; its params are those of `mac_flow`.

    Args:
        env: as for `mac_flow`.
        config: settings with which the params were learned.
        agent: which.
        env_params: of the environments (default: `env.default_params`).
        name: of the policy (default: `member_` and the agent's number).

    Raises:
        ValueError: no such agent.
    """
    require_int("agent", agent, 0, env.num_agents - 1)
    actions, network = team_flow(env, config, env_params)

    def act(params, memory, obs, noise):
        everyone = jnp.broadcast_to(obs, (network.num_agents, *obs.shape))
        noises = jnp.broadcast_to(noise, (network.num_agents, network.size))
        return actions.decode(ask(network, params, "act", everyone, noises))[agent], memory

    return Policy(lambda chance: (), act, act_chance=Normal((network.size,)), name=name or f"member_{agent}")


def ask(network: TeamFlow, params: PyTree, method: str, *given: Array) -> Array:
    """What one of the networks says, by the name of its method."""
    return jnp.asarray(network.apply(params, *given, method=method))


def flow_action(
    network: TeamFlow, params: PyTree, obs: Array, noise: Float[Array, "*batch N d"], num_steps: int
) -> Float[Array, "*batch N d"]:
    """Joint actions that the flow makes of noise, in Euler steps, in units of [-1, 1]."""

    def step(action: Array, time: Array) -> tuple[Array, None]:
        velocity = ask(network, params, "velocity", obs, action, jnp.full((*action.shape[:-2], 1, 1), time))
        return action + velocity / num_steps, None

    action, _ = jax.lax.scan(step, noise, jnp.arange(num_steps, dtype=jnp.float32) / num_steps)
    return jnp.clip(action, -1, 1)


@dataclass(frozen=True, eq=False)
class _MACFlow:
    """The algorithm, with everything static in one place."""

    config: MACFlowConfig
    network: TeamFlow
    actions: GaussianActions
    obs_shape: tuple[int, ...]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        # without clipping, by whose norm the scale of one loss would slow the learning of the others
        rate, steps = self.config.learning_rate, self.config.anneal_steps
        return optax.adam(optax.linear_schedule(rate, 0.0, steps) if steps else rate, eps=self.config.adam_epsilon)

    @property
    def policy(self) -> Policy:
        """All agents' own policies."""
        network = self.network

        def act(params, memory, obs, noise):
            return self.actions.decode(ask(network, params, "act", obs, noise)), memory

        return Policy(lambda chance: (), act, act_chance=Normal((network.num_agents, network.size)), name="mac_flow")

    def init(self, key: Array) -> MACFlowState:
        net_key, key = jax.random.split(key)
        num = self.network.num_agents
        params = self.network.init(net_key, jnp.zeros((num, *self.obs_shape)), jnp.zeros((num, self.network.size)))
        # a copy: chunks of updates donate their state, and no buffer may be donated twice
        return MACFlowState(params, jax.tree.map(jnp.copy, _critics(params)), self.optimiser.init(params), key)

    def update(self, state: MACFlowState, steps: TeamStep) -> tuple[MACFlowState, Metrics]:
        return repeat_steps(lambda s, key: self._gradient_step(s, steps, key), state, self.config.updates)

    def _gradient_step(self, state: MACFlowState, steps: TeamStep, key: Array) -> tuple[MACFlowState, Metrics]:
        draw_key, loss_key = jax.random.split(key)
        batch = jax.tree.map(lambda x: x[0], draw_sequences(steps, draw_key, self.config.batch, 1))
        grads, metrics = jax.grad(self.loss, has_aux=True)(state.params, state.target, batch, loss_key)
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        target = optax.incremental_update(_critics(params), state.target, self.config.target_rate)
        return replace(state, params=params, target=target, opt_state=opt_state), metrics

    def loss(self, params: PyTree, target: PyTree, batch: TeamStep, key: Array) -> tuple[Float[Array, ""], Metrics]:
        """The three losses of steps `[batch, N, ...]`."""
        config, network, obs = self.config, self.network, batch.obs
        held = jax.lax.stop_gradient(params)
        action = self.actions.encode(batch.action)
        noise_key, time_key = jax.random.split(key)
        noise, own, next_noise = jax.random.normal(noise_key, (3, *action.shape))

        time = jax.random.uniform(time_key, (*action.shape[:-2], 1, 1))
        velocity = ask(network, params, "velocity", obs, (1 - time) * noise + time * action, time)
        flow = jnp.mean(jnp.sum((velocity - (action - noise)) ** 2, axis=(-2, -1)))

        after = ask(network, held, "act", batch.next.obs, next_noise)
        following = jnp.min(ask(network, target, "value", batch.next.obs, jnp.clip(after, -1, 1)), axis=-1)
        following = jnp.where(batch.terminated, 0.0, following)
        goal = team_reward(batch.reward, config.reward)[..., 0] + config.discount * following
        value = ask(network, params, "value", obs, action)
        critic = jnp.mean((value - jax.lax.stop_gradient(goal)[..., None]) ** 2)

        student = ask(network, params, "act", obs, own)
        cloned = flow_action(network, held, obs, own, config.flow_steps)
        distance = jnp.mean(jnp.sum((student - cloned) ** 2, axis=(-2, -1)))
        # beyond the box only the distance has a slope, which leads back
        worth = jnp.min(ask(network, held, "value", obs, jnp.clip(student, -1, 1)), axis=-1)
        scale = jax.lax.stop_gradient(jnp.maximum(jnp.mean(jnp.abs(worth)), 1e-6))
        total = flow + critic + config.alpha * distance - jnp.mean(worth) / scale
        return total, {"flow_loss": flow, "critic_loss": critic, "distance": distance, "value": jnp.mean(worth)}


def _critics(params: PyTree) -> PyTree:
    """The critics' part of the parameters."""
    return {"params": {"critics": params["params"]["critics"]}}
