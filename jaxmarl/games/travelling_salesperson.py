"""The travelling salesperson's cost game: what it costs to visit some customers from a depot and come back."""

import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require
from jaxmarl.games.coalitional import all_coalitions

MOST_CUSTOMERS = 14


def euclidean_distances(points: Float[np.ndarray, "nodes 2"]) -> Float[np.ndarray, "nodes nodes"]:
    """Distances between points of the plane, the depot's first."""
    points = np.asarray(points, float)
    return np.linalg.norm(points[:, None] - points, axis=-1)


def tour_costs(distances: Float[np.ndarray, "nodes others"]) -> Float[np.ndarray, " coalitions"]:
    """Cost of the shortest tour through the depot and every set of customers, by one pass of Held and Karp's recursion.

    On the host: `n^2 2^n` steps, n customers at most 14.

    Args:
        distances: between n + 1 nodes, the depot first; they may be asymmetric.

    Returns:
        `[2^n]`, in the order of `all_coalitions`; the empty tour costs 0.
    """
    paths, distances = _shortest_paths(distances)
    table = np.min(paths + distances[1:, 0], axis=1)
    table[0] = 0.0
    return table


def shortest_tour(distances: Float[np.ndarray, "nodes others"]) -> tuple[int, ...]:
    """Customers 0, ..., n - 1 in the order of a shortest tour of all of them."""
    paths, distances = _shortest_paths(distances)
    rest, ahead, order = len(paths) - 1, distances[1:, 0], []
    while rest:
        last = int(np.argmin(paths[rest] + ahead))
        order.append(last)
        rest, ahead = rest & ~(1 << last), distances[1:, 1 + last]
    return tuple(reversed(order))


def _shortest_paths(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[2^n, n]`: length of the shortest path from the depot through a set that ends at one of its members."""
    distances = np.asarray(distances, float)
    num = len(distances) - 1
    square = distances.ndim == 2 and distances.shape == (num + 1, num + 1) and 1 <= num <= MOST_CUSTOMERS
    require(square, "distances", distances.shape, f"square, of 2 to {MOST_CUSTOMERS + 1} nodes")
    members = all_coalitions(num)
    paths = np.full((2**num, num), np.inf)
    paths[1 << np.arange(num), np.arange(num)] = distances[0, 1:]
    between, sizes = distances[1:, 1:], members.sum(axis=1)
    for size in range(2, num + 1):
        rows = np.flatnonzero(sizes == size)
        for last in range(num):
            here = rows[members[rows, last]]
            paths[here, last] = np.min(paths[here & ~(1 << last)] + between[:, last], axis=1)
    return paths, distances
