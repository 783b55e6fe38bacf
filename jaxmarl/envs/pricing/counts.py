"""Poisson counts from standard normal draws, so that sales are explicit chance like everything else."""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, ndtr
from jaxtyping import Array, Float

FEW = 10.0  # rates below it are inverted term by term
NUM_TERMS = 36


def poisson_count(rate: Float[Array, "*shape"], normal: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The Poisson quantile of the probability Φ(z), as a whole number in floating point.

    Below a rate of 10 the distribution function is summed; above, it is inverted by the second-order expansion of
    Giles ("Approximation of the inverse Poisson cumulative distribution function", ACM TOMS 2016), which is wrong by
    one for a small share of draws, near the borders of steps.

    Args:
        rate: λ ≥ 0.
        normal: z, of a standard normal distribution.
    """
    terms = np.arange(NUM_TERMS, dtype=np.float32)
    few = jnp.clip(rate, 1e-6, FEW)[..., None]
    mass = jnp.exp(terms * jnp.log(few) - few - gammaln(terms + 1))
    counted = jnp.sum(jnp.cumsum(mass, axis=-1) < ndtr(normal)[..., None], axis=-1).astype(rate.dtype)
    root = jnp.sqrt(jnp.maximum(rate, FEW))
    many = root**2 + root * normal + 1 / 3 + normal**2 / 6 - (normal / 36 + normal**3 / 72) / root
    return jnp.where(rate < FEW, counted, jnp.maximum(jnp.floor(many), 0.0))
