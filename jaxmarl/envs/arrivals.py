"""Random numbers of arrivals, each from one uniform or normal number, so that they are explicit chance."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

FEW = 10.0  # rates below it are inverted term by term
NUM_TERMS = 36


def capped_poisson_cdf(rate: Float[Array, "*shape"], most: int) -> Float[Array, "*shape most"]:
    """`P(Poisson(rate) <= k)` for k = 0, …, most - 1."""
    count = np.arange(most, dtype=np.float32)
    log_factorial = np.asarray([math.lgamma(k + 1) for k in count], np.float32)
    rate = rate[..., None]
    return jnp.cumsum(jnp.exp(jax.scipy.special.xlogy(count, rate) - rate - log_factorial), axis=-1)


def capped_poisson(unit: Float[Array, "*shape"], rate: Float[Array, "*shape"], most: int) -> Int32[Array, "*shape"]:
    """`min(Poisson(rate), most)` by inversion.

    Args:
        unit: uniform on [0, 1).
        rate: mean of the Poisson number, at least 0.
        most: static cap, at least 1.
    """
    return jnp.sum(unit[..., None] >= capped_poisson_cdf(rate, most), axis=-1, dtype=jnp.int32)


def capped_poisson_mean(rate: Float[Array, ""], most: int) -> Float[Array, ""]:
    """Mean of `min(Poisson(rate), most)`: the sum of its tail probabilities."""
    return jnp.sum(1.0 - capped_poisson_cdf(rate, most))


def poisson_count(rate: Float[Array, "*shape"], normal: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The Poisson quantile of the probability Φ(z), as a whole number in floating point, without a cap.

    Below a rate of 10 the distribution function is summed; above, it is inverted by the second-order expansion of
    Giles ("Approximation of the inverse Poisson cumulative distribution function", ACM TOMS 2016), which is wrong by
    one for a small share of draws, near the borders of steps.

    Args:
        rate: λ ≥ 0.
        normal: z, of a standard normal distribution.
    """
    counted = capped_poisson(jax.scipy.special.ndtr(normal), jnp.minimum(rate, FEW), NUM_TERMS).astype(rate.dtype)
    root = jnp.sqrt(jnp.maximum(rate, FEW))
    many = root**2 + root * normal + 1 / 3 + normal**2 / 6 - (normal / 36 + normal**3 / 72) / root
    return jnp.where(rate < FEW, counted, jnp.maximum(jnp.floor(many), 0.0))
