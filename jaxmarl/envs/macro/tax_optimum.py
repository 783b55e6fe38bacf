"""Optimal income taxes: Saez's first-order conditions at a fixed point, direct search, and Diamond's smooth schedule.

Saez (2001): at the optimum `τ / (1 - τ) = (1 - G) / (a e)` with G the mean welfare weight above an income z (weights of
mean 1), `a = z f(z) / (1 - F(z))` and e the elasticity of incomes. Incomes and weights answer to the rates, so that the
conditions hold at the optimum only, and are iterated here until rates and incomes agree.
"""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.envs.macro.gb2 import IncomeLaw
from jaxmarl.envs.macro.tax_rules import TaxEconomy, TaxOutcome, best_hours, tax_outcome, welfare, welfare_weights

Condition: TypeAlias = Literal["middle", "bracket"]
Numbers: TypeAlias = Array | np.ndarray | np.floating | float | int

_KINK = 1e-4


def respond(economy: TaxEconomy, rates: Float[Array, " K"]) -> TaxOutcome:
    """What comes of rates to which every worker responds in its own best way."""
    return tax_outcome(economy, best_hours(economy, rates), rates)


def top_rate(tail: Numbers, elasticity: Numbers, weight: Numbers) -> Any:
    """Saez's rate on the highest incomes, `(1 - g) / (1 - g + a e)`.

    Args:
        tail: a, the Pareto index of incomes.
        elasticity: e.
        weight: g, the mean welfare weight of those who pay it.
    """
    return (1 - weight) / (1 - weight + tail * elasticity)


def linear_condition(economy: TaxEconomy, outcome: TaxOutcome, objective: str) -> Float[Array, ""]:
    """`(1 - g) / (1 - g + e)` with g the mean income weighted by welfare weights, over the mean income."""
    weights = welfare_weights(economy, outcome, objective)
    weighted = jnp.mean(weights * outcome.incomes) / jnp.mean(outcome.incomes)
    return jnp.clip(top_rate(1.0, economy.elasticity, weighted), 0.0, 1.0)


def optimal_linear_rate(economy: TaxEconomy, objective: str = "crra", halvings: int = 50) -> Float[Array, ""]:
    """The best single rate with an equal rebate, where hours are below their maximum (pure; the brackets do not count).

    Bisection on the rate minus `linear_condition`, which grows in the rate.
    """
    one = economy.replace(thresholds=jnp.zeros(1, economy.skills.dtype))  # type: ignore[attr-defined]

    def halve(_, bounds):
        low, high = bounds
        rate = (low + high) / 2
        above = rate > linear_condition(one, respond(one, rate[None]), objective)
        return jnp.where(above, low, rate), jnp.where(above, rate, high)

    ends = jnp.zeros((), economy.skills.dtype), jnp.ones((), economy.skills.dtype)
    low, high = jax.lax.fori_loop(0, halvings, halve, ends)
    return (low + high) / 2


def saez_rates(
    economy: TaxEconomy, outcome: TaxOutcome, objective: str = "crra", condition: str = "middle"
) -> Float[Array, " K"]:
    """Saez's condition for each bracket, at given incomes, cut to [0, 1].

    `"middle"`: the condition at the middle of a bracket (of the last, at the mean income m above its beginning z, with
    the Pareto index `m / (m - z)`), with densities by a Gaussian kernel of Scott's width, as Karten et al. (2025) do.
    `"bracket"`: the condition of a rate that is the same in the whole bracket, `τ / (1 - τ) = ∫ (1 - g) x / (e ∫ z)`,
    where x is the part of an income that lies in the bracket, and the last integral is over incomes inside it.
    """
    require_choice("condition", condition, get_args(Condition))
    return (_at_middles if condition == "middle" else _over_brackets)(economy, outcome, objective)


