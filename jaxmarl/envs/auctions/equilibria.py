"""Equilibrium bids and outcomes of single-item auctions with symmetric independent private values.

`n` bidders draw values from one law `F` on `[low, high]` (a `Marginal` with scalar leaves); `n` may be traced, and
everything is differentiable in reserve prices, fees and the numbers of the law. Integrals are Gauss-Legendre sums, or
closed where the law has a closed form. Source, unless another is named: Krishna, *Auction Theory*, chapters 2 to 4.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmarl.envs.auctions.mechanism import crra
from jaxmarl.envs.auctions.priors import NEGLIGIBLE, Marginal, Number, quadrature

Count: TypeAlias = Int[Array, ""] | int
BISECTIONS = 60


def entry_threshold(marginal: Marginal, num_bidders: Count, *, price: Number = 0.0, sunk: Number = 0.0) -> Array:
    """The least value that enters, `v` with `(v - price) F(v)^(n-1) = sunk`; `high` where nobody gains by entering.

    Args:
        marginal: law of the values.
        num_bidders: `n`.
        price: what a lone entrant pays if it wins: the reserve, where only the winner pays.
        sunk: what an entrant pays whether or not it wins: the entry fee, and a reserve that all pay.
    """
    free = jnp.clip(jnp.asarray(price, float), marginal.low, marginal.high)
    others = num_bidders - 1

    def profit(v):
        return (v - price) * marginal.cdf(v) ** others - sunk

    def halve(_, ends):
        middle = jnp.mean(jnp.stack(ends))
        gains = profit(middle) >= 0
        return jnp.where(gains, ends[0], middle), jnp.where(gains, middle, ends[1])

    start = jax.lax.stop_gradient((free, jnp.broadcast_to(jnp.asarray(marginal.high, free.dtype), free.shape)))
    root = jax.lax.stop_gradient(jax.lax.fori_loop(0, BISECTIONS, halve, start)[1])
    # one step of Newton's method, whose derivatives are those of the root
    slope = jax.lax.stop_gradient(jax.grad(lambda v: jnp.sum(profit(v)))(root))
    inside = (root < marginal.high) & (slope > 0)
    paid = jnp.where(inside, root - profit(root) / jnp.where(inside, slope, 1.0), marginal.high)
    return jnp.where(jnp.asarray(sunk) > 0, paid, free)


def first_price_bid(
    values: Float[Array, "*shape"],
    marginal: Marginal,
    num_bidders: Count,
    *,
    reserve: Number = 0.0,
    entry_fee: Number = 0.0,
    risk: Number = 1.0,
) -> Float[Array, "*shape"]:
    """`v - (int_t^v F^N + fee) / F(v)^N` with `N = (n - 1) / risk`, from the entry threshold `t` up; below it 0.

    Args:
        values: of the item to bidders.
        marginal: law of the values.
        num_bidders: `n`.
        reserve: least bid.
        entry_fee: paid by who enters; with `risk` 1 only.
        risk: exponent of CRRA utility.
    """
    threshold = entry_threshold(marginal, num_bidders, price=reserve, sunk=entry_fee)
    beaten = marginal.cdf(values) ** (num_bidders - 1)
    possible = beaten > NEGLIGIBLE
    fee = jnp.where(possible, entry_fee / jnp.where(possible, beaten, 1.0), 0.0)
    bids = values - marginal.shading(threshold, values, (num_bidders - 1) / jnp.asarray(risk)) - fee
    return jnp.where(values >= threshold, bids, 0.0)


def second_price_bid(
    values: Float[Array, "*shape"],
    marginal: Marginal,
    num_bidders: Count,
    *,
    reserve: Number = 0.0,
    entry_fee: Number = 0.0,
) -> Float[Array, "*shape"]:
    """The value, from the entry threshold up; below it 0 (Vickrey 1961)."""
    threshold = entry_threshold(marginal, num_bidders, price=reserve, sunk=entry_fee)
    return jnp.where(values >= threshold, values, 0.0)


def third_price_bid(values: Float[Array, "*shape"], marginal: Marginal, num_bidders: Count) -> Float[Array, "*shape"]:
    """`v + F(v) / ((n - 2) f(v))`, for at least three bidders and no reserve (Kagel and Levin 1993)."""
    return values + marginal.cdf_over_pdf(values) / (num_bidders - 2)


def all_pay_bid(
    values: Float[Array, "*shape"],
    marginal: Marginal,
    num_bidders: Count,
    *,
    reserve: Number = 0.0,
    entry_fee: Number = 0.0,
) -> Float[Array, "*shape"]:
    """`v F(v)^(n-1) - int_t^v F^(n-1) - fee` from the entry threshold `t` up; below it 0."""
    threshold = entry_threshold(marginal, num_bidders, sunk=reserve + jnp.asarray(entry_fee))
    shaded = values - marginal.shading(threshold, values, num_bidders - 1)
    bids = marginal.cdf(values) ** (num_bidders - 1) * shaded - entry_fee
    return jnp.where(values >= threshold, bids, 0.0)


def war_of_attrition_bid(
    values: Float[Array, "*shape"], marginal: Marginal, num_bidders: Count
) -> Float[Array, "*shape"]:
    """`int_low^v x dG(x) / (1 - G(x))` with `G = F^(n-1)`, without a reserve; infinite at the largest value.

    Computed by parts, `int_low^v ln(1 - G) - v ln(1 - G(v))` (Krishna and Morgan 1997).
    """

    def log_survival(x):
        return jnp.log1p(-(marginal.cdf(x) ** (num_bidders - 1)))

    x, weight = quadrature(marginal.low, values)
    return jnp.sum(weight * log_survival(x), axis=-1) - values * log_survival(values)


def expected_revenue(
    marginal: Marginal,
    num_bidders: Count,
    threshold: Number | None = None,
    weights: Float[Array, " K"] | None = None,
) -> Array:
    """Of every auction that the highest values win if they reach `threshold`: the expected virtual values sold.

    `n int_t^high (v f(v) - (1 - F(v))) X(v) dv`, fees included, for risk-neutral bidders of whom the one at the
    threshold expects nothing (Myerson 1981). Its derivative vanishes at the optimal reserve.

    Args:
        marginal: law of the values.
        num_bidders: `n`.
        threshold: `t`, `low` by default.
        weights: of the places sold (click rates, ones for units of which each bidder wants one), one item by default:
            `X(v)` is the expected weight of a bidder whose value has the rank that it has among `n`.
    """
    lower = jnp.asarray(marginal.low if threshold is None else threshold)
    p, weight = quadrature(marginal.cdf(lower), jnp.ones_like(lower))
    value = jnp.sum(weight * marginal.quantile(p) * _interim_allocation(p, num_bidders, weights), axis=-1)
    return num_bidders * (value - expected_utility(marginal, num_bidders, lower, weights))


def expected_utility(
    marginal: Marginal,
    num_bidders: Count,
    threshold: Number | None = None,
    weights: Float[Array, " K"] | None = None,
) -> Array:
    """Of a bidder in the same auctions, before it knows its value: `int_t^high (1 - F(v)) X(v) dv`."""
    v, weight = quadrature(jnp.asarray(marginal.low if threshold is None else threshold), marginal.high)
    cdf = marginal.cdf(v)
    return jnp.sum(weight * (1 - cdf) * _interim_allocation(cdf, num_bidders, weights), axis=-1)


def _interim_allocation(cdf: Array, num_bidders: Count, weights: Float[Array, " K"] | None) -> Array:
    """Expected weight of the place of a bidder who is above each rival with probability `cdf`."""
    rivals = num_bidders - 1
    if weights is None:
        return cdf**rivals
    # chances of places 0, 1, ..., which have no rivals left to be above beyond the last of them
    chances, ways = [], jnp.ones(())
    for place in range(len(weights)):
        behind = jnp.maximum(rivals - place, 0)
        chances.append(ways * cdf**behind * (1 - cdf) ** place)
        ways = ways * behind / (place + 1)
    return jnp.stack(chances, axis=-1) @ weights


def first_price_outcome(
    marginal: Marginal, num_bidders: Count, *, reserve: Number = 0.0, risk: Number = 1.0
) -> tuple[Array, Array]:
    """Expected revenue, and utility of a bidder before it knows its value, of a first-price auction with CRRA bidders.

    Args:
        marginal: law of the values.
        num_bidders: `n`.
        reserve: least bid.
        risk: exponent of the utility of all of them.
    """
    p, weight = quadrature(marginal.cdf(jnp.asarray(reserve, float)), 1.0)
    values = marginal.quantile(p)
    bids = first_price_bid(values, marginal, num_bidders, reserve=reserve, risk=risk)
    beaten = weight * p ** (num_bidders - 1)
    return num_bidders * jnp.sum(beaten * bids, axis=-1), jnp.sum(beaten * crra(values - bids, risk), axis=-1)


def virtual_value(values: Float[Array, "*shape"], marginal: Marginal) -> Float[Array, "*shape"]:
    """`v - (1 - F(v)) / f(v)`: the optimal auction sells to the highest that is not negative (Myerson 1981)."""
    return values - (1 - marginal.cdf(values)) / marginal.pdf(values)
