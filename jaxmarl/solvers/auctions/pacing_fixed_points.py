"""Where pacing settles: fixed points of a sample of auctions."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require_int
from jaxmarl.envs.auctions.arguments import require_numbers
from jaxmarl.envs.auctions.budget_closed_forms import PacingRule
from jaxmarl.solvers.auctions.pacing import _require_auctions, elected_price, second_price


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PacingFixedPoint:
    """Multipliers at which every member spends her budget, or bids her values and spends less. A pytree.

    Attributes:
        pace: `1 / (1 + μ)`, the share of her value that each member bids.
        shadow_pace: the same for the multipliers that elect (`pace`, except under the hybrid rule).
        spend, utilities: per auction.
        residual: the largest breach relative to the budgets: of `spend <= budget`, or of pacing with money left.
    """

    pace: Float[Array, " members"]
    shadow_pace: Float[Array, " members"]
    spend: Float[Array, " members"]
    utilities: Float[Array, " members"]
    residual: Float[Array, ""]


def pacing_fixed_point(
    values: Float[Array, "samples members"],
    outside: Float[Array, " samples"],
    rates: Float[Array, " members"],
    *,
    rule: PacingRule = "independent",
    num_iterations: int = 300,
) -> PacingFixedPoint:
    """The fixed point of a pacing rule on a sample of auctions.

    Bids are scaled by `(budget / spend)^η` with a falling `η` until spend meets the budgets. For the hybrid rule the
    fixed point of independent pacing is found first: it elects, and bids only rise from there.

    Args:
        values: `[samples, members]`.
        outside: `[samples]`, the highest outside bids.
        rates: `[members]`, budgets per auction, positive.
        rule: of `pacing_dynamics`.
        num_iterations: passes over the sample.

    Returns:
        the point, with its residual; a sample of `S` auctions cannot be met closer than about `1 / S`.
    """
    _require_auctions(values, outside, rates, rule)
    require_numbers("rates", rates, positive=True)
    require_int("num_iterations", num_iterations, 1)
    return _fixed_point(values, outside, rates.astype(values.dtype), rule, num_iterations)


@functools.partial(jax.jit, static_argnames=("rule", "num_iterations"))
def _fixed_point(
    values: Array, outside: Array, rates: Array, rule: PacingRule, num_iterations: int
) -> PacingFixedPoint:
    ones = jnp.ones_like(rates)

    def outcome(pace: Array, shadow: Array) -> tuple[Array, Array]:
        bids = values * pace
        won, paid = (
            second_price(bids, outside)
            if rule == "independent"
            else elected_price(values * shadow if rule == "hybrid" else bids, bids, outside)
        )
        return paid.mean(axis=0), jnp.where(won, values - paid, 0).mean(axis=0)

    lowest, shadow = jnp.zeros_like(rates), ones
    if rule == "hybrid":
        lowest = shadow = _fixed_point(values, outside, rates, "independent", num_iterations).pace

    def adjust(k: Array, pace: Array) -> Array:
        spend, _ = outcome(pace, shadow)
        power = 0.4 / (1 + k / 20)
        ratio = jnp.clip(rates / jnp.maximum(spend, 1e-3 * rates), 0.1, 10)
        return jnp.clip(pace * ratio**power, lowest, 1)

    pace = jax.lax.fori_loop(0, num_iterations, adjust, ones)
    spend, utilities = outcome(pace, shadow)
    # Under the hybrid rule a member may have to stay at the simulated multiplier's bound only if she overspends there.
    idle = jnp.where(pace < 1, jnp.maximum(rates - spend, 0), 0)
    residual = jnp.max(jnp.maximum(jnp.maximum(spend - rates, 0), idle) / rates)
    return PacingFixedPoint(pace, shadow if rule == "hybrid" else pace, spend, utilities, residual)
