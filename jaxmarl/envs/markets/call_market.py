"""Call markets: buyers and sellers of single units send one sealed order each, and the market clears at once."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions.mechanism import places

RULES = ("k_double", "mcafee")


@struct.dataclass
class CallMarketParams:
    """Numbers of the market.

    Attributes:
        low: `[N]`, least value (of buyers, first) or cost (of sellers); values are uniform between low and high.
        high: `[N]`, largest.
        weight: κ of the price `κ a + (1 - κ) b` between the last ask and the last bid that trade.
    """

    low: Float[Array, " N"]
    high: Float[Array, " N"]
    weight: Float[Array, ""]


@struct.dataclass
class CallMarketState:
    """`values [N]`: what a unit is worth to each buyer, and costs each seller."""

    values: Float[Array, " N"]


@struct.dataclass
class Clearing:
    """Outcome of a call; buyers and sellers each have their own prices where the rule is McAfee's.

    Attributes:
        buys: `[buyers]`, who trades.
        sells: `[sellers]`.
        buyer_price: what each buyer who trades pays.
        seller_price: what each seller who trades gets.
        quantity: units traded.
    """

    buys: Bool[Array, " n_b"]
    sells: Bool[Array, " n_s"]
    buyer_price: Float[Array, ""]
    seller_price: Float[Array, ""]
    quantity: Float[Array, ""]


def clear(
    bids: Float[Array, " n_b"], asks: Float[Array, " n_s"], weight: Float[Array, ""] | float, lots: Array, rule: str
) -> Clearing:
    """Clears unit bids and asks: with bids sorted down and asks up, pairs trade as long as the bid is at least the ask.

    Args:
        bids: of buyers.
        asks: of sellers.
        weight: κ of the κ-double auction.
        lots: `[n_b + n_s]`, uniform numbers that order equal bids, and equal asks.
        rule: `"k_double"`: all `q` such pairs trade at `κ a_q + (1 - κ) b_q`. `"mcafee"` (McAfee 1992): at
            `(a_{q+1} + b_{q+1}) / 2` if that suits pair q, and else only `q - 1` pairs, buyers paying `b_q` and sellers
            getting `a_q`, so that truth is a dominant strategy and the market never pays in.
    """
    require_choice("rule", rule, RULES)
    everyone = jnp.ones(len(bids), bool), jnp.ones(len(asks), bool)
    bid_rank = places(bids, everyone[0], "random", lots[: len(bids)]).first
    ask_rank = places(-asks, everyone[1], "random", lots[len(bids) :]).first
    pairs = min(len(bids), len(asks))
    rank = jnp.arange(pairs + 1)[:, None]

    def ranked(prices, ranks):
        """Price of each rank; NaN-free filler past the last, which no pair has."""
        return jnp.sum(jnp.where(ranks == rank, prices, 0.0), axis=1), jnp.any(ranks == rank, axis=1)

    (bid_at, has_bid), (ask_at, has_ask) = ranked(bids, bid_rank), ranked(asks, ask_rank)
    trades = has_bid & has_ask & (bid_at >= ask_at)
    quantity = jnp.sum(trades, dtype=jnp.int32)
    last = jnp.maximum(quantity - 1, 0)
    bid, ask = bid_at[last], ask_at[last]
    if rule == "k_double":
        price = weight * ask + (1 - weight) * bid
        buyer_price = seller_price = price
    else:
        next_pair = has_bid[quantity] & has_ask[quantity]
        middle = (bid_at[quantity] + ask_at[quantity]) / 2
        suits = next_pair & (ask <= middle) & (middle <= bid) & (quantity > 0)
        buyer_price, seller_price = jnp.where(suits, middle, bid), jnp.where(suits, middle, ask)
        quantity = jnp.where(suits, quantity, jnp.maximum(quantity - 1, 0))
    return Clearing(bid_rank < quantity, ask_rank < quantity, buyer_price, seller_price, quantity.astype(bids.dtype))


@register("call_market")
@dataclass(frozen=True)
class CallMarket(Environment[CallMarketState, CallMarketParams]):
    """A sealed-bid double auction of single units: everyone names a price, once, and the market clears (`clear`).

    Agents are the buyers, then the sellers; actions are prices. A buyer's reward is its value less the price if it
    trades, a seller's the price less its cost. An observation is `[own value or cost, 1 for a buyer]`.

    `info`: `quantity`, `surplus` (realised, market's included), `max_surplus`, `buyer_price`, `seller_price` (0 where
    nothing trades), `revenue` (what the market keeps).

    Attributes:
        num_buyers: at least 1.
        num_sellers: at least 1.
        rule: how the market clears, of `RULES`.
        max_price: actions lie between 0 and it.
    """

    num_buyers: int = 4
    num_sellers: int = 4
    rule: str = "k_double"
    max_price: float = 1.0

    horizon = 1

    def __post_init__(self):
        require_int("num_buyers", self.num_buyers, 1)
        require_int("num_sellers", self.num_sellers, 1)
        require_choice("rule", self.rule, RULES)
        require(0 < self.max_price < math.inf, "max_price", self.max_price, "positive and finite")

    @property
    def num_agents(self) -> int:
        return self.num_buyers + self.num_sellers

    @property
    def agent_names(self) -> tuple[str, ...]:
        buyers, sellers = range(self.num_buyers), range(self.num_sellers)
        return (*(f"buyer_{i}" for i in buyers), *(f"seller_{i}" for i in sellers))

    @property
    def default_params(self) -> CallMarketParams:
        zeros = jnp.zeros(self.num_agents)
        return CallMarketParams(zeros, zeros + self.max_price, jnp.asarray(0.5, float))

    def validate(self, params: CallMarketParams) -> None:
        low, high, weight = (np.asarray(x) for x in (params.low, params.high, params.weight))
        for name, number in (("low", low), ("high", high)):
            require(number.shape[-1:] == (self.num_agents,), name, number.shape, f"of shape [{self.num_agents}]")
        ordered = bool((np.isfinite(high) & (low >= 0) & (low <= high)).all())
        require(ordered, "low", low.tolist(), "at least 0, and at most high, which is finite")
        require(bool(((weight >= 0) & (weight <= 1)).all()), "weight", weight.tolist(), "in [0, 1]")

    def action_space(self, params: CallMarketParams) -> Box:
        return Box(0.0, self.max_price)

    def observation_space(self, params: CallMarketParams) -> Box:
        return Box(0.0, math.inf, (2,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    def initial(self, chance, params: CallMarketParams) -> CallMarketState:
        return CallMarketState(params.low + (params.high - params.low) * chance)

    def transition(self, state: CallMarketState, action: Array, chance, params: CallMarketParams):
        prices = jnp.clip(action, 0.0, self.max_price)
        found = clear(prices[: self.num_buyers], prices[self.num_buyers :], params.weight, chance, self.rule)
        values, costs = state.values[: self.num_buyers], state.values[self.num_buyers :]
        gains = jnp.where(found.buys, values - found.buyer_price, 0.0)
        gains = jnp.concatenate([gains, jnp.where(found.sells, found.seller_price - costs, 0.0)])
        traded = found.quantity > 0
        revenue = found.quantity * (found.buyer_price - found.seller_price)
        info = {
            "quantity": found.quantity,
            "surplus": jnp.sum(gains) + revenue,
            "max_surplus": max_surplus(values, costs),
            "buyer_price": jnp.where(traded, found.buyer_price, 0.0),
            "seller_price": jnp.where(traded, found.seller_price, 0.0),
            "revenue": revenue,
        }
        return state, gains, jnp.ones((), bool), info

    def observe(self, state: CallMarketState, params: CallMarketParams) -> Float[Array, "N 2"]:
        buyer = jnp.arange(self.num_agents) < self.num_buyers
        return jnp.stack([state.values, buyer], axis=1, dtype=jnp.float32)

    def benchmarks(self, params: CallMarketParams) -> dict[str, Any]:
        """`truthful`: the policy that names the own value, efficient under `k_double`, dominant under `mcafee`. For one
        buyer and one seller with values uniform on [0, 1] and κ of one half also `linear`, the equilibrium of
        Chatterjee and Samuelson (1983), its expected `surplus` 9/64, and `efficiency` 27/32. Policies use no params.
        """
        answers: dict[str, Any] = {
            "truthful": Policy(lambda chance: (), lambda p, m, obs, c: (obs[0], m), name="truthful")
        }
        bilateral = (self.num_buyers, self.num_sellers, self.rule) == (1, 1, "k_double")
        uniform = bool((np.asarray(params.low) == 0).all() and (np.asarray(params.high) == 1).all())
        if not (bilateral and uniform and float(params.weight) == 0.5 and self.max_price >= 1):
            return answers

        def linear(params, memory, obs, chance):
            return 2 / 3 * obs[0] + jnp.where(obs[1] > 0.5, 1 / 12, 1 / 4), memory

        policy = Policy(lambda chance: (), linear, name="linear")
        return answers | {"linear": policy, "surplus": 9 / 64, "efficiency": 27 / 32}


def max_surplus(values: Float[Array, " n_b"], costs: Float[Array, " n_s"]) -> Float[Array, ""]:
    """Largest total gain from trade of units with these values and costs."""
    pairs = min(len(values), len(costs))
    gaps = jnp.sort(values, descending=True)[:pairs] - jnp.sort(costs)[:pairs]
    return jnp.sum(jnp.maximum(gaps, 0.0))
