"""Distances between laws: Wasserstein, Cramér, maximum mean discrepancy.

Two laws, or two batches of one shape; the numbers of atoms may differ.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.distributional.law import ReturnLaw, cumulative, level_slack, pick

Kernel: TypeAlias = Callable[[Array, Array], Array]


def wasserstein(first: ReturnLaw, second: ReturnLaw, order: float | int = 1) -> Float[Array, "*batch"]:
    """`W_p = (∫ |F^-1(u) - G^-1(u)|^p du)^(1/p)`; the largest difference of quantiles for `order = inf`.

    Raises:
        ValueError: an order below 1.
    """
    require(order >= 1, "order", order, "at least 1")
    (atoms, weights), (others, other_weights) = first.law(), second.law()
    sums, other_sums = cumulative(weights), cumulative(other_weights)
    edges = jnp.sort(jnp.concatenate([sums, other_sums], -1), axis=-1)
    lower = jnp.concatenate([jnp.zeros_like(edges[..., :1]), edges[..., :-1]], -1)
    widths, middles = edges - lower, (edges + lower) / 2  # both quantile functions are constant between edges
    distance = jnp.abs(pick(atoms, sums, middles, "left") - pick(others, other_sums, middles, "left"))
    if order == jnp.inf:  # slivers between running sums that differ by rounding are no probability
        return jnp.max(jnp.where(widths > 2 * level_slack(widths.dtype), distance, 0), -1)
    return jnp.sum(widths * distance**order, -1) ** (1 / order)


def cramer(first: ReturnLaw, second: ReturnLaw, order: float | int = 2) -> Float[Array, "*batch"]:
    """`l_p = (∫ |F(x) - G(x)|^p dx)^(1/p)`: Cramér's distance for the default `order = 2`, W1 for 1.

    The square of Cramér's distance is half of the energy distance.

    Raises:
        ValueError: an order below 1, or infinite.
    """
    require(1 <= order < jnp.inf, "order", order, "finite and at least 1")
    (atoms, weights), (others, other_weights) = first.law(), second.law()
    knots = jnp.concatenate([atoms, others], -1)
    steps = jnp.concatenate([weights, -other_weights], -1)
    ranks = jnp.argsort(knots, axis=-1)
    points = jnp.take_along_axis(knots, ranks, -1)
    differences = jnp.cumsum(jnp.take_along_axis(steps, ranks, -1), -1)[..., :-1]
    return jnp.sum(jnp.abs(differences) ** order * jnp.diff(points, axis=-1), -1) ** (1 / order)


def energy_kernel(first: Array, second: Array) -> Array:
    """`-|x - y|`: with it the squared discrepancy is twice the square of Cramér's distance."""
    return -jnp.abs(first - second)


def gaussian_kernel(bandwidths: Sequence[float] = tuple(range(1, 11))) -> Kernel:
    """`Σ_h exp(-(x - y)^2 / h)`, as in MMD-DQN (Nguyen-Tang, Gupta and Venkatesh 2021).

    Raises:
        ValueError: a bandwidth that is not positive.
    """
    require(all(width > 0 for width in bandwidths), "bandwidths", bandwidths, "positive")

    def kernel(first: Array, second: Array) -> Array:
        square = (first - second) ** 2
        total: Any = 0
        for width in bandwidths:
            total = total + jnp.exp(-square / width)
        return total

    return kernel


def mmd_squared(first: ReturnLaw, second: ReturnLaw, kernel: Kernel = energy_kernel) -> Float[Array, "*batch"]:
    """Squared maximum mean discrepancy `E k(X, X') - 2 E k(X, Y) + E k(Y, Y')`, all draws independent."""
    (atoms, weights), (others, other_weights) = first.law(), second.law()

    def expect(one: Array, by: Array, two: Array, by_two: Array) -> Array:
        return jnp.einsum("...i,...ij,...j->...", by, kernel(one[..., :, None], two[..., None, :]), by_two)

    crossed = expect(atoms, weights, others, other_weights)
    return expect(atoms, weights, atoms, weights) - 2 * crossed + expect(others, other_weights, others, other_weights)
