"""Utilities of a stock plus a return, whose expectations dynamic programming over stocks maximises."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.checks import require


class Utility(NamedTuple):
    """A function of `c + G` whose expectation is maximised.

    Attributes:
        function: f, elementwise.
        degree: p with `f(k x) = k^p f(x)` for k > 0; only undiscounted processes may do without (None).
        lipschitz: a bound on |f'|; None where there is none, and then there is no bound on errors either.
        slopes: f' at minus and plus infinity, by which values go on beyond a grid of stocks.
    """

    function: Callable[[Array], Array]
    degree: float | None = None
    lipschitz: float | None = None
    slopes: tuple[float, float] = (0.0, 0.0)


def linear() -> Utility:
    """`x`: the mean."""
    return Utility(lambda x: x, 1.0, 1.0, (1.0, 1.0))


def shortfall() -> Utility:
    """`min(x, 0)`: minus what is missing to 0; with it the lower tail is controlled (`solve_cvar`)."""
    return Utility(lambda x: jnp.minimum(x, 0), 1.0, 1.0, (1.0, 0.0))


def surplus() -> Utility:
    """`max(x, 0)`; with it the upper tail is controlled."""
    return Utility(lambda x: jnp.maximum(x, 0), 1.0, 1.0, (0.0, 1.0))


def distance() -> Utility:
    """`-|x|`: homeostasis; started at stock `-target`, the return is steered to the target."""
    return Utility(lambda x: -jnp.abs(x), 1.0, 1.0, (1.0, -1.0))


def squared_distance() -> Utility:
    """`-x^2`: as `distance`; not Lipschitz, so that errors are not bounded without a horizon."""
    return Utility(lambda x: -(x**2), 2.0)


def reaching() -> Utility:
    """`1{x >= 0}`: the probability that the return is at least minus the stock. Finite horizons only.

    Without horizon, iteration may never notice that a sum converges to the goal: it finds 0 where 1 is true.
    """
    return Utility(lambda x: (x >= 0).astype(x.dtype), 0.0)


def exponential(aversion: float | int) -> Utility:
    """`-exp(-a x)`, undiscounted processes only: the certainty equivalent is `-log(-value) / a` at stock 0.

    Raises:
        ValueError: an aversion that is not positive.
    """
    require(aversion > 0, "aversion", aversion, "positive")
    return Utility(lambda x: -jnp.exp(-aversion * x))
