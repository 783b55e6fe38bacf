"""The one mechanism of sealed-bid formats: who wins (allocation) times who pays what (payment).

An auction sells `K` places of decreasing weight to `M` bids: one item is one place of weight 1, `K` identical units are
`K` places of weight 1, and the places of a position auction have its click rates. A bidder with several bids owns
several of the `M`. Allocations are compared in pairs instead of sorted, which for the few bids of an auction is what
vector units are fast at; everything is a function of `bids`, of a mask of those that take part, and of numbers.

    competing = entrants(bids, active, reserve, entry_fee)
    allocation = award(places(bids, competing, "random", lots), competing, jnp.ones(1))
    if_win, if_lose = PAYMENT_RULES["second_price"](bids, competing, reserve)
    reward = expected_utility(allocation, values, if_win, if_lose, risk)
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxmarl.core.checks import require_choice

TIE_RULES = ("split", "random", "lose")
Scalar: TypeAlias = Float[Array, ""] | float


@struct.dataclass
class Places:
    """Where bids stand, 0 for the best; bids that share places hold equal parts of each of them.

    Attributes:
        first: int32 `[M]`, the best place that a bid has a part of.
        last: int32 `[M]`, the worst.
    """

    first: Int32[Array, " M"]
    last: Int32[Array, " M"]


def entrants(
    bids: Float[Array, " M"], active: Bool[Array, " M"], reserve: Scalar, entry_fee: Scalar
) -> Bool[Array, " M"]:
    """Bids that take part: an active bidder's, at the reserve or above; where entry costs, a zero bid stays out."""
    return active & (bids >= reserve) & ((bids > 0) | (jnp.asarray(entry_fee) <= 0))


def places(
    bids: Float[Array, " M"], competing: Bool[Array, " M"], tie_rule: str, lots: Float[Array, " M"] | None = None
) -> Places:
    """Ranks bids from the highest down.

    Args:
        bids: or scores, whatever is ranked; finite.
        competing: which of them take part. The others' places mean nothing, and `award` gives them nothing.
        tie_rule: what equal bids get. `"split"`: equal parts of the places that they fill together, which is the
            expected allocation of a fair draw; `"random"`: one place each, drawn by `lots`; `"lose"`: all of them the
            worst of these places, so that two equal highest bids for one item both lose.
        lots: independent uniform numbers, the higher wins (`"random"` only).
    """
    require_choice("tie_rule", tie_rule, TIE_RULES)
    higher = competing & (bids > bids[:, None])  # [i, j]: whether j stands before i
    equal = competing & (bids == bids[:, None])
    before = jnp.sum(higher, axis=1, dtype=jnp.int32)
    if tie_rule == "random":
        if lots is None:
            raise ValueError("lots must be given with tie_rule 'random'")
        index = jnp.arange(len(bids))
        luckier = (lots > lots[:, None]) | ((lots == lots[:, None]) & (index < index[:, None]))
        before = before + jnp.sum(equal & luckier, axis=1, dtype=jnp.int32)
        return Places(before, before)
    last = before + jnp.sum(equal, axis=1, dtype=jnp.int32) - 1
    return Places(before if tie_rule == "split" else last, last)


def award(where: Places, competing: Bool[Array, " M"], weights: Float[Array, " K"]) -> Float[Array, " M"]:
    """What each bid is allocated: the mean weight of the places it shares.

    Args:
        where: from `places`.
        competing: which bids take part.
        weights: of the places, best first; those behind the last have weight 0.
    """
    shared = jnp.maximum(where.last - where.first + 1, 1)
    total = jnp.sum(jnp.where(_within(where, jnp.arange(len(weights))), weights, 0.0), axis=1)
    return jnp.where(competing, total / shared, 0.0)


def award_units(where: Places, competing: Bool[Array, " M"], num_units: int) -> Float[Array, " M"]:
    """`award` of `num_units` places of weight 1."""
    shared = jnp.maximum(where.last - where.first + 1, 1)
    sold = jnp.clip(num_units - where.first, 0, shared)
    return jnp.where(competing, sold / shared, 0.0)


