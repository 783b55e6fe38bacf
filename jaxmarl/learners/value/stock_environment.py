"""An environment whose agents also see their stock: what they started with plus what they earned since."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require
from jaxmarl.core.spaces import Box
from jaxmarl.core.wrappers import Wrapper


@struct.dataclass
class StockParams:
    """Params of `WithStock`.

    Attributes:
        env: of the environment.
        low: first stocks are uniform from here,
        high: to here. Equal where an episode is played from a given stock.
    """

    env: PyTree
    low: Float[Array, ""]
    high: Float[Array, ""]


@struct.dataclass
class StockState:
    """State of the environment, and the stock of each agent `[N]`."""

    env: PyTree
    stock: Float[Array, " N"]


@dataclass(frozen=True)
class WithStock(Wrapper):
    """Each agent also sees its stock: the last entry of its observation, after those of `env`, flattened.

    Attributes:
        low: default of the lowest first stock: minus the highest return, from any state on the way. Learners draw
            stocks between `low` and `high`, and tell them apart there only.
        high: default of the highest: minus the lowest return.
        discount: γ.
    """

    low: float = -1.0
    high: float = 1.0
    discount: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require(self.low <= self.high, "low, high", (self.low, self.high), "in order")
        require(0 < self.discount <= 1, "discount", self.discount, "in (0, 1]")

    def inner_state(self, state: StockState) -> PyTree:
        return state.env

    def inner_params(self, params: StockParams) -> PyTree:
        return params.env

    @property
    def default_params(self) -> StockParams:
        return StockParams(self.env.default_params, jnp.float32(self.low), jnp.float32(self.high))

    @property
    def reset_chance(self):
        return self.env.reset_chance, Uniform((self.num_agents,))

    def observation_space(self, params) -> Box:
        return Box(-np.inf, np.inf, (prod(super().observation_space(params).shape) + 1,))

    def benchmarks(self, params):
        return {}

    def validate(self, params) -> None:
        super().validate(params)
        low, high = float(params.low), float(params.high)
        require(low <= high, "low, high", (low, high), "in order")

    def initial(self, chance, params) -> StockState:
        env_chance, share = chance
        return StockState(self.env.initial(env_chance, params.env), params.low + (params.high - params.low) * share)

    def transition(self, state, action, chance, params):
        env, reward, terminated, info = self.env.transition(state.env, action, chance, params.env)
        return StockState(env, (state.stock + reward) / self.discount), reward, terminated, info

    def observe(self, state, params):
        seen = super().observe(state, params).reshape(self.num_agents, -1).astype(jnp.float32)
        return jnp.concatenate([seen, state.stock[:, None]], -1)


def from_stock(params: StockParams, stock: Any) -> StockParams:
    """The params with which every episode starts from one stock."""
    return replace(params, low=jnp.asarray(stock, jnp.float32), high=jnp.asarray(stock, jnp.float32))
