"""Environments under the interfaces of Gymnasium (NumPy, on the host): one instance, or a batch as one program."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from jaxtyping import PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.spaces import Discrete, Space
from jaxmarl.core.wrappers import AutoReset


def to_space(space: Space) -> gymnasium.Space:
    """The same space as Gymnasium's `Discrete` or `Box`."""
    if isinstance(space, Discrete):
        return gymnasium.spaces.Discrete(space.n)
    return gymnasium.spaces.Box(space.low, space.high, space.shape, np.dtype(space.dtype))


def new_key(random: np.random.Generator) -> jax.Array:
    """A key of JAX from Gymnasium's generator, so that its seeds decide everything."""
    return jax.random.key(int(random.integers(2**31)))


def array_of(action: Any, space: gymnasium.Space, batch: tuple[int, ...] = (), name: str = "action") -> np.ndarray:
    """Actions `[*batch, *space.shape]` of a space's type; refused where they are of another shape or no such number."""
    array = np.asarray(action)
    numbers = space.n if isinstance(space, gymnasium.spaces.Discrete) else None
    fits = array.shape == (*batch, *(space.shape or ())) and array.dtype.kind in ("iuf" if numbers is None else "iu")
    within = fits and (numbers is None or bool(np.all((array >= 0) & (array < numbers))))
    require(within, name, action, f"in {space}" + (f", for each of {batch[0]}" if batch else ""))
    return array.astype(space.dtype)


def one_agent(env: AnyEnvironment) -> None:
    """Raises a `ValueError` unless `env` has one agent."""
    allowed = "an environment with 1 agent (core.AgainstPolicies seats policies in the other seats)"
    require(env.num_agents == 1, "env", f"{type(env).__name__} with {env.num_agents}", allowed)


class GymnasiumEnv(gymnasium.Env):
    """A single-agent environment as a `gymnasium.Env`.

        env, params = jaxmarl.make("imbalance_battery")
        gym_env = GymnasiumEnv(env, params)

    Each call is one jitted program and a copy to the host: convenient for checking and for small experiments, and
    orders of magnitude slower than training inside `jit`. `info["action_mask"]` has the legal actions where actions are
    discrete, as int8.

    Args:
        env: environment with one agent; a game whose other seats are played by policies is `core.AgainstPolicies`.
        params: its params (default: its own).

    Raises:
        ValueError: more than one agent.
    """

    def __init__(self, env: AnyEnvironment, params: PyTree = None):
        one_agent(env)
        self.metadata = {"render_modes": []}
        self._env, self._state = env, None
        self._params = env.default_params if params is None else params
        self.observation_space = to_space(env.observation_space(self._params))
        self.action_space = to_space(env.action_space(self._params))
        self._masked = isinstance(env.action_space(self._params), Discrete)
        self._reset, self._step = jax.jit(self._reset_pure), jax.jit(self._step_pure)

    def _mask(self, state: PyTree, params: PyTree) -> dict[str, Any]:
        return {"action_mask": self._env.action_mask(state, params)[0].astype(np.int8)} if self._masked else {}

    def _reset_pure(self, key, params):
        obs, state = self._env.reset(key, params)
        return obs[0], state, self._mask(state, params)

    def _step_pure(self, key, state, action, params):
        obs, state, reward, terminated, truncated, info = self._env.step(key, state, action[None], params)
        return obs[0], state, reward[0], terminated, truncated, {**info, **self._mask(state, params)}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode: `(obs, info)`."""
        super().reset(seed=seed)
        obs, self._state, info = self._reset(new_key(self.np_random), self._params)
        return np.asarray(obs), jax.device_get(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step: `(obs, reward, terminated, truncated, info)`."""
        require(self._state is not None, "step", "no running episode", "called after reset")
        action = array_of(action, self.action_space)
        obs, self._state, reward, *ends, info = self._step(new_key(self.np_random), self._state, action, self._params)
        return np.asarray(obs), float(reward), bool(ends[0]), bool(ends[1]), jax.device_get(info)


class GymnasiumVectorEnv(gymnasium.vector.VectorEnv):
    """`num_envs` instances of a single-agent environment as a `gymnasium.vector.VectorEnv`, stepped as one program.

    An instance whose episode ends is reset in the same step (`AutoresetMode.SAME_STEP`); the observation that ended it
    is in `info["final_obs"]`, where `info["_final_obs"]` is true. For discrete actions, `info["action_mask"]` is
    `[B, A]`.

    Args:
        env: environment with one agent.
        num_envs: `B`, at least 1.
        params: its params (default: its own).

    Raises:
        ValueError: more than one agent, or a `num_envs` that is not a positive integer.
    """

    def __init__(self, env: AnyEnvironment, num_envs: int, params: PyTree = None):
        one_agent(env)
        require_int("num_envs", num_envs, 1)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        self._env, self.num_envs, self._state = AutoReset(env), num_envs, None
        self._params = env.default_params if params is None else params
        self._masked = isinstance(env.action_space(self._params), Discrete)
        self.single_observation_space = to_space(env.observation_space(self._params))
        self.single_action_space = to_space(env.action_space(self._params))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset, self._step = jax.jit(self._reset_pure), jax.jit(self._step_pure)

    def _mask(self, state: PyTree, params: PyTree) -> dict[str, Any]:
        if not self._masked:
            return {}
        return {"action_mask": jax.vmap(self._env.action_mask, (0, None))(state, params)[:, 0].astype(np.int8)}

    def _reset_pure(self, key, params):
        obs, state = jax.vmap(self._env.reset, (0, None))(jax.random.split(key, self.num_envs), params)
        return obs[:, 0], state, self._mask(state, params)

    def _step_pure(self, key, state, action, params):
        keys, step = jax.random.split(key, self.num_envs), jax.vmap(self._env.step, (0, 0, 0, None))
        obs, state, reward, terminated, truncated, info = step(keys, state, action[:, None], params)
        info = {**info, **self._mask(state, params), "_final_obs": terminated | truncated}
        info["final_obs"] = info.pop("final_observation")[:, 0]
        return obs[:, 0], state, reward[:, 0], terminated, truncated, info

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode of every instance: `(obs, info)`."""
        super().reset(seed=seed)
        obs, self._state, info = self._reset(new_key(self.np_random), self._params)
        return np.asarray(obs), jax.device_get(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of every instance: `(obs, reward, terminated, truncated, info)`, arrays `[B, …]`."""
        require(self._state is not None, "step", "no running episode", "called after reset")
        actions = array_of(actions, self.single_action_space, (self.num_envs,), "actions")
        obs, self._state, *rest, info = self._step(new_key(self.np_random), self._state, actions, self._params)
        reward, terminated, truncated = (np.asarray(x) for x in rest)
        return np.asarray(obs), reward, terminated, truncated, jax.device_get(info)
