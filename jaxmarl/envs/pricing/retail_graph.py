"""A retailer's catalogue as a game: one agent a product, demand linked by a graph of substitutes and complements.

After "Graph-Attentive MAPPO for Dynamic Retail Pricing" (arXiv 2511.00039), which publishes neither its demand equation
nor its sizes; those here are choices.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Normal
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.arrivals import poisson_count
from jaxmarl.envs.pricing.retail_catalogue import RetailGraphParams, synthetic_catalogue
from jaxmarl.envs.pricing.retail_optimum import joint_prices, static_prices, weekly_profits

CHANGES = (-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1)
LARGEST_CHANGE = 0.1
ACTIONS, GOALS = ("discrete", "continuous"), ("team", "own")
MEMORY = 0.8  # weight of the past in average sales


@struct.dataclass
class RetailGraphState:
    """State of the shop.

    Attributes:
        t: int32, weeks played.
        log_price: `[N]`, log of price over base price.
        sales: `[N]`, units sold last week.
        average: `[N]`, exponentially averaged sales.
    """

    t: Int32[Array, ""]
    log_price: Float[Array, " N"]
    sales: Float[Array, " N"]
    average: Float[Array, " N"]


def jain_index(shares: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Jain's index of fairness `(Σx)² / (N Σx²)`: 1 where all are equal, also to 0; 1/N where one has everything."""
    squares = jnp.sum(shares**2, axis=-1)
    ratio = jnp.sum(shares, axis=-1) ** 2 / (shares.shape[-1] * jnp.where(squares > 0, squares, 1.0))
    return jnp.where(squares > 0, ratio, 1.0)


