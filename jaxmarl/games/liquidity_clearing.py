"""Clearing of signed orders without a price: what each player trades when buyers and sellers meet (three rules).

Orders are positive where a player buys and negative where it sells. Players are the leading axis; what follows may be a
grid of action profiles, as for the payoffs of a whole game, or nothing, as in an environment. NumPy arrays give NumPy
arrays, so that a game of the zoo compiles nothing; JAX arrays may be traced.

    clear(orders, "pro_rata")                       # the longer side is rationed in proportion
    clear(orders, "bilateral", random_pairs(lots))  # pairs trade the smaller of two opposite orders
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array

from jaxmarl.core.checks import require_choice
from jaxmarl.games.zoo._profiles import namespace

FILL_RULES = ("pro_rata", "all_or_nothing", "bilateral")
ROUNDINGS = ("none", "largest_remainder")

AnyArray: TypeAlias = np.ndarray | Array


def clear(orders: AnyArray, fill: str, pairs: AnyArray | None = None, rounding: str = "none") -> Any:
    """Signed quantities traded `[n, ...]`: they add to 0, have their order's sign, and never exceed it.

    Args:
        orders: `[n, ...]`, parcels that players want to buy (positive) or sell (negative).
        fill: `"pro_rata"`: all meet, and the longer side is rationed in proportion; `"bilateral"`: the two of a pair
            trade the smaller of their orders if one buys and one sells; `"all_or_nothing"`: they do so only if both
            orders are of the same size.
        pairs: bool `[n, n]`, who has met whom (`random_pairs`); not used by `"pro_rata"`.
        rounding: of pro-rata fills of whole orders: `"none"`, or `"largest_remainder"` for whole parcels.

    Raises:
        ValueError: an unknown rule, or a rule for pairs without them.
    """
    require_choice("fill", fill, FILL_RULES)
    require_choice("rounding", rounding, ROUNDINGS)
    if fill == "pro_rata":
        return pro_rata_fills(orders) if rounding == "none" else whole_pro_rata_fills(orders)
    if pairs is None:
        raise ValueError(f"pairs must be given with fill {fill!r}")
    xp = namespace(orders, pairs)
    met = xp.reshape(pairs, pairs.shape + (1,) * (orders.ndim - 1))
    return xp.sum(xp.where(met, pair_fills(orders, fill), 0), axis=1)


def pro_rata_fills(orders: AnyArray) -> Any:
    """Fills where all orders meet at once, the longer side being rationed in proportion: fractions of parcels."""
    xp = namespace(orders)
    bought, sold = xp.maximum(orders, 0), xp.maximum(-orders, 0)
    demand, supply = xp.sum(bought, axis=0), xp.sum(sold, axis=0)
    matched = xp.minimum(demand, supply)
    return bought * _ratio(xp, matched, demand) - sold * _ratio(xp, matched, supply)


def whole_pro_rata_fills(orders: AnyArray) -> Any:
    """`pro_rata_fills` of whole orders in whole parcels, by largest remainders; among equals the first players.

    Computed in integers, so that equal remainders are equal.

    Args:
        orders: `[n, ...]`, integers, or floats that are whole; products of an order and a side's total fit in int32.
    """
    xp = namespace(orders)
    whole = orders.astype(np.int32)
    bought, sold = xp.maximum(whole, 0), xp.maximum(-whole, 0)
    matched = xp.minimum(xp.sum(bought, axis=0), xp.sum(sold, axis=0))
    fills = _apportioned(xp, bought, matched) - _apportioned(xp, sold, matched)
    return fills.astype(orders.dtype)


def pair_fills(orders: AnyArray, fill: str) -> Any:
    """`[n, n, ...]`: what the first player would trade if it met the second."""
    xp = namespace(orders)
    mine, theirs = orders[:, None], orders[None, :]
    size, other = xp.abs(mine), xp.abs(theirs)
    trades = mine * theirs < 0
    if fill == "all_or_nothing":
        trades = trades & (size == other)
    return xp.where(trades, xp.sign(mine) * xp.minimum(size, other), 0)


def random_pairs(lots: AnyArray) -> Any:
    """A uniformly random perfect matching as bool `[n, n]`; of an odd number of players, one meets nobody.

    Args:
        lots: `[n]`, independent uniform numbers: in their order, the first meets the second, the third the fourth ...
    """
    xp = namespace(lots)
    index = np.arange(len(lots))
    before = (lots < lots[:, None]) | ((lots == lots[:, None]) & (index < index[:, None]))
    place = xp.sum(before, axis=1)
    return place[:, None] == (place[None, :] ^ 1)


def meeting_probability(num_players: int) -> float:
    """Probability that two given players meet in a uniformly random matching."""
    return 1 / (num_players - 1 if num_players % 2 == 0 else num_players)


def order_bounds(holding: AnyArray, low: AnyArray, high: AnyArray, capacity: AnyArray) -> tuple[Any, Any]:
    """Least and largest whole order that keeps `|a| <= capacity` and `low <= holding + a <= high`."""
    xp = namespace(holding, low, high, capacity)
    least = xp.ceil(xp.maximum(-capacity, low - holding))
    return least, xp.floor(xp.minimum(capacity, high - holding))


def _ratio(xp: Any, part: Any, whole: Any) -> Any:
    return xp.where(whole > 0, part / xp.where(whole > 0, whole, 1), 0)


def _apportioned(xp: Any, orders: AnyArray, matched: Any) -> Any:
    """`matched` parcels shared in proportion to the orders of one side, in whole parcels."""
    total = xp.maximum(xp.sum(orders, axis=0), 1)
    shares, remainders = orders * matched // total, orders * matched % total
    left = matched - xp.sum(shares, axis=0)
    index = np.arange(len(orders)).reshape(-1, *[1] * orders.ndim)
    mine, theirs = remainders[:, None], remainders[None, :]
    earlier = np.swapaxes(index, 0, 1) < index
    ahead = xp.sum((theirs > mine) | ((theirs == mine) & earlier), axis=1)
    return shares + ((ahead < left) & (remainders > 0))
