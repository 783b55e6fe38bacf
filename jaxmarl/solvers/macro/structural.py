"""Structural learning with prices as states (Yang, Wang, Schaab and Moll 2025).

A policy sees a household's own state, productivity and the current rate, and nothing of the distribution. Histograms of
households move by the policy along simulated paths; along them prices clear the markets, but households take them as
given: the slope of lifetime utility is taken through own assets, which households understand, and not through prices.
Where a policy is best along the prices that it makes, a restricted-perceptions equilibrium is found.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.macro.crra import crra_utility
from jaxmarl.envs.macro.household import lottery, move_mass
from jaxmarl.envs.macro.huggett import HuggettParams, clearing
from jaxmarl.envs.macro.krusell_smith import KrusellSmithParams, next_state


class Crowd(NamedTuple):
    """Households at the beginning of a period.

    Attributes:
        mass: `[E, n]`, histogram of states and assets.
        rate: of the last period.
    """

    mass: Float[Array, "E n"]
    rate: Float[Array, ""]


class Trade(NamedTuple):
    """What a period's market comes to.

    Attributes:
        consumption: `[E, n]`.
        bought: `[E, n]`, assets.
        rate: at which the market clears.
    """

    consumption: Float[Array, "E n"]
    bought: Float[Array, "E n"]
    rate: Float[Array, ""]


@dataclass(frozen=True)
class CapitalMarket:
    """The economy of `KrusellSmith`: prices follow from capital. The wage adds nothing to productivity and the rate.

    Attributes:
        params: of the environment.
        grid: `[n]`, of assets, from 0.
        rates: `[R]`, where policies are tabulated.
    """

    params: KrusellSmithParams
    grid: Float[Array, " n"]
    rates: Float[Array, " R"]

    def individual(self, now: Array, after: Array) -> Float[Array, "E E"]:
        """Transition of a household's state, given productivity now and next."""
        return self.params.individual[now, after]

    def trade(self, shares: Float[Array, "R E n"], crowd: Crowd, productivity: Array) -> Trade:
        """One period: `shares` says what households keep of the cash that they may keep, at each rate of the grid."""
        params, mass = self.params, jax.lax.stop_gradient(crowd.mass)
        labour = jnp.sum(mass * params.endowments[:, None])
        capital = jnp.maximum(jnp.sum(mass * self.grid), params.least_consumption)
        rate, wage = params.production.prices(capital, labour, params.productivity[productivity])
        place, upper = lottery(rate, self.rates)
        share = (1 - upper) * shares[place] + upper * shares[place + 1]
        cash = (1 + rate) * self.grid + wage * params.endowments[:, None]
        bought = share * jnp.maximum(cash - params.least_consumption, 0.0)
        return Trade(cash - bought, bought, rate)


@dataclass(frozen=True)
class BondMarket:
    """The economy of `Huggett`: the rate is where households lend each other nothing on balance.

    Attributes:
        params: of the environment; policies are tabulated at its rates.
        grid: `[n]`, of what is lent, from the limit.
    """

    params: HuggettParams
    grid: Float[Array, " n"]

    @property
    def rates(self) -> Float[Array, " R"]:
        """Where policies are tabulated."""
        return self.params.rates

    def individual(self, now: Array, after: Array) -> Float[Array, "E E"]:
        return self.params.individual

    def trade(self, shares: Float[Array, "R E n"], crowd: Crowd, productivity: Array) -> Trade:
        params = self.params
        earned = params.productivity[productivity] * params.incomes[:, None]
        cash = (1 + crowd.rate) * self.grid + earned
        free = jnp.maximum(cash - params.limit - params.least_consumption, 0.0)
        held = jax.lax.stop_gradient(shares * free * crowd.mass)
        place, upper = clearing(params.limit + jnp.sum(held, axis=(1, 2)))
        share = (1 - upper) * shares[place] + upper * shares[place + 1]
        bought = params.limit + share * free
        return Trade(cash - bought, bought, (1 - upper) * params.rates[place] + upper * params.rates[place + 1])


Market: TypeAlias = CapitalMarket | BondMarket


class StructuralPolicy(NamedTuple):
    """What households learned.

    Attributes:
        shares: `[Z, R, E, n]`, of the cash that may be kept, by productivity, rate, own state and assets.
        trace: `[U]`, mean lifetime utility at each update.
        change: `[U]`, largest change of a share.
        rates: `[U]`, mean rate at each update.
        crowd: of each path after the last update, leaves `[P, …]`.
        path_rates: `[T, P]`, rates at the last update.
        path_assets: `[T, P]`, mean assets at the last update.
        productivity: int32 `[T, P]`, at the last update.
    """

    shares: Float[Array, "Z R E n"]
    trace: Float[Array, " U"]
    change: Float[Array, " U"]
    rates: Float[Array, " U"]
    crowd: Any
    path_rates: Float[Array, "T P"]
    path_assets: Float[Array, "T P"]
    productivity: Int[Array, "T P"]


