"""What markets of a few firms share that choose one number each, at the same time, for a number of periods."""

import abc
from dataclasses import dataclass
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment, Info
from jaxmarl.core.spaces import Box, Discrete

Params = TypeVar("Params")


@struct.dataclass
class StageMarketState:
    """State of the market.

    Attributes:
        t: int32, periods played.
        last: `[N]`, the last choices as shares of the largest one, zeros before the first.
    """

    t: Int32[Array, ""]
    last: Float[Array, " N"]


@dataclass(frozen=True)
class StageMarket(Environment[StageMarketState, Params]):
    """Firms choose quantities or prices from 0 to `params.largest`, at once, for `num_steps` periods.

    Choices are equally spaced, or continuous: actions are then shares of the largest choice in [0, 1], clipped. An
    observation is `[own last share, mean of the others' last shares]`, zeros at first. Firms are alike (`symmetric`) as
    far as their numbers in `params` are equal.

    Attributes:
        num_agents: number of firms `N`.
        num_levels: number of choices, or None for continuous ones.
        num_steps: periods; the game ends with the last.
    """

    num_agents: int = 2
    num_levels: int | None = None
    num_steps: int = 1

    symmetric = True
    deterministic = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("num_steps", self.num_steps, 1)
        if self.num_levels is not None:
            require_int("num_levels", self.num_levels, 2)

    @abc.abstractmethod
    def market(self, choice: Float[Array, " N"], params: Params) -> tuple[Float[Array, " N"], Info]:
        """Profits and measurements of one period's choices."""

    @property
    def horizon(self) -> int:
        return self.num_steps

    def action_space(self, params: Params) -> Discrete | Box:
        return Box(0.0, 1.0) if self.num_levels is None else Discrete(self.num_levels)

    def observation_space(self, params: Params) -> Box:
        return Box(0.0, 1.0, (2,))

    def shares(self, action: Array) -> Float[Array, " N"]:
        """Choices that actions stand for, as shares of the largest one."""
        return jnp.clip(action, 0.0, 1.0) if self.num_levels is None else action / jnp.float32(self.num_levels - 1)

    def initial(self, chance, params: Params) -> StageMarketState:
        return StageMarketState(jnp.zeros((), jnp.int32), jnp.zeros(self.num_agents, jnp.float32))

    def transition(self, state: StageMarketState, action: Array, chance, params: Any):
        shares = self.shares(action)
        reward, info = self.market(shares * params.largest, params)
        state = StageMarketState(state.t + 1, shares.astype(jnp.float32))
        return state, reward, state.t >= self.num_steps, info

    def observe(self, state: StageMarketState, params: Params) -> Float[Array, "N 2"]:
        others = (jnp.sum(state.last) - state.last) / (self.num_agents - 1)
        return jnp.stack([state.last, jnp.clip(others, 0.0, 1.0)], axis=1)


def require_numbers(
    params: Any, num_agents: int, *, each: tuple[str, ...] = (), positive: tuple[str, ...] = ()
) -> None:
    """Refuses params whose `each` fields have not one number a firm, negative ones, and zeros in `positive` fields."""
    for name, value in vars(params).items():
        number = np.asarray(value)
        if name in each:
            require(number.shape[-1:] == (num_agents,), name, number.shape, f"of shape [{num_agents}]")
        good = np.isfinite(number) & ((number > 0) if name in positive else (number >= 0))
        require(bool(good.all()), name, number.tolist(), "positive" if name in positive else "at least 0, and finite")
