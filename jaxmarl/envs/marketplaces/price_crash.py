"""Firms that undercut each other into ruin: the crash of Agent Bazaar (Karten, Crow and Jin, arXiv 2605.17698)."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.arrivals import capped_poisson, capped_poisson_mean

PRICE_STEPS = (-0.15, -0.05, -0.02, 0.0, 0.02, 0.05, 0.15)
SUPPLY_LEVELS = (0.0, 0.5, 1.0, 2.0, 10.0)
LAGS = 3
_OWN = 6  # numbers of an observation before the history of prices


@struct.dataclass
class PriceCrashParams:
    """Numbers of the market; money in the units of income, a step is a day.

    Attributes:
        lowest_cost: of a unit; it is drawn for each episode, the same for all firms.
        highest_cost: likewise.
        shock: the unit cost is multiplied by it from `shock_step` on.
        shock_step: int32.
        first_markup: all prices start at `(1 + first_markup)` times the first unit cost.
        lowest_price: prices are kept between these bounds.
        highest_price: likewise.
        cash: of each firm at the start.
        overhead: paid by each firm in business every day.
        cash_tax: share of the cash left that is taken every day.
        income: w, what a consumer who arrives spends.
        arrival: expected share of consumers who arrive on a day (before the cap at all of them).
        elasticity: σ > 1, of substitution between firms' goods.
    """

    lowest_cost: Float[Array, ""]
    highest_cost: Float[Array, ""]
    shock: Float[Array, ""]
    shock_step: Int32[Array, ""]
    first_markup: Float[Array, ""]
    lowest_price: Float[Array, ""]
    highest_price: Float[Array, ""]
    cash: Float[Array, ""]
    overhead: Float[Array, ""]
    cash_tax: Float[Array, ""]
    income: Float[Array, ""]
    arrival: Float[Array, ""]
    elasticity: Float[Array, ""]


@struct.dataclass
class PriceCrashState:
    """State of the market.

    Attributes:
        t: int32, days played.
        first_cost: unit cost before any shock.
        cash: `[N]`.
        stock: `[N]`, units.
        alive: `[N]`, who is in business.
        log_prices: `[LAGS, N]`, of the last days, newest first.
    """

    t: Int32[Array, ""]
    first_cost: Float[Array, ""]
    cash: Float[Array, " N"]
    stock: Float[Array, " N"]
    alive: Bool[Array, " N"]
    log_prices: Float[Array, "3 N"]


class FirmView(NamedTuple):
    """One firm's observation, by name (see `PriceCrash`)."""

    cash: Float[Array, ""]
    stock: Float[Array, ""]
    alive: Float[Array, ""]
    log_cost: Float[Array, ""]
    time: Float[Array, ""]
    rivals_alive: Float[Array, ""]
    own: Float[Array, "3"]
    rivals: Float[Array, "3 rivals"]


def firm_view(obs: Float[Array, " features"]) -> FirmView:
    """Names the parts of an observation of `PriceCrash`."""
    history = obs[_OWN:].reshape(LAGS, -1)
    cash, stock, alive, log_cost, time, rivals_alive = obs[:_OWN]
    return FirmView(cash, stock, alive, log_cost, time, rivals_alive, history[:, 0], history[:, 1:])


