"""The approximate equilibrium of Krusell and Smith (1998): households forecast capital by a rule that turns out right.

They expect `ln K' = a_z + b_z ln K`, choose by endogenous grids over own assets and capital, and a histogram of them is
simulated along one path of productivity (Young 2010), on which the rule is estimated anew, until it stays.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.macro.household import endogenous_grid, histogram_gini, lottery, move_mass
from jaxmarl.envs.macro.krusell_smith import KrusellSmithParams, next_state


class Forecast(NamedTuple):
    """A rule that forecasts capital, and the households that believe it.

    Attributes:
        rule: `[Z, 2]`, `(a_z, b_z)`.
        r_squared: `[Z]`, of the regression for each productivity.
        error: `[Z]`, standard error of the regression.
        drift: largest gap between capital and what the rule says if it is iterated from the first period, relative to
            capital (den Haan 2010).
        consumption: `[Z, M, E, n]`, by productivity, capital, household's state and assets.
        capital: `[T]`, along the path, the first periods left out.
        productivity: int32 `[T]`, its number.
        mass: `[E, n]`, histogram in the last period.
        gini: of assets in the last period.
        change: of the rule in the last iteration.
    """

    rule: Float[Array, "Z 2"]
    r_squared: Float[Array, " Z"]
    error: Float[Array, " Z"]
    drift: Float[Array, ""]
    consumption: Float[Array, "Z M E n"]
    capital: Float[Array, " T"]
    productivity: Int[Array, " T"]
    mass: Float[Array, "E n"]
    gini: Float[Array, ""]
    change: Float[Array, ""]


def krusell_smith_forecast(
    params: KrusellSmithParams,
    grid: Float[Array, " n"],
    capital_grid: Float[Array, " M"],
    key: Array,
    *,
    num_periods: int = 1100,
    burn_in: int = 100,
    num_rounds: int = 40,
    num_steps: int = 60,
    damping: float = 0.5,
) -> Forecast:
    """The rule that forecasts best the capital of households that forecast with it (pure; jit it).

    Args:
        params: the economy.
        grid: of assets, from 0.
        capital_grid: ascending, wide enough for capital to stay within.
        key: of the path of productivity, which all rounds share.
        num_periods: simulated in a round.
        burn_in: periods that do not count.
        num_rounds: of choosing, simulating and estimating.
        num_steps: of endogenous grids in a round, from the policy of the round before.
        damping: share of the way that the rule goes to the new estimate.
    """
    require_int("num_periods", num_periods, 10)
    require_int("burn_in", burn_in, 0, num_periods - 10)
    require(0 < damping <= 1, "damping", damping, "in (0, 1]")
    path = productivity_path(params, key, num_periods)
    _, _, cash = _today(params, grid, capital_grid)
    start = 0.3 * cash + 0.01
    law, size = params.individual_law[path[0]], grid.shape[0]
    centre = jnp.clip(jnp.searchsorted(grid, params.initial_capital) - 1, 0, size - 1)
    mass = law[:, None] * (jnp.arange(size) == centre)

    def one_round(carry, _):
        rule, consumption, _ = carry
        consumption = jax.lax.fori_loop(
            0, num_steps, lambda _, c: household_step(params, grid, capital_grid, rule, c), consumption
        )
        capital, last = simulate_histogram(params, grid, capital_grid, consumption, path, mass)
        found = _regressions(capital[burn_in:], path[burn_in:], params.productivity.shape[0])[0]
        return (rule + damping * (found - rule), consumption, last), jnp.max(jnp.abs(found - rule))

    slopes = jnp.full((params.productivity.shape[0],), 0.95, grid.dtype)
    rule = jnp.stack([(1 - slopes) * jnp.log(params.initial_capital), slopes], axis=1)
    carry, changes = jax.lax.scan(one_round, (rule, start, mass), length=num_rounds)
    rule, consumption, last = carry
    capital, last = simulate_histogram(params, grid, capital_grid, consumption, path, mass)
    capital, path = capital[burn_in:], path[burn_in:]
    _, r_squared, error = _regressions(capital, path, params.productivity.shape[0])
    drift = jnp.max(jnp.abs(iterate_rule(rule, capital[0], path) / capital - 1))
    gini = histogram_gini(grid, last)
    return Forecast(rule, r_squared, error, drift, consumption, capital, path, last, gini, changes[-1])


def productivity_path(params: KrusellSmithParams, key: Array, num_periods: int) -> Int[Array, " num_periods"]:
    """Numbers of the states of productivity, from the middle one."""

    def step(state, unit):
        return next_state(params.aggregate[state], unit), state

    first = jnp.full((), params.productivity.shape[0] // 2, jnp.int32)
    return jax.lax.scan(step, first, jax.random.uniform(key, (num_periods,)))[1]


def household_step(
    params: KrusellSmithParams,
    grid: Float[Array, " n"],
    capital_grid: Float[Array, " M"],
    rule: Float[Array, "Z 2"],
    consumption: Float[Array, "Z M E n"],
) -> Float[Array, "Z M E n"]:
    """Consumption today, given what is consumed tomorrow and a rule that forecasts capital."""
    forecast = jnp.exp(rule[:, :1] + rule[:, 1:] * jnp.log(capital_grid))  # [Z, M]
    place, upper = lottery(forecast, capital_grid)
    weights = (1 - upper)[..., None] * jax.nn.one_hot(place, capital_grid.shape[0], dtype=grid.dtype)
    weights += upper[..., None] * jax.nn.one_hot(place + 1, capital_grid.shape[0], dtype=grid.dtype)
    tomorrow = jnp.einsum("zmk,yken->zmyen", weights, consumption)
    labour = params.individual_law @ params.endowments
    rate, _ = params.production.prices(forecast[..., None], labour, params.productivity)  # [Z, M, Z]
    worth = (1 + rate)[..., None, None] * tomorrow**-params.aversion
    chances = params.aggregate[:, :, None, None] * params.individual
    marginal = params.discount * jnp.einsum("zyef,zmyfn->zmen", chances, worth)
    _, _, cash = _today(params, grid, capital_grid)
    return endogenous_grid(marginal, grid, cash, 1.0, params.aversion)[0]


def simulate_histogram(
    params: KrusellSmithParams,
    grid: Float[Array, " n"],
    capital_grid: Float[Array, " M"],
    consumption: Float[Array, "Z M E n"],
    path: Int[Array, " T"],
    mass: Float[Array, "E n"],
) -> tuple[Float[Array, " T"], Float[Array, "E n"]]:
    """Capital in each period of a path of productivity, and the histogram in the last one."""
    _, _, cash = _today(params, grid, capital_grid)
    savings = cash - consumption
    following = jnp.concatenate([path[1:], path[-1:]])

    def period(mass, states):
        now, after = states
        capital = jnp.sum(mass * grid)
        place, upper = lottery(capital, capital_grid)
        bought = (1 - upper) * savings[now, place] + upper * savings[now, place + 1]
        moved = move_mass(mass, *lottery(bought, grid))
        return params.individual[now, after].T @ moved, capital

    last, capital = jax.lax.scan(period, mass, (path, following))
    return capital, last


def iterate_rule(rule: Float[Array, "Z 2"], capital: Float[Array, ""], path: Int[Array, " T"]) -> Float[Array, " T"]:
    """Capital in each period of a path if the rule were exact, without looking at capital again."""

    def step(logs, state):
        return rule[state, 0] + rule[state, 1] * logs, logs

    return jnp.exp(jax.lax.scan(step, jnp.log(capital), path)[1])


def _today(params: KrusellSmithParams, grid: Array, capital_grid: Array) -> tuple[Array, Array, Array]:
    """Rates and wages `[Z, M]`, and cash in hand `[Z, M, E, n]`."""
    labour = (params.individual_law @ params.endowments)[:, None]
    rate, wage = params.production.prices(capital_grid, labour, params.productivity[:, None])
    earned = wage[..., None, None] * params.endowments[:, None]
    return rate, wage, (1 + rate)[..., None, None] * grid + earned


def _regressions(capital: Array, path: Array, count: int) -> tuple[Array, Array, Array]:
    """Coefficients `[Z, 2]`, R² and standard error of `ln K'` on `ln K`, by the state of productivity."""
    logs = jnp.log(capital)
    x, y = logs[:-1], logs[1:]
    member = (path[:-1] == np.arange(count)[:, None]).astype(logs.dtype)
    number = jnp.maximum(jnp.sum(member, axis=1), 1)
    mean_x, mean_y = member @ x / number, member @ y / number
    dx, dy = (x - mean_x[:, None]) * member, (y - mean_y[:, None]) * member
    slope = jnp.sum(dx * dy, axis=1) / jnp.maximum(jnp.sum(dx**2, axis=1), 1e-30)
    left = jnp.sum((dy - slope[:, None] * dx) ** 2, axis=1)
    rule = jnp.stack([mean_y - slope * mean_x, slope], axis=1)
    return rule, 1 - left / jnp.maximum(jnp.sum(dy**2, axis=1), 1e-30), jnp.sqrt(left / jnp.maximum(number - 2, 1))
