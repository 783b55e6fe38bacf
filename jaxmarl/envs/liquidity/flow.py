"""Who comes to trade at a quote: Avellaneda–Stoikov fills, and clients who choose among dealers by logit."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require_choice

FILL_FORMS = ("linear", "poisson")

Scalar = Float[Array, ""] | float
Numbers = Float[Array, "..."] | float


def fill_probability(
    half_spread: Float[Array, "*shape"], arrival_rate: Numbers, decay: Numbers, dt: Numbers, form: str = "linear"
) -> Float[Array, "*shape"]:
    """Probability that a quote is filled within an interval, where fills arrive at the rate `A exp(-k δ)`.

    Avellaneda and Stoikov (2008). The two forms agree as `dt` goes to 0; at rates times `dt` of 0.25 the second one
    loses an eighth of the fills, so that numbers to be compared must state `dt` and the form.

    Args:
        half_spread: distance δ of the quote from the mid price, negative where it is on the other side of it.
        arrival_rate: A, fills a unit of time at the mid price.
        decay: k, per unit of price.
        dt: length of the interval.
        form: `"linear"`, `min(1, λ dt)`, or `"poisson"`, `1 - exp(-λ dt)`.
    """
    require_choice("form", form, FILL_FORMS)
    expected = arrival_rate * jnp.exp(-decay * half_spread) * dt
    return jnp.minimum(expected, 1.0) if form == "linear" else -jnp.expm1(-expected)


def choice_probabilities(
    half_spreads: Float[Array, "*batch N"],
    sharpness: Numbers,
    reservation: Numbers,
    quoting: Bool[Array, "*batch N"] | None = None,
) -> Float[Array, "*batch N"]:
    """Probability that a client trades with each dealer: a logit with the outside option of not trading.

    `P_i = exp(-θ (δ_i - δ_0)) / (1 + sum_j exp(-θ (δ_j - δ_0)))`.

    Args:
        half_spreads: δ, of the dealers.
        sharpness: θ, per unit of price.
        reservation: δ_0, the half-spread at which a client is indifferent between one dealer and not trading.
        quoting: dealers who quote at all; None for all of them.
    """
    scores = -sharpness * (half_spreads - reservation)
    with_outside = jnp.concatenate([scores, jnp.zeros_like(scores[..., :1])], axis=-1)
    if quoting is None:
        return jax.nn.softmax(with_outside)[..., :-1]
    there = jnp.concatenate([quoting, jnp.ones_like(quoting[..., :1])], axis=-1)
    return jax.nn.softmax(with_outside, where=there)[..., :-1]


def informed_sides(signal: Float[Array, ""]) -> Bool[Array, " two"]:
    """Sides, bid then ask, that an informed client comes to: it sells above the latent value and buys below it."""
    return jnp.stack([signal < 0, signal > 0])


def independent_fills(
    half_spreads: Float[Array, "N 2"],
    parcels: Float[Array, "N 2"],
    signal: Float[Array, ""],
    arrival_rate: Scalar,
    decay: Scalar,
    informed: Scalar,
    dt: Scalar,
    draws: Float[Array, "N 2"],
    wanted: Float[Array, "N 2"],
) -> Float[Array, "N 2"]:
    """Parcels traded where every dealer has clients of its own on each side: at most one client a side and step.

    Informed clients all come to the side that the signal points to, and only if it exceeds the half-spread: there they
    are `2 μ` to the `1 - μ` who come anyway, so that of all clients the share μ is informed (Glosten and Milgrom 1985).

    Args:
        half_spreads: bid, ask.
        parcels: quoted; nothing is traded where they are 0.
        signal: latent value less the mid price.
        arrival_rate: of clients on each side, a unit of time.
        decay: k.
        informed: μ.
        dt: length of the step; probabilities are linear in it (`fill_probability`).
        draws: uniform.
        wanted: parcels that each client would trade.
    """
    lured = informed_sides(signal) & (jnp.abs(signal) > half_spreads)
    rate = arrival_rate * (1 - informed + 2 * informed * lured)
    traded = draws < fill_probability(half_spreads, rate, decay, dt)
    return jnp.where(traded, jnp.minimum(parcels, wanted), 0.0)


def routed_fills(
    half_spreads: Float[Array, "N 2"],
    parcels: Float[Array, "N 2"],
    signal: Float[Array, ""],
    arrival_rate: Scalar,
    sharpness: Scalar,
    reservation: Scalar,
    informed: Scalar,
    dt: Scalar,
    draws: Float[Array, "2 2"],
    wanted: Float[Array, " 2"],
) -> Float[Array, "N 2"]:
    """Parcels traded where at most one client a side comes in a step, and chooses a dealer by `choice_probabilities`.

    Args:
        half_spreads: bid, ask.
        parcels: quoted; dealers without a quote are not chosen.
        signal: latent value less the mid price; informed clients as in `independent_fills`.
        arrival_rate: of clients on each side, a unit of time.
        sharpness: θ.
        reservation: δ_0.
        informed: μ.
        dt: length of the step.
        draws: uniform: whether a client comes to each side, and whom it chooses.
        wanted: parcels that the client of each side would trade.
    """
    comes, picks = draws
    anyway = arrival_rate * (1 - informed) * dt
    knowing = 2 * arrival_rate * informed * informed_sides(signal) * dt
    choice = choice_probabilities(half_spreads.T, sharpness, reservation, parcels.T > 0).T
    upper = jnp.cumsum(choice, axis=0)
    chosen = (picks >= upper - choice) & (picks < upper)
    accepts = (comes < anyway) | ((comes < anyway + knowing) & (jnp.abs(signal) > half_spreads))
    return jnp.where(chosen & accepts, jnp.minimum(parcels, wanted), 0.0)
