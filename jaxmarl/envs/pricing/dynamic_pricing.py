"""One seller, a stock and a deadline: dynamic pricing of Gallego and van Ryzin, Management Science 1994.

Sales are Poisson with rate `a exp(-p)` at price p, and what is left at the end is worth nothing. Then the optimum is
known: `V(n, t) = log Σ_{i <= n} (a t / e)^i / i!`, and `p(n, t) = 1 + V(n, t) - V(n - 1, t)`.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box


@struct.dataclass
class DynamicPricingParams:
    """Numbers of the season.

    Attributes:
        demand: expected sales of the whole season at price 0, `a T`.
        largest: the largest price.
    """

    demand: Float[Array, ""]
    largest: Float[Array, ""]


@struct.dataclass
class DynamicPricingState:
    """State of the season.

    Attributes:
        t: int32, steps made.
        stock: int32, units left.
        last_price: as a share of the largest one, 0 at first.
        last_sale: float32, 1 where the last step sold a unit.
    """

    t: Int32[Array, ""]
    stock: Int32[Array, ""]
    last_price: Float[Array, ""]
    last_sale: Float[Array, ""]


@register("dynamic_pricing")
@dataclass(frozen=True)
class DynamicPricing(Environment[DynamicPricingState, DynamicPricingParams]):
    """Each step sells one unit or none, with probability `min(a T exp(-p) / num_steps, 1)` while there is stock.

    An action is the price as a share of `params.largest`, in [0, 1], clipped; the reward is the price of what is sold.
    An observation is `[share of the stock left, share of the season gone, last price's share, last sale]`.

    `info`: `price`, `sale`.

    Attributes:
        stock: units at the start.
        num_steps: steps of the season; one sale a step is not a restriction where they are many.
    """

    stock: int = 10
    num_steps: int = 200

    num_agents = 1

    def __post_init__(self):
        require_int("stock", self.stock, 1)
        require_int("num_steps", self.num_steps, 1)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> DynamicPricingParams:
        return DynamicPricingParams(jnp.full((), 20.0, float), jnp.full((), 6.0, float))

    def action_space(self, params: DynamicPricingParams) -> Box:
        return Box(0.0, 1.0)

    def observation_space(self, params: DynamicPricingParams) -> Box:
        return Box(0.0, 1.0, (4,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform()

    def validate(self, params: DynamicPricingParams) -> None:
        for name in ("demand", "largest"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number > 0)).all()), name, number.tolist(), "positive")

    def initial(self, chance, params: DynamicPricingParams) -> DynamicPricingState:
        zero = jnp.zeros((), jnp.float32)
        return DynamicPricingState(jnp.zeros((), jnp.int32), jnp.full((), self.stock, jnp.int32), zero, zero)

    def transition(self, state: DynamicPricingState, action: Float[Array, " 1"], chance, params: DynamicPricingParams):
        share = jnp.clip(action[0], 0.0, 1.0)
        price = share * params.largest
        sale = (chance < params.demand / self.num_steps * jnp.exp(-price)) & (state.stock > 0)
        after = DynamicPricingState(
            state.t + 1, state.stock - sale.astype(jnp.int32), share.astype(jnp.float32), sale.astype(jnp.float32)
        )
        reward = jnp.where(sale, price, 0.0)[None]
        return after, reward, after.t >= self.num_steps, {"price": price, "sale": after.last_sale}

    def observe(self, state: DynamicPricingState, params: DynamicPricingParams) -> Float[Array, "1 4"]:
        left, gone = state.stock / jnp.float32(self.stock), state.t / jnp.float32(self.num_steps)
        return jnp.stack([left, jnp.minimum(gone, 1.0), state.last_price, state.last_sale])[None].astype(jnp.float32)

    def optimal_policy(self) -> Policy:
        """Prices that are optimal in continuous time; its params are those of the season."""

        def act(params, memory, obs, chance):
            stock = jnp.round(obs[0] * self.stock).astype(jnp.int32)
            prices = optimal_prices(params.demand * (1.0 - obs[1]), self.stock)
            # without stock or time any price will do
            return jnp.clip(prices[jnp.maximum(stock - 1, 0)] / params.largest, 0.0, 1.0), memory

        return Policy(lambda chance: (), act, name="optimal")

    def benchmarks(self, params: DynamicPricingParams) -> dict[str, Any]:
        """Expected revenues and prices that are known, on the host.

        `policy`: optimal in continuous time; `value`: its expected revenue there; `discrete_value`: of the optimum of
        this environment with any prices, a little more; `bound`: of sales without chance, and its `bound_price`;
        `fixed_price` and `fixed_value`: the best constant price in continuous time.
        """
        demand = float(params.demand)
        price = max(1.0, math.log(demand / self.stock))
        fixed, revenue = best_fixed_price(demand, self.stock)
        return {
            "policy": self.optimal_policy(),
            "value": float(optimal_values(jnp.asarray(demand), self.stock)[-1]),
            "discrete_value": discrete_value(demand, self.stock, self.num_steps),
            "bound": price * demand * math.exp(-price),
            "bound_price": price,
            "fixed_price": fixed,
            "fixed_value": revenue,
        }


def optimal_values(demand: Float[Array, ""], stock: int) -> Float[Array, " units"]:
    """Expected revenue in continuous time of 0 to `stock` units, where `demand = a t` would be sold at price 0."""
    units = jnp.arange(stock + 1, dtype=jnp.result_type(demand))
    some = demand > 0
    log_mean = jnp.log(jnp.where(some, demand, 1.0)) - 1.0
    terms = jnp.where(some, units * log_mean, -jnp.inf) - jax.scipy.special.gammaln(units + 1.0)
    return jax.lax.cumlogsumexp(terms.at[0].set(0.0))


def optimal_prices(demand: Float[Array, ""], stock: int) -> Float[Array, " units"]:
    """Optimal prices with 1 to `stock` units left, where `demand = a t` would be sold at price 0."""
    return 1.0 + jnp.diff(optimal_values(demand, stock))


def discrete_value(demand: float, stock: int, num_steps: int) -> float:
    """Expected revenue of the best prices where at most one unit is sold in each of `num_steps` steps."""
    rate, values = demand / num_steps, np.zeros(stock + 1)
    for _ in range(num_steps):
        worth = np.diff(values)  # of the unit that a sale uses up
        prices = np.maximum(1 + worth, math.log(rate))
        values[1:] += rate * np.exp(-prices) * (prices - worth)
    return float(values[-1])


def fixed_price_value(price: float, demand: float, stock: int) -> float:
    """Expected revenue of one price for the whole season: `p E[min(stock, Poisson(a T exp(-p)))]`."""
    mean = demand * math.exp(-price)
    probabilities = np.exp(np.arange(stock) * math.log(mean) - mean - [math.lgamma(i + 1) for i in range(stock)])
    return price * float(np.sum(1 - np.cumsum(probabilities)))


def best_fixed_price(demand: float, stock: int) -> tuple[float, float]:
    """The best price for the whole season, and its expected revenue (golden-section search)."""
    golden, low, high = (math.sqrt(5) - 1) / 2, 0.5, 2.0 + max(1.0, math.log(demand / stock))
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if fixed_price_value(left, demand, stock) < fixed_price_value(right, demand, stock):
            low = left
        else:
            high = right
    return (low + high) / 2, fixed_price_value((low + high) / 2, demand, stock)
