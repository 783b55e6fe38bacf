"""Buyers bid and sellers ask at the same time: k-double, McAfee and VCG auctions, bilateral and among many."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import mechanism, priors
from jaxmarl.envs.auctions.one_shot import (
    OneShotAuction,
    PrivateValues,
    common_law,
    require_each,
    require_prior,
    require_risk,
)


@struct.dataclass
class DoubleAuctionParams:
    """Numbers of a double auction; buyers come before sellers.

    Attributes:
        active: bool `[N]`, who takes part; the others observe zeros and earn nothing.
        price_weight: `k`, the weight of the bid in a price between bid and ask (`"k_price"` only).
        risk: `[N]`, exponents of CRRA utility, 1 for risk-neutral traders.
        prior: laws of the buyers' values and the sellers' costs, leaves `[N]`.
    """

    active: Bool[Array, " N"]
    price_weight: Float[Array, ""]
    risk: Float[Array, " N"]
    prior: Any


@struct.dataclass
class Margin:
    """The last pair that gains from trade and the first that does not, by what they bid and ask.

    Attributes:
        trades: number of pairs whose bid is the ask or higher.
        bid: of the last such buyer.
        ask: of the last such seller.
        next_bid: of the buyer behind, minus infinity where there is none.
        next_ask: of the seller behind, infinity where there is none.
        lowest: least value that a buyer may have.
        highest: largest cost that a seller may have.
    """

    trades: Float[Array, ""]
    bid: Float[Array, ""]
    ask: Float[Array, ""]
    next_bid: Float[Array, ""]
    next_ask: Float[Array, ""]
    lowest: Float[Array, ""]
    highest: Float[Array, ""]


Terms: TypeAlias = tuple[Array, Array, Array]
"""How many pairs trade, what each buyer of them pays, and what each seller gets."""


def k_price(margin: Margin, weight: Float[Array, ""]) -> Terms:
    """All gains are traded, at `k bid + (1 - k) ask` of the last pair (Chatterjee and Samuelson 1983)."""
    price = weight * margin.bid + (1 - weight) * margin.ask
    return margin.trades, price, price


def mcafee(margin: Margin, weight: Float[Array, ""]) -> Terms:
    """All trade at the middle of the next bid and ask if the last pair accept that price; else they do not trade.

    Then they set the prices of the others, a buyer's above a seller's. Ends of the supports stand in for a missing
    next bid or ask. Truthful bids are dominant, and no deficit arises (McAfee 1992).
    """
    next_bid = jnp.where(jnp.isfinite(margin.next_bid), margin.next_bid, margin.lowest)
    next_ask = jnp.where(jnp.isfinite(margin.next_ask), margin.next_ask, margin.highest)
    price = (next_bid + next_ask) / 2
    accepted = (margin.ask <= price) & (price <= margin.bid)
    trades = jnp.where(accepted, margin.trades, jnp.maximum(margin.trades - 1, 0))
    return trades, jnp.where(accepted, price, margin.bid), jnp.where(accepted, price, margin.ask)


def vcg(margin: Margin, weight: Float[Array, ""]) -> Terms:
    """All gains are traded; each pays the least bid, or gets the highest ask, with which it would have traded."""
    return margin.trades, jnp.maximum(margin.ask, margin.next_bid), jnp.minimum(margin.bid, margin.next_ask)


TRADING_RULES: dict[str, Callable[[Margin, Array], Terms]] = {"k_price": k_price, "mcafee": mcafee, "vcg": vcg}


@register("double_auction")
@dataclass(frozen=True)
class DoubleAuction(OneShotAuction[PrivateValues, DoubleAuctionParams]):
    """Each buyer wants one unit and each seller has one; the highest bids trade with the lowest asks.

    Pairs are formed from the highest bid and the lowest ask on, as long as the bid is the ask or higher. The rule says
    how many of them trade and at which prices: `"k_price"`, `"mcafee"` (trade reduction) or `"vcg"` (which runs a
    deficit). One buyer and one seller are bilateral trade. The reward is the CRRA utility of value less price, or of
    price less cost.

    An observation is the trader's `[value or cost, 1 for a seller and 0 for a buyer, risk, active, number of active
    buyers, number of active sellers, k]`. `info`: `allocation [N]` (units bought, or sold), `payments [N]` (negative
    for sellers), `trades`, `revenue` (the auctioneer's surplus), `welfare` (gains from trade), `efficient_welfare`.

    Attributes:
        rule: of `TRADING_RULES`.
        num_buyers: active or not.
        num_sellers: active or not.
        prior: family of values and costs, of `priors.MARGINALS`.
        num_bid_levels: number of equally spaced bids and asks from 0 to `max_bid`, None for continuous ones.
        max_bid: largest bid or ask; continuous ones are clipped to it, and it may be infinite.
        tie_rule: `"split"` or `"random"`, among equal bids or asks at the margin.
    """

    rule: str = "k_price"
    num_buyers: int = 1
    num_sellers: int = 1
    prior: str = "uniform"
    num_bid_levels: int | None = None
    max_bid: float = 2.0
    tie_rule: str = "split"

    def __post_init__(self):
        require_choice("rule", self.rule, TRADING_RULES)
        require_int("num_buyers", self.num_buyers, 1)
        require_int("num_sellers", self.num_sellers, 1)
        require_choice("prior", self.prior, priors.MARGINALS)
        self.check_bids()

    @property
    def num_agents(self) -> int:
        return self.num_buyers + self.num_sellers

    @property
    def agent_names(self) -> tuple[str, ...]:
        buyers = tuple(f"buyer_{i}" for i in range(self.num_buyers))
        return buyers + tuple(f"seller_{i}" for i in range(self.num_sellers))

    @property
    def default_params(self) -> DoubleAuctionParams:
        n = self.num_agents
        prior = priors.MARGINALS[self.prior].default(n)
        return DoubleAuctionParams(jnp.ones(n, bool), jnp.full((), 0.5, float), jnp.ones(n), prior)

    def observation_space(self, params: DoubleAuctionParams) -> Box:
        return Box(-math.inf, math.inf, (7,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    def validate(self, params: DoubleAuctionParams) -> None:
        require_each(params, self.num_agents, "active")
        require_risk(params, self.num_agents)
        weight = np.asarray(params.price_weight)
        require(bool(((weight >= 0) & (weight <= 1)).all()), "price_weight", weight.tolist(), "in [0, 1]")
        require_prior(params.prior, priors.MARGINALS[self.prior], self.num_agents)

    def initial(self, chance, params: DoubleAuctionParams) -> PrivateValues:
        return PrivateValues(params.prior.sample(chance, params.active)[1])

    def transition(self, state: PrivateValues, action: Array, chance, params: DoubleAuctionParams):
        bids, selling = self.bids(action), jnp.arange(self.num_agents) >= self.num_buyers
        # a seller's ask is a bid to keep the unit: the sellers with the lowest asks come first
        buyers, sellers = self._sides(bids, params.active, self.lots(chance))
        trades, paid, received = TRADING_RULES[self.rule](self._margin(buyers, sellers, params), params.price_weight)
        weights = (jnp.arange(self._pairs) < trades).astype(bids.dtype)
        shares = [mechanism.award(side.where, side.competing, weights) for side in (buyers, sellers)]
        allocation, sign = jnp.concatenate(shares), jnp.where(selling, -1, 1).astype(bids.dtype)
        some = trades > 0  # without trade the prices may be infinite
        price = jnp.where(some, jnp.where(selling, -received, paid), 0.0)
        values = sign * state.values
        reward = mechanism.expected_utility(allocation, values, price, jnp.zeros_like(price), params.risk)
        info = {
            "allocation": allocation,
            "payments": allocation * price,
            "trades": trades,
            "revenue": jnp.sum(allocation * price),
            "welfare": jnp.sum(allocation * values),
            "efficient_welfare": self._gains(state.values, params.active),
        }
        return state, reward, jnp.ones((), bool), info

    @property
    def _pairs(self) -> int:
        return min(self.num_buyers, self.num_sellers)

    def _sides(self, bids: Array, active: Array, lots: Array | None) -> tuple["_Side", "_Side"]:
        """Buyers by their bids and sellers by the negatives of their asks."""
        cut = self.num_buyers
        parts = ((bids[:cut], slice(cut)), (-bids[cut:], slice(cut, None)))
        tie_rule = self.tie_rule if lots is not None else "split"
        sides = []
        for scores, part in parts:
            competing = active[part]
            where = mechanism.places(scores, competing, tie_rule, None if lots is None else lots[part])
            held = mechanism.standing(scores, where, competing, jnp.arange(self._pairs + 1), -math.inf)
            sides.append(_Side(competing, where, held))
        return sides[0], sides[1]

    def _margin(self, buyers: "_Side", sellers: "_Side", params: DoubleAuctionParams) -> Margin:
        bids, asks = buyers.held, -sellers.held
        pair = jnp.arange(self._pairs + 1)
        trades = jnp.sum((bids >= asks) & (pair < self._pairs), dtype=jnp.int32)

        def at(held, place):
            return jnp.sum(jnp.where(pair == place, held, 0.0))

        last = jnp.maximum(trades - 1, 0)
        cut = self.num_buyers
        ends = jnp.min(params.prior.low[:cut]), jnp.max(params.prior.high[cut:])
        amounts = at(bids, last), at(asks, last), at(bids, trades), at(asks, trades), *ends
        return Margin(trades.astype(bids.dtype), *amounts)

    def _gains(self, values: Array, active: Array) -> Float[Array, ""]:
        """What could be gained from trade."""
        buyers, sellers = self._sides(values, active, None)
        gain = buyers.held + sellers.held
        return jnp.sum(jnp.where(gain > 0, gain, 0.0)[: self._pairs])

    def observe(self, state: PrivateValues, params: DoubleAuctionParams) -> Float[Array, "N 7"]:
        n, dtype, selling = self.num_agents, state.values.dtype, jnp.arange(self.num_agents) >= self.num_buyers
        counts = jnp.sum(params.active & ~selling), jnp.sum(params.active & selling)
        public = jnp.stack([*counts, params.price_weight], dtype=dtype)
        own = jnp.stack([state.values, selling, params.risk, params.active], axis=1, dtype=dtype)
        seen = jnp.concatenate([own, jnp.broadcast_to(public, (n, 3))], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def benchmarks(self, params: DoubleAuctionParams) -> dict[str, Any]:
        """What theory knows of this auction; entries are absent where no closed form is known.

        `bid`: a function from values and costs `[..., N]` to equilibrium bids and asks. For one risk-neutral buyer and
        one seller with uniform value and cost on one interval also, expected before these are known: `utility [2]`,
        `revenue`, `welfare` and `trades`. `"k_price"` has many equilibria, of which this is the linear one (Chatterjee
        and Samuelson 1983; for k = 1/2 it attains the second best of Myerson and Satterthwaite 1983). Runs outside jit.
        """
        truthful: dict[str, Any] = {"bid": lambda values: values} if self.rule in ("mcafee", "vcg") else {}
        neutral = bool(np.asarray(params.active).all()) and bool((np.asarray(params.risk) == 1).all())
        law = common_law(params.prior, np.arange(self.num_agents))
        if self.num_agents != 2 or not neutral or type(law) is not priors.Uniform:
            return truthful
        low, size = law.low, law.high - law.low
        weight = params.price_weight

        def bid(values: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
            return low + size * linear_bids((values - low) / size, weight)

        chance, bought, sold, revenue = bilateral_outcome(self.rule, weight)
        outcome = {
            "utility": size * jnp.stack([bought, sold]),
            "revenue": size * revenue,
            "welfare": size * (bought + sold + revenue),
            "trades": chance,
        }
        return (truthful or {"bid": bid}) | outcome


@struct.dataclass
class _Side:
    """Buyers or sellers: who is there, at which places, and what stands at the first places."""

    competing: Bool[Array, " M"]
    where: mechanism.Places
    held: Float[Array, " P"]


def linear_bids(values: Float[Array, "*batch 2"], weight: Float[Array, ""] | float) -> Float[Array, "*batch 2"]:
    """Bid and ask of the linear equilibrium of bilateral trade, value and cost uniform on `[0, 1]`.

    `v / (1 + k) + k (1 - k) / (2 (1 + k))` and `c / (2 - k) + (1 - k) / 2` (Chatterjee and Samuelson 1983).
    """
    value, cost = values[..., 0], values[..., 1]
    bid = (value + weight * (1 - weight) / 2) / (1 + weight)
    ask = cost / (2 - weight) + (1 - weight) / 2
    return jnp.stack([bid, ask], axis=-1)


def bilateral_outcome(rule: str, weight: Float[Array, ""] | float) -> tuple[Array, Array, Array, Array]:
    """Expected trades, utility of the buyer, that of the seller, and revenue, value and cost uniform on `[0, 1]`.

    In the linear equilibrium of `"k_price"`, trade happens on a triangle of values and costs, over which everything
    linear has its mean at the centroid. In the other two bids are truthful: `"mcafee"` posts a price of one half.
    """
    require_choice("rule", rule, TRADING_RULES)
    if rule != "k_price":
        numbers = (1 / 4, 1 / 16, 1 / 16, 0.0) if rule == "mcafee" else (1 / 2, 1 / 6, 1 / 6, -1 / 6)
        chance, bought, sold, revenue = (jnp.asarray(x) for x in numbers)
        return chance, bought, sold, revenue
    chance = (1 + jnp.asarray(weight)) * (2 - weight) / 8
    centre = jnp.stack([1 - (1 + jnp.asarray(weight)) / 6, (2 - jnp.asarray(weight)) / 6])
    bid, ask = linear_bids(centre, weight)
    price = weight * bid + (1 - weight) * ask
    return chance, chance * (centre[0] - price), chance * (price - centre[1]), jnp.zeros(())
