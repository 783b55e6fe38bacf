"""Roll-outs: a batch of environments under an actor, as one scan."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import draw, repeat
from jaxmarl.core.checks import require
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.wrappers import where_done


@runtime_checkable
class BatchedEnv(Protocol):
    """`B` instances that advance together, as roll-outs and learners need them: `VectorEnv`, `PopulationEnv`, ..."""

    @property
    def num_envs(self) -> int:
        """`B`, number of instances."""

    @property
    def num_agents(self) -> int:
        """Agents in each that the caller plays."""

    @property
    def horizon(self) -> int | None:
        """Steps after which all instances end, or None."""

    @property
    def truncates(self) -> bool:
        """Whether a time limit may end episodes; if not, nothing follows an episode's end."""

    @property
    def masks_actions(self) -> bool:
        """Whether actions may be illegal; if not, masks allow everything."""

    @property
    def num_labels(self) -> int:
        """Number of kinds of instance that `labels` tells apart."""

    @property
    def labels(self) -> Int32[Array, " num_envs"]:
        """Kind of each instance."""

    @property
    def default_params(self) -> PyTree:
        """Params to use where none are given."""

    def observation_space(self, params: PyTree) -> Any:
        """Space of one agent's observation."""

    def action_space(self, params: PyTree) -> Any:
        """Space of one agent's action."""

    def observe(self, state: Any, params: PyTree) -> Array:
        """Observations `[B, N, …]`."""

    def action_mask(self, state: Any, params: PyTree) -> Array:
        """Legal actions `[B, N, A]`."""

    def reset(self, key: Array, params: PyTree) -> tuple[Array, Any]:
        """Starts every instance: `(obs, state)`."""

    def begin(self, key: Array, state: Any, params: PyTree) -> tuple[Array, Any]:
        """Prepares a roll-out: `(obs, state)`."""

    def step(self, key: Array, state: Any, action: Array, params: PyTree) -> tuple[Any, ...]:
        """One step of every instance: `(obs, state, reward, terminated, truncated, info)`."""


@dataclass(frozen=True)
class Actor:
    """A policy for whole batches, as a roll-out drives it.

    Attributes:
        init: key -> memory, leaves `[B, N, …]`.
        act: (params, memory, MaskedObs or obs `[B, N, …]`, start `[B]`, key) -> (action, memory, extras). It starts the
            memory anew where `start` is true; `extras` is kept in the trajectory.
        masked: whether `act` is given a `MaskedObs`.
    """

    init: Callable[[Array], PyTree]
    act: Callable[[PyTree, PyTree, Any, Bool[Array, " num_envs"], Array], tuple[Array, PyTree, Any]]
    masked: bool = False


@struct.dataclass
class RolloutState:
    """What a roll-out carries on to the next.

    Attributes:
        env: batch of environment states.
        memory: of the actor.
        start: `[B]`, whether the next observation is the first of its episode.
        episode_return: `[B, N]`, reward collected in the running episode.
    """

    env: PyTree
    memory: PyTree
    start: Bool[Array, " num_envs"]
    episode_return: Float[Array, "num_envs num_agents"]


@struct.dataclass
class Trajectory:
    """`T` steps of `B` instances, time first.

    Attributes:
        obs: what the actor saw `[T, B, N, …]` (a `MaskedObs` for a masked actor).
        start: `[T, B]`, whether `obs` is the first of its episode.
        action: `[T, B, N, …]`.
        reward: `[T, B, N]`.
        terminated: `[T, B]`, the game ended with this step.
        truncated: `[T, B]`, a time limit ended the episode with this step.
        episode_return: `[T, B, N]`, reward of the episode up to and with this step.
        extras: of the actor.
        info: of the environment.
    """

    obs: Any
    start: Bool[Array, "num_steps num_envs"]
    action: Array
    reward: Float[Array, "num_steps num_envs num_agents"]
    terminated: Bool[Array, "num_steps num_envs"]
    truncated: Bool[Array, "num_steps num_envs"]
    episode_return: Float[Array, "num_steps num_envs num_agents"]
    extras: Any
    info: dict


