"""Markov-perfect prices of firms that sell stocks before a deadline to customers who choose by logit, on the host.

In a step one unit of firm j is sold with probability `r q_j`, where `q` are the logit shares of the firms with stock.
Given what stocks are worth afterwards, firm i earns `q_i (p_i - c_i)` more than if it sold nothing, with a cost `c_i`
that does not depend on its own price: the value of the unit it gives up, plus the mean gain from a rival's sale, over
what happens if it does not sell. So best replies are those of a logit market, and the game is solved backwards (Lin and
Sibdari, European Journal of Operational Research 2009). One owner of all stocks prices as a joint monopolist.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxmarl.core.checks import require
from jaxmarl.envs.pricing.logit_equilibrium import LogitMarket, best_responses, joint_monopoly, outcome

CLOSED = 1e6  # how much worse than any other the good of a firm without stock is, in units of taste
MOST_ROUNDS = 1000
PRECISION = 1e-12


class InventoryEquilibrium(NamedTuple):
    """Prices and values by the number of steps left and the stocks of all firms, 0 to `stock` units each.

    Attributes:
        prices: `[T, *stocks, N]`, in row k those with `k + 1` steps left; of firms with stock.
        values: `[*stocks, N]`, expected revenues of the whole season.
    """

    prices: Float64[np.ndarray, "T *stocks N"]
    values: Float64[np.ndarray, "*stocks N"]


def inventory_equilibrium(market: LogitMarket, customers: float, stock: int, num_steps: int) -> InventoryEquilibrium:
    """The equilibrium in which firms know all stocks, by backward induction.

    Args:
        market: qualities `[N]` and costs `[N]` of a unit sold, the outside good, and the scale of tastes.
        customers: expected number of them in the season; a share of `customers / num_steps` come in a step.
        stock: units of a firm at most.
        num_steps: of the season.

    Raises:
        ValueError: best replies that do not settle (no case is known).
    """
    cost, quality = np.asarray(market.cost, np.float64), _qualities(market, stock)
    rate, n = customers / num_steps, len(cost)
    values = np.zeros((*[stock + 1] * n, n))
    prices, kept = np.broadcast_to(cost + market.differentiation, values.shape), []
    rivals = ~np.eye(n, dtype=bool)
    for _ in range(num_steps):
        change = _changes(values)  # [*stocks, i, j]: of firm i's value where firm j sells
        own = np.einsum("...ii->...i", change)
        for _ in range(MOST_ROUNDS):
            before = prices
            shares = outcome(market._replace(quality=quality), prices).shares
            # probability that j sells given that i does not
            instead = np.where(rivals, shares[..., None, :] / np.maximum(1 - shares[..., :, None], 1e-300), 0.0)
            effective = cost - own + np.sum(instead * change, axis=-1)
            prices = best_responses(market._replace(quality=quality, cost=effective), prices)
            if np.max(np.abs(prices - before)) <= PRECISION * market.differentiation:
                break
        else:
            require(False, "market", market, "such that best replies settle")
        shares = outcome(market._replace(quality=quality), prices).shares
        values = values + rate * (shares * (prices - cost) + np.sum(shares[..., None, :] * change, axis=-1))
        kept.append(prices)
    return InventoryEquilibrium(np.stack(kept), values)


def joint_values(market: LogitMarket, customers: float, stock: int, num_steps: int) -> Float64[np.ndarray, "*stocks"]:
    """Expected revenue of one owner of all firms, by their stocks."""
    cost, quality = np.asarray(market.cost, np.float64), _qualities(market, stock)
    values = np.zeros((stock + 1,) * len(cost))
    for _ in range(num_steps):
        change = _changes(values[..., None])[..., 0, :]
        best = joint_monopoly(market._replace(quality=quality, cost=cost - change))
        values = values + customers / num_steps * np.sum(best.profits, axis=-1)
    return values


def _qualities(market: LogitMarket, stock: int) -> Float64[np.ndarray, "*stocks N"]:
    """Qualities by stocks: far worse than the outside good where there is nothing to sell."""
    quality = np.asarray(market.quality, np.float64)
    stocks = np.moveaxis(np.indices((stock + 1,) * len(quality)), 0, -1)
    return np.where(stocks > 0, quality, market.outside_quality - CLOSED * market.differentiation)


def _changes(values: Float64[np.ndarray, "*stocks K"]) -> Float64[np.ndarray, "*stocks K N"]:
    """What a sale of each firm adds to each value; zero where it has no stock."""
    axes = values.ndim - 1
    return np.stack([-np.diff(values, axis=j, prepend=np.take(values, [0], axis=j)) for j in range(axes)], axis=-1)
