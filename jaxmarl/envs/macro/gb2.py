"""The generalised beta distribution of the second kind, which incomes follow closely (McDonald 1984).

`Z = scale (X / (1 - X))^(1/shape)` with X beta(left, right); its upper tail is Pareto with index `shape * right`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxmarl.core.checks import require, require_int


class IncomeLaw(NamedTuple):
    """A generalised beta distribution of the second kind; the default is fitted to personal incomes of 2023 in the
    American Community Survey, in thousands of dollars (Karten et al. 2025).

    Attributes:
        scale: μ, in the unit of incomes.
        shape: σ.
        left: ν.
        right: τ.
    """

    scale: float = 72.40278
    shape: float = 2.07211
    left: float = 0.486519
    right: float = 1.14104

    @property
    def mean(self) -> float:
        """Expected income; finite where `shape * right > 1`."""
        from scipy.special import beta

        require(self.tail_index > 1, "shape * right", self.tail_index, "above 1")
        return float(
            self.scale * beta(self.left + 1 / self.shape, self.right - 1 / self.shape) / beta(self.left, self.right)
        )

    @property
    def tail_index(self) -> float:
        """Exponent of the Pareto tail: the share of incomes above z falls like `z^-index`."""
        return self.shape * self.right

    def quantile(self, shares: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """The incomes that shares in (0, 1) of all lie below (on the host, in float64)."""
        from scipy.special import betaincinv

        x = betaincinv(self.left, self.right, np.asarray(shares, float))
        return np.asarray(self.scale * (x / (1 - x)) ** (1 / self.shape))

    def share_below(self, incomes: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """The share of all that lies below each income (on the host, in float64)."""
        from scipy.special import betainc

        odds = (np.asarray(incomes, float) / self.scale) ** self.shape
        return np.asarray(betainc(self.left, self.right, odds / (1 + odds)))

    def log_density(self, incomes: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """The density of log incomes, z f(z) (on the host, in float64)."""
        from scipy.special import beta

        odds = (np.asarray(incomes, float) / self.scale) ** self.shape
        peak = self.shape / beta(self.left, self.right)
        return np.asarray(peak * odds**self.left / (1 + odds) ** (self.left + self.right))

    def even(self, count: int) -> Float[np.ndarray, " count"]:
        """`count` incomes in ascending order, the middle one of each of as many equal parts of the population."""
        require_int("count", count, 1)
        return self.quantile((np.arange(count) + 0.5) / count)

    def sample(self, key: Key[Array, ""], count: int) -> Float[Array, " count"]:
        """`count` independent draws, by the ratio of two gamma variables (pure; jit-able)."""
        keys = jax.random.split(key)
        logs = [jax.random.loggamma(k, shape, (count,)) for k, shape in zip(keys, (self.left, self.right), strict=True)]
        return self.scale * jnp.exp((logs[0] - logs[1]) / self.shape)
