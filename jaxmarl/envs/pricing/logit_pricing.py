"""Repeated price competition with logit demand, as in Calvano, Calzolari, Denicolò and Pastorello, AER 2020."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.pricing.logit import logit_shares, logit_surplus
from jaxmarl.envs.pricing.logit_equilibrium import LogitMarket, bertrand_nash, joint_monopoly

LAYOUTS = ("prices", "index")
MOST_STATES = 2**31 - 1


@struct.dataclass
class LogitPricingParams:
    """Numbers of the market.

    Attributes:
        quality: `[N]`, a_i.
        cost: `[N]`, of a unit, c_i.
        outside_quality: a_0, of the outside good.
        outside_spread: with stochastic demand, a_0 is this much higher or lower, with equal chances each period.
        differentiation: μ > 0, the scale of tastes; near 0 goods are perfect substitutes.
        low_price: `[N]`, price of action 0.
        high_price: `[N]`, price of the last action.
    """

    quality: Float[Array, " N"]
    cost: Float[Array, " N"]
    outside_quality: Float[Array, ""]
    outside_spread: Float[Array, ""]
    differentiation: Float[Array, ""]
    low_price: Float[Array, " N"]
    high_price: Float[Array, " N"]


@struct.dataclass
class LogitPricingState:
    """State of the market.

    Attributes:
        t: int32, periods played.
        recent: `[memory, N]`, the last actions, newest first: int32 on a grid, else float32 positions in [0, 1].
    """

    t: Int32[Array, ""]
    recent: Array


def logit_pricing_params(
    quality: Sequence[float] | Array | np.ndarray,
    cost: Sequence[float] | Array | np.ndarray,
    outside_quality: float = 0.0,
    differentiation: float = 0.25,
    *,
    extension: float = 0.1,
    outside_spread: float = 0.0,
) -> LogitPricingParams:
    """Params whose prices reach from below the Bertrand-Nash price to above the monopoly price (on the host, exact).

    Args:
        quality: `[N]`, at least two firms.
        cost: `[N]`.
        outside_quality: a_0.
        differentiation: μ.
        extension: ξ: the range of prices ends this share of the distance between the two prices beyond either.
        outside_spread: of stochastic demand; the range of prices is that of the mean a_0.

    Raises:
        ValueError: numbers that are not allowed, or a firm whose monopoly price is not above its Nash price.
    """
    market = LogitMarket(quality, cost, outside_quality, differentiation)
    nash, monopoly = bertrand_nash(market).prices, joint_monopoly(market).prices
    apart = bool((monopoly > nash).all())
    require(apart, "quality", np.asarray(quality).tolist(), "of two or more firms whose monopoly prices are higher")
    low, high = nash - extension * (monopoly - nash), monopoly + extension * (monopoly - nash)
    numbers = quality, cost, outside_quality, outside_spread, differentiation, low, high
    return LogitPricingParams(*(jnp.asarray(x, float) for x in numbers))


@register("logit_pricing")
@dataclass(frozen=True)
class LogitPricing(Environment[LogitPricingState, LogitPricingParams]):
    """Firms set prices at once, again and again; consumers choose by logit among their goods and an outside good.

    A firm sells `q_i = exp((a_i - p_i) / μ) / (Σ_j exp((a_j - p_j) / μ) + exp(a_0 / μ))` and earns `(p_i - c_i) q_i`.
    Prices are a grid of equally spaced ones from `low_price` to `high_price`, or anything between (actions are then
    positions in [0, 1], clipped). All see the last `memory` periods' prices; the first of them are drawn uniformly. The
    game has no end of its own: episodes are truncated after `num_steps` periods.

    | layout | observation | dtype |
    |---|---|---|
    | `prices` | positions of prices in [0, 1], newest period first, in each the own, then the next firms' | float32 |
    | `index` | number of the state, the same for all: `Σ_k m^(N k) Σ_i a_i m^(N-1-i)`, k periods ago | int32 |

    `info`: `prices [N]`, `shares [N]` and `consumer_surplus`. Two firms are alike (`symmetric`) as far as their numbers
    in `params` are equal; with three or more, rivals are told apart by their order.

    Attributes:
        num_agents: number of firms `N`, two or more.
        num_prices: `m`, or None for continuous prices.
        memory: periods seen.
        num_steps: periods of an episode.
        stochastic_demand: whether a_0 is drawn each period, after prices are set.
        layout: of observations, above.
    """

    num_agents: int = 2
    num_prices: int | None = 15
    memory: int = 1
    num_steps: int = 1000
    stochastic_demand: bool = False
    layout: str = "prices"

    differentiable_params = ("cost",)  # and all others, but each is costly to check

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("memory", self.memory, 1)
        require_int("num_steps", self.num_steps, 1)
        require(isinstance(self.stochastic_demand, bool), "stochastic_demand", self.stochastic_demand, "True or False")
        require_choice("layout", self.layout, LAYOUTS)
        if self.num_prices is not None:
            require_int("num_prices", self.num_prices, 2)
        if self.layout == "index":
            require(self.num_prices is not None, "num_prices", self.num_prices, "a number with the layout 'index'")
            allowed = self.num_states <= MOST_STATES
            require(allowed, "memory", self.memory, "so short that states have 32-bit numbers, with the layout 'index'")

    @property
    def symmetric(self) -> bool:
        return self.layout == "prices" and self.num_agents == 2

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def num_states(self) -> int:
        """Number of different histories of a grid of prices."""
        return self._grid ** (self.num_agents * self.memory)

    @property
    def _grid(self) -> int:
        """Number of prices; refuses where they are continuous."""
        if self.num_prices is None:
            raise ValueError("num_prices must be a number for what is listed by price, got None")
        return self.num_prices

    @property
    def default_params(self) -> LogitPricingParams:
        n = self.num_agents
        spread = 0.5 if self.stochastic_demand else 0.0
        return logit_pricing_params(np.full(n, 2.0), np.ones(n), outside_spread=spread)

    def action_space(self, params: LogitPricingParams) -> Discrete | Box:
        return Box(0.0, 1.0) if self.num_prices is None else Discrete(self.num_prices)

    def observation_space(self, params: LogitPricingParams) -> Box:
        if self.layout == "index":
            return Box(0, self.num_states - 1, (), jnp.int32)
        return Box(0.0, 1.0, (self.memory * self.num_agents,))

    @property
    def reset_chance(self) -> ChanceSpec:
        shape = self.num_agents, self.memory
        return Uniform(shape) if self.num_prices is None else Integers(self.num_prices, shape)

    @property
    def step_chance(self) -> ChanceSpec:
        return Integers(2) if self.stochastic_demand else ()

    def validate(self, params: LogitPricingParams) -> None:
        for name in ("quality", "cost", "low_price", "high_price"):
            number = np.asarray(getattr(params, name))
            require(number.shape[-1:] == (self.num_agents,), name, number.shape, f"of shape [{self.num_agents}]")
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        for name in ("outside_quality", "outside_spread", "differentiation"):
            number = np.asarray(getattr(params, name))
            low = {"outside_quality": -math.inf, "outside_spread": 0.0, "differentiation": np.finfo(np.float32).tiny}
            allowed = (
                "finite" if name == "outside_quality" else "at least 0" if name == "outside_spread" else "positive"
            )
            require(bool((np.isfinite(number) & (number >= low[name])).all()), name, number.tolist(), allowed)
        above = np.asarray(params.high_price) > np.asarray(params.low_price)
        require(bool(above.all()), "high_price", np.asarray(params.high_price).tolist(), "above low_price")

    def prices(self, action: Array, params: LogitPricingParams) -> Float[Array, "*batch N"]:
        """Prices `[..., N]` that actions stand for."""
        if self.num_prices is None:
            position = jnp.clip(action, 0.0, 1.0)
        else:
            position = action / jnp.asarray(self.num_prices - 1, params.low_price.dtype)
        return params.low_price + position * (params.high_price - params.low_price)

    def initial(self, chance, params: LogitPricingParams) -> LogitPricingState:
        return LogitPricingState(jnp.zeros((), jnp.int32), chance.T)

    def transition(self, state: LogitPricingState, action: Array, chance, params: LogitPricingParams):
        prices = self.prices(action, params)
        outside = params.outside_quality
        if self.stochastic_demand:
            outside = outside + params.outside_spread * (2 * chance - 1)
        market = params.quality, outside, params.differentiation
        shares = logit_shares(prices, *market)
        kept = jnp.clip(action, 0.0, 1.0) if self.num_prices is None else action
        recent = jnp.concatenate([kept.astype(state.recent.dtype)[None], state.recent[:-1]])
        info = {"prices": prices, "shares": shares, "consumer_surplus": logit_surplus(prices, *market)}
        reward = (prices - params.cost) * shares
        return LogitPricingState(state.t + 1, recent), reward, jnp.zeros((), bool), info

    def truncated(self, state: LogitPricingState, params: LogitPricingParams):
        return state.t >= self.num_steps

    def observe(self, state: LogitPricingState, params: LogitPricingParams) -> Array:
        n = self.num_agents
        if self.layout == "index":
            powers = self._grid ** np.arange(n * self.memory).reshape(self.memory, n)[:, ::-1]
            return jnp.full(n, jnp.sum(state.recent * jnp.asarray(powers, jnp.int32)), jnp.int32)
        position = state.recent
        if self.num_prices is not None:
            position = position.astype(jnp.float32) / (self.num_prices - 1)
        turns = (np.arange(n)[:, None] + np.arange(n)) % n
        return jnp.moveaxis(position[:, turns], 1, 0).reshape(n, -1)

    def stage_payoffs(self, params: LogitPricingParams) -> Float[Array, "N *m"]:
        """Profits of all profiles of a grid of prices `[N, m, ..., m]`, expected where demand is stochastic."""
        profile = jnp.moveaxis(jnp.indices((self._grid,) * self.num_agents), 0, -1)
        prices, levels = self.prices(profile, params), (-1, 1) if self.stochastic_demand else (0,)
        outsides = [params.outside_quality + level * params.outside_spread for level in levels]
        shares = [logit_shares(prices, params.quality, outside, params.differentiation) for outside in outsides]
        return jnp.moveaxis((prices - params.cost) * sum(shares) / len(shares), -1, 0)

    def benchmarks(self, params: LogitPricingParams) -> dict[str, Any]:
        """`nash` and `monopoly`: prices, shares, profits and consumer surplus (`LogitOutcome`) of continuous prices.

        Runs on the host in float64, for firms that differ as well. Empty where demand is stochastic.
        """
        if self.stochastic_demand:
            return {}
        return {"nash": bertrand_nash(params), "monopoly": joint_monopoly(params)}
