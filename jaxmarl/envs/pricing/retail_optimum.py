"""What prices of a catalogue earn, and which are best (host side, NumPy)."""

from collections.abc import Callable

import numpy as np

from jaxmarl.envs.pricing.retail_catalogue import RetailGraphParams

GRID, ZOOMS, SWEEPS = 41, 6, 200


def static_prices(params: RetailGraphParams) -> np.ndarray:
    """`c ε / (1 + ε)`, within the price bounds: best for each product alone, whatever the others cost."""
    cost, elasticity = np.asarray(params.cost, float), np.asarray(params.elasticity, float)
    low, high = price_bounds(params)
    return np.clip(cost * elasticity / (1 + elasticity), low, high)


def price_bounds(params: RetailGraphParams) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest prices `[N]`."""
    low = float(params.floor) * np.asarray(params.cost, float)
    return low, np.maximum(low, float(params.ceiling) * np.asarray(params.base_price, float))


def cross_matrix(params: RetailGraphParams) -> np.ndarray:
    """γ as a matrix `[N, N]`: elasticities of the row's demand with respect to the column's price."""
    neighbours, linked = np.asarray(params.neighbours), np.asarray(params.linked)
    effects = np.zeros((len(neighbours),) * 2)
    rows = np.broadcast_to(np.arange(len(neighbours))[:, None], neighbours.shape)
    np.add.at(effects, (rows[linked], neighbours[linked]), np.asarray(params.cross, float)[linked])
    return effects


def weekly_profits(prices: np.ndarray, params: RetailGraphParams) -> np.ndarray:
    """Expected profit `[..., N]` of each product at `prices` `[..., N]`, in an average week of the year."""
    return profit_function(params)(np.asarray(prices, float))


def profit_function(params: RetailGraphParams) -> Callable[[np.ndarray], np.ndarray]:
    """`weekly_profits` of one catalogue, for many prices."""
    base, cost = np.asarray(params.base_price, float), np.asarray(params.cost, float)
    weeks = np.arange(52)[:, None] + np.asarray(params.phase, float)
    season = np.exp(float(params.season) * np.sin(2 * np.pi * weeks / 52)).mean(axis=0)
    scale = np.asarray(params.base_demand, float) * season * np.exp(float(params.noise) ** 2 / 2)
    effects = (cross_matrix(params) + np.diag(np.asarray(params.elasticity, float))).T

    def profits(prices):
        return (prices - cost) * scale * np.exp(np.log(prices / base) @ effects)

    return profits


def joint_prices(params: RetailGraphParams) -> np.ndarray:
    """Constant prices `[N]` of the largest expected profit of the whole catalogue, within the bounds.

    Coordinate ascent: one price after another is put to its maximum given the others, on a grid that is zoomed in,
    until none moves; from the static prices and both ends of the bounds, of which the best result counts. The profit
    is not concave (isoelastic demand grows without limit with the price of a substitute), so each limit is a local
    maximum, and one price alone may well end at its bound.
    """
    low, high = price_bounds(params)
    candidates = [_ascend(start, params) for start in (static_prices(params), low, high)]
    return max(candidates, key=lambda prices: weekly_profits(prices, params).sum())


def _ascend(prices: np.ndarray, params: RetailGraphParams) -> np.ndarray:
    """Coordinate ascent from `prices`."""
    effects, (low, high), profits = cross_matrix(params), price_bounds(params), profit_function(params)
    elasticity, cost = np.asarray(params.elasticity, float), np.asarray(params.cost, float)
    prices = prices.copy()
    for _ in range(SWEEPS):
        before = prices.copy()
        for i in range(len(prices)):
            others = profits(prices)
            demand = others[i] / (prices[i] - cost[i])
            others[i] = 0.0

            def profit(trial, i=i, others=others, demand=demand):
                """Of the catalogue, at prices `trial` of product `i`."""
                ratio = trial / prices[i]
                own = (trial - cost[i]) * demand * ratio ** elasticity[i]
                return own + (others * ratio[:, None] ** effects[:, i]).sum(axis=1)

            left, right = low[i], high[i]
            for _ in range(ZOOMS):
                grid = np.linspace(left, right, GRID)
                best = int(np.argmax(profit(grid)))
                left, right = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
            prices[i] = grid[best]
        if np.abs(prices / before - 1).max() < 1e-6:
            break
    return prices
