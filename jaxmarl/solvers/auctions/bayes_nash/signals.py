"""Laws of signals in the form that equilibrium computations need: independent given one latent number."""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions import interdependent, priors
from jaxmarl.envs.auctions.priors import Number

OWN = -1.0  # the latent number of a draw in which everybody has a value of its own


class SignalLaw(abc.ABC):
    """A prior as a latent number `w` and, given `w`, independent signals; values are `own_value + spillover * others`.

    What an item is worth to a bidder is a function of its own signal and of `w`, plus a multiple of the sum of the
    other active bidders' signals. All priors of the sealed-bid environments have this form, so that nothing ever
    needs the joint law of all signals.

    Attributes:
        prior: numbers of the law.
        num_active: how many bidders take part; may be traced.
    """

    additive = False  # whether the spillover is not zero

    def __init__(self, prior: Any, num_active: Number):
        self.prior, self.num_active = prior, num_active

    @abc.abstractmethod
    def support(self, bidder: Any) -> tuple[Array, Array]:
        """The least and the largest signal of a bidder (an index, which may be traced)."""

    @abc.abstractmethod
    def latents(self, types: Float[Array, " n"], size: int) -> tuple[Float[Array, " W"], Float[Array, " W"]]:
        """Representative latent numbers and their probabilities: about `size`, or as many as `types` call for."""

    @abc.abstractmethod
    def cdf(self, signal: Number, bidder: Any, latent: Number) -> Array:
        """The distribution function of a bidder's signal, given the latent number."""

    @abc.abstractmethod
    def quantile(self, p: Number, bidder: Any, latent: Number) -> Array:
        """Its inverse in `p`."""

    @abc.abstractmethod
    def latent_quantile(self, p: Number) -> Array:
        """The inverse of the distribution function of the latent number."""

    @abc.abstractmethod
    def latent_given(self, p: Number, signal: Number, bidder: Any) -> Array:
        """The same, given one bidder's signal."""

    def own_value(self, signal: Number, latent: Number) -> Array:
        """What the item is worth, up to the spillover."""
        return jnp.asarray(signal)

    def spillover(self) -> Array:
        """What a unit of another bidder's signal adds to the value."""
        return jnp.zeros(())


class IndependentSignals(SignalLaw):
    """No latent number matters."""

    def support(self, bidder: Any) -> tuple[Array, Array]:
        law = self._law(bidder)
        return law.low, law.high

    def latents(self, types, size):
        return jnp.zeros(1), jnp.ones(1)

    def cdf(self, signal, bidder, latent):
        return jnp.broadcast_to(
            self._law(bidder).cdf(signal), jnp.broadcast_shapes(jnp.shape(signal), jnp.shape(latent))
        )

    def quantile(self, p, bidder, latent):
        return self._law(bidder).quantile(p)

    def latent_quantile(self, p):
        return jnp.zeros_like(p)

    def latent_given(self, p, signal, bidder):
        return jnp.zeros_like(p)

    def _law(self, bidder: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[bidder], self.prior)


class WalletSignals(IndependentSignals):
    """Uniform signals whose sum is the value."""

    additive = True

    def spillover(self):
        return jnp.ones(())

    def _law(self, bidder: Any) -> priors.Uniform:
        return priors.Uniform(jnp.zeros_like(self.prior.scale), self.prior.scale)


class LatentSignals(SignalLaw):
    """Uniform signals on an interval that depends on a uniform latent number."""

    @abc.abstractmethod
    def _latent_range(self) -> tuple[Array, Array]:
        """Of all latent numbers."""

    @abc.abstractmethod
    def _interval(self, latent: Number) -> tuple[Array, Array]:
        """Where signals lie, given the latent number."""

    @abc.abstractmethod
    def _possible(self, signal: Number) -> tuple[Array, Array]:
        """Which latent numbers agree with a signal."""

    def support(self, bidder: Any) -> tuple[Array, Array]:
        least, largest = self._latent_range()
        return self._interval(least)[0], self._interval(largest)[1]

    def latents(self, types, size):
        return self.latent_quantile((jnp.arange(size) + 0.5) / size), jnp.full(size, 1 / size)

    def cdf(self, signal, bidder, latent):
        start, end = self._interval(latent)
        return jnp.clip((signal - start) / (end - start), 0.0, 1.0)

    def quantile(self, p, bidder, latent):
        start, end = self._interval(latent)
        return start + (end - start) * p

    def latent_quantile(self, p):
        least, largest = self._latent_range()
        return least + (largest - least) * p

    def latent_given(self, p, signal, bidder):
        least, largest = self._possible(signal)
        return least + (largest - least) * p