def _within(where: Places, place: Int[Array, " P"]) -> Bool[Array, "M P"]:
    return (where.first[:, None] <= place) & (place <= where.last[:, None])


def standing(
    bids: Float[Array, " M"],
    where: Places,
    competing: Bool[Array, " M"],
    place: Int[Array, " P"],
    floor: Scalar = 0.0,
) -> Float[Array, " P"]:
    """The bids that stand at these places, `floor` where one is lower or there is none.

    For places that were split or drawn: tied bids that all lose leave places empty.
    """
    here = competing[:, None] & _within(where, place)
    held = jnp.max(jnp.where(here, bids[:, None], -jnp.inf), axis=0, initial=-jnp.inf)
    return jnp.maximum(held, jnp.asarray(floor, bids.dtype))


def smooth_award(
    bids: Float[Array, " M"], competing: Bool[Array, " M"], reserve: Scalar, temperature: Scalar
) -> Float[Array, " M"]:
    """A single item allocated by lot, with odds `exp(bid / temperature)`; the seller takes part with the reserve.

    The hard allocation is its limit at temperature 0. Unlike that one it has useful derivatives in bids and reserve,
    those of a slightly different auction: a hundredth of the largest value is a good temperature.
    """
    scores = jnp.append(bids, jnp.asarray(reserve, bids.dtype)) / temperature
    return jax.nn.softmax(scores, where=jnp.append(competing, True))[:-1]


def highest(bids: Float[Array, " M"], among: Bool[Array, "*rows M"], floor: Scalar = 0.0) -> Float[Array, "*rows"]:
    """The highest bid of each row of a mask, `floor` where it is lower or there is none.

    Args:
        bids: finite.
        among: rows of bids to choose from; `others(competing)` leaves out each bidder's own.
        floor: least value, a reserve price say.
    """
    return jnp.maximum(jnp.max(jnp.where(among, bids, -jnp.inf), axis=-1, initial=-jnp.inf), floor)


def others(competing: Bool[Array, " M"]) -> Bool[Array, "M M"]:
    """`[i, j]`: whether bid `j` competes and is not bid `i`."""
    return competing & ~jnp.eye(len(competing), dtype=bool)


def kth_highest_of_others(
    bids: Float[Array, "N D"], competing: Bool[Array, "N D"], k: int, floor: Scalar = 0.0
) -> Float[Array, " N"]:
    """The `k`-th highest (from 1) of the bids that are not a bidder's own, `floor` where it is lower or there is none.

    Args:
        bids: finite, those of each bidder in a row.
        competing: which of them take part.
        k: static.
        floor: least value, a reserve price say.
    """
    flat, entered = bids.ravel(), competing.ravel()
    # the highest of the bids that at least k of the others' reach: those are all who do, less the bidder's own
    own = jnp.sum(competing[:, :, None] & (bids[:, :, None] >= flat), axis=1, dtype=jnp.int32)
    reached = jnp.sum(own, axis=0) - own >= k
    owner = jnp.arange(len(flat)) // bids.shape[1]
    return highest(flat, entered & reached & (owner != jnp.arange(len(bids))[:, None]), floor)


PaymentRule: TypeAlias = Callable[
    [Float[Array, " N"], Bool[Array, " N"], Scalar], tuple[Float[Array, " N"], Float[Array, " N"]]
]
"""`(bids, competing, reserve)` to what each bidder pays if it wins the item, and if it does not."""


def first_price(bids: Float[Array, " N"], competing: Bool[Array, " N"], reserve: Scalar):
    """The winner pays its bid."""
    return bids, jnp.zeros_like(bids)


def second_price(bids: Float[Array, " N"], competing: Bool[Array, " N"], reserve: Scalar):
    """The winner pays the highest other bid, the reserve at least (Vickrey 1961)."""
    return highest(bids, others(competing), reserve), jnp.zeros_like(bids)


def third_price(bids: Float[Array, " N"], competing: Bool[Array, " N"], reserve: Scalar):
    """The winner pays the second highest other bid, the reserve at least (Kagel and Levin 1993)."""
    return kth_highest_of_others(bids[:, None], competing[:, None], 2, reserve), jnp.zeros_like(bids)


