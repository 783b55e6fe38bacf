"""Evenly spread draws of signals and values, of all bidders or given what one of them knows."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.envs.auctions.sealed_bid import SealedBidParams
from jaxmarl.solvers.auctions.bayes_nash.signals import signal_law


def shifted_lattice(key: Array, num_points: int, num_dimensions: int) -> Float[Array, "num_points num_dimensions"]:
    """Points of the unit cube at equal steps, shifted at random as a whole; the first coordinate is evenly spaced.

    The steps of the others are square roots of primes (Richtmyer 1951). Each point is uniform, and means over the
    points have errors near `1 / num_points` instead of its root (Cranley and Patterson 1976).
    """
    roots = [2**32 / num_points, *(2**32 * (root % 1) for root in np.sqrt(_primes(num_dimensions - 1)))]
    steps = np.round(roots).astype(np.uint32)
    # integers, whose products wrap around exactly
    shift = jax.random.bits(key, (num_dimensions,), jnp.uint32)
    words = jnp.arange(num_points, dtype=jnp.uint32)[:, None] * steps + shift
    return (words >> 8).astype(float) * 2.0**-24


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def signals_of_all(
    params: SealedBidParams, uniform: Float[Array, "*batch N1"]
) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch N"]]:
    """Signals and values of all, from uniform numbers of which the last one draws what the signals share."""
    law = signal_law(params.prior, jnp.sum(params.active))
    latent = law.latent_quantile(uniform[..., -1])
    signals = _each_signal(law, uniform[..., :-1], latent)
    others = jnp.where(params.active, signals, 0)
    values = law.own_value(signals, latent[..., None]) + law.spillover() * (others.sum(-1, keepdims=True) - others)
    return signals, values


def signals_of_one(params: SealedBidParams, bidder: Array, uniform: Float[Array, "R 2"]) -> Float[Array, " R"]:
    """Signals of one bidder; the second number draws what signals share."""
    law = signal_law(params.prior, jnp.sum(params.active))
    return law.quantile(uniform[:, 0], bidder, law.latent_quantile(uniform[:, 1]))


def signals_given_own(
    params: SealedBidParams, bidder: Array, signal: Float[Array, ""], uniform: Float[Array, "S N"]
) -> tuple[Float[Array, "S N"], Float[Array, " S"]]:
    """All signals, and the value to `bidder`, given that its own is `signal`.

    The numbers are for the others, from the next bidder on and around, and the last one for what signals share.
    """
    law = signal_law(params.prior, jnp.sum(params.active))
    latent = law.latent_given(uniform[:, -1], signal, bidder)
    signals = _each_signal(law, jnp.roll(uniform, bidder + 1, axis=-1), latent).at[:, bidder].set(signal)
    others = jnp.where(params.active, signals, 0).at[:, bidder].set(0)
    return signals, law.own_value(signal, latent) + law.spillover() * others.sum(axis=-1)


def _each_signal(law, uniform: Float[Array, "*batch N"], latent: Float[Array, "*batch"]) -> Float[Array, "*batch N"]:
    bidders = jnp.arange(uniform.shape[-1])
    draw = jax.vmap(lambda p, i: law.quantile(p, i, latent), in_axes=(-1, 0), out_axes=-1)
    return draw(uniform, bidders)