def batch_params(env: BatchedEnv | Environment, params: PyTree = None) -> PyTree:
    """The params given, or the defaults of `env`, which has to be a batch.

    Raises:
        ValueError: `env` is one environment.
    """
    if isinstance(env, Environment):
        require(False, "env", env, "a batch of environments, such as VectorEnv(env, 64)")
    return env.default_params if params is None else params


def start_rollout(env: BatchedEnv, actor: Actor, key: Array, params: PyTree) -> RolloutState:
    """The state before the first roll-out."""
    params = batch_params(env, params)
    env_key, actor_key = jax.random.split(key)
    _, env_state = env.reset(env_key, params)
    returns = jnp.zeros((env.num_envs, env.num_agents), jnp.float32)
    return RolloutState(env_state, actor.init(actor_key), jnp.ones(env.num_envs, bool), returns)


def rollout(
    env: BatchedEnv,
    actor: Actor,
    actor_params: PyTree,
    state: RolloutState,
    key: Array,
    params: PyTree,
    num_steps: int,
    keep_info: bool = True,
) -> tuple[RolloutState, Trajectory, Any]:
    """Plays `num_steps` steps and returns `(state, trajectory, last_obs)`.

    Args:
        env: batch of environments.
        actor: chooses the actions.
        actor_params: of the actor.
        state: from `start_rollout` or the last `rollout`.
        key: consumed by this call.
        params: of the environments.
        num_steps: `T`, which must divide the horizon of a fixed-horizon environment (so that episodes end where
            roll-outs end, and the last observation is the one to bootstrap from).
        keep_info: whether the trajectory keeps `info`.

    Returns:
        The state to go on from, the trajectory, and the observation after the last step as the actor would see it.
    """
    check_num_steps(env, num_steps)
    begin_key, steps_key = jax.random.split(key)
    obs, env_state = env.begin(begin_key, state.env, params)

    def seen(obs, env_state):
        return MaskedObs(obs, env.action_mask(env_state, params)) if actor.masked else obs

    def step(carry, key):
        state, obs = carry
        act_key, env_key = jax.random.split(key)
        view = seen(obs, state.env)
        action, memory, extras = actor.act(actor_params, state.memory, view, state.start, act_key)
        obs, env_state, reward, terminated, truncated, info = env.step(env_key, state.env, action, params)
        done = terminated | truncated
        returns = state.episode_return + reward
        kept = info if keep_info else {k: v for k, v in info.items() if k == "final_observation"}
        sample = Trajectory(view, state.start, action, reward, terminated, truncated, returns, extras, kept)
        returns = where_done(done, jnp.zeros_like(returns), returns)
        return (RolloutState(env_state, memory, done, returns), obs), sample

    carry = replace(state, env=env_state), obs
    (state, obs), trajectory = jax.lax.scan(step, carry, jax.random.split(steps_key, num_steps))
    return state, trajectory, seen(obs, state.env)


def check_num_steps(env: BatchedEnv, num_steps: int) -> None:
    """Refuses a roll-out length that does not divide the horizon."""
    if env.horizon is not None:
        divides = num_steps >= 1 and env.horizon % num_steps == 0
        require(divides, "num_steps", num_steps, f"a divisor of the horizon {env.horizon}")


def actor_from_policy(policy: Policy, num_envs: int, num_agents: int) -> Actor:
    """An actor in which every agent of every instance follows `policy` with shared params."""
    return _policy_actor(policy, (num_envs, num_agents))


def actor_from_group_policy(policy: Policy, num_envs: int) -> Actor:
    """An actor in which `policy` plays for all agents of an instance together, as those of teams do."""
    return _policy_actor(policy, (num_envs,))


def _policy_actor(policy: Policy, shape: tuple[int, ...]) -> Actor:
    def batched(function: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
        for size in reversed(shape):
            function = jax.vmap(function, in_axes=in_axes, axis_size=size)
        return function

    def init(key):
        return batched(policy.init)(draw(policy.init_chance, key, shape))

    def act(params, memory, obs, start, key):
        spec = repeat(policy.init_chance, *shape), repeat(policy.act_chance, *shape)
        init_chance, act_chance = draw(spec, key)
        memory = where_done(start, batched(policy.init)(init_chance), memory)
        action, memory = batched(policy.act, (None, 0, 0, 0))(params, memory, obs, act_chance)
        return action, memory, ()

    return Actor(init, act, masked=policy.masked)
