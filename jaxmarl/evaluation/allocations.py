"""Who pays how much of a common cost: proxies of the Shapley value, and how far an allocation is from being refused.

Games are tables of costs of coalitions in the order of `all_coalitions` (`[2^n]`, the empty one 0), and everything is
computed on the host in float64.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require, require_choice
from jaxmarl.games.coalitional import all_coalitions
from jaxmarl.games.travelling_salesperson import shortest_tour, tour_costs

TourProxy: TypeAlias = Literal["depot", "shortcut", "rerouting"]

_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class LeastCore(NamedTuple):
    """The allocation that is refused least.

    Attributes:
        excess: ε; no coalition short of everyone pays more than its own cost plus ε. At most 0: the core is not empty.
        allocation: `[n]`, one that attains it; it sums to the cost of everyone.
    """

    excess: float
    allocation: Float[np.ndarray, " n"]


def tour_proxy(
    distances: Float[np.ndarray, "nodes nodes"], proxy: TourProxy = "shortcut", *, depot_weight: float = 0.0
) -> Float[np.ndarray, " n"]:
    """The cost of the tour of all customers, shared in proportion to something cheap (Aziz et al. 2016).

    Proportional to each customer's distance from the depot (`"depot"`), to what leaving it out of the order of the
    shortest tour saves (`"shortcut"`), or to what leaving it out and planning anew saves (`"rerouting"`: a marginal
    contribution). Where the shares of a proxy are all 0 the cost is shared equally.

    Args:
        distances: between n + 1 nodes, the depot first.
        proxy: one of the above.
        depot_weight: share of the cost that is allocated by `"depot"` instead.
    """
    require_choice("proxy", proxy, get_args(TourProxy))
    require(0 <= depot_weight <= 1, "depot_weight", depot_weight, "in [0, 1]")
    distances, table = np.asarray(distances, float), tour_costs(distances)
    shares = {"depot": distances[0, 1:], "rerouting": marginal_costs(table)}
    if proxy == "shortcut":
        stops = np.array([-1, *shortest_tour(distances), -1]) + 1
        before, here, after = stops[:-2], stops[1:-1], stops[2:]
        saved = distances[before, here] + distances[here, after] - distances[before, after]
        shares[proxy] = saved[np.argsort(here)]
    mixed = (1 - depot_weight) * _normalised(shares[proxy]) + depot_weight * _normalised(shares["depot"])
    return table[-1] * mixed


def _normalised(shares: np.ndarray) -> np.ndarray:
    return shares / shares.sum() if shares.sum() > 0 else np.full(shares.size, 1 / shares.size)


def marginal_costs(table: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " n"]:
    """What everyone costs less without each player: the least that a player of the core pays."""
    num = _num_players(table)
    return table[-1] - table[(table.size - 1) & ~(1 << np.arange(num))]


def single_costs(table: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " n"]:
    """What each player costs alone: the most that a player of the core pays."""
    return table[1 << np.arange(_num_players(table))]


def in_semicore(
    table: Float[np.ndarray, " coalitions"], allocation: Float[np.ndarray, " n"], tolerance: float = 1e-9
) -> bool:
    """Whether all is paid, nobody pays more than alone, and nobody less than its marginal cost."""
    paid = abs(np.sum(allocation) - table[-1]) <= tolerance
    below = np.all(allocation <= single_costs(table) + tolerance)
    return bool(paid and below and np.all(allocation >= marginal_costs(table) - tolerance))


def largest_excess(table: Float[np.ndarray, " coalitions"], allocation: Float[np.ndarray, " n"]) -> float:
    """How much more than its own cost the unhappiest coalition (neither empty nor everyone) pays."""
    num = _num_players(table)
    require(num > 1, "table", table.shape, "of 2 players or more")
    return float((all_coalitions(num)[1:-1] @ np.asarray(allocation) - table[1:-1]).max())


def least_core(table: Float[np.ndarray, " coalitions"]) -> LeastCore:
    """The allocation whose largest excess is least, by one linear program over all coalitions."""
    num = _num_players(table)
    require(num > 1, "table", table.shape, "of 2 players or more")
    masks = all_coalitions(num)[1:-1].astype(float)
    rows = np.column_stack([masks, -np.ones(len(masks))])
    cost, everyone = np.append(np.zeros(num), 1.0), np.append(np.ones(num), 0.0)[None]
    allocation = _solve(cost, rows, table[1:-1], everyone, table[-1:])[:num]
    return LeastCore(largest_excess(table, allocation), allocation)


def cost_of_stability(table: Float[np.ndarray, " coalitions"]) -> float:
    """The least subsidy with which no coalition refuses some allocation of the rest; 0 where the core is not empty."""
    num = _num_players(table)
    masks = all_coalitions(num)[1:].astype(float)
    collected = _solve(-np.ones(num), masks, table[1:], None, None).sum()
    return float(max(table[-1] - collected, 0.0))


def _solve(cost, rows, limits, equal_rows, equal) -> np.ndarray:
    from scipy.optimize import linprog

    found = linprog(cost, rows, limits, equal_rows, equal, (None, None), "highs", options=_EXACT)
    if found.x is None:
        raise ValueError(f"table has no finite allocation (HiGHS: {found.message})")
    return found.x


def _num_players(table: np.ndarray) -> int:
    num = table.size.bit_length() - 1
    require(num > 0 and table.size == 2**num, "table", table.shape, "of 2^n values")
    return num
