"""Closed forms of linear oligopoly: Cournot, Stackelberg, cartels, linear Bertrand, Bertrand with capacities.

Inverse demand of one good is `P = A - B Q`; `cost` is of a unit. Everything runs on the host in float64, and holds
where all prices are positive. Sources: Cournot 1838; von Stackelberg 1934; Kreps and Scheinkman, Bell Journal 1983.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import ArrayLike, Float64

from jaxmarl.core.checks import require, require_int

Numbers: TypeAlias = ArrayLike | Sequence[float]
Vector: TypeAlias = Float64[np.ndarray, " N"]


class QuantityOutcome(NamedTuple):
    """Quantities `[N]`, the price, and profits `[N]`."""

    quantities: Vector
    price: float
    profits: Vector


class PriceMixture(NamedTuple):
    """The symmetric equilibrium in prices of two firms with equal capacities.

    Attributes:
        low: lowest price that is charged.
        high: highest price that is charged; equal to `low` where the equilibrium is pure.
        profit: expected, of each firm.
        mean: expected price.
        capacity: of each firm, as a share of the demand at price 0.
        scale: of prices, the price that nobody pays.
    """

    low: float
    high: float
    profit: float
    mean: float
    capacity: float
    scale: float

    def cdf(self, price: Numbers) -> Any:
        """Probability of a price of at most `price`."""
        price = np.asarray(price, np.float64)
        if self.low == self.high:
            return (price >= self.low).astype(np.float64)
        p, k = np.clip(price, self.low, self.high) / self.scale, self.capacity
        return np.clip((p * k - (1 - k) ** 2 / 4) / (p * (2 * k - 1 + p)), 0.0, 1.0)


def outcome_of(quantities: Numbers, intercept: float, slope: float, cost: Numbers) -> QuantityOutcome:
    """Price and profits of quantities `[N]`."""
    quantities, cost = np.asarray(quantities, np.float64), np.asarray(cost, np.float64)
    price = max(intercept - slope * float(quantities.sum()), 0.0)
    return QuantityOutcome(quantities, price, (price - cost) * quantities)


def cournot(intercept: float, slope: float, cost: Numbers) -> QuantityOutcome:
    """The Nash equilibrium in quantities of firms with costs `[N]`; those whose costs are too high produce nothing."""
    cost = np.asarray(cost, np.float64)
    ranked = np.sort(cost)
    active = np.arange(1, len(cost) + 1)
    prices = (intercept + np.cumsum(ranked)) / (active + 1)  # were the cheapest 1, 2, … firms active
    enters = prices > ranked
    price = float(prices[enters][-1]) if enters.any() else intercept
    return outcome_of(np.maximum(price - cost, 0.0) / slope, intercept, slope, cost)


def cournot_best_responses(quantities: Numbers, intercept: float, slope: float, cost: Numbers) -> Vector:
    """The quantity that is best for each firm where the others produce `quantities`."""
    quantities = np.asarray(quantities, np.float64)
    others = quantities.sum() - quantities
    return np.maximum((intercept - np.asarray(cost, np.float64)) / slope - others, 0.0) / 2


def cartel(intercept: float, slope: float, cost: Numbers) -> QuantityOutcome:
    """The largest sum of profits: the monopoly quantity of the cheapest firms, which share it."""
    cost = np.asarray(cost, np.float64)
    cheapest = cost == cost.min()
    total = max(intercept - cost.min(), 0.0) / (2 * slope)
    return outcome_of(total * cheapest / cheapest.sum(), intercept, slope, cost)


def stackelberg(intercept: float, slope: float, cost: Numbers) -> QuantityOutcome:
    """The first firm commits to its quantity, and the others play Cournot after it (all produce: interior solution).

    Raises:
        ValueError: costs at which a firm would produce nothing.
    """
    cost = np.asarray(cost, np.float64)
    followers = len(cost) - 1
    lead = (intercept + cost[1:].sum() - (followers + 1) * cost[0]) / (2 * slope)
    price = (intercept - slope * lead + cost[1:].sum()) / (followers + 1)
    quantities = np.concatenate([[lead], (price - cost[1:]) / slope])
    require(bool((quantities > 0).all()), "cost", cost.tolist(), "such that every firm produces")
    return outcome_of(quantities, intercept, slope, cost)


def grim_trigger_threshold(num_agents: int) -> float:
    """The least discount factor at which Cournot reversion sustains the cartel of equal firms (Friedman 1971)."""
    require_int("num_agents", num_agents, 2)
    return (num_agents + 1) ** 2 / (num_agents**2 + 6 * num_agents + 1)


def linear_bertrand(intercept: float, substitution: float, cost: Numbers) -> Vector:
    """Equilibrium prices where a firm sells `a - p_i + g · mean of others' prices`; `(a + c) / (2 - g)` if equal."""
    cost = np.asarray(cost, np.float64)
    n = len(cost)
    others = (np.ones((n, n)) - np.eye(n)) / max(n - 1, 1)
    return np.linalg.solve(2 * np.eye(n) - substitution * others, intercept + cost)


def linear_bertrand_cartel(intercept: float, substitution: float, cost: float) -> float:
    """The price of equal firms that maximises the sum of profits under the same demand, for g < 1."""
    return (intercept / (1 - substitution) + cost) / 2


def capacity_bertrand(capacity: float, intercept: float = 1.0) -> PriceMixture:
    """The symmetric equilibrium of two firms with equal capacities, demand `a - p`, no costs and efficient rationing.

    Up to a third of the demand at price 0 both sell all they can at the market-clearing price; up to all of it they mix
    on `[(a - k)² / 4k, (a - k) / 2]`; beyond it price is 0.
    """
    require(capacity > 0, "capacity", capacity, "positive")
    k = capacity / intercept
    if k <= 1 / 3:
        low = high = mean = 1 - 2 * k
        profit = low * k
    elif k >= 1:
        low = high = mean = profit = 0.0
    else:
        low, high, profit = (1 - k) ** 2 / (4 * k), (1 - k) / 2, (1 - k) ** 2 / 4
        mean = _mean_price(k, low, high)
    a = intercept
    return PriceMixture(low * a, high * a, profit * a * a, mean * a, k, a)


def _mean_price(k: float, low: float, high: float) -> float:
    """`low + ∫ (1 - F)` over the support, by Gauss-Legendre quadrature (the integrand is smooth)."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    half = (high - low) / 2
    cdf = PriceMixture(low, high, 0.0, 0.0, k, 1.0).cdf(low + half * (nodes + 1))
    return low + half * float(weights @ (1 - cdf))