@register("retail_graph")
@dataclass(frozen=True)
class RetailGraph(Environment[RetailGraphState, RetailGraphParams]):
    """Each of `N` products is an agent that changes its price once a week.

    Log demand of product i is `log D_i + ε_i x_i + Σ_j γ_ij x_j + s sin(2π (t + φ_i) / 52) + σ ξ_i`, in [-10, 10],
    where x is the log of price over base price; sales are Poisson. Actions multiply the price by 0.9, 0.95, 0.98, 1,
    1.02, 1.05 or 1.1, or by any number from 0.9 to 1.1 (an action in [-1, 1] then is a tenth of it more); prices stay
    between `floor` times cost and `ceiling` times base price. Episodes start at base prices.

    The team's reward, the same for all, is `Σ (p - c) sales / Σ D p0` less penalties for volatility (mean `|Δ log p|`)
    and unfairness (1 - Jain's index of profits in units of those at static prices). With `goal="own"` an agent is
    rewarded for its own product alone, N-fold, so that the mean over agents is the team's reward.

    An observation is `[log p / p0, (p - c) / p, last sales / D, average sales / D, sin, cos of the week, ε]`. Links of
    products are in `params.neighbours` and `params.linked`, for networks that attend to neighbours.

    `info`: `profit [N]`, `prices [N]`, `sales [N]`, `volatility`, `jain`.

    Attributes:
        num_agents: `N`, products of the default catalogue (params of other catalogues must have as many).
        num_steps: weeks of an episode.
        num_neighbours: `K` of the default catalogue.
        actions: `"discrete"` or `"continuous"`.
        goal: `"team"` or `"own"`.
        poisson: whether sales are Poisson counts; else they are demand itself.
        seed: of the default catalogue.
    """

    num_agents: int = 20
    num_steps: int = 52
    num_neighbours: int = 8
    actions: str = "discrete"
    goal: str = "team"
    poisson: bool = True
    seed: int = 0

    def __post_init__(self):
        for name in ("num_agents", "num_steps", "num_neighbours"):
            require_int(name, getattr(self, name), 1)
        require_int("seed", self.seed, 0)
        require_choice("actions", self.actions, ACTIONS)
        require_choice("goal", self.goal, GOALS)

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> RetailGraphParams:
        return synthetic_catalogue(self.num_agents, self.num_neighbours, seed=self.seed)

    def action_space(self, params: RetailGraphParams) -> Discrete | Box:
        return Discrete(len(CHANGES)) if self.actions == "discrete" else Box(-1.0, 1.0, (1,))

    def observation_space(self, params: RetailGraphParams) -> Box:
        return Box(-math.inf, math.inf, (7,))

    @property
    def step_chance(self) -> ChanceSpec:
        """Demand noise, and what makes a count of the rate."""
        return Normal((2 if self.poisson else 1, self.num_agents))

    def validate(self, params: RetailGraphParams) -> None:
        for name in ("cost", "base_price", "base_demand"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number > 0)).all()), name, number.tolist(), "positive and finite")
            fits = number.shape[-1:] == (self.num_agents,)
            require(fits, name, f"{number.shape[-1:]}", f"of {self.num_agents} products")
        elasticity, cross = np.asarray(params.elasticity), np.asarray(params.cross)
        gained = np.maximum(cross, 0).sum(axis=-1)
        bounded = bool((elasticity < -1 - gained).all())
        require(bounded, "elasticity", elasticity.tolist(), "below -1 - the sum of positive cross elasticities")
        neighbours = np.asarray(params.neighbours)
        inside = bool(((neighbours >= 0) & (neighbours < self.num_agents)).all())
        require(inside, "neighbours", neighbours.tolist(), f"from 0 to {self.num_agents - 1}")
        for name in ("season", "noise", "volatility_weight", "fairness_weight"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0 and finite")
        for name in ("floor", "ceiling"):
            number = np.asarray(getattr(params, name))
            require(bool((number > 1).all()), name, number.tolist(), "above 1")

    def initial(self, chance, params: RetailGraphParams) -> RetailGraphState:
        demand = params.base_demand
        return RetailGraphState(jnp.zeros((), jnp.int32), jnp.zeros_like(demand), demand, demand)

    def demand(self, log_price: Array, t: Array, noise: Array, params: RetailGraphParams) -> Float[Array, " N"]:
        """Expected sales of a week at log prices (over base prices), given the demand noise ξ."""
        others = jnp.sum(jnp.where(params.linked, params.cross * log_price[params.neighbours], 0.0), axis=-1)
        season = params.season * jnp.sin(2 * jnp.pi * (t + params.phase) / 52)
        logs = jnp.log(params.base_demand) + params.elasticity * log_price + others + season + params.noise * noise
        return jnp.exp(jnp.clip(logs, -10.0, 10.0))

    def transition(self, state: RetailGraphState, action: Array, chance, params: RetailGraphParams):
        if self.actions == "discrete":
            change = jnp.asarray(np.log1p(CHANGES), state.log_price.dtype)[action]
        else:
            change = jnp.log1p(LARGEST_CHANGE * jnp.clip(action[:, 0], -1.0, 1.0))
        low = jnp.log(params.floor * params.cost / params.base_price)
        log_price = jnp.clip(state.log_price + change, low, jnp.maximum(low, jnp.log(params.ceiling)))
        rate = self.demand(log_price, state.t, chance[0], params)
        sales = poisson_count(rate, chance[1]) if self.poisson else rate
        prices = params.base_price * jnp.exp(log_price)
        profit = (prices - params.cost) * sales
        moved = jnp.abs(log_price - state.log_price)
        jain = jain_index(profit / self._static_profits(params))
        reward = self._reward(profit, moved, jain, params)
        average = MEMORY * state.average + (1 - MEMORY) * sales
        after = RetailGraphState(state.t + 1, log_price, sales, average)
        info = {"profit": profit, "prices": prices, "sales": sales, "volatility": jnp.mean(moved), "jain": jain}
        return after, reward.astype(jnp.float32), jnp.zeros((), bool), info

    def _static_profits(self, params: RetailGraphParams) -> Float[Array, " N"]:
        """What a product earns in an average week at its static price, others at base prices."""
        static = params.cost * params.elasticity / (1 + params.elasticity)
        price = jnp.clip(static, params.floor * params.cost, params.ceiling * params.base_price)
        sold = params.base_demand * (price / params.base_price) ** params.elasticity
        return (price - params.cost) * sold

    def _reward(self, profit: Array, moved: Array, jain: Array, params: RetailGraphParams) -> Float[Array, " N"]:
        """The team's, or each product's own."""
        scaled = profit / jnp.sum(params.base_demand * params.base_price)
        if self.goal == "team":
            scaled, moved = jnp.sum(scaled), jnp.mean(moved)
        else:
            scaled = self.num_agents * scaled
        paid = scaled - params.volatility_weight * moved - params.fairness_weight * (1 - jain)
        return jnp.broadcast_to(paid, (self.num_agents,))

    def truncated(self, state: RetailGraphState, params: RetailGraphParams):
        return state.t >= self.num_steps

    def observe(self, state: RetailGraphState, params: RetailGraphParams) -> Float[Array, "N 7"]:
        cost = params.cost / (params.base_price * jnp.exp(state.log_price))
        week = 2 * jnp.pi * state.t / 52
        seen = (
            state.log_price,
            1 - cost,
            state.sales / params.base_demand,
            state.average / params.base_demand,
            jnp.sin(week),
            jnp.cos(week),
            params.elasticity,
        )
        return jnp.stack([jnp.broadcast_to(x, (self.num_agents,)) for x in seen], axis=1).astype(jnp.float32)

    def towards(self, state: RetailGraphState, prices: Float[Array, " N"], params: RetailGraphParams) -> Array:
        """The actions `[N]` (or `[N, 1]`) that bring this week's prices nearest to `prices`."""
        return self.nearest_action(jnp.log(prices / params.base_price) - state.log_price)

    def nearest_action(self, gap: Float[Array, "*shape"]) -> Array:
        """The action that changes the log price by most nearly `gap`."""
        if self.actions == "discrete":
            steps = jnp.asarray(np.log1p(CHANGES), jnp.float32)
            return jnp.argmin(jnp.abs(gap[..., None] - steps), axis=-1).astype(jnp.int32)
        return jnp.clip(jnp.expm1(gap) / LARGEST_CHANGE, -1.0, 1.0)[..., None].astype(jnp.float32)

    def benchmarks(self, params: RetailGraphParams) -> dict[str, Any]:
        """Prices `[N]` and the whole catalogue's expected weekly profit at them (host side).

        `static_prices`: `c ε / (1 + ε)` within the bounds, the optimum without cross effects. They are also
        `nash_prices`, of independent firms: with isoelastic demand `(p - c) / p = -1 / ε` is the best answer to any
        prices of others. `joint_prices`: constant prices of the largest joint profit (`retail_optimum.joint_prices`).
        `static_profit`, `nash_profit`, `joint_profit`: of the catalogue, a week. `policy`: moves a product towards its
        static price; its params are the catalogue's.
        """

        def act(params, memory, obs, chance):
            wanted = (1 - obs[1]) * obs[6] / (1 + obs[6])  # static price over the present one
            gap = jnp.minimum(jnp.log(wanted), jnp.log(params.ceiling) - obs[0])
            return self.nearest_action(gap), memory

        static, joint = static_prices(params), joint_prices(params)
        return {
            "static_prices": static,
            "nash_prices": static,
            "joint_prices": joint,
            "static_profit": float(weekly_profits(static, params).sum()),
            "nash_profit": float(weekly_profits(static, params).sum()),
            "joint_profit": float(weekly_profits(joint, params).sum()),
            "policy": Policy(lambda chance: (), act, name="static"),
        }