def _over_brackets(economy: TaxEconomy, outcome: TaxOutcome, objective: str) -> Float[Array, " K"]:
    incomes, lows = outcome.incomes[:, None], economy.thresholds
    highs = jnp.concatenate([lows[1:], jnp.full((1,), jnp.inf, lows.dtype)])
    gain = (1 - welfare_weights(economy, outcome, objective))[:, None]
    taxed = jnp.sum(gain * jnp.clip(incomes - lows, 0.0, highs - lows), axis=0)
    # who bunches at a kink does not answer to a small change
    inside = (incomes > lows * (1 + _KINK)) & (incomes < highs * (1 - _KINK))
    answering = economy.elasticity * jnp.sum(jnp.where(inside, incomes, 0.0), axis=0)
    taxed = jnp.maximum(taxed, 0.0)
    return taxed / jnp.maximum(taxed + answering, economy.floor)


def _at_middles(economy: TaxEconomy, outcome: TaxOutcome, objective: str) -> Float[Array, " K"]:
    incomes, thresholds = outcome.incomes, economy.thresholds
    weights = welfare_weights(economy, outcome, objective)
    middles = (thresholds[:-1] + thresholds[1:]) / 2
    width = jnp.maximum(jnp.std(incomes) * incomes.shape[0] ** -0.2, economy.floor)
    above = incomes[:, None] > jnp.concatenate([middles, thresholds[-1:]])
    count = jnp.sum(above, axis=0)
    weight = jnp.sum(jnp.where(above, weights[:, None], 0.0), axis=0) / jnp.maximum(count, 1)
    kernel = jnp.exp(-0.5 * ((middles - incomes[:, None]) / width) ** 2) / (width * np.float32(np.sqrt(2 * np.pi)))
    tails = middles * jnp.mean(kernel, axis=0) / jnp.maximum(count[:-1] / incomes.shape[0], 1e-9)
    mean_above = jnp.sum(jnp.where(above[:, -1], incomes, 0.0)) / jnp.maximum(count[-1], 1)
    last = mean_above / jnp.maximum(mean_above - thresholds[-1], economy.floor)
    tail = jnp.concatenate([tails, jnp.where(count[-1] > 0, last, 1.0)[None]])
    return jnp.clip(top_rate(tail, economy.elasticity, weight), 0.0, 1.0)


class SaezSchedule(NamedTuple):
    """Rates that satisfy Saez's conditions at the incomes that they lead to.

    Attributes:
        rates: `[K]`.
        residual: largest difference between the rates and the conditions.
        welfare: of the rates, as a planner counts it.
    """

    rates: Float[Array, " K"]
    residual: Float[Array, ""]
    welfare: Float[Array, ""]


def saez_schedule(
    economy: TaxEconomy,
    objective: str = "crra",
    condition: str = "middle",
    *,
    num_steps: int = 200,
    damping: float = 0.5,
) -> SaezSchedule:
    """Iterates responses and `saez_rates` from untaxed incomes, each step going part of the way (pure; jit it)."""

    def step(_, rates):
        return rates + damping * (saez_rates(economy, respond(economy, rates), objective, condition) - rates)

    rates = jax.lax.fori_loop(0, num_steps, step, jnp.zeros_like(economy.thresholds))
    outcome = respond(economy, rates)
    residual = jnp.max(jnp.abs(saez_rates(economy, outcome, objective, condition) - rates))
    return SaezSchedule(rates, residual, welfare(economy, outcome, objective))


class OptimalRates(NamedTuple):
    """The best rates that were found.

    Attributes:
        rates: `[K]`.
        welfare: of the rates.
    """

    rates: Float[Array, " K"]
    welfare: Float[Array, ""]


