"""Utility with constant relative risk aversion, and the sure consumption that is worth as much as a spread."""

from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar: TypeAlias = Float[Array, ""] | float

_LOG = 1e-5  # nearer to 1 than this, an aversion counts as that of the logarithm


def crra_utility(consumption: Float[Array, "*any"], aversion: Scalar) -> Float[Array, "*any"]:
    """`(c^(1-σ) - 1) / (1 - σ)`, and `log c` at σ = 1, for c > 0."""
    gap = jnp.asarray(1.0 - aversion, consumption.dtype)
    curved = jnp.abs(gap) > _LOG
    slope, logs = jnp.where(curved, gap, 1.0), jnp.log(consumption)
    return jnp.where(curved, jnp.expm1(slope * logs) / slope, logs)


def crra_inverse(utility: Float[Array, "*any"], aversion: Scalar) -> Float[Array, "*any"]:
    """The consumption that `crra_utility` values at `utility`."""
    gap = jnp.asarray(1.0 - aversion, utility.dtype)
    curved = jnp.abs(gap) > _LOG
    slope = jnp.where(curved, gap, 1.0)
    inside = jnp.where(curved, slope * utility, 0.0)
    return jnp.exp(jnp.where(curved, jnp.log1p(inside) / slope, utility))


def equal_equivalent(utilities: Float[Array, "*batch N"], aversion: Scalar) -> Float[Array, "*batch"]:
    """What everybody would have to have for the same sum of `u^(1-γ) / (1-γ)`: the mean at γ = 0, the geometric mean at
    1, the harmonic mean at 2 (Atkinson 1970). Utilities must be positive.
    """
    mean = jnp.mean(utilities, axis=-1)  # powers are taken of ratios to it, near 1, so that float32 suffices
    worth = jnp.mean(crra_utility(utilities / mean[..., None], aversion), axis=-1)
    return mean * crra_inverse(worth, aversion)
