"""An advertiser in several auction channels: what she could reach, and what each channel does with its own limits."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.arguments import require_concrete, require_numbers


@dataclass(frozen=True)
class MultiChannelOptimum:
    """The best an advertiser can do who buys in all channels at once; NumPy arrays, in float64.

    Attributes:
        value: bought in all.
        allocation: `[channels, auctions]`, the share of each auction that she buys.
        channel_values, channel_spend: `[channels]`; the spend is also an optimal set of budgets.
        roi_dual, budget_dual: the worth of relaxing either constraint.
    """

    value: float
    allocation: np.ndarray
    channel_values: np.ndarray
    channel_spend: np.ndarray
    roi_dual: float
    budget_dual: float


def multi_channel_optimum(
    values: Array, costs: Array, *, roi: float = 0.0, budget: float = float("inf")
) -> MultiChannelOptimum:
    """Maximises value subject to `value >= roi * spend` and `spend <= budget`, as a linear program on the host.

    With one channel this is the channel's own response to a target and a budget (Deng et al. 2023, "Multi-channel
    autobidding with budget and ROI constraints").

    Args:
        values: `[channels, auctions]`, non-negative; an auction of no value and no cost is padding.
        costs: `[channels, auctions]`, the price of each auction, non-negative.
        roi: the target `γ`, non-negative.
        budget: for all channels together, non-negative; infinity for none.

    Raises:
        ValueError: inside `jit` or `vmap`; shapes that disagree, negative numbers.
    """
    require_concrete("multi_channel_optimum", values, costs)
    _require_channels(values, costs)
    require(0 <= roi < float("inf"), "roi", roi, "finite and non-negative")
    require(budget >= 0, "budget", budget, "non-negative")
    worth, price = np.asarray(values, np.float64), np.asarray(costs, np.float64)
    limited = np.isfinite(budget)
    from scipy.optimize import linprog

    rows = np.stack([(roi * price - worth).ravel(), price.ravel()])[: 2 if limited else 1]
    limits = np.array([0.0, budget])[: 2 if limited else 1]
    result = linprog(-worth.ravel(), A_ub=rows, b_ub=limits, bounds=(0, 1), method="highs")
    if not result.success:
        raise RuntimeError(f"HiGHS failed: {result.message}")
    allocation = result.x.reshape(worth.shape)
    duals = -np.append(result.ineqlin.marginals, [0.0] * (not limited))
    bought, spend = (worth * allocation).sum(axis=1), (price * allocation).sum(axis=1)
    return MultiChannelOptimum(float(bought.sum()), allocation, bought, spend, float(duals[0]), float(duals[1]))


def budget_response(
    values: Float[Array, " auctions"], costs: Float[Array, " auctions"], budget: Float[Array, ""] | float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What a channel buys with a budget: the fractional knapsack, best value for money first.

    The value is concave, piecewise linear and increasing in the budget, so that budgets alone steer all channels to
    the optimum of `multi_channel_optimum`. Works inside `jit`; `vmap` over channels and budgets.

    Args:
        values: `[auctions]`.
        costs: `[auctions]`.
        budget: infinity buys everything.

    Returns:
        the value, and the spend `min(budget, Σ costs)`.
    """
    share = _knapsack(values, costs, budget)
    return values @ share, costs @ share


def roi_response(
    values: Float[Array, " auctions"], costs: Float[Array, " auctions"], roi: Float[Array, ""] | float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What a channel buys with a target alone: the most value with `value >= roi * spend`.

    Auctions above the target are bought outright; the slack they leave pays for the others, those with the most value
    for a unit of slack first. Targets alone can be arbitrarily bad: a channel whose constraint binds from the first
    auction on buys all of it or none.

    Args:
        values: `[auctions]`.
        costs: `[auctions]`.
        roi: the target.

    Returns:
        the value and the spend.
    """
    shortfall = roi * costs - values
    slack = jnp.sum(jnp.maximum(-shortfall, 0))
    share = jnp.where(
        shortfall <= 0, 1, _knapsack(jnp.where(shortfall > 0, values, 0), jnp.maximum(shortfall, 0), slack)
    )
    return values @ share, costs @ share


def _knapsack(values: Array, weights: Array, capacity: Array | float) -> Array:
    """Shares in [0, 1] that fill the capacity by value per weight; what weighs nothing is taken whole."""
    ratios = jnp.where(weights > 0, values / jnp.where(weights > 0, weights, 1), jnp.inf)
    order = jnp.argsort(-ratios)
    sorted_weights = weights[order]
    before = jnp.cumsum(sorted_weights) - sorted_weights
    room = jnp.maximum(capacity - before, 0)
    filled = jnp.where(sorted_weights > 0, jnp.minimum(room / jnp.where(sorted_weights > 0, sorted_weights, 1), 1), 1)
    return jnp.zeros_like(filled).at[order].set(filled)


def _require_channels(values: Array, costs: Array) -> None:
    require(values.ndim == 2 and values.size > 0, "values", values.shape, "an array [channels, auctions], not empty")
    require(costs.shape == values.shape, "costs", costs.shape, f"of the shape of values, {values.shape}")
    require_numbers("values", jnp.asarray(values))
    require_numbers("costs", jnp.asarray(costs))
