"""What bidders know and what the item is worth: priors of private, affiliated and common values.

A prior is a pytree of numbers with a `sample` method, and its class says what is drawn. `Marginal`s are laws of
independent private values: with leaves `[N]` the prior of `N` bidders, with scalar leaves the law of one value, as the
equilibrium formulas take it.
"""

import abc
import math
from functools import lru_cache
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Num

from jaxmarl.core import chance as random
from jaxmarl.core.chance import Chance, ChanceSpec
from jaxmarl.core.checks import require

Number: TypeAlias = Num[Array, "..."] | float | int
NEGLIGIBLE = 1e-15  # below it numbers are not divided by: the square, which derivatives have, would underflow
Draws: TypeAlias = tuple[Float[Array, " N"], Float[Array, " N"]]
"""Signals and values of the bidders."""


class Prior(abc.ABC):
    """A joint law of the bidders' signals and of what the item is worth to each of them.

    Attributes:
        private: whether each bidder's signal is its value.
    """

    private = False

    @classmethod
    @abc.abstractmethod
    def default(cls, num_agents: int) -> Any:
        """The usual instance, on signals in the unit interval where that makes sense."""

    @staticmethod
    def chance(num_agents: int) -> ChanceSpec:
        """What `sample` takes: one uniform number for each bidder, unless overridden."""
        return random.Uniform((num_agents,))

    @abc.abstractmethod
    def sample(self, chance: Chance, active: Bool[Array, " N"]) -> Draws:
        """Signals `[N]` and values `[N]`; those of inactive bidders do not count for the others."""

    @abc.abstractmethod
    def validate(self, num_agents: int) -> None:
        """Raises a one-line `ValueError` where a number is not allowed (outside jit)."""


@lru_cache
def _legendre(size: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(size)
    return (nodes + 1) / 2, weights / 2


def quadrature(lower: Number, upper: Number, size: int = 64) -> tuple[Array, Array]:
    """Points and weights `[..., size]` of an integral from `lower` to `upper`, denser towards `upper`.

    Gauss-Legendre in `s`, where `x = upper - (upper - lower) s^2`: exact for polynomials, fast for integrands that
    vanish, or have a logarithm's or a root's singularity, at the upper end.
    """
    nodes, weights = _legendre(size)
    length = jnp.asarray(upper - lower)[..., None]
    return jnp.asarray(upper)[..., None] - length * nodes**2, length * (2 * nodes * weights)


def require_support(low: Number, high: Number) -> None:
    """Refuses supports that are empty, infinite, or reach below zero."""
    least, largest = np.asarray(low), np.asarray(high)
    require(bool((np.isfinite(least) & (least >= 0)).all()), "low", least.tolist(), "at least 0, and finite")
    fits = bool((np.isfinite(largest) & (least < largest)).all())
    require(fits, "high", largest.tolist(), f"finite and above low ({least.tolist()})")


class Marginal(Prior):
    """Independent private values with distribution functions on `[low, high]`; all of them have a log-concave cdf."""

    private = True
    low: Any
    high: Any

    @abc.abstractmethod
    def cdf(self, x: Number) -> Array:
        """`F(x)`, clipped to `[0, 1]`."""

    @abc.abstractmethod
    def pdf(self, x: Number) -> Array:
        """`f(x)` for `x` in the support."""

    @abc.abstractmethod
    def quantile(self, p: Number) -> Array:
        """The inverse of `cdf`."""

    def cdf_over_pdf(self, x: Number) -> Array:
        """`F(x) / f(x)`, increasing where the cdf is log-concave."""
        return self.cdf(x) / self.pdf(x)

    def shading(self, lower: Number, x: Number, power: Number) -> Array:
        """`int_lower^x (F(y) / F(x))^power dy`, in first-price auctions the distance of bids from values."""
        y, weight = quadrature(lower, jnp.maximum(x, lower))
        top = self.cdf(jnp.maximum(x, lower))
        top = jnp.where(top > NEGLIGIBLE, top, 1.0)[..., None]
        inner = jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], self)
        return jnp.sum(weight * (inner.cdf(y) / top) ** jnp.asarray(power)[..., None], axis=-1)

    def sample(self, chance: Chance, active: Bool[Array, " N"]) -> Draws:
        values = self.quantile(chance)
        return values, values

    def validate(self, num_agents: int) -> None:
        for name, leaf in vars(self).items():
            # leading axes are a batch of markets
            shape = np.shape(leaf)
            require(shape[-1:] == (num_agents,), name, shape, f"of shape [{num_agents}], one number for each bidder")
        require_support(self.low, self.high)


