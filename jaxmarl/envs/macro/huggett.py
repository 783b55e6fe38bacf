"""Households that lend to each other under aggregate and individual shocks: a market for bonds clears each period."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.macro.crra import crra_utility
from jaxmarl.envs.macro.economy import HouseholdEconomy, require_positive, require_probabilities
from jaxmarl.envs.macro.household import Households, asset_grid
from jaxmarl.envs.macro.krusell_smith import next_state
from jaxmarl.envs.macro.shocks import Chain, income_chain, productivity_chain, stationary_law
from jaxmarl.envs.macro.stationary import StationaryEquilibrium, solve_stationary


@struct.dataclass
class HuggettParams:
    """Numbers of the economy.

    Attributes:
        discount: β, of households (rewards are not discounted).
        aversion: σ.
        productivity: `[Z]`, z, which multiplies all incomes.
        aggregate: `[Z, Z]`, transition of productivity.
        incomes: `[E]`.
        individual: `[E, E]`, transition of a household's income.
        income_law: `[E]`, probabilities of incomes at the start.
        limit: least amount lent, negative for debts.
        rates: `[R]`, ascending, at which households say what they would lend.
        least_consumption: what cannot be lent.
    """

    discount: Float[Array, ""]
    aversion: Float[Array, ""]
    productivity: Float[Array, " Z"]
    aggregate: Float[Array, "Z Z"]
    incomes: Float[Array, " E"]
    individual: Float[Array, "E E"]
    income_law: Float[Array, " E"]
    limit: Float[Array, ""]
    rates: Float[Array, " R"]
    least_consumption: Float[Array, ""]

    @property
    def steady(self) -> Households:
        """Households under productivity 1."""
        return Households(self.discount, self.aversion, self.incomes, self.individual)


@struct.dataclass
class HuggettState:
    """State of the economy.

    Attributes:
        t: int32, periods.
        productivity: int32, number of the aggregate state.
        individual: int32 `[N]`, number of each household's income.
        lent: `[N]`, in the last period; negative where borrowed.
        rate: at which.
    """

    t: Int32[Array, ""]
    productivity: Int32[Array, ""]
    individual: Int32[Array, " N"]
    lent: Float[Array, " N"]
    rate: Float[Array, ""]


@register("huggett")
@dataclass(frozen=True)
class Huggett(HouseholdEconomy[HuggettState, HuggettParams]):
    """Households submit schedules, what they would lend at each rate, and the rate is where nobody is owed on balance.

    A household has `cash = (1 + r) b + z y`, with b what it lent at the last rate r. Its action is, for each rate of a
    grid, the share of the cash above the limit (and above `least_consumption`) that it would lend. The rate is the
    first at which mean lending, linear between points of the grid, rises through 0, or the end of the grid that is
    nearest to it. The reward is the CRRA utility of what is not lent. An observation is `[b, y, z, cash]`.

    `info`: `rate`; `excess`, mean lending, 0 where the market clears; `consumption`, its mean; `debtors`, the share of
    households that borrow all they may.

    Attributes:
        num_households: N.
        num_productivities: Z; 1 leaves individual risk only.
        num_incomes: E.
        num_steps: periods of an episode.
        num_rates: R.
    """

    num_steps: int = 170
    num_rates: int = 20

    # households are alike, but the order of their sum changes its last bits, which a flat schedule magnifies into rates

    def __post_init__(self):
        super().__post_init__()
        require_int("num_rates", self.num_rates, 2)

    @property
    def default_params(self) -> HuggettParams:
        """After Yang et al. (2025): β = .96, σ = 2, debts up to 1; persistence and spread of the logarithms are .9 and
        .02 for productivity, .6 and .2 for incomes.
        """
        productivity = productivity_chain(0.9, 0.02, self.num_productivities)
        income = income_chain(size=self.num_incomes)
        law = stationary_law(income.transition)
        rates = np.linspace(0.01, 0.06, self.num_rates)
        numbers = (0.96, 2.0, *productivity, *income, law, -1.0, rates, 1e-3)
        return HuggettParams(*(jnp.asarray(x, float) for x in numbers))

    def validate(self, params: HuggettParams) -> None:
        require_positive(params, ("productivity", "incomes", "least_consumption", "aversion"))
        rates = np.asarray(params.rates)
        require(bool((np.diff(rates, axis=-1) > 0).all()), "rates", rates.ravel()[:5].tolist(), "ascending")
        require_probabilities(params, ("aggregate", "individual", "income_law"))
        limit, least = np.min(np.asarray(params.limit)), np.max(np.asarray(params.least_consumption))
        poorest = np.min(np.asarray(params.productivity)) * np.min(np.asarray(params.incomes))
        require(bool(poorest + limit * np.max(rates) > least), "limit", float(limit), _PAYABLE)

    def action_space(self, params: HuggettParams) -> Box:
        return Box(0.0, 1.0, (self.num_rates,))

    def observation_space(self, params: HuggettParams) -> Box:
        return Box(-np.inf, np.inf, (4,))

    def initial(self, chance, params: HuggettParams) -> HuggettState:
        rate = params.rates[self.num_rates // 2].astype(jnp.float32)
        middle = jnp.full((), self.num_productivities // 2, jnp.int32)
        n = self.num_households
        rows = jnp.broadcast_to(params.income_law, (n, self.num_incomes))
        return HuggettState(jnp.zeros((), jnp.int32), middle, next_state(rows, chance), jnp.zeros(n, jnp.float32), rate)

    def transition(self, state: HuggettState, action: Float[Array, "N R"], chance, params: HuggettParams):
        cash = self._cash(state, params)
        free = jnp.maximum(cash - params.limit - params.least_consumption, 0.0)
        shares = jnp.clip(action, 0.0, 1.0)
        offered = params.limit + jnp.mean(shares * free[:, None], axis=0)
        place, weight = clearing(offered)
        at = (1 - weight) * shares[:, place] + weight * shares[:, place + 1]
        lent, rate = params.limit + at * free, (1 - weight) * params.rates[place] + weight * params.rates[place + 1]
        consumption = cash - lent
        after = next_state(params.aggregate[state.productivity], chance[0])
        moved = next_state(params.individual[state.individual], chance[1])
        reward = crra_utility(jnp.maximum(consumption, params.least_consumption), params.aversion)
        info = {
            "rate": rate,
            "excess": jnp.mean(lent),
            "consumption": jnp.mean(consumption),
            "debtors": jnp.mean(at <= 1e-6),
        }
        kept = lent.astype(jnp.float32), rate.astype(jnp.float32)
        following = HuggettState(state.t + 1, after, moved, *kept)
        return following, reward.astype(jnp.float32), following.t >= self.num_steps, info

    def _cash(self, state: HuggettState, params: HuggettParams) -> Float[Array, " N"]:
        earned = params.productivity[state.productivity] * params.incomes[state.individual]
        return (1 + state.rate) * state.lent + earned

    def observe(self, state: HuggettState, params: HuggettParams) -> Float[Array, "N 4"]:
        z = jnp.broadcast_to(params.productivity[state.productivity], self.num_households)
        columns = [state.lent, params.incomes[state.individual], z, self._cash(state, params)]
        return jnp.stack([x.astype(jnp.float32) for x in columns], axis=1)

    def asset_grid(self, params: HuggettParams) -> Float[Array, " n"]:
        """500 amounts, from the limit of debts to thirty mean incomes, on which `stationary` is solved."""
        return jnp.asarray(asset_grid(float(np.min(params.limit)), 30.0, 500), float)

    def stationary(self, params: HuggettParams) -> StationaryEquilibrium:
        """The equilibrium without aggregate shocks, on `asset_grid`."""
        bounds = -0.05, 0.998 * (1 / params.discount - 1)
        return solve_stationary(params.steady, self.asset_grid(params), bounds)

    def benchmarks(self, params: HuggettParams) -> dict[str, Any]:
        """`rate` of the stationary equilibrium without aggregate shocks, `debtors`, the share of households at the
        limit, `spread`, the standard deviation of assets, and `complete_rate` where all risks are shared.
        """
        found = self.stationary(params)
        grid = np.asarray(self.asset_grid(params))
        shares = np.asarray(found.mass).sum(axis=0)
        return {
            "rate": float(found.rate),
            "debtors": float(shares[0]),
            "spread": float(np.sqrt(shares @ grid**2 - (shares @ grid) ** 2)),
            "complete_rate": float(1 / params.discount - 1),
        }


_PAYABLE = "such that the poorest can pay the highest rate on it"


def clearing(offered: Float[Array, " R"]) -> tuple[Int32[Array, ""], Float[Array, ""]]:
    """Where mean lending first rises through 0: the lower neighbour, and the weight of the upper one.

    Without a crossing, the highest rate if all want to borrow there, the lowest otherwise.
    """
    below, above = offered[:-1], offered[1:]
    crosses = (below < 0) & (above >= 0)
    place = jnp.argmax(crosses).astype(jnp.int32)
    slope = jnp.where(crosses, above - below, 1.0)[place]
    weight = -below[place] / slope
    short = offered[0] < 0  # everywhere, if nothing crosses
    last = jnp.int32(offered.shape[0] - 2)
    found = jnp.any(crosses)
    place = jnp.where(found, place, jnp.where(short, last, 0))
    return place, jnp.where(found, weight, jnp.where(short, 1.0, 0.0)).astype(offered.dtype)


def huggett_1993() -> tuple[Households, Chain]:
    """Preferences and incomes of Huggett (1993), six periods a year: β = .99322, σ = 1.5, incomes .1 and 1."""
    chain = Chain(np.array([0.1, 1.0]), np.array([[0.5, 0.5], [0.075, 0.925]]))
    households = Households(*(jnp.asarray(x, float) for x in (0.99322, 1.5, *chain)))
    return households, chain
