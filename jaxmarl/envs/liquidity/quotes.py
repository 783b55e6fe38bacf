"""Quotes of a single dealer who manages its inventory (Avellaneda and Stoikov 2008)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Numbers = Float[Array, "..."] | float


def avellaneda_stoikov_spread(
    time_left: Numbers, risk_aversion: Numbers, volatility: Numbers, decay: Numbers
) -> Float[Array, "..."]:
    """The whole spread `γ σ² (T - t) + (2 / γ) ln(1 + γ / k)`."""
    risk = risk_aversion * jnp.square(volatility) * time_left
    return risk + 2 / risk_aversion * jnp.log1p(risk_aversion / decay)


def avellaneda_stoikov_quotes(
    inventory: Numbers, time_left: Numbers, risk_aversion: Numbers, volatility: Numbers, decay: Numbers
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Half-spreads `(bid, ask)` around the mid price, the spread being centred on the reservation price.

    The reservation price is `S - q γ σ² (T - t)`. One of the half-spreads is negative where the inventory is large: the
    quote is then beyond the mid price.

    Args:
        inventory: q, parcels held.
        time_left: T - t.
        risk_aversion: γ > 0, of exponential utility.
        volatility: σ of the mid price, per square root of time.
        decay: k of `fill_probability`.
    """
    half = avellaneda_stoikov_spread(time_left, risk_aversion, volatility, decay) / 2
    shift = inventory * risk_aversion * jnp.square(volatility) * time_left
    return half + shift, half - shift