@struct.dataclass
class Uniform(Marginal):
    """`F(x) = (x - low) / (high - low)`.

    Attributes:
        low: least value.
        high: largest value.
    """

    low: Number
    high: Number

    @property
    def exponent(self) -> Number:
        """Of the power law that it is."""
        return 1.0

    @classmethod
    def default(cls, num_agents: int) -> Any:
        return cls(jnp.zeros(num_agents), jnp.ones(num_agents))

    def cdf(self, x: Number) -> Array:
        return jnp.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def pdf(self, x: Number) -> Array:
        return jnp.ones_like(x) / (self.high - self.low)

    def quantile(self, p: Number) -> Array:
        return self.low + (self.high - self.low) * jnp.asarray(p)

    def cdf_over_pdf(self, x: Number) -> Array:
        return (x - self.low) / jnp.asarray(self.exponent)

    def shading(self, lower: Number, x: Number, power: Number) -> Array:
        total = jnp.asarray(self.exponent * power)
        above, start = jnp.maximum(x, lower) - self.low, jnp.asarray(lower - self.low)
        apart = above > NEGLIGIBLE
        ratio = jnp.where(apart, start / jnp.where(apart, above, 1.0), 1.0)
        positive = ratio > 0
        rest = jnp.where(positive, jnp.where(positive, ratio, 1.0) ** total, 0.0)
        # at power 0 the integrand is 1 from `lower` on, whether or not that is where values begin
        rest = jnp.where(total == 0, 1.0, rest)
        return (above - start * rest) / (total + 1)


@struct.dataclass
class Power(Uniform):
    """`F(x) = ((x - low) / (high - low))^exponent`.

    Attributes:
        low: least value.
        high: largest value.
        exponent: positive; 1 is uniform, larger ones put weight on high values.
    """

    exponent: Number = struct.field(default=1.0)

    @classmethod
    def default(cls, num_agents: int) -> Any:
        return cls(jnp.zeros(num_agents), jnp.ones(num_agents), jnp.full(num_agents, 2.0, float))

    def cdf(self, x: Number) -> Array:
        part = Uniform.cdf(self, x)
        positive = part > 0  # the slope at `low` may be infinite; it is taken to be 0
        return jnp.where(positive, jnp.where(positive, part, 1.0) ** self.exponent, 0.0)

    def pdf(self, x: Number) -> Array:
        # infinite at `low` for exponents below 1
        return self.exponent * Uniform.cdf(self, x) ** (self.exponent - 1) / (self.high - self.low)

    def quantile(self, p: Number) -> Array:
        return Uniform.quantile(self, jnp.asarray(p) ** (1 / self.exponent))

    def validate(self, num_agents: int) -> None:
        super().validate(num_agents)
        exponent = np.asarray(self.exponent)
        require(bool((exponent > 0).all()), "exponent", exponent.tolist(), "positive")


@struct.dataclass
class TruncatedNormal(Marginal):
    """A normal law cut to `[low, high]`.

    Attributes:
        low: least value.
        high: largest value.
        mean: of the normal law before it was cut.
        std: its standard deviation.
    """

    low: Number
    high: Number
    mean: Number
    std: Number

    @classmethod
    def default(cls, num_agents: int) -> Any:
        return cls(*(jnp.full(num_agents, x, float) for x in (0.0, 1.0, 0.5, 0.25)))

    def _erf(self, x: Number) -> Array:
        return jax.lax.erf(jnp.asarray((x - self.mean) / (self.std * math.sqrt(2))))

    def cdf(self, x: Number) -> Array:
        start, end = self._erf(self.low), self._erf(self.high)
        return jnp.clip((self._erf(x) - start) / (end - start), 0.0, 1.0)

    def pdf(self, x: Number) -> Array:
        mass = self._erf(self.high) - self._erf(self.low)
        slope = math.sqrt(2 / math.pi) / self.std
        return slope * jnp.exp(-0.5 * ((x - self.mean) / self.std) ** 2) / mass

    def quantile(self, p: Number) -> Array:
        start, end = self._erf(self.low), self._erf(self.high)
        x = self.mean + self.std * math.sqrt(2) * jax.lax.erf_inv(start + jnp.asarray(p) * (end - start))
        return jnp.clip(x, self.low, self.high)

    def validate(self, num_agents: int) -> None:
        super().validate(num_agents)
        std = np.asarray(self.std)
        require(bool((std > 0).all()), "std", std.tolist(), "positive")


MARGINALS: dict[str, type[Marginal]] = {"uniform": Uniform, "power": Power, "truncated_normal": TruncatedNormal}