def optimal_rates(
    economy: TaxEconomy,
    objective: str = "crra",
    *,
    num_rounds: int = 60,
    num_candidates: int = 128,
    num_best: int = 16,
    seed: int = 0,
) -> OptimalRates:
    """The best rates for these workers, by the cross-entropy method on responses themselves (pure; jit it).

    Kinks, where workers bunch, make slopes unreliable; candidates are drawn around the mean of the best of the last
    round, within [0, 1], and the best of all rounds counts.
    """
    require_int("num_rounds", num_rounds, 1)
    require_int("num_best", num_best, 2, num_candidates)
    dtype, size = economy.skills.dtype, economy.thresholds.shape[0]

    def value(rates):
        return welfare(economy, respond(economy, rates), objective)

    def one_round(carry, noise):
        mean, spread, best = carry
        tried = jnp.clip(mean + spread * noise, 0.0, 1.0).at[0].set(best.rates)
        worth = jax.vmap(value)(tried)
        order = jax.lax.top_k(worth, num_best)
        chosen = tried[order[1]]
        spread = jnp.std(chosen, axis=0) + 0.1 * spread  # narrows more slowly than the best do
        return (jnp.mean(chosen, axis=0), spread, OptimalRates(chosen[0], order[0][0])), None

    middle = jnp.full(size, 0.5, dtype)
    noise = jax.random.normal(jax.random.key(seed), (num_rounds, num_candidates, size), dtype)
    start = middle, jnp.full(size, 0.5, dtype), OptimalRates(middle, value(middle))
    return jax.lax.scan(one_round, start, noise)[0][2]


class SmoothSchedule(NamedTuple):
    """The optimal tax without brackets (Diamond 1998), on a grid of skills.

    Attributes:
        skills: `[M]`, ascending.
        rates: `[M]`, marginal, at the incomes of these skills.
        incomes: `[M]`.
        utilities: `[M]`.
        welfare: equal equivalent of the utilities.
    """

    skills: Float[np.ndarray, " M"]
    rates: Float[np.ndarray, " M"]
    incomes: Float[np.ndarray, " M"]
    utilities: Float[np.ndarray, " M"]
    welfare: float


def optimal_schedule(
    law: IncomeLaw,
    effort_cost: float,
    effort_power: float,
    aversion: float,
    *,
    size: int = 3000,
    num_steps: int = 400,
    damping: float = 0.3,
) -> SmoothSchedule:
    """`τ / (1 - τ) = (1 + 1/e) (1 - F) (1 - G) / (s f)` at every skill, where hours have no upper limit (on the host).

    Utilities follow from the rates by the envelope `u'(s) = c δ l^δ / s` and from the budget; weights follow from
    utilities; both are iterated.

    Args:
        law: of skills.
        effort_cost: c.
        effort_power: δ.
        aversion: γ, above 0.
        size: of the grid, evenly spaced in the logarithm of the odds of the share of people below.
        num_steps: iterations.
        damping: share of the way that one goes.
    """
    require(aversion > 0, "aversion", aversion, "above 0 (a utilitarian does not tax)")
    elasticity = 1 / (effort_power - 1)
    shares = 1 / (1 + np.exp(-np.linspace(-14, 14, size)))
    skills = law.quantile(shares)
    edges = np.concatenate([[0.0], (shares[1:] + shares[:-1]) / 2, [1.0]])
    mass, density = np.diff(edges), law.log_density(skills)
    rates = np.full(size, 0.5)
    for _ in range(num_steps):
        hours = ((1 - rates) * skills / (effort_cost * effort_power)) ** elasticity
        incomes, effort = skills * hours, effort_cost * hours**effort_power
        slope = effort_power * effort  # of utilities in log skill
        above = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(np.log(skills)))])
        utilities = above + np.sum(mass * (incomes - effort - above))
        weights = (utilities / np.sum(mass * utilities)) ** -aversion
        weights = mass * weights / np.sum(mass * weights)
        upper = np.cumsum((mass - weights)[::-1])[::-1]  # (1 - F)(1 - G) at the lower edge of each cell
        upper = (upper + np.concatenate([upper[1:], [0.0]])) / 2
        ratio = (1 + 1 / elasticity) * np.maximum(upper, 0.0) / density
        ratio[0], ratio[-1] = ratio[1], ratio[-2]  # the cells at the ends are not centred
        rates = rates + damping * (ratio / (1 + ratio) - rates)
    worth = np.sum(mass * utilities ** (1 - aversion)) if aversion != 1 else np.sum(mass * np.log(utilities))
    equal = worth ** (1 / (1 - aversion)) if aversion != 1 else np.exp(worth)
    return SmoothSchedule(skills, rates, incomes, utilities, float(equal))
