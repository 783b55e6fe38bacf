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
