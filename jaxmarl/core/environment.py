"""The environment contract: a deterministic function of state, action and chance.

Shape legend of the project: `B` batch, `T` time, `N` agents, `A` actions, `K` population, `S` states.
"""

import abc
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, draw
from jaxmarl.core.checks import require, with_field_types
from jaxmarl.core.spaces import Discrete, Space

State = TypeVar("State")
Params = TypeVar("Params")
Info = dict[str, Array]


@dataclass(frozen=True)
class Environment(abc.ABC, Generic[State, Params]):
    """A market or game for `num_agents` simultaneous agents.

    Frozen, hashable fields hold everything that fixes a shape, a loop length or a branch; `params` is a pytree of
    numbers, so different markets are a `vmap` over params and smooth ones are differentiable in them. A subclass writes
    the deterministic pieces `initial`, `transition` and `observe`, and declares what they draw in `reset_chance` and
    `step_chance`; users call `reset` and `step`, which draw it from a key. `step` is one transition and never resets.
    """

    @with_field_types
    def __post_init__(self) -> None:
        """Raises a one-line `ValueError` where a field is not allowed; types of fields are looked at for everyone."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "__post_init__" in vars(cls):
            cls.__post_init__ = with_field_types(cls.__post_init__)  # type: ignore[method-assign]

    @property
    def zero_sum(self) -> bool:
        """Whether rewards sum to zero at every step."""
        return False

    @property
    def symmetric(self) -> bool:
        """Whether exchanging the agents exchanges their observations and rewards and changes nothing else."""
        return False

    @property
    def deterministic(self) -> bool:
        """Whether neither reset nor step draws anything."""
        return False

    @property
    def differentiable_params(self) -> tuple[str, ...]:
        """Float fields of params in which the rewards are differentiable."""
        return ()

    @property
    @abc.abstractmethod
    def num_agents(self) -> int:
        """Number of agents, the leading axis of observations, actions and rewards."""

    @property
    def agent_names(self) -> tuple[str, ...]:
        """Names of the roles, in order."""
        return tuple(f"agent_{i}" for i in range(self.num_agents))

    @property
    def horizon(self) -> int | None:
        """Steps after which *every* episode ends (never earlier), or None where the length varies."""
        return None

    @property
    @abc.abstractmethod
    def default_params(self) -> Params:
        """A pytree of numbers that makes a sensible instance."""

    @abc.abstractmethod
    def observation_space(self, params: Params) -> Space:
        """Space of one agent's observation."""

    @abc.abstractmethod
    def action_space(self, params: Params) -> Space:
        """Space of one agent's action."""

    @property
    def reset_chance(self) -> ChanceSpec:
        """What `initial` draws."""
        return ()

    @property
    def step_chance(self) -> ChanceSpec:
        """What `transition` draws."""
        return ()

    @abc.abstractmethod
    def initial(self, chance: Chance, params: Params) -> State:
        """The first state of an episode."""

    @abc.abstractmethod
    def transition(
        self, state: State, action: Array, chance: Chance, params: Params
    ) -> tuple[State, Float[Array, " num_agents"], Bool[Array, ""], Info]:
        """One step: `(state, reward, terminated, info)`; `info` has one structure at every step."""

    @abc.abstractmethod
    def observe(self, state: State, params: Params) -> Array:
        """Observations `[num_agents, …]`."""

    def truncated(self, state: State, params: Params) -> Bool[Array, ""]:
        """Whether a time limit, not the game, ends the episode in `state` (reached by a transition)."""
        return jnp.zeros((), bool)

    def action_mask(self, state: State, params: Params) -> Bool[Array, "num_agents num_actions"]:
        """Legal actions of every agent (all of them, unless overridden); discrete actions only."""
        space = self.action_space(params)
        if not isinstance(space, Discrete):
            raise TypeError(f"{type(self).__name__} has continuous actions, which are not masked")
        return jnp.ones((self.num_agents, space.n), bool)

    @property
    def truncates(self) -> bool:
        """Whether a time limit may end episodes: not where no limit is known here. Wrappers say that one may."""
        return type(self).truncated is not Environment.truncated

    @property
    def masks_actions(self) -> bool:
        """Whether actions may be illegal: not where there is no mask of its own. Wrappers say that some may."""
        return type(self).action_mask is not Environment.action_mask

    def benchmarks(self, params: Params) -> dict[str, Any]:
        """Known answers by name: reference values or policies (empty where none is known)."""
        return {}

    def validate(self, params: Params) -> None:
        """Raises a one-line `ValueError` where a number in `params` is not allowed (host side, outside jit)."""

    def reset(self, key: Array, params: Params) -> tuple[Array, State]:
        """Starts an episode: `(obs, state)`, with everything random drawn from `key`."""
        state = self.initial(draw(self.reset_chance, key), params)
        return self.observe(state, params), state

    def step(
        self, key: Array, state: State, action: Array, params: Params
    ) -> tuple[Array, State, Float[Array, " num_agents"], Bool[Array, ""], Bool[Array, ""], Info]:
        """One transition: `(obs, state, reward, terminated, truncated, info)`; never resets.

        Values of actions that are not in `action_space` are not looked at, as `step` may be traced.

        Raises:
            ValueError: `action` has another shape than `[num_agents, *action_space.shape]`, or is no integer where
                actions are discrete.
        """
        action = self._joint_action(action, params)
        state, reward, terminated, info = self.transition(state, action, draw(self.step_chance, key), params)
        return self.observe(state, params), state, reward, terminated, self.truncated(state, params), info

    def _joint_action(self, action: Any, params: Params) -> Array:
        """The action as an array, which broadcasting would hide or reject obscurely where its shape is wrong."""
        space, action = self.action_space(params), jnp.asarray(action)
        shape = (self.num_agents, *space.shape)
        require(action.shape == shape, "shape of action", action.shape, f"{shape}, with a row for each agent")
        if isinstance(space, Discrete) and not jnp.issubdtype(action.dtype, jnp.integer):
            require(False, "action", str(action.dtype), f"integers below {space.n}")
        return action


AnyEnvironment = Environment[Any, Any]
AnyParams = PyTree
