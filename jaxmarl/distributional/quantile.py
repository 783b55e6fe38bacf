"""Laws as quantiles: fixed probabilities, free atoms (Dabney, Rowland, Bellemare and Munos 2018, "QR-DQN")."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.distributional.law import TIES, Law, ReturnLaw, cumulative, pick


@struct.dataclass
class Quantile:
    """Atoms of fixed probabilities.

    Attributes:
        values: `[..., N]`, in units of return, in any order: learned quantiles may cross.
        weights: `[N]` or `[..., N]`, adding to 1; `uniform_quantile` gives each value the same.
    """

    values: Float[Array, "*batch num_quantiles"]
    weights: Float[Array, "*batch num_quantiles"]

    @property
    def levels(self) -> Float[Array, "*batch num_quantiles"]:
        """Midpoints of the probabilities: the levels whose quantiles the values are."""
        return jnp.cumsum(self.weights, -1) - self.weights / 2

    def law(self) -> Law:
        """Values in increasing order, and probabilities, both of the whole batch's shape."""
        return Law(self.values, jnp.broadcast_to(self.weights, self.values.shape)).law()

    def backup(self, reward: Any, discount: Any) -> "Quantile":
        """Law of `reward + discount * X`, exactly.

        Args:
            reward: `[...]` or a scalar.
            discount: `[...]` or a scalar: 0 where the episode terminated; a truncated one keeps its discount.
        """
        values = jnp.asarray(reward)[..., None] + jnp.asarray(discount)[..., None] * self.values
        return self.replace(values=values)  # type: ignore[attr-defined]

    def mixture(self, weights: Float[Array, "*batch components"], tie: str = "mid") -> "Quantile":
        """The last batch axis mixed with `weights` `[..., M]`, and projected onto N equally likely values."""
        size = self.values.shape[-1]
        merged = jnp.broadcast_to(self.weights, self.values.shape) * weights[..., None]
        shape = (*self.values.shape[:-2], -1)
        return to_quantiles(Law(self.values.reshape(shape), merged.reshape(shape)), size, tie)


def uniform_quantile(values: Float[Array, "*batch num_quantiles"]) -> Quantile:
    """Equally likely values `[..., N]`."""
    size = values.shape[-1]
    return Quantile(values, jnp.full(size, 1 / size, values.dtype))


def midpoint_levels(num_quantiles: int, dtype: Any = None) -> Float[Array, " num_quantiles"]:
    """`(2 i - 1) / (2 N)`, i = 1..N: levels at which N equally likely values approximate a law best in W1."""
    require_int("num_quantiles", num_quantiles, 1)
    return (jnp.arange(num_quantiles, dtype=dtype or jnp.result_type(float)) + 0.5) / num_quantiles


def to_quantiles(dist: ReturnLaw, num_quantiles: int, tie: str = "mid") -> Quantile:
    """The law of N equally likely values nearest to `dist` in the Wasserstein distance W1: its quantiles at midpoints.

    Args:
        dist: the law or laws.
        num_quantiles: N.
        tie: at a level where the cdf is flat, all quantiles between the two ends are equally near; `"mid"` takes the
            middle, `"left"` the lowest, which biases means where all levels are ties (by -1/N for fair coins).

    Raises:
        ValueError: N below 1 or an unknown tie.
    """
    require_choice("tie", tie, TIES)
    atoms, weights = dist.law()
    levels = midpoint_levels(num_quantiles, atoms.dtype)
    return uniform_quantile(pick(atoms, cumulative(weights), levels, tie))
