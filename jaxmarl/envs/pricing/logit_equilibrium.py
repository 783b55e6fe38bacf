"""Prices of firms that face logit demand: Bertrand-Nash equilibrium, joint monopoly, best responses.

Firms may differ in quality and cost. Everything runs on the host in float64, and takes batches as leading axes. Both
first-order conditions are solved by Wright's omega function `ω(x) + log ω(x) = x` (Anderson, de Palma and Thisse 1992).
"""

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import ArrayLike

Floats: TypeAlias = Any  # float64 arrays, or scalars where nothing is batched
MOST_ROUNDS = 1000


@runtime_checkable
class LogitDemand(Protocol):
    """What the functions here read of a market: a `LogitMarket`, or the params of an environment."""

    @property
    def quality(self) -> Any: ...
    @property
    def cost(self) -> Any: ...
    @property
    def outside_quality(self) -> Any: ...
    @property
    def differentiation(self) -> Any: ...


class LogitMarket(NamedTuple):
    """Numbers of a market.

    Attributes:
        quality: `[..., N]`, a_i.
        cost: `[..., N]`, of a unit, c_i.
        outside_quality: `[...]`, a_0.
        differentiation: `[...]`, μ > 0.
    """

    quality: Any
    cost: Any
    outside_quality: Any = 0.0
    differentiation: Any = 0.25


class LogitOutcome(NamedTuple):
    """What happens at given prices.

    Attributes:
        prices: `[..., N]`.
        shares: `[..., N]`, quantities sold for a unit mass of consumers.
        profits: `[..., N]`.
        consumer_surplus: `[...]`.
    """

    prices: Floats
    shares: Floats
    profits: Floats
    consumer_surplus: Floats


def bertrand_nash(market: LogitDemand) -> LogitOutcome:
    """The one Nash equilibrium in prices, `p_i = c_i + μ / (1 - q_i)`.

    Exact best responses are iterated upwards from the lowest prices that could be best. Prices are strategic
    complements and a best response moves by less than a rival's change, so this converges to the equilibrium.
    """
    quality, cost, outside, scale = _numbers(market)
    prices = cost + scale
    for _ in range(MOST_ROUNDS):
        before, prices = prices, _best_responses(prices, quality, cost, outside, scale)
        if np.max(np.abs(prices - before) / scale) <= 1e-15 * np.max(np.abs(prices) / scale):
            break
    return outcome(market, prices)


def joint_monopoly(market: LogitDemand) -> LogitOutcome:
    """Prices of all goods that maximise the sum of profits: one markup `μ / q_0` for all (closed form)."""
    quality, cost, outside, scale = _numbers(market)
    attraction = _log_sum((quality - cost) / scale)[..., None] - outside / scale
    return outcome(market, cost + scale * (1 + wright_omega(attraction - 1)))


def best_responses(market: LogitDemand, prices: ArrayLike) -> Floats:
    """The price `[..., N]` that is best for each firm where the others charge `prices`."""
    return _best_responses(np.asarray(prices, np.float64), *_numbers(market))


def outcome(market: LogitDemand, prices: ArrayLike) -> LogitOutcome:
    """Shares, profits and consumer surplus at `prices [..., N]`."""
    quality, cost, outside, scale = _numbers(market)
    prices = np.asarray(prices, np.float64)
    utilities = (quality - prices) / scale
    level = np.logaddexp(_log_sum(utilities), (outside / scale)[..., 0])
    shares = np.exp(utilities - level[..., None])
    return LogitOutcome(prices, shares, (prices - cost) * shares, scale[..., 0] * level)


def wright_omega(x: ArrayLike) -> Floats:
    """The solution `ω > 0` of `ω + log ω = x`."""
    x = np.asarray(x, np.float64)
    log = np.where(x > 1, np.log(np.maximum(x, 1.0)), x)
    for _ in range(8):  # Newton from above on a convex function of log ω: monotone, quadratic at once
        log = log - (np.exp(log) + log - x) / (np.exp(log) + 1)
    return np.exp(log)


def _best_responses(prices: Floats, quality: Floats, cost: Floats, outside: Floats, scale: Floats) -> Floats:
    n = quality.shape[-1]
    utilities = np.broadcast_to(((quality - prices) / scale)[..., None, :], (*np.shape(prices), n))
    others = np.where(np.eye(n, dtype=bool), -np.inf, utilities)
    rivals = np.logaddexp(_log_sum(others), outside / scale)
    return cost + scale * (1 + wright_omega((quality - cost) / scale - 1 - rivals))


def _log_sum(x: Floats) -> Floats:
    """`log Σ exp` over the last axis, minus infinity where nothing is summed."""
    top = np.max(x, axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(x - top), axis=-1)) + top[..., 0]


def _numbers(market: LogitDemand) -> tuple[Floats, Floats, Floats, Floats]:
    """Quality and cost `[..., N]`, outside quality and differentiation `[..., 1]`."""
    outside, scale = (np.asarray(x, np.float64)[..., None] for x in (market.outside_quality, market.differentiation))
    quality, cost = np.broadcast_arrays(np.asarray(market.quality, np.float64), np.asarray(market.cost, np.float64))
    return quality, cost, outside, scale
