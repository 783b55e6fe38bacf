"""Items for bidders who want one each: the best assignment and the least competitive prices, on the host."""

import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.arguments import require_concrete

Values = Float[Array, "N M"] | Float[np.ndarray, "N M"]


def optimal_assignment(values: Values) -> float:
    """The greatest sum of values over assignments of at most one item to a bidder and one bidder to an item.

    Dynamic programming over the sets of items that are taken: meant for a dozen items, any number of bidders.

    Args:
        values: `[N, M]`, of each item to each bidder; non-negative.

    Raises:
        ValueError: inside `jit` or `vmap`; another shape.
    """
    require_concrete("optimal_assignment", values)
    require(values.ndim == 2, "values", values.shape, "of shape [bidders, items]")
    taken = np.arange(2 ** values.shape[1])
    best = np.zeros(len(taken))
    for row in np.asarray(values, np.float64):
        reached = best.copy()
        for item, value in enumerate(row):
            with_item = taken & (1 << item) > 0
            np.maximum(reached, np.where(with_item, best[taken & ~(1 << item)] + value, 0), out=reached)
        best = reached
    return float(best[-1])


def minimum_walrasian_prices(values: Values) -> Float[np.ndarray, " M"]:
    """The least prices at which each bidder can get an item it likes best and unsold items are free.

    That of an item is what one more copy of it would add to the best assignment (Demange 1982, Leonard 1983).

    Args:
        values: `[N, M]`, of each item to each bidder; non-negative.
    """
    require_concrete("minimum_walrasian_prices", values)
    matrix = np.asarray(values, np.float64)
    base = optimal_assignment(matrix)
    copies = (np.column_stack([matrix, column]) for column in matrix.T)
    return np.array([optimal_assignment(copied) - base for copied in copies])
