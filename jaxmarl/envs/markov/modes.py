"""What Markov games with a few public states have in common: everybody sees the state, acts, and is paid."""

import abc
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.spaces import Box
from jaxmarl.envs.markov.finite import FiniteEnvironment

Params = TypeVar("Params")


@struct.dataclass
class ModeState:
    """State of a game with few public states.

    Attributes:
        mode: int32, the public state.
        t: int32, steps played.
    """

    mode: Int32[Array, ""]
    t: Int32[Array, ""]


@dataclass(frozen=True)
class ModeGame(FiniteEnvironment[ModeState, Params], Generic[Params]):
    """Interchangeable players in a game of few public states; truncated after `num_steps`. Features are one-hot.

    A subclass writes `mode_names`, `start` and `play`.

    Attributes:
        num_agents: players.
        num_steps: steps of an episode.
    """

    num_agents: int = 8
    num_steps: int = 20

    symmetric = True

    def __post_init__(self):
        super().__post_init__()
        require_int("num_agents", self.num_agents, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    @abc.abstractmethod
    def mode_names(self) -> tuple[str, ...]:
        """Names of the public states."""

    @abc.abstractmethod
    def start(self, chance: Chance, params: Params) -> Int32[Array, ""]:
        """The first public state."""

    @abc.abstractmethod
    def play(
        self, mode: Int32[Array, ""], action: Int32[Array, " N"], chance: Chance, params: Params
    ) -> tuple[Int32[Array, ""], Float[Array, " N"], dict[str, Array]]:
        """One step: the next public state, rewards and measurements."""

    @property
    def num_states(self) -> int:
        return len(self.mode_names)

    @property
    def horizon(self) -> int:
        return self.num_steps

    def feature_space(self, params: Params) -> Box:
        return Box(0.0, 1.0, (self.num_states,))

    def initial(self, chance: Chance, params: Params) -> ModeState:
        return ModeState(self.start(chance, params), jnp.zeros((), jnp.int32))

    def transition(self, state: ModeState, action: Int32[Array, " N"], chance: Chance, params: Params):
        mode, reward, info = self.play(state.mode, action, chance, params)
        return ModeState(mode.astype(jnp.int32), state.t + 1), reward, jnp.zeros((), bool), info

    def truncated(self, state: ModeState, params: Params) -> Bool[Array, ""]:
        return state.t >= self.num_steps

    def features(self, state: ModeState, params: Params) -> Float[Array, "N S"]:
        return jnp.broadcast_to(jax.nn.one_hot(state.mode, self.num_states), (self.num_agents, self.num_states))

    def state_index(self, state: ModeState, params: Params) -> Int32[Array, ""]:
        return state.mode

    def essence(self, state: ModeState, params: Params):
        return state.mode

    def all_states(self, params: Params) -> ModeState:
        return ModeState(jnp.arange(self.num_states, dtype=jnp.int32), jnp.zeros(self.num_states, jnp.int32))


def require_discount(discount: Any) -> None:
    """Refuses discount factors outside [0, 1)."""
    number = np.asarray(discount)
    require(bool(((number >= 0) & (number < 1)).all()), "discount", number.tolist(), "in [0, 1)")


def require_finite(**numbers: Any) -> None:
    """Refuses numbers that are NaN or infinite."""
    for name, value in numbers.items():
        require(bool(np.isfinite(np.asarray(value)).all()), name, np.asarray(value).tolist(), "finite")
