"""Shocks as Markov chains: Tauchen's discretisation, stationary laws, employment in Krusell and Smith (on the host)."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require, require_int


class Chain(NamedTuple):
    """A Markov chain on numbers.

    Attributes:
        values: `[S]`, ascending.
        transition: `[S, S]`, from row to column.
    """

    values: Float[np.ndarray, " S"]
    transition: Float[np.ndarray, "S S"]


def tauchen(persistence: float, spread: float, size: int, width: float = 3.0) -> Chain:
    """An autoregression `x' = ρ x + ν ε` on an even grid of `width` standard deviations to each side (Tauchen 1986).

    Args:
        persistence: ρ, in [0, 1).
        spread: ν, of the innovation.
        size: S.
        width: half of the grid, in stationary standard deviations.
    """
    from scipy.special import ndtr

    require(0 <= persistence < 1, "persistence", persistence, "in [0, 1)")
    require(spread > 0, "spread", spread, "positive")
    require_int("size", size, 2)
    end = width * spread / math.sqrt(1 - persistence**2)
    values = np.linspace(-end, end, size)
    borders = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    below = ndtr((borders - persistence * values[:, None]) / spread)
    return Chain(values, np.diff(below, axis=1))


def stationary_law(transition: Float[np.ndarray, "S S"]) -> Float[np.ndarray, " S"]:
    """The probabilities that the transition leaves as they are (of an irreducible chain)."""
    count = len(transition)
    equations = np.concatenate([transition.T - np.eye(count), np.ones((1, count))])
    return np.linalg.lstsq(equations, np.concatenate([np.zeros(count), [1.0]]), rcond=None)[0]


def income_chain(persistence: float = 0.6, spread: float = 0.2, size: int = 3) -> Chain:
    """Incomes whose logarithm follows Tauchen's chain, with mean 1."""
    logs = tauchen(persistence, spread, size)
    levels = np.exp(logs.values)
    return Chain(levels / (stationary_law(logs.transition) @ levels), logs.transition)


def productivity_chain(persistence: float, spread: float, size: int) -> Chain:
    """Productivity whose logarithm follows Tauchen's chain, with median 1; a constant 1 if `size` is 1."""
    if size == 1:
        return Chain(np.ones(1), np.ones((1, 1)))
    logs = tauchen(persistence, spread, size)
    return Chain(np.exp(logs.values), logs.transition)


class JointShocks(NamedTuple):
    """Aggregate productivity, and idiosyncratic states whose chances depend on it.

    Attributes:
        productivity: `[Z]`.
        aggregate: `[Z, Z]`, transition of productivity.
        endowments: `[E]`, of labour.
        individual: `[Z, Z, E, E]`, transition of a household's state, given productivity now and next.
    """

    productivity: Float[np.ndarray, " Z"]
    aggregate: Float[np.ndarray, "Z Z"]
    endowments: Float[np.ndarray, " E"]
    individual: Float[np.ndarray, "Z Z E E"]


def independent_shocks(productivity: Chain, income: Chain) -> JointShocks:
    """Incomes that move alike in good times and bad."""
    sizes = len(productivity.values), len(productivity.values), *income.transition.shape
    return JointShocks(*productivity, income.values, np.broadcast_to(income.transition, sizes).copy())


def employment_shocks(hours: float = 0.3271) -> JointShocks:
    """The shocks of Krusell and Smith (1998): productivity 0.99 or 1.01 for 8 quarters on average; of households 10 %
    without work in bad times, for 2.5 quarters, and 4 % in good ones, for 1.5; `hours` of those who work.

    The first of the two individual states is to be without work. Between good times and bad, losing work is 1.25 times,
    and finding none 0.75 times, as likely as where times stay bad or good.
    """
    stay = 1 - 1 / 8
    rates, spells = np.array([0.10, 0.04]), np.array([2.5, 1.5])
    idle = np.empty((2, 2))  # of the idle, who stay so, by times now and next
    idle[np.arange(2), np.arange(2)] = 1 - 1 / spells
    idle[1, 0], idle[0, 1] = 1.25 * idle[0, 0], 0.75 * idle[1, 1]
    individual = np.empty((2, 2, 2, 2))
    for now in range(2):
        for after in range(2):
            remain = idle[now, after]
            lose = (rates[after] - rates[now] * remain) / (1 - rates[now])  # the rate follows from productivity alone
            individual[now, after] = [[remain, 1 - remain], [lose, 1 - lose]]
    return JointShocks(
        np.array([0.99, 1.01]), np.array([[stay, 1 - stay], [1 - stay, stay]]), np.array([0.0, hours]), individual
    )
