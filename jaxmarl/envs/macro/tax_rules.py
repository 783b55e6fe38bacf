"""Income taxes on brackets: what is due, how many hours a worker then chooses, and what society makes of it.

A worker of skill s earns `z = s l` in l hours and has `z - T(z) + R - c l^δ`; R is the same for all and shares out the
revenue. Without income effects hours are `((1 - τ) s / (c δ))^(1/(δ-1))` in a bracket of rate τ, so that incomes have
the elasticity `e = 1/(δ-1)` with respect to `1 - τ`. Money is in one unit throughout (thousands suit float32).
"""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.macro.crra import equal_equivalent

Objective: TypeAlias = Literal["crra", "inverse_income", "rawls"]

_NOTHING = 1e-12  # a share kept of 0 would have an infinite slope

_ROUNDING = 1e-5
_ENDLESS = 1e30  # where the last bracket ends; infinity would make slopes undefined

US_THRESHOLDS = (0.0, 11.6, 47.15, 100.525, 191.95, 243.725, 609.35)
US_RATES = (0.10, 0.12, 0.22, 0.24, 0.32, 0.35, 0.37)
THREE_THRESHOLDS = (0.0, 90.0, 159.1)
"""Brackets in thousands of dollars: those of the United States for a single filer in 2024, their rates, and three."""


@struct.dataclass
class TaxEconomy:
    """Workers, and the brackets of their taxes.

    Attributes:
        skills: `[N]`, what an hour earns, in ascending order.
        thresholds: `[K]`, where brackets begin, ascending from 0.
        effort_cost: c.
        effort_power: δ, above 1.
        max_hours: longest hours.
        aversion: γ of a planner who averages `u^(1-γ) / (1-γ)`: 0 utilitarian, 1 logarithmic.
        floor: least income that a utility is divided by, and least utility that is averaged.
    """

    skills: Float[Array, " N"]
    thresholds: Float[Array, " K"]
    effort_cost: Float[Array, ""]
    effort_power: Float[Array, ""]
    max_hours: Float[Array, ""]
    aversion: Float[Array, ""]
    floor: Float[Array, ""]

    @property
    def elasticity(self) -> Float[Array, ""]:
        """e, of incomes with respect to the share that is kept."""
        return 1 / (self.effort_power - 1)


class TaxOutcome(NamedTuple):
    """What a year of work and taxes comes to.

    Attributes:
        hours: `[N]`.
        incomes: `[N]`, before taxes.
        taxes: `[N]`.
        rebate: R, the mean tax.
        utilities: `[N]`.
    """

    hours: Float[Array, " N"]
    incomes: Float[Array, " N"]
    taxes: Float[Array, " N"]
    rebate: Float[Array, ""]
    utilities: Float[Array, " N"]


def validate_economy(economy: TaxEconomy) -> None:
    """Raises a one-line `ValueError` where a number is not allowed (on the host)."""
    skills, thresholds = np.asarray(economy.skills), np.asarray(economy.thresholds)
    ascending = bool((skills > 0).all() and (np.diff(skills, axis=-1) >= 0).all())
    require(ascending, "skills", skills.ravel()[:5].tolist(), "positive and ascending")
    allowed = bool((thresholds[..., 0] == 0).all() and (np.diff(thresholds, axis=-1) > 0).all())
    require(allowed, "thresholds", thresholds.tolist(), "ascending from 0")
    for name, least in (("effort_cost", 0), ("effort_power", 1), ("max_hours", 0), ("floor", 0)):
        value = np.asarray(getattr(economy, name))
        require(bool((value > least).all()), name, value.tolist(), f"above {least}")
    aversion = np.asarray(economy.aversion)
    require(bool(((aversion >= 0) & (aversion <= 100)).all()), "aversion", aversion.tolist(), "in [0, 100]")


def tax_due(
    incomes: Float[Array, "*any"], rates: Float[Array, " K"], thresholds: Float[Array, " K"]
) -> Float[Array, "*any"]:
    """The tax on each income: every bracket's rate on the part of the income within it, whatever the order of rates."""
    due, count = jnp.zeros_like(incomes), thresholds.shape[0]
    for k in range(count):
        above = jnp.maximum(incomes - thresholds[k], 0.0)
        due += rates[k] * (above if k == count - 1 else jnp.minimum(above, thresholds[k + 1] - thresholds[k]))
    return due


def marginal_rate(
    incomes: Float[Array, "*any"], rates: Float[Array, " K"], thresholds: Float[Array, " K"]
) -> Float[Array, "*any"]:
    """The rate of the bracket that each income lies in."""
    return rates[jnp.sum(incomes[..., None] >= thresholds, axis=-1) - 1]


