"""Payoffs of liquidity games: quantity traded is the utility, and there is no price (Vidler and Walsh, 2405.02865).

Like `liquidity_clearing`, for a grid of profiles or for one, in NumPy or traced. The forms of cost and inventory
aversion are ours: that paper's game is the case in which both are zero.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array

from jaxmarl.core.checks import require_choice
from jaxmarl.games.zoo._profiles import namespace

AGGREGATIONS = ("min", "mean_min")

AnyArray: TypeAlias = np.ndarray | Array
Numbers: TypeAlias = AnyArray | float | int


def order_payoffs(
    orders: AnyArray, fills: AnyArray, cost: Numbers, aversion: Numbers = 0.0, imbalance: Numbers = 0.0
) -> Any:
    """`|x| - c |a| - (β / 2) ((d + x)² - d²)` for orders a of which x were filled, each `[n, ...]`.

    Args:
        orders: a, parcels posted; signs as in `clear`.
        fills: x, parcels traded.
        cost: c, of a parcel posted, filled or not.
        aversion: β, to holding something else than one's target.
        imbalance: d, the holding less its target, before the trade.
    """
    xp = namespace(orders, fills, cost, aversion, imbalance)
    return xp.abs(fills) - cost * xp.abs(orders) - aversion * fills * (imbalance + fills / 2)


def executed_depth(depths: AnyArray, aggregation: str = "min", backstop: Numbers = 0.0) -> Any:
    """Depth `[n, ...]` at which each dealer trades, given what each of them posts.

    Args:
        depths: `[n, ...]`, parcels posted, at least 0.
        aggregation: `"min"`: a chain of dealers is as deep as its weakest; `"mean_min"`: a dealer meets each other
            dealer equally often, and the two are as deep as the weaker one.
        backstop: depth provided from outside where dealers provide less.
    """
    require_choice("aggregation", aggregation, AGGREGATIONS)
    xp = namespace(depths, backstop)
    if aggregation == "min":
        weakest = xp.maximum(xp.min(depths, axis=0), backstop)
        return xp.broadcast_to(weakest, depths.shape)
    return xp.sum(_met_depths(xp, depths, backstop), axis=1) / max(len(depths) - 1, 1)


def provision_payoffs(depths: AnyArray, cost: Numbers, aggregation: str = "min", backstop: Numbers = 0.0) -> Any:
    """`executed depth - c s_i` of each dealer, `[n, ...]`: a minimum-effort game (Van Huyck, Battalio and Beil 1990).

    Args:
        depths: s, parcels posted.
        cost: c of a parcel posted, subsidies deducted; one, or for each dealer and broadcast against `depths`.
        aggregation: see `executed_depth`.
        backstop: see `executed_depth`.
    """
    return executed_depth(depths, aggregation, backstop) - cost * depths


def provision_potential(depths: AnyArray, cost: Numbers, aggregation: str = "min", backstop: Numbers = 0.0) -> Any:
    """Exact potential `[...]` of `provision_payoffs` (Monderer and Shapley 1996), with the same arguments.

    Its maximum is the highest common depth where `n c < 1` and the lowest where `n c > 1`: what log-linear learning
    selects as its noise vanishes, and with two dealers the risk-dominant equilibrium.
    """
    require_choice("aggregation", aggregation, AGGREGATIONS)
    xp = namespace(depths, cost, backstop)
    paid = xp.sum(cost * depths, axis=0)
    if aggregation == "min":
        return xp.maximum(xp.min(depths, axis=0), backstop) - paid
    every_pair_twice = xp.sum(_met_depths(xp, depths, backstop), axis=(0, 1))
    return every_pair_twice / 2 / max(len(depths) - 1, 1) - paid


def _met_depths(xp: Any, depths: AnyArray, backstop: Numbers) -> Any:
    """`[n, n, ...]`: depth between each two dealers, 0 on the diagonal."""
    others = 1 - np.eye(len(depths)).reshape(len(depths), len(depths), *[1] * (depths.ndim - 1))
    return others * xp.maximum(xp.minimum(depths[:, None], depths[None, :]), backstop)