def simulate_crowd(
    market: Market, grid: Array, shares: Float[Array, "Z R E n"], crowd: Crowd, path: Int[Array, " T1"], weights: Array
) -> tuple[Float[Array, ""], Crowd, tuple[Array, Array]]:
    """Lifetime utility along a path of T + 1 states of productivity, the crowd after T, and rates and assets in each.

    Slopes with respect to `shares` are those of one household, to whom prices are given.
    """
    aversion, least = market.params.aversion, market.params.least_consumption

    def period(crowd, states):
        now, after, weight = states
        trade = market.trade(shares[now], crowd, now)
        utility = jnp.sum(crowd.mass * crra_utility(jnp.maximum(trade.consumption, least), aversion))
        low, upper = lottery(jax.lax.stop_gradient(trade.bought), grid)
        upper = jnp.clip((trade.bought - grid[low]) / (grid[low + 1] - grid[low]), 0.0, 1.0)
        moved = market.individual(now, after).T @ move_mass(crowd.mass, low, upper)
        rate = jax.lax.stop_gradient(trade.rate)
        return Crowd(moved, rate), (weight * utility, rate, jnp.sum(crowd.mass * grid))

    crowd, (utilities, rates, assets) = jax.lax.scan(period, crowd, (path[:-1], path[1:], weights))
    return jnp.sum(utilities), crowd, (rates, assets)


def structural_policy_gradient(
    market: Market,
    start: Crowd,
    key: Array,
    *,
    num_updates: int = 1000,
    warm_up: int = 50,
    num_paths: int = 32,
    num_periods: int = 90,
    learning_rate: float = 0.03,
    decay: float = 0.5,
    initial_share: float = 0.8,
    initial_tilt: float = 0.0,
) -> StructuralPolicy:
    """Adam on a table of shares, to raise lifetime utility along simulated paths (pure; jit it).

    Args:
        market: `CapitalMarket` or `BondMarket`.
        start: the crowd that every path starts from.
        key: consumed by this call.
        num_updates: U.
        warm_up: updates in which all paths start from `start`; after these, from where they last ended.
        num_paths: P, of productivity.
        num_periods: T, after which utility no longer counts.
        learning_rate: of Adam, for logits of shares.
        decay: share of the rate of learning that is left after all updates; it falls exponentially after the warm-up.
        initial_share: kept at first in all states.
        initial_tilt: by how much the logits of shares at the highest rate are above, and at the lowest below, that at
            first; a market for bonds clears only where schedules rise.
    """
    import optax

    require_int("num_updates", num_updates, 1)
    require_int("warm_up", warm_up, 0)
    require(0 < decay <= 1, "decay", decay, "in (0, 1]")
    require(0 < initial_share < 1, "initial_share", initial_share, "in (0, 1)")
    params, grid = market.params, market.grid
    rate = optax.exponential_decay(learning_rate, max(num_updates - warm_up, 1), decay, transition_begin=warm_up)
    optimiser = optax.adam(rate)
    weights = params.discount ** jnp.arange(num_periods, dtype=grid.dtype)
    count = params.productivity.shape[0]

    def loss(logits, crowds, paths):
        def one(crowd, path):
            return simulate_crowd(market, grid, jax.nn.sigmoid(logits), crowd, path, weights)

        utility, crowds, trace = jax.vmap(one, (0, 1))(crowds, paths)
        return -jnp.mean(utility), (crowds, trace)

    def update(carry, inputs):
        logits, opt_state, crowds, first = carry
        key, number = inputs
        paths = _paths(params.aggregate, key, first, num_periods)
        (value, (after, trace)), slope = jax.value_and_grad(loss, has_aux=True)(logits, crowds, paths)
        # states that nobody is in have slopes of rounding errors, which Adam would make as large as others
        slope = jnp.where(jnp.abs(slope) > 1e-12, slope, 0.0)
        change, opt_state = optimiser.update(slope, opt_state)
        moved = optax.apply_updates(logits, change)
        warm = number < warm_up
        # rounding takes a little of the mass in every period
        after = after._replace(mass=after.mass / jnp.sum(after.mass, axis=(1, 2), keepdims=True))
        crowds = jax.tree.map(lambda new, old: jnp.where(warm, old, new), after, crowds)
        first = jnp.where(warm, first, paths[-1])
        gap = jnp.max(jnp.abs(jax.nn.sigmoid(moved) - jax.nn.sigmoid(logits)))
        return (moved, opt_state, crowds, first), (-value, gap, jnp.mean(trace[0]))

    logits = _first_logits(market, start, initial_share, initial_tilt)
    crowds = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_paths, *x.shape)), start)
    first = jnp.full((num_paths,), count // 2, jnp.int32)
    keys = jax.random.split(key, num_updates + 1)
    carry = logits, optimiser.init(logits), crowds, first
    carry, traces = jax.lax.scan(update, carry, (keys[1:], jnp.arange(num_updates)))
    logits, _, crowds, first = carry
    paths = _paths(params.aggregate, keys[0], first, num_periods)
    _, (_, (rates, assets)) = loss(logits, crowds, paths)
    utility, gap, mean_rate = traces
    return StructuralPolicy(jax.nn.sigmoid(logits), utility, gap, mean_rate, crowds, rates.T, assets.T, paths[:-1])


def _paths(aggregate: Array, key: Array, first: Array, num_periods: int) -> Array:
    """Productivities `[T + 1, P]` of as many paths as there are first states."""

    def step(states: Array, units: Array) -> tuple[Array, Array]:
        return next_state(aggregate[states], units), states

    last, path = jax.lax.scan(step, first, jax.random.uniform(key, (num_periods, *first.shape)))
    return jnp.concatenate([path, last[None]])


def _first_logits(market: Market, start: Crowd, share: float, tilt: float) -> Array:
    """Logits of shares by productivity, rate, and a household's own state: `share`, tilted by the rate."""
    rates, dtype = market.rates.shape[0], market.grid.dtype
    slope = tilt * jnp.linspace(-1, 1, rates, dtype=dtype)[:, None, None]
    shape = (market.params.productivity.shape[0], rates, *start.mass.shape)
    return jnp.broadcast_to(jnp.log(share / (1 - share)) + slope, shape).astype(dtype)
