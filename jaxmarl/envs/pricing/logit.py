"""Logit demand for differentiated goods with an outside good: shares, profits, consumer surplus.

A consumer's utility of good i is `(a_i - p_i) / μ` plus a Gumbel shock, and `a_0 / μ` plus a shock of the outside good.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def logit_utilities(
    prices: Float[Array, "*batch N"],
    quality: Float[Array, "*#batch N"],
    outside_quality: Float[Array, "*#batch"],
    differentiation: Float[Array, "*#batch"],
    offered: Bool[Array, "*#batch N"] | None = None,
) -> Float[Array, "*batch N+1"]:
    """Mean utilities of the goods, and last that of the outside good, in units of the shock's scale.

    Goods that are not `offered` (all are where None) have minus infinity.
    """
    scale = differentiation[..., None]
    outside = jnp.broadcast_to(outside_quality[..., None] / scale, (*prices.shape[:-1], 1))
    inside = (quality - prices) / scale
    if offered is not None:
        inside = jnp.where(offered, inside, -jnp.inf)
    return jnp.concatenate([inside, outside], axis=-1)


def logit_shares(
    prices: Float[Array, "*batch N"],
    quality: Float[Array, "*#batch N"],
    outside_quality: Float[Array, "*#batch"],
    differentiation: Float[Array, "*#batch"],
    offered: Bool[Array, "*#batch N"] | None = None,
) -> Float[Array, "*batch N"]:
    """Quantities sold for a unit mass of consumers (the outside good takes the rest)."""
    return jax.nn.softmax(logit_utilities(prices, quality, outside_quality, differentiation, offered), axis=-1)[
        ..., :-1
    ]


def logit_surplus(
    prices: Float[Array, "*batch N"],
    quality: Float[Array, "*#batch N"],
    outside_quality: Float[Array, "*#batch"],
    differentiation: Float[Array, "*#batch"],
    offered: Bool[Array, "*#batch N"] | None = None,
) -> Float[Array, "*batch"]:
    """Expected consumer surplus `μ log(Σ exp((a_i - p_i) / μ) + exp(a_0 / μ))`, up to a constant."""
    utilities = logit_utilities(prices, quality, outside_quality, differentiation, offered)
    return differentiation * jax.scipy.special.logsumexp(utilities, axis=-1)