class AffiliatedSignals(LatentSignals):
    """`w` is the shared part of the signals; the value is the signals' mean."""

    additive = True

    def _latent_range(self):
        return jnp.zeros_like(self.prior.scale), self.prior.scale

    def _interval(self, latent):
        return latent, latent + self.prior.scale

    def _possible(self, signal):
        scale = self.prior.scale
        return jnp.maximum(signal - scale, 0.0), jnp.minimum(signal, scale)

    def own_value(self, signal, latent):
        return signal / jnp.maximum(self.num_active, 1)

    def spillover(self):
        return 1.0 / jnp.maximum(self.num_active, 1)


class MineralRightsSignals(LatentSignals):
    """`w` is the value; given a signal, its logarithm is uniform."""

    def _latent_range(self):
        return jnp.zeros_like(self.prior.scale), self.prior.scale

    def _interval(self, latent):
        return jnp.zeros_like(latent), 2 * jnp.maximum(latent, 1e-6 * self.prior.scale)

    def _possible(self, signal):
        return signal / 2, jnp.broadcast_to(self.prior.scale, jnp.shape(signal))

    def latent_given(self, p, signal, bidder):
        least = jnp.clip(signal / (2 * self.prior.scale), 1e-6, 1.0)
        return self.prior.scale * least ** (1 - jnp.asarray(p))

    def own_value(self, signal, latent):
        return jnp.broadcast_to(latent, jnp.broadcast_shapes(jnp.shape(signal), jnp.shape(latent)))


class CommonValueSignals(LatentSignals):
    """`w` is the value, and signals lie within `width` of it."""

    def _latent_range(self):
        return self.prior.low, self.prior.high

    def _interval(self, latent):
        return latent - self.prior.width, latent + self.prior.width

    def _possible(self, signal):
        prior = self.prior
        return jnp.maximum(signal - prior.width, prior.low), jnp.minimum(signal + prior.width, prior.high)

    def own_value(self, signal, latent):
        return jnp.broadcast_to(latent, jnp.broadcast_shapes(jnp.shape(signal), jnp.shape(latent)))


class BernoulliSignals(SignalLaw):
    """`w` is the value that all have, or `OWN` where each has a value of its own."""

    def support(self, bidder: Any) -> tuple[Array, Array]:
        return self.prior.low, self.prior.high

    def latents(self, types, size):
        shared = jnp.full(types.shape, self.prior.correlation / types.size)
        own = jnp.full((1,), OWN, types.dtype), jnp.reshape(1 - self.prior.correlation, (1,))
        return jnp.concatenate([own[0], types]), jnp.concatenate([own[1], shared])

    def cdf(self, signal, bidder, latent):
        alone = jnp.clip((signal - self.prior.low) / (self.prior.high - self.prior.low), 0.0, 1.0)
        return jnp.where(latent == OWN, alone, signal >= latent)

    def quantile(self, p, bidder, latent):
        return jnp.where(latent == OWN, self.prior.low + (self.prior.high - self.prior.low) * p, latent)

    def latent_quantile(self, p):
        share = self.prior.correlation
        inside = p / jnp.where(share > 0, share, 1.0)
        return jnp.where(p < share, self.prior.low + (self.prior.high - self.prior.low) * inside, OWN)

    def latent_given(self, p, signal, bidder):
        return jnp.where(p < self.prior.correlation, signal, OWN)


LAWS: dict[type[priors.Prior], type[SignalLaw]] = {
    interdependent.Wallet: WalletSignals,
    interdependent.Affiliated: AffiliatedSignals,
    interdependent.MineralRights: MineralRightsSignals,
    interdependent.CommonValue: CommonValueSignals,
    interdependent.BernoulliWeights: BernoulliSignals,
}


def signal_law(prior: priors.Prior, num_active: Number) -> SignalLaw:
    """The law of signals that a prior stands for.

    Raises:
        ValueError: a prior whose law is not known here.
    """
    if isinstance(prior, priors.Marginal):
        return IndependentSignals(prior, num_active)
    names = "independent private values or one of " + ", ".join(kind.__name__ for kind in LAWS)
    require(type(prior) in LAWS, "params.prior", type(prior).__name__, names)
    return LAWS[type(prior)](prior, num_active)