def best_hours(economy: TaxEconomy, rates: Float[Array, " K"]) -> Float[Array, " N"]:
    """Hours that are best for each worker, who takes the rebate as given.

    Within a bracket utility is concave in hours, so that the best of each is where the slope is 0, or an end; of these
    the best is taken, as rates that fall from one bracket to the next make several of them local maxima.
    """
    skills, power, cost = economy.skills, economy.effort_power, economy.effort_cost
    lows = economy.thresholds
    spans = jnp.concatenate([jnp.diff(lows), jnp.zeros(1, lows.dtype)])
    highs = jnp.concatenate([lows[1:], jnp.full((1,), _ENDLESS, lows.dtype)])
    kept = jnp.maximum(1 - rates, _NOTHING) ** economy.elasticity
    untaxed = (skills / (cost * power)) ** economy.elasticity

    def bracket(carry, numbers):
        best, hours, below = carry
        low, high, span, rate, share = numbers
        tried = jnp.maximum(share * untaxed, low / skills)
        tried = jnp.minimum(tried, jnp.minimum(high / skills, economy.max_hours))
        incomes = tried * skills
        worth = incomes - (below + rate * (incomes - low)) - cost * tried**power
        # who cannot earn as much as the bracket begins with is not in it
        worth = jnp.where(incomes >= low * (1 - _ROUNDING), worth, -jnp.inf)
        hours = jnp.where(worth > best, tried, hours)
        return (jnp.maximum(worth, best), hours, below + rate * span), None

    start = jnp.full_like(skills, -jnp.inf), jnp.zeros_like(skills), jnp.zeros((), skills.dtype)
    return jax.lax.scan(bracket, start, (lows, highs, spans, rates, kept))[0][1]


def tax_outcome(economy: TaxEconomy, hours: Float[Array, " N"], rates: Float[Array, " K"]) -> TaxOutcome:
    """Incomes, taxes, the rebate and utilities at given hours."""
    incomes = economy.skills * hours
    taxes = tax_due(incomes, rates, economy.thresholds)
    rebate = jnp.mean(taxes)
    utilities = incomes - taxes + rebate - economy.effort_cost * hours**economy.effort_power
    return TaxOutcome(hours, incomes, taxes, rebate, utilities)


def mimicking_gain(economy: TaxEconomy, outcome: TaxOutcome) -> Float[Array, "N N"]:
    """What worker i would gain with the income of worker j; minus infinity where it cannot earn so much."""
    hours = outcome.incomes / economy.skills[:, None]
    kept = outcome.incomes - outcome.taxes + outcome.rebate
    worth = kept - economy.effort_cost * jnp.minimum(hours, economy.max_hours) ** economy.effort_power
    feasible = hours <= economy.max_hours * (1 + _ROUNDING)
    return jnp.where(feasible, worth - outcome.utilities[:, None], -jnp.inf)


def welfare(economy: TaxEconomy, outcome: TaxOutcome, objective: str) -> Float[Array, ""]:
    """What the planner maximises.

    `"crra"`: the utility that would be worth as much if all had it (`equal_equivalent`), in money; it grows with the
    sum of `u^(1-γ) / (1-γ)`. `"rawls"`: the least utility. `"inverse_income"`: the mean of `u / z`, as in Karten et al.
    (2025); it is largest where the poor earn nothing, so that the floor decides how large.
    """
    utilities = outcome.utilities
    if objective == "rawls":
        return jnp.min(utilities)
    if objective == "inverse_income":
        return jnp.mean(utilities / jnp.maximum(outcome.incomes, economy.floor))
    return equal_equivalent(jnp.maximum(utilities, economy.floor), economy.aversion)


def welfare_weights(economy: TaxEconomy, outcome: TaxOutcome, objective: str) -> Float[Array, " N"]:
    """Worth of a little money to each worker, with mean 1: `u^-γ`, `1/z`, or all on the worst off."""
    if objective == "rawls":
        weights = (outcome.utilities <= jnp.min(outcome.utilities)).astype(outcome.utilities.dtype)
    elif objective == "inverse_income":
        weights = 1 / jnp.maximum(outcome.incomes, economy.floor)
    else:
        weights = jnp.maximum(outcome.utilities, economy.floor) ** -economy.aversion
    return weights / jnp.mean(weights)


def income_gini(ascending: Float[Array, " N"]) -> Float[Array, ""]:
    """Gini coefficient of incomes in ascending order; 0 where nobody earns."""
    n, total = ascending.shape[0], jnp.sum(ascending)
    ranks = (2 * np.arange(1, n + 1) - n - 1).astype(np.float32) / n
    return jnp.where(total > 0, jnp.sum(ranks * ascending) / jnp.where(total > 0, total, 1.0), 0.0)
