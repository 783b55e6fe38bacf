"""Repeated price competition with logit demand, as in Calvano, Calzolari, Denicolò and Pastorello, AER 2020."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.pricing.logit import logit_shares, logit_surplus
from jaxmarl.envs.pricing.logit_equilibrium import LogitMarket, bertrand_nash, joint_monopoly

LAYOUTS = ("prices", "index")
NEVER = 2**31 - 1
TINY = float(np.finfo(np.float32).tiny)
MOST_STATES = 2**31 - 1


@struct.dataclass
class LogitPricingParams:
    """Numbers of the market.

    Attributes:
        quality: `[N]`, a_i.
        cost: `[N]`, of a unit, c_i.
        cost_spread: with stochastic costs, each c_i is this much higher or lower, with equal chances each period.
        outside_quality: a_0, of the outside good.
        outside_spread: with stochastic demand, a_0 is this much higher or lower, with equal chances each period.
        differentiation: μ > 0, the scale of tastes; near 0 goods are perfect substitutes.
        low_price: `[N]`, price of action 0.
        high_price: `[N]`, price of the last action.
        enters: int32 `[N]`, with entry, the first period in which a firm sells.
        leaves: int32 `[N]`, with entry, the first period after that in which it no longer does.
    """

    quality: Float[Array, " N"]
    cost: Float[Array, " N"]
    cost_spread: Float[Array, ""]
    outside_quality: Float[Array, ""]
    outside_spread: Float[Array, ""]
    differentiation: Float[Array, ""]
    low_price: Float[Array, " N"]
    high_price: Float[Array, " N"]
    enters: Int32[Array, " N"]
    leaves: Int32[Array, " N"]


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
    cost_spread: float = 0.0,
    enters: Sequence[int] | None = None,
    leaves: Sequence[int] | None = None,
) -> LogitPricingParams:
    """Params whose prices reach from below the Bertrand-Nash price to above the monopoly price (on the host, exact).

    Args:
        quality: `[N]`, at least two firms.
        cost: `[N]`.
        outside_quality: a_0.
        differentiation: μ.
        extension: ξ: the range of prices ends this share of the distance between the two prices beyond either.
        outside_spread: of stochastic demand; the range of prices is that of the mean a_0.
        cost_spread: of stochastic costs.
        enters: first period of each firm, 0 where None.
        leaves: first later period without each firm, never where None.

    Raises:
        ValueError: numbers that are not allowed, or a firm whose monopoly price is not above its Nash price.
    """
    market = LogitMarket(quality, cost, outside_quality, differentiation)
    nash, monopoly = bertrand_nash(market).prices, joint_monopoly(market).prices
    apart = bool((monopoly > nash).all())
    require(apart, "quality", np.asarray(quality).tolist(), "of two or more firms whose monopoly prices are higher")
    low, high = nash - extension * (monopoly - nash), monopoly + extension * (monopoly - nash)
    numbers = quality, cost, cost_spread, outside_quality, outside_spread, differentiation, low, high
    times = (np.full(len(low), x) if t is None else t for t, x in ((enters, 0), (leaves, NEVER)))
    return LogitPricingParams(*(jnp.asarray(x, float) for x in numbers), *(jnp.asarray(x, jnp.int32) for x in times))


@register("logit_pricing")
@dataclass(frozen=True)
class LogitPricing(Environment[LogitPricingState, LogitPricingParams]):
    """Firms set prices at once, again and again; consumers choose by logit among their goods and an outside good.

    A firm sells `q_i = exp((a_i - p_i) / μ) / (Σ_j exp((a_j - p_j) / μ) + exp(a_0 / μ))` and earns `(p_i - c_i) q_i`.
    Prices are a grid of equally spaced ones from `low_price` to `high_price`, or anything between (actions are then
    positions in [0, 1], clipped). All see the last `memory` periods' prices; the first of them are drawn uniformly. The
    game has no end of its own: episodes are truncated after `num_steps` periods.

    Demand and costs may be drawn anew each period, after prices are set. With `entry` firms come and go at given times:
    an absent one sells nothing and is seen at the highest price, which is its one legal action, and observations of
    layout `prices` end with which firms sell in the coming period (1 or 0; the own, then the next ones).

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
        stochastic_demand: whether a_0 is drawn each period.
        stochastic_costs: whether costs are drawn each period, each firm's by itself.
        entry: whether firms enter and leave.
        layout: of observations, above.
    """

    num_agents: int = 2
    num_prices: int | None = 15
    memory: int = 1
    num_steps: int = 1000
    stochastic_demand: bool = False
    stochastic_costs: bool = False
    entry: bool = False
    layout: str = "prices"

    differentiable_params = ("quality", "cost", "outside_quality", "differentiation", "low_price", "high_price")

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("memory", self.memory, 1)
        require_int("num_steps", self.num_steps, 1)
        for name in ("stochastic_demand", "stochastic_costs", "entry"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        require_choice("layout", self.layout, LAYOUTS)
        if self.num_prices is not None:
            require_int("num_prices", self.num_prices, 2)
        if self.layout == "index":
            require(self.num_prices is not None, "num_prices", self.num_prices, "a number with the layout 'index'")
            allowed = self.num_states <= MOST_STATES
            require(allowed, "memory", self.memory, "so short that states have 32-bit numbers, with the layout 'index'")

    @property
    def symmetric(self) -> bool:
        return self.layout == "prices" and self.num_agents == 2 and not self.entry

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
        return logit_pricing_params(
            np.full(n, 2.0),
            np.ones(n),
            outside_spread=0.5 if self.stochastic_demand else 0.0,
            cost_spread=0.1 if self.stochastic_costs else 0.0,
            enters=[0] * (n - 1) + [self.num_steps // 2] if self.entry else None,
        )

    def action_space(self, params: LogitPricingParams) -> Discrete | Box:
        return Box(0.0, 1.0) if self.num_prices is None else Discrete(self.num_prices)

    def observation_space(self, params: LogitPricingParams) -> Box:
        if self.layout == "index":
            return Box(0, self.num_states - 1, (), jnp.int32)
        return Box(0.0, 1.0, ((self.memory + self.entry) * self.num_agents,))

    @property
    def reset_chance(self) -> ChanceSpec:
        shape = self.num_agents, self.memory
        return Uniform(shape) if self.num_prices is None else Integers(self.num_prices, shape)

    @property
    def step_chance(self) -> ChanceSpec:
        if not (self.stochastic_demand or self.stochastic_costs):
            return ()
        demand = Integers(2) if self.stochastic_demand else ()
        return demand, Integers(2, (self.num_agents,)) if self.stochastic_costs else ()

    def validate(self, params: LogitPricingParams) -> None:
        for name in ("quality", "cost", "low_price", "high_price", "enters", "leaves"):
            number = np.asarray(getattr(params, name))
            require(number.shape[-1:] == (self.num_agents,), name, number.shape, f"of shape [{self.num_agents}]")
            require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        least = {"outside_quality": -math.inf, "outside_spread": 0.0, "cost_spread": 0.0, "differentiation": TINY}
        for name, low in least.items():
            number = np.asarray(getattr(params, name))
            allowed = "finite" if low == -math.inf else "positive" if low else "at least 0"
            require(bool((np.isfinite(number) & (number >= low)).all()), name, number.tolist(), allowed)
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
        zero = jnp.zeros((), jnp.int32)
        recent = chance.T
        if self.entry:
            recent = jnp.where(self._sells(zero, params), recent, self._highest).astype(recent.dtype)
        return LogitPricingState(zero, recent)

    def transition(self, state: LogitPricingState, action: Array, chance: Any, params: LogitPricingParams):
        outside, cost = params.outside_quality, params.cost
        if self.stochastic_demand:
            outside = outside + params.outside_spread * (2 * chance[0] - 1)
        if self.stochastic_costs:
            cost = cost + params.cost_spread * (2 * chance[1] - 1)
        kept = jnp.clip(action, 0.0, 1.0) if self.num_prices is None else action
        sells = self._sells(state.t, params) if self.entry else None
        if sells is not None:
            kept = jnp.where(sells, kept, self._highest)
        prices = self.prices(kept, params)
        market = params.quality, outside, params.differentiation, sells
        shares = logit_shares(prices, *market)
        recent = jnp.concatenate([kept.astype(state.recent.dtype)[None], state.recent[:-1]])
        info = {"prices": prices, "shares": shares, "consumer_surplus": logit_surplus(prices, *market)}
        reward = (prices - cost) * shares
        return LogitPricingState(state.t + 1, recent), reward, jnp.zeros((), bool), info

    @property
    def _highest(self) -> int:
        """The action at which an absent firm is seen."""
        return 1 if self.num_prices is None else self.num_prices - 1

    def _sells(self, t: Int32[Array, ""], params: LogitPricingParams) -> Bool[Array, " N"]:
        """Which firms are in the market in period `t`."""
        return (params.enters <= t) & (t < params.leaves)

    def action_mask(self, state: LogitPricingState, params: LogitPricingParams) -> Bool[Array, "N m"]:
        if not self.entry or self.num_prices is None:
            return super().action_mask(state, params)
        return self._sells(state.t, params)[:, None] | (jnp.arange(self._grid) == self._highest)

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
        if self.entry:
            position = jnp.concatenate([position, self._sells(state.t, params)[None].astype(position.dtype)])
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

        Runs on the host in float64, for firms that differ as well. With entry these are of all firms, and
        `incumbents_nash` is the equilibrium of those that sell in period 0. Costs that vary do not matter, since they
        are not known when prices are set. Empty where demand is stochastic.
        """
        if self.stochastic_demand:
            return {}
        known = {"nash": bertrand_nash(params), "monopoly": joint_monopoly(params)}
        first = np.asarray(self._sells(jnp.zeros((), jnp.int32), params))
        if self.entry and first.any():
            outside = params.outside_quality, params.differentiation
            market = LogitMarket(np.asarray(params.quality)[first], np.asarray(params.cost)[first], *outside)
            known["incumbents_nash"] = bertrand_nash(market)
        return known