def all_pay(bids: Float[Array, " N"], competing: Bool[Array, " N"], reserve: Scalar):
    """Everybody pays its own bid."""
    own = jnp.where(competing, bids, 0.0)
    return own, own


def war_of_attrition(bids: Float[Array, " N"], competing: Bool[Array, " N"], reserve: Scalar):
    """Losers pay their own bids, the winner the highest of these (Krishna and Morgan 1997)."""
    return highest(bids, others(competing), reserve), jnp.where(competing, bids, 0.0)


PAYMENT_RULES: dict[str, PaymentRule] = {
    "first_price": first_price,
    "second_price": second_price,
    "third_price": third_price,
    "all_pay": all_pay,
    "war_of_attrition": war_of_attrition,
}


PlacePrices: TypeAlias = Callable[[Float[Array, " P"], Float[Array, " K"]], Float[Array, " K"]]
"""What is paid for each of `K` places, from the bids that stand at these and the next one, and their weights."""


def pay_own_bid(held: Float[Array, " P"], weights: Float[Array, " K"]) -> Float[Array, " K"]:
    """Its own bid for each unit of weight, as in the first position auctions."""
    return weights * held[: len(weights)]


def pay_next_bid(held: Float[Array, " P"], weights: Float[Array, " K"]) -> Float[Array, " K"]:
    """The bid of the next place for each unit of weight (generalised second price; Edelman et al. 2007)."""
    return weights * held[1 : len(weights) + 1]


def pay_harm(held: Float[Array, " P"], weights: Float[Array, " K"]) -> Float[Array, " K"]:
    """What those behind would gain by moving up a place (Vickrey-Clarke-Groves, one bid a bidder)."""
    steps = weights - jnp.append(weights[1:], 0.0)
    return jnp.cumsum((steps * held[1 : len(weights) + 1])[::-1])[::-1]


def units(allocation: Float[Array, "N D"]) -> Float[Array, "N D"]:
    """The same units as amounts of each bidder's first, second, ... unit, whichever of its bids won them.

    Shares of units fill the first ones first: a bidder with two halves has one unit.
    """
    total = jnp.sum(allocation, axis=1, keepdims=True)
    return jnp.clip(total - jnp.arange(allocation.shape[1]), 0.0, 1.0)


def vickrey_unit_prices(
    bids: Float[Array, "N D"], competing: Bool[Array, "N D"], num_units: int, reserve: Scalar
) -> Float[Array, "N D"]:
    """What each bidder pays for its first, second, ... of `num_units` identical units (Vickrey 1961).

    For `m` units together these are the `m` highest bids of the others that then lose, the reserve at least.
    """
    demand = bids.shape[1]
    return jnp.stack([kth_highest_of_others(bids, competing, num_units - i, reserve) for i in range(demand)], axis=1)


def crra(gain: Float[Array, "*shape"], risk: Float[Array, "..."] | float) -> Float[Array, "*shape"]:
    """Utility of constant relative risk aversion, `sign(gain) |gain|^risk`: neutral at 1, averse to risk below.

    The slope at no gain, infinite below 1, is taken to be 1, so that gradients are finite everywhere.
    """
    tiny = jnp.abs(gain) < 1e-12
    size = jnp.where(tiny, 1.0, jnp.abs(gain))
    return jnp.where(tiny, gain, jnp.sign(gain) * size**risk)


def expected_utility(
    allocation: Float[Array, " N"],
    values: Float[Array, " N"],
    if_win: Float[Array, " N"],
    if_lose: Float[Array, " N"],
    risk: Float[Array, " N"] | float = 1.0,
) -> Float[Array, " N"]:
    """Utility of getting an item with probability `allocation`: exact where ties are split, realised where 0 or 1.

    Args:
        allocation: of a single item, between 0 and 1.
        values: of the item to each bidder.
        if_win: what it pays if it gets the item.
        if_lose: what it pays if not.
        risk: exponents of `crra`.
    """
    return allocation * crra(values - if_win, risk) + (1 - allocation) * crra(-if_lose, risk)