@register("price_crash")
@dataclass(frozen=True)
class PriceCrash(Environment[PriceCrashState, PriceCrashParams]):
    """Firms buy supply and set prices day by day; who cannot pay the overhead goes out of business for good.

    A day: (1) firms in business change their log price by one of `price_steps`, and fill their stock up to a supply
    level, counted in days of an equal share of the expected income at the own price, as far as cash lasts; (2)
    `min(Poisson(arrival · C), C)` consumers come, each asks `num_polled` random firms in business and spends w among
    them by CES demand, `q_j = w p_j^-σ / Σ p^(1-σ)`; a firm short of stock serves all its customers in proportion; (3)
    firms pay the overhead, then the tax on the cash left, and whose cash does not cover the overhead is out of business
    for good. The reward is the change in cash. Action `a` is price step `a // L` and supply level `a % L`, of L levels;
    a firm out of business has one legal action, and what it plays is ignored.

    | observation | |
    |---|---|
    | `cash` | over the cash at the start |
    | `stock` | in days of an equal share of income |
    | `alive`, `log_cost`, `time`, `rivals_alive` | in business, log of today's unit cost, t / T, share of rivals |
    | for each of three days, newest first | log price over today's unit cost: own, rivals' `[N-1]` from the cheapest |

    Rivals out of business are shown at the highest price. `info`: `prices`, `alive` (after the day), `revenue`, `sold`
    (all `[N]`), `arrivals`, `unmet` (spending that found no stock), `utility` (Σ of CES utility of consumers),
    `best_utility` (theirs at prices equal to cost, with all firms in business) and `unit_cost`.

    Attributes:
        num_agents: firms `N`, two or more.
        num_consumers: C.
        num_polled: firms that a consumer asks (the market's discovery limit).
        num_steps: days.
        price_steps: changes of the log price, increasing.
        supply_levels: in days, increasing, from 0.
    """

    num_agents: int = 5
    num_consumers: int = 50
    num_polled: int = 3
    num_steps: int = 365
    price_steps: tuple[float, ...] = PRICE_STEPS
    supply_levels: tuple[float, ...] = SUPPLY_LEVELS

    symmetric = True

    def __post_init__(self):
        for name, least in (("num_agents", 2), ("num_consumers", 1), ("num_polled", 1), ("num_steps", 1)):
            require_int(name, getattr(self, name), least)
        require(self.num_polled <= self.num_agents, "num_polled", self.num_polled, f"at most {self.num_agents} firms")
        for name in ("price_steps", "supply_levels"):
            levels = getattr(self, name)
            ordered = isinstance(levels, tuple) and len(levels) > 0 and bool(np.all(np.diff(levels) > 0))
            require(ordered and bool(np.isfinite(levels).all()), name, levels, "a tuple of finite increasing numbers")
        require(0.0 in self.price_steps, "price_steps", self.price_steps, "a tuple that contains 0.0")
        require(self.supply_levels[0] == 0.0, "supply_levels", self.supply_levels, "a tuple that starts with 0.0")

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> PriceCrashParams:
        """Overhead of 14 and a tax of 5 %, both a week; costs fall anywhere from 0.5 to 1."""
        numbers = dict(lowest_cost=0.5, highest_cost=1.0, shock=1.0, first_markup=0.5, lowest_price=0.05)
        numbers |= dict(highest_price=20.0, cash=500.0, overhead=2.0, cash_tax=0.05 / 7, income=10.0)
        numbers |= dict(arrival=0.6, elasticity=5.0)
        step = jnp.full((), self.num_steps // 2, jnp.int32)
        return PriceCrashParams(shock_step=step, **{k: jnp.full((), x, float) for k, x in numbers.items()})

    def validate(self, params: PriceCrashParams) -> None:
        def check(name, low, high=math.inf, strict=True):
            x = np.asarray(getattr(params, name))
            fits = ((x > low) if strict else (x >= low)) & (x <= high) & np.isfinite(x)
            bound = f"{'above' if strict else 'at least'} {low}" + ("" if high == math.inf else f" and at most {high}")
            require(bool(fits.all()), name, x.tolist(), bound)

        for name in ("lowest_cost", "shock", "lowest_price", "cash", "income"):
            check(name, 0.0)
        for name in ("overhead", "shock_step", "first_markup"):
            check(name, 0.0, strict=False)
        check("cash_tax", 0.0, 1.0, strict=False)
        check("arrival", 0.0, 1e6, strict=False)
        check("elasticity", 1.0)
        for low, high in (("lowest_cost", "highest_cost"), ("lowest_price", "highest_price")):
            top = np.asarray(getattr(params, high))
            ordered = bool((np.isfinite(top) & (top >= np.asarray(getattr(params, low)))).all())
            require(ordered, high, top.tolist(), f"finite and at least {low}")

    def action_space(self, params: PriceCrashParams) -> Discrete:
        return Discrete(len(self.price_steps) * len(self.supply_levels))

    def observation_space(self, params: PriceCrashParams) -> Box:
        return Box(-math.inf, math.inf, (_OWN + LAGS * self.num_agents,))

    def action(self, price_step: int, supply_level: int) -> int:
        """Number of the action that makes this price step and asks for this supply level (indices)."""
        require_int("price_step", price_step, 0, len(self.price_steps) - 1)
        require_int("supply_level", supply_level, 0, len(self.supply_levels) - 1)
        return price_step * len(self.supply_levels) + supply_level

    @property
    def reset_chance(self) -> ChanceSpec:
        """The unit cost."""
        return Uniform()

    @property
    def step_chance(self) -> ChanceSpec:
        """How many consumers arrive, and the order in which each would ask the firms."""
        return {"arrivals": Uniform(), "polls": Uniform((self.num_consumers, self.num_agents))}

    def initial(self, chance, params: PriceCrashParams) -> PriceCrashState:
        cost = params.lowest_cost + (params.highest_cost - params.lowest_cost) * chance.astype(params.cash.dtype)
        price = jnp.clip(cost * (1 + params.first_markup), params.lowest_price, params.highest_price)
        cash, firms = jnp.full(self.num_agents, params.cash), self.num_agents
        history = jnp.full((LAGS, firms), jnp.log(price))
        return PriceCrashState(
            jnp.zeros((), jnp.int32), cost, cash, jnp.zeros_like(cash), jnp.ones(firms, bool), history
        )

    def unit_cost(self, state: PriceCrashState, params: PriceCrashParams) -> Float[Array, ""]:
        """Of the day to come."""
        return state.first_cost * jnp.where(state.t >= params.shock_step, params.shock, 1.0)

    def _equal_share(self, alive: Bool[Array, " N"], params: PriceCrashParams) -> Float[Array, ""]:
        """Expected income of a day over the firms in business."""
        flow = params.income * capped_poisson_mean(params.arrival * self.num_consumers, self.num_consumers)
        return flow / jnp.maximum(jnp.sum(alive), 1)

    def transition(self, state: PriceCrashState, action: Int32[Array, " N"], chance, params: PriceCrashParams):
        alive, cost = state.alive, self.unit_cost(state, params)
        levels = len(self.supply_levels)
        move = jnp.where(alive, jnp.asarray(self.price_steps, jnp.float32)[action // levels], 0.0)
        bounds = jnp.log(params.lowest_price), jnp.log(params.highest_price)
        log_price = jnp.clip(state.log_prices[0] + move, *bounds)
        price = jnp.exp(log_price)

        days = jnp.asarray(self.supply_levels, jnp.float32)[action % levels]
        wanted = days * self._equal_share(alive, params) / price - state.stock
        bought = jnp.where(alive, jnp.clip(wanted, 0.0, state.cash / cost), 0.0)
        cash, stock = jnp.maximum(state.cash - cost * bought, 0.0), state.stock + bought

        arrivals = capped_poisson(chance["arrivals"], params.arrival * self.num_consumers, self.num_consumers)
        arrived = jnp.arange(self.num_consumers) < arrivals
        spending = ces_spending(log_price, polled_firms(chance["polls"], alive, self.num_polled), params.elasticity)
        spending = jnp.where(arrived[:, None], params.income * spending, 0.0)
        demand = jnp.sum(spending, axis=0) / price
        sold = jnp.minimum(demand, stock)
        revenue, filled = price * sold, sold / jnp.where(demand > 0, demand, 1.0)
        cash, stock = cash + revenue, stock - sold

        survives = alive & (cash >= params.overhead)
        cash = jnp.maximum(cash - jnp.where(alive, params.overhead, 0.0), 0.0)
        cash = cash * jnp.where(alive, 1 - params.cash_tax, 1.0)
        budget = params.income * arrivals
        left = budget - jnp.sum(revenue)
        info = {
            "prices": price,
            "alive": survives,
            "revenue": revenue,
            "sold": sold,
            "arrivals": arrivals,
            "unmet": jnp.where(left > 1e-5 * budget, left, 0.0),  # less is rounding
            "utility": jnp.sum(ces_utility(spending / price * filled, params.elasticity)),
            "best_utility": arrivals * params.income / cost * self.num_polled ** (1 / (params.elasticity - 1)),
            "unit_cost": cost,
        }
        reward, history = cash - state.cash, jnp.concatenate([log_price[None], state.log_prices[:-1]])
        state = PriceCrashState(state.t + 1, state.first_cost, cash, jnp.where(survives, stock, 0.0), survives, history)
        return state, reward, state.t >= self.num_steps, info

    def action_mask(self, state: PriceCrashState, params: PriceCrashParams) -> Bool[Array, "N A"]:
        idle = self.action(self.price_steps.index(0.0), 0)
        return state.alive[:, None] | (jnp.arange(self.action_space(params).n) == idle)

    def observe(self, state: PriceCrashState, params: PriceCrashParams) -> Float[Array, "N features"]:
        n, cost = self.num_agents, self.unit_cost(state, params)
        others = (np.arange(n)[:, None] + np.arange(1, n)) % n
        alive = state.alive.astype(jnp.float32)
        stock = state.stock * jnp.exp(state.log_prices[0]) / self._equal_share(state.alive, params)
        shared = jnp.broadcast_to(jnp.stack([jnp.log(cost), state.t / self.num_steps]), (n, 2))
        rivals_alive = jnp.mean(alive[others], axis=1)
        own = jnp.stack([state.cash / params.cash, stock, alive, *shared.T, rivals_alive], axis=1)
        shown = jnp.where(state.alive, state.log_prices, jnp.log(params.highest_price)) - jnp.log(cost)
        rivals = jnp.sort(jnp.moveaxis(shown[:, others], 1, 0), axis=-1)
        history = jnp.concatenate([(state.log_prices - jnp.log(cost)).T[:, :, None], rivals], axis=-1)
        return jnp.concatenate([own, history.reshape(n, -1)], axis=1).astype(jnp.float32)

    def benchmarks(self, params: PriceCrashParams) -> dict[str, Any]:
        """Where firms have stock for whoever comes: what a day brings on average, and one-day Nash prices.

        `expected_arrivals`; `income_flow`, the expected revenue of all firms together; `nash_markup`, that of equal
        prices from which no firm gains by departing for a day, `1 / (ε - 1)` with `ε = σ - (σ - 1) / num_polled`
        (infinite where consumers ask one firm only); `nash_profit`, gross, of each firm in that equilibrium.
        """
        arrivals = float(capped_poisson_mean(params.arrival * self.num_consumers, self.num_consumers))
        sigma, flow = float(params.elasticity), float(params.income) * arrivals
        own = sigma - (sigma - 1) / self.num_polled
        markup = math.inf if self.num_polled == 1 else 1 / (own - 1)
        share = 1.0 if self.num_polled == 1 else 1 / own
        profit = flow / self.num_agents * share
        return {"expected_arrivals": arrivals, "income_flow": flow, "nash_markup": markup, "nash_profit": profit}


def polled_firms(units: Float[Array, "C N"], alive: Bool[Array, " N"], num_polled: int) -> Bool[Array, "C N"]:
    """Whom each consumer asks: the `num_polled` firms in business with its lowest numbers, or all of fewer."""
    earlier = alive & (units[:, None, :] < units[:, :, None])
    return alive & (jnp.sum(earlier, axis=-1) < num_polled)


def ces_spending(
    log_price: Float[Array, " N"], polled: Bool[Array, "C N"], elasticity: Float[Array, ""]
) -> Float[Array, "C N"]:
    """Shares of spending `p_j^(1-σ) / Σ p^(1-σ)` over polled firms; all 0 where no firm was polled."""
    lowest = jnp.min(jnp.where(polled, log_price, jnp.inf), axis=1, keepdims=True)
    gap = jnp.where(polled, log_price - lowest, 0.0)
    weight = jnp.where(polled, jnp.exp((1 - elasticity) * gap), 0.0)
    return weight / jnp.maximum(jnp.sum(weight, axis=1, keepdims=True), 1e-30)


def ces_utility(quantity: Float[Array, "C N"], elasticity: Float[Array, ""]) -> Float[Array, " C"]:
    """`(Σ_j q_j^((σ-1)/σ))^(σ/(σ-1))`, which is income over the price index where all that was asked for is had."""
    power = (elasticity - 1) / elasticity
    return jnp.sum(quantity**power, axis=1) ** (1 / power)
