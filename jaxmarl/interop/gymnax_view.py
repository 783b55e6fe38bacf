"""Single-agent environments of this project under the interface of gymnax 1.x, for code that trains on those."""

from typing import Any

import jax.numpy as jnp
from gymnax.environments import environment, spaces
from jaxtyping import Array, PyTree

from jaxmarl.core.chance import draw
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.spaces import Discrete, Space
from jaxmarl.interop.gymnasium import one_agent


class GymnaxView(environment.Environment):
    """A single-agent environment as a gymnax environment: `step` resets, and params are this project's.

        view = GymnaxView(env)                                   # env may be core.AgainstPolicies(game, policies)
        obs, state = view.reset(key, view.default_params)
        obs, state, reward, terminated, truncated, info = view.step(key, state, action, view.default_params)

    Args:
        env: environment with one agent.

    Raises:
        ValueError: more than one agent.
    """

    def __init__(self, env: AnyEnvironment):
        one_agent(env)
        self.env = env

    # views of equal environments share compiled code
    def __eq__(self, other: object) -> bool:
        return isinstance(other, GymnaxView) and self.env == other.env

    def __hash__(self) -> int:
        return hash((GymnaxView, self.env))

    @property
    def name(self) -> str:
        """Class name of the environment."""
        return type(self.env).__name__

    @property
    def default_params(self) -> Any:
        """Those of the environment."""
        return self.env.default_params

    @property
    def num_actions(self) -> int:
        """Number of discrete actions (1 where actions are continuous)."""
        space = self.env.action_space(self.default_params)
        return space.n if isinstance(space, Discrete) else 1

    def reset_env(self, key: Array, params: PyTree) -> tuple[Array, PyTree]:
        """Starts an episode: `(obs, state)`."""
        obs, state = self.env.reset(key, params)
        return obs[0], state

    def step_env(self, key: Array, state: PyTree, action: Any, params: PyTree) -> tuple[Any, ...]:
        """One transition without a reset: `(obs, state, reward, terminated, info)`."""
        chance = draw(self.env.step_chance, key)
        state, reward, terminated, info = self.env.transition(state, jnp.asarray(action)[None], chance, params)
        return self.env.observe(state, params)[0], state, reward[0], terminated, info

    def observe(self, key: Array, state: PyTree, action: Any, params: PyTree) -> Array:
        """Observation in `state`; `key` and `action` are not needed."""
        return self.env.observe(state, params)[0]

    def is_truncated(self, state: PyTree, params: PyTree) -> Array:
        """Whether a time limit ends the episode."""
        return self.env.truncated(state, params)

    def action_space(self, params: PyTree = None) -> spaces.Space:
        """Space of the action."""
        return _space(self.env.action_space(self.default_params if params is None else params))

    def observation_space(self, params: PyTree = None) -> spaces.Space:
        """Space of the observation."""
        return _space(self.env.observation_space(self.default_params if params is None else params))


def _space(space: Space) -> spaces.Space:
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    return spaces.Box(space.low, space.high, space.shape, space.dtype)
