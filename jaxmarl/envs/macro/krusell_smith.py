"""Households that save in capital under aggregate and individual shocks (Krusell and Smith 1998; Aiyagari 1994)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.checks import require
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.macro.crra import crra_utility
from jaxmarl.envs.macro.economy import HouseholdEconomy, require_positive, require_probabilities
from jaxmarl.envs.macro.household import Households, asset_grid, lottery
from jaxmarl.envs.macro.shocks import (
    JointShocks,
    employment_shocks,
    income_chain,
    independent_shocks,
    productivity_chain,
    stationary_law,
)
from jaxmarl.envs.macro.stationary import Production, StationaryEquilibrium, complete_markets, solve_stationary


@struct.dataclass
class KrusellSmithParams:
    """Numbers of the economy.

    Attributes:
        discount: β, of households (rewards are not discounted).
        aversion: σ.
        productivity: `[Z]`, z.
        aggregate: `[Z, Z]`, transition of productivity.
        endowments: `[E]`, labour of a household.
        individual: `[Z, Z, E, E]`, transition of a household's state, given productivity now and next.
        individual_law: `[Z, E]`, probabilities of a household's state at the start, by productivity.
        share: α, of capital.
        depreciation: δ.
        initial_capital: assets of every household at the start.
        least_consumption: what cannot be saved.
    """

    discount: Float[Array, ""]
    aversion: Float[Array, ""]
    productivity: Float[Array, " Z"]
    aggregate: Float[Array, "Z Z"]
    endowments: Float[Array, " E"]
    individual: Float[Array, "Z Z E E"]
    individual_law: Float[Array, "Z E"]
    share: Float[Array, ""]
    depreciation: Float[Array, ""]
    initial_capital: Float[Array, ""]
    least_consumption: Float[Array, ""]

    @property
    def production(self) -> Production:
        """The firms."""
        return Production(self.share, self.depreciation)

    @property
    def steady(self) -> Households:
        """Households under constant productivity, as in its middle state."""
        middle = self.productivity.shape[0] // 2
        return Households(self.discount, self.aversion, self.endowments, self.individual[middle, middle])


@struct.dataclass
class KrusellSmithState:
    """State of the economy.

    Attributes:
        t: int32, periods.
        productivity: int32, number of the aggregate state.
        individual: int32 `[N]`, state of each household.
        assets: `[N]`.
    """

    t: Int32[Array, ""]
    productivity: Int32[Array, ""]
    individual: Int32[Array, " N"]
    assets: Float[Array, " N"]


def economy_params(
    shocks: JointShocks,
    discount: float,
    aversion: float,
    share: float,
    depreciation: float,
    initial_capital: float,
    least_consumption: float = 1e-3,
) -> KrusellSmithParams:
    """Params from shocks and numbers; a household's state starts from its law where productivity stays as it is."""
    laws = np.array([stationary_law(shocks.individual[z, z]) for z in range(len(shocks.productivity))])
    numbers = (*shocks, laws, share, depreciation, initial_capital, least_consumption)
    return KrusellSmithParams(*(jnp.asarray(x, float) for x in (discount, aversion, *numbers)))


def krusell_smith_1998() -> KrusellSmithParams:
    """The economy of Krusell and Smith (1998): two aggregate states, work or none, logarithmic utility, quarters."""
    return economy_params(employment_shocks(), 0.99, 1.0, 0.36, 0.025, 11.7)


