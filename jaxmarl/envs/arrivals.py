"""Random numbers of arrivals, from one uniform number each."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32


def capped_poisson_cdf(rate: Float[Array, ""], most: int) -> Float[Array, " most"]:
    """`P(Poisson(rate) <= k)` for k = 0, …, most - 1."""
    count = np.arange(most, dtype=np.float32)
    log_factorial = np.asarray([math.lgamma(k + 1) for k in count], np.float32)
    return jnp.cumsum(jnp.exp(jax.scipy.special.xlogy(count, rate) - rate - log_factorial))


def capped_poisson(unit: Float[Array, ""], rate: Float[Array, ""], most: int) -> Int32[Array, ""]:
    """`min(Poisson(rate), most)` by inversion.

    Args:
        unit: uniform on [0, 1).
        rate: mean of the Poisson number, at least 0.
        most: static cap, at least 1.
    """
    return jnp.sum(unit >= capped_poisson_cdf(rate, most), dtype=jnp.int32)


def capped_poisson_mean(rate: Float[Array, ""], most: int) -> Float[Array, ""]:
    """Mean of `min(Poisson(rate), most)`: the sum of its tail probabilities."""
    return jnp.sum(1.0 - capped_poisson_cdf(rate, most))
