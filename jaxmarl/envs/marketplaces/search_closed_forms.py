"""Closed forms of search markets: who accepts a first proposal, races to be first, and dispersed prices.

All functions take numbers, NumPy or traced arrays.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

Number = Num[Array, "..."] | Num[np.ndarray, "..."] | float | int


def first_offer_share(bias: Number, temperature: Number, num_offers: Number) -> Float[Array, "..."]:
    """Share of customers who accept the first of equal offers, none declined: `e^(b/τ) / (e^(b/τ) + m - 1)`.

    Args:
        bias: b, added to the utility of the first offer.
        temperature: τ > 0 of the logit choice.
        num_offers: m, at least 1.
    """
    return 1 / (1 + (jnp.asarray(num_offers) - 1) * jnp.exp(-jnp.asarray(bias) / temperature))


def race_effort(stake: Number, num_offers: Number, num_businesses: int, effort_cost: Number) -> Float[Array, "..."]:
    """Effort in the symmetric equilibrium of a race to be first, `stake (m - 1) / (m B k)`.

    Of those considered, a business is first with a probability proportional to its effort, as in Tullock's contest.

    Args:
        stake: number of customers, times margin, times the difference between the first's and another's share.
        num_offers: m, businesses that a customer considers, drawn at random.
        num_businesses: B.
        effort_cost: k, of a unit of effort.
    """
    return jnp.asarray(stake) * (num_offers - 1) / (num_offers * num_businesses * jnp.asarray(effort_cost))


def burdett_judd_cdf(
    price: Number, single_quote: Number, value: Number = 1.0, cost: Number = 0.0
) -> Float[Array, "..."]:
    """Equilibrium distribution of prices when some customers see one price and the others two (Burdett, Judd 1983).

    `F(x) = 1 - q (1 / x - 1) / (2 (1 - q))` on `[q / (2 - q), 1]`, where x is the part of the gains `value - cost`
    that a price takes. Every price of the support earns `q (value - cost)` for each customer per business.

    Args:
        price: where to evaluate it.
        single_quote: q, share of customers who see one price, strictly between 0 and 1.
        value: what every customer would pay.
        cost: of a unit.
    """
    share = (jnp.asarray(price) - cost) / (value - cost)
    odds = single_quote / (2 * (1 - single_quote))
    return jnp.clip(1 - odds * (1 / jnp.maximum(share, 1e-30) - 1), 0.0, 1.0)


def burdett_judd_price(
    unit: Number, single_quote: Number, value: Number = 1.0, cost: Number = 0.0
) -> Float[Array, "..."]:
    """Inverse of `burdett_judd_cdf`: the price at the quantile `unit` in [0, 1]."""
    odds = single_quote / (2 * (1 - single_quote))
    return jnp.asarray(cost + (value - cost) * odds / (odds + 1 - jnp.asarray(unit)))
