"""Dividing a few items of three kinds: the splits there are, the problems of Lewis et al. 2017, and their frontiers."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxmarl.core.checks import require
from jaxmarl.envs.negotiation.bargaining import nash_bargain, pareto_frontier

NUM_TYPES = 3
MOST = 4  # of one kind
BASE = MOST + 1
NUM_BUNDLES = BASE**NUM_TYPES
TOTAL_VALUE = 10
PLACES = np.array([BASE**2, BASE, 1], np.int32)


@functools.cache
def bundles() -> Int[np.ndarray, "125 3"]:
    """All bundles of 0 to 4 items of each of three kinds; bundle `(a, b, c)` has number `25 a + 5 b + c`."""
    return np.array(list(itertools.product(range(BASE), repeat=NUM_TYPES)), np.int32)


class DivisionProblems(NamedTuple):
    """All problems of division, grouped by what is on the table.

    Attributes:
        counts: `[28, 3]`, items of each kind: 1 to 4, 5 to 7 in total.
        starts: `[28]`, the first row of `values` for each of them.
        sizes: `[28]`, how many rows there are for it.
        values: `[5295, 2, 3]`, of an item of each kind to both sides.
    """

    counts: Int[np.ndarray, "C 3"]
    starts: Int[np.ndarray, " C"]
    sizes: Int[np.ndarray, " C"]
    values: Int[np.ndarray, "M 2 3"]


@functools.cache
def division_problems() -> DivisionProblems:
    """Every problem in which all items together are worth 10 to each side, each kind is worth something to somebody,
    and some kind to both.
    """
    counts = [c for c in itertools.product(range(1, BASE), repeat=NUM_TYPES) if 5 <= sum(c) <= 7]
    grid = np.array(list(itertools.product(range(TOTAL_VALUE + 1), repeat=NUM_TYPES)))
    tables = []
    for count in counts:
        own = grid[grid @ count == TOTAL_VALUE]
        first, second = np.repeat(own, len(own), axis=0), np.tile(own, (len(own), 1))
        wanted = np.all((first > 0) | (second > 0), axis=1) & np.any((first > 0) & (second > 0), axis=1)
        tables.append(np.stack([first[wanted], second[wanted]], axis=1))
    sizes = np.array([len(table) for table in tables], np.int32)
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    return DivisionProblems(np.array(counts, np.int32), starts, sizes, np.concatenate(tables).astype(np.int32))


def split_payoffs(counts: Int[np.ndarray, " 3"], values: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "125 2"]:
    """What both sides get when side 0 takes each bundle, NaN where the table does not have it (on the host)."""
    counts, values, taken = np.asarray(counts), np.asarray(values, float), bundles()
    payoffs = np.stack([taken @ values[0], (counts - taken) @ values[1]], axis=1)
    return np.where(np.all(taken <= counts, axis=1)[:, None], payoffs, np.nan)


@functools.cache
def mean_maxima() -> tuple[float, float]:
    """Means of the largest sum and of the largest product of payoffs, counts uniform and then values uniform."""
    table = division_problems()
    means = []
    for counts, start, size in zip(table.counts, table.starts, table.sizes, strict=True):
        values, taken = table.values[start : start + size], bundles()
        taken = taken[(taken <= counts).all(axis=1)]
        first, second = values[:, 0] @ taken.T, values[:, 1] @ (counts - taken).T
        means.append([(first + second).max(axis=1).mean(), (first * second).max(axis=1).mean()])
    joint, nash = np.mean(means, axis=0)
    return float(joint), float(nash)


class DivisionSolution(NamedTuple):
    """Known answers of one problem.

    Attributes:
        frontier: `[F, 2]`, payoffs of Pareto-optimal splits, each once, by what side 0 gets.
        max_joint: largest sum of payoffs.
        nash_split: `[3]`, what side 0 takes in the Nash bargaining solution.
        nash_payoffs: `[2]`, with the largest product.
    """

    frontier: Float[np.ndarray, "F 2"]
    max_joint: float
    nash_split: Int[np.ndarray, " 3"]
    nash_payoffs: Float[np.ndarray, " 2"]


def solve_division(counts: Int[np.ndarray, " 3"], values: Float[np.ndarray, "2 3"]) -> DivisionSolution:
    """Frontier, largest sum and Nash bargaining solution, from all splits (on the host)."""
    counts = np.asarray(counts)
    require(counts.shape == (3,) and bool(((counts >= 0) & (counts <= MOST)).all()), "counts", counts.tolist(), "0 … 4")
    payoffs = split_payoffs(counts, values)
    real = ~np.isnan(payoffs[:, 0])
    splits, payoffs = bundles()[real], payoffs[real]
    best = nash_bargain(payoffs)
    frontier = np.unique(payoffs[pareto_frontier(payoffs)], axis=0)
    return DivisionSolution(frontier, float(payoffs.sum(axis=1).max()), splits[best], payoffs[best])
