"""Equilibria of generalised second-price auctions among bidders who know each other's values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.arguments import require_numbers


def envy_free_bids(
    values: Float[Array, " N"],
    click_rates: Float[Array, " K"],
    quality: Float[Array, " N"] | None = None,
    reserve: Float[Array, ""] | float = 0.0,
) -> Float[Array, " N"]:
    """The lowest envy-free bids for a click, at which payments are those of VCG (Varian 2007; Edelman et al. 2007).

    In scores, values times quality from the highest down, `b_s x_{s-1} = (x_{s-1} - x_s) v_s + x_s b_{s+1}` for the
    bidders in slots `s = 2, ..., K`; the first and those without a slot bid their values. Bidders whose score is below
    the reserve bid their values too, and the reserve stands behind the last who is above it. Works under `jit` and
    `vmap`.

    Args:
        values: of a click to each bidder.
        click_rates: of the slots from the best down, not increasing; a slot without clicks is as none.
        quality: factors on a bidder's clicks, 1 by default.
        reserve: least score.

    Returns:
        Bids, to be multiplied by `quality` for scores.

    Raises:
        ValueError: numbers that are negative or not finite, click rates that increase (outside jit).
    """
    require_numbers("values", values)
    require_numbers("click_rates", click_rates)
    require_numbers("reserve", jnp.asarray(reserve))
    if quality is None:
        quality = jnp.ones_like(values)
    require_numbers("quality", quality, positive=True)
    if not isinstance(click_rates, jax.core.Tracer):
        falling = bool((jnp.diff(click_rates) <= 0).all())
        require(falling, "click_rates", click_rates.tolist(), "not increasing")
    worth = quality * values
    order = jnp.argsort(-worth)
    scores = worth[order]
    # clicks of slots 1, ..., N, and of the slot above each
    clicks = jnp.zeros_like(scores).at[: len(click_rates)].set(click_rates[: len(scores)])
    above = jnp.concatenate([clicks[:1], clicks[:-1]])

    def climb(below, slot):
        score, own, better = slot
        shown = jnp.where(better > 0, better, 1.0)
        shaded = ((better - own) * score + own * below) / shown
        bid = jnp.where((better > 0) & (score >= reserve), shaded, score)
        return jnp.where(score >= reserve, bid, below), bid

    floor = jnp.asarray(reserve, scores.dtype)
    _, bids = jax.lax.scan(climb, floor, (scores, clicks, above), reverse=True)
    bids = bids.at[0].set(scores[0])
    return jnp.zeros_like(bids).at[order].set(bids) / quality


def envy(
    values: Float[Array, " N"],
    bids: Float[Array, " N"],
    click_rates: Float[Array, " K"],
    quality: Float[Array, " N"] | None = None,
    reserve: Float[Array, ""] | float = 0.0,
) -> Float[Array, ""]:
    """The most that a bidder would gain by having another slot at the price that is paid for it; 0 if envy-free.

    Args:
        values: of a click to each bidder.
        bids: for a click; distinct scores.
        click_rates: of the slots from the best down.
        quality: factors on a bidder's clicks, 1 by default.
        reserve: least score.
    """
    quality = jnp.ones_like(values) if quality is None else quality
    order = jnp.argsort(-quality * bids)
    scores, worth = (quality * bids)[order], (quality * values)[order]
    size = len(scores)
    clicks = jnp.zeros(size, scores.dtype).at[: len(click_rates)].set(click_rates[:size])
    prices = jnp.maximum(jnp.append(scores[1:], reserve), reserve)
    gains = clicks * (worth[:, None] - prices)  # [bidder, slot]
    own = jnp.where(scores >= reserve, jnp.diagonal(gains), 0.0)
    # a slot's price is set by the next bid; the one without clicks costs nothing
    return jnp.maximum(jnp.max(gains - own[:, None]), 0.0)