@register("krusell_smith")
@dataclass(frozen=True)
class KrusellSmith(HouseholdEconomy[KrusellSmithState, KrusellSmithParams]):
    """Every household works, is paid the prices that all of their capital makes, and chooses what to keep.

    With K and L the means of assets and labour, the rate is `r = α z (K/L)^(α-1) - δ` and the wage
    `w = (1-α) z (K/L)^α`. A household with assets b and labour y has `(1 + r) b + w y`; its action is the share of it,
    less `least_consumption`, that it keeps, and assets never are negative. The reward is the CRRA utility of the rest.
    Then productivity and households' states move. An observation is `[b, y, z, r, w]`: own state and prices, and
    nothing of others. A household is a few numbers, so that a million of them are one step.

    `info`: `capital`, `labour`, `rate`, `wage`, `output` and `consumption`, means for a household.

    Attributes:
        num_households: N.
        num_productivities: Z; 1 leaves individual risk only.
        num_incomes: E.
        num_steps: periods of an episode.
    """

    num_steps: int = 90

    symmetric = True

    @property
    def default_params(self) -> KrusellSmithParams:
        """Yearly, after Yang et al. (2025): β = .95, σ = 3; log productivity .9 and .03, log incomes .6 and .2."""
        productivity = productivity_chain(0.9, 0.03, self.num_productivities)
        shocks = independent_shocks(productivity, income_chain(size=self.num_incomes))
        return economy_params(shocks, 0.95, 3.0, 0.36, 0.08, 5.3)

    def validate(self, params: KrusellSmithParams) -> None:
        require_positive(params, ("productivity", "share", "initial_capital", "least_consumption", "aversion"))
        for name in ("discount", "share", "depreciation"):
            value = np.asarray(getattr(params, name))
            require(bool(((value >= 0) & (value < 1)).all()), name, value.tolist(), "in [0, 1)")
        require_probabilities(params, ("aggregate", "individual", "individual_law"))

    def action_space(self, params: KrusellSmithParams) -> Box:
        return Box(0.0, 1.0)

    def observation_space(self, params: KrusellSmithParams) -> Box:
        return Box(-np.inf, np.inf, (5,))

    def initial(self, chance, params: KrusellSmithParams) -> KrusellSmithState:
        middle = self.num_productivities // 2
        state = next_state(params.individual_law[middle], chance)
        assets = jnp.full(self.num_households, 1.0, jnp.float32) * params.initial_capital
        return KrusellSmithState(
            jnp.zeros((), jnp.int32), jnp.full((), middle, jnp.int32), state, assets.astype(jnp.float32)
        )

    def transition(self, state: KrusellSmithState, action: Float[Array, " N"], chance, params: KrusellSmithParams):
        found = self.prices(state, params)
        cash = (1 + found["rate"]) * state.assets + found["wage"] * params.endowments[state.individual]
        free = jnp.maximum(cash - params.least_consumption, 0.0)
        kept = jnp.clip(action, 0.0, 1.0) * free
        consumption = cash - kept
        after = next_state(params.aggregate[state.productivity], chance[0])
        moved = next_state(params.individual[state.productivity, after][state.individual], chance[1])
        reward = crra_utility(jnp.maximum(consumption, params.least_consumption), params.aversion)
        info = {**found, "consumption": jnp.mean(consumption)}
        following = KrusellSmithState(state.t + 1, after, moved, kept.astype(jnp.float32))
        return following, reward.astype(jnp.float32), following.t >= self.num_steps, info

    def prices(self, state: KrusellSmithState, params: KrusellSmithParams) -> dict[str, Float[Array, ""]]:
        """Means of `capital`, `labour` and `output`, and the `rate` and `wage` that they make."""
        labour = jnp.maximum(jnp.mean(params.endowments[state.individual]), params.least_consumption)
        capital = jnp.maximum(jnp.mean(state.assets), params.least_consumption)
        z = params.productivity[state.productivity]
        rate, wage = params.production.prices(capital, labour, z)
        output = (rate + params.depreciation) * capital + wage * labour
        return {"capital": capital, "labour": labour, "rate": rate, "wage": wage, "output": output}

    def observe(self, state: KrusellSmithState, params: KrusellSmithParams) -> Float[Array, "N 5"]:
        found, n = self.prices(state, params), self.num_households
        common = (params.productivity[state.productivity], found["rate"], found["wage"])
        columns = [state.assets, params.endowments[state.individual], *(jnp.broadcast_to(x, n) for x in common)]
        return jnp.stack([x.astype(jnp.float32) for x in columns], axis=1)

    def asset_grid(self, params: KrusellSmithParams) -> Float[Array, " n"]:
        """500 assets, from none to ten times the initial capital, on which `stationary` is solved."""
        return jnp.asarray(asset_grid(0.0, 10.0 * float(np.max(params.initial_capital)), 500), float)

    def stationary(self, params: KrusellSmithParams) -> StationaryEquilibrium:
        """The equilibrium without aggregate shocks, on `asset_grid`."""
        bounds = 0.2 * (1 / params.discount - 1), 0.998 * (1 / params.discount - 1)
        return solve_stationary(params.steady, self.asset_grid(params), bounds, params.production)

    def benchmarks(self, params: KrusellSmithParams) -> dict[str, Any]:
        """`rate`, `capital` and `wage` of the stationary equilibrium without aggregate shocks, `complete_rate` and
        `complete_capital` where all risks are shared, and `policy`, which saves as in the former, whatever the prices.
        """
        found = self.stationary(params)
        complete = complete_markets(params.steady, params.production)
        table = jnp.broadcast_to(found.savings, (self.num_productivities, 2, *found.savings.shape))
        return {
            "rate": float(found.rate),
            "capital": float(found.assets),
            "wage": float(found.wage),
            "complete_rate": float(complete[0]),
            "complete_capital": float(complete[1]),
            "policy": saving_policy(params, self.asset_grid(params), found.assets * jnp.array([0.5, 2.0]), table),
        }


def saving_policy(
    params: KrusellSmithParams,
    grid: Float[Array, " n"],
    capital_grid: Float[Array, " M"],
    savings: Float[Array, "Z M E n"],
) -> Policy:
    """Buys what a table says for productivity, capital, own labour and own assets; capital is told by the rate.

    Args:
        params: the economy.
        grid: of assets.
        capital_grid: ascending.
        savings: assets bought.
    """
    labour_by_state = params.individual_law @ params.endowments

    def act(own, memory, obs, chance):
        assets, labour, productivity, rate, wage = obs
        z = jnp.argmin(jnp.abs(params.productivity - productivity))
        state = jnp.argmin(jnp.abs(params.endowments - labour))
        earning = params.share * productivity / (rate + params.depreciation)
        capital = labour_by_state[z] * earning ** (1 / (1 - params.share))
        place, upper = lottery(capital, capital_grid)
        low, above = lottery(assets, grid)
        # single entries: whole rows of the table would take memory for each household
        corners = savings[z, place + np.array([[0], [1]]), state, low + np.array([0, 1])]
        bought = jnp.stack([1 - upper, upper]) @ (corners @ jnp.stack([1 - above, above]))
        free = (1 + rate) * assets + wage * labour - params.least_consumption
        return jnp.clip(bought / jnp.maximum(free, 1e-9), 0.0, 1.0).astype(jnp.float32), memory

    return Policy(lambda chance: (), act, name="table_of_savings")


def next_state(rows: Float[Array, "*rows S"], units: Float[Array, "*batch"]) -> Int32[Array, "*batch"]:
    """The states that uniform numbers select from a row of probabilities, or from one each; never an impossible one."""
    cumulative = jnp.cumsum(rows, axis=-1)
    return jnp.sum(cumulative <= units[..., None] * cumulative[..., -1:], axis=-1).astype(jnp.int32)
