"""How diverse a population is, from its payoffs."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def effective_diversity(payoffs: Float[Array, "rows rows"], mixture: Float[Array, " rows"]) -> Float[Array, ""]:
    """`p' max(A, 0) p`: how much the strategies that a mixture plays beat each other (Balduzzi et al. 2019).

    Args:
        payoffs: `[K, K]`, antisymmetric: of a symmetric zero-sum game.
        mixture: `[K]`, its Nash equilibrium.
    """
    return mixture @ jnp.matmul(jnp.maximum(payoffs, 0), mixture, precision="highest")


def expected_cardinality(
    features: Float[Array, "rows columns"], mask: Bool[Array, " rows"] | None = None
) -> Float[Array, ""]:
    """`tr(I - (F F' + I)^-1)`: the expected size of a draw from the population that avoids similar strategies.

    Of a determinantal point process (Perez-Nieves et al. 2021); at most the rank of the features.

    Args:
        features: `[K, D]`, one row a strategy, such as its payoffs against the others.
        mask: strategies that are there.
    """
    rows = features if mask is None else jnp.where(mask[:, None], features, 0)
    kernel = jnp.matmul(rows, rows.T, precision="highest")
    inverse = jnp.linalg.inv(kernel + jnp.eye(len(rows), dtype=rows.dtype))
    return len(rows) - jnp.trace(inverse)  # a row of zeros adds exactly 0
