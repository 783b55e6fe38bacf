"""A continuous double auction, and the traders without intelligence that make it efficient (Gode and Sunder 1993)."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box

NOBODY = -1


@struct.dataclass
class ContinuousDoubleAuctionParams:
    """`values [N, U]`: what each unit is worth to a buyer (they come first), or costs a seller, in order of trading."""

    values: Float[Array, "N U"]


@struct.dataclass
class ContinuousDoubleAuctionState:
    """State of the session.

    Attributes:
        step: orders so far.
        traded: `[N]`, units each trader has bought or sold.
        quote: `[2]`, best bid and best ask; 0 and the largest price where there is none.
        quoter: `[2]`, whose they are, `NOBODY` where there is none.
        price: of the last trade, 0 before the first.
        surplus: gains from trade so far.
    """

    step: Int32[Array, ""]
    traded: Int32[Array, " N"]
    quote: Float[Array, " 2"]
    quoter: Int32[Array, " 2"]
    price: Float[Array, ""]
    surplus: Float[Array, ""]


@register("continuous_double_auction")
@dataclass(frozen=True)
class ContinuousDoubleAuction(Environment[ContinuousDoubleAuctionState, ContinuousDoubleAuctionParams]):
    """At every step one trader with units left, drawn with equal chances, sends a price; crossing quotes trade at once.

    An order that reaches the other side's best quote trades one unit at that quote, and then both quotes are cleared;
    otherwise it becomes its own side's best quote if it is better than that. Everybody names a price at each step, and
    only the price of the trader drawn counts. Rewards are gains: a buyer's value less the price, a seller's price less
    the cost. An observation is `[value of the own next unit, 1 for a buyer, units left, best bid, best ask, t / T]`.

    `info`: `trade` (bool), `price` (of the last trade), `trader` (who was drawn, `NOBODY` where all have finished),
    `surplus` and `quantity` (so far).

    Attributes:
        num_buyers: at least 1.
        num_sellers: at least 1.
        num_units: units `U` a trader has.
        num_steps: orders of a session.
        max_price: prices lie between 0 and it.
    """

    num_buyers: int = 10
    num_sellers: int = 10
    num_units: int = 1
    num_steps: int = 200
    max_price: float = 200.0

    def __post_init__(self):
        for name in ("num_buyers", "num_sellers", "num_units", "num_steps"):
            require_int(name, getattr(self, name), 1)
        require(0 < self.max_price < math.inf, "max_price", self.max_price, "positive and finite")

    @property
    def num_agents(self) -> int:
        return self.num_buyers + self.num_sellers

    @property
    def agent_names(self) -> tuple[str, ...]:
        buyers, sellers = range(self.num_buyers), range(self.num_sellers)
        return (*(f"buyer_{i}" for i in buyers), *(f"seller_{i}" for i in sellers))

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> ContinuousDoubleAuctionParams:
        """Values fall evenly from 3/4 of the largest price to 3/10 of it, costs rise from 1/4 to 7/10; each in turn."""
        units = np.arange(self.num_units)

        def ladder(first, last, traders):
            rank = np.arange(traders)[:, None] + traders * units
            return first + (last - first) * rank / max(traders * self.num_units - 1, 1)

        values, costs = ladder(0.75, 0.3, self.num_buyers), ladder(0.25, 0.7, self.num_sellers)
        return ContinuousDoubleAuctionParams(jnp.asarray(self.max_price * np.concatenate([values, costs]), float))

    def validate(self, params: ContinuousDoubleAuctionParams) -> None:
        values, shape = np.asarray(params.values), (self.num_agents, self.num_units)
        require(values.shape[-2:] == shape, "values", values.shape, f"of shape {list(shape)}")
        within = bool(((values >= 0) & (values <= self.max_price)).all())
        require(within, "values", values.tolist(), f"between 0 and max_price {self.max_price}")

    def action_space(self, params: ContinuousDoubleAuctionParams) -> Box:
        return Box(0.0, self.max_price)

    def observation_space(self, params: ContinuousDoubleAuctionParams) -> Box:
        return Box(0.0, math.inf, (6,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform()

    @property
    def _buyer(self) -> Bool[Array, " N"]:
        return jnp.arange(self.num_agents) < self.num_buyers

    def initial(self, chance, params: ContinuousDoubleAuctionParams) -> ContinuousDoubleAuctionState:
        zero = jnp.zeros((), params.values.dtype)
        nobody = jnp.full(2, NOBODY, jnp.int32)
        traded = jnp.zeros(self.num_agents, jnp.int32)
        return ContinuousDoubleAuctionState(jnp.zeros((), jnp.int32), traded, self._no_quotes(zero), nobody, zero, zero)

    def _no_quotes(self, zero: Array) -> Float[Array, " 2"]:
        return jnp.stack([zero, zero + self.max_price])

    def _next_values(
        self, state: ContinuousDoubleAuctionState, params: ContinuousDoubleAuctionParams
    ) -> Float[Array, " N"]:
        """Value or cost of everyone's next unit, 0 for those who have finished."""
        this = jnp.arange(self.num_units) == state.traded[:, None]
        return jnp.sum(jnp.where(this, params.values, 0.0), axis=1)

    def transition(
        self, state: ContinuousDoubleAuctionState, action: Array, chance, params: ContinuousDoubleAuctionParams
    ):
        active = state.traded < self.num_units
        index = jnp.arange(self.num_agents)
        # the k-th active trader, k uniform
        place = jnp.floor(chance * jnp.sum(active)).astype(jnp.int32)
        chosen = active & (jnp.cumsum(active) - 1 == place)
        trader = jnp.where(jnp.any(active), jnp.sum(jnp.where(chosen, index, 0)), NOBODY).astype(jnp.int32)
        price = jnp.sum(jnp.where(chosen, jnp.clip(action, 0.0, self.max_price), 0.0))
        buys = trader < self.num_buyers
        present = trader != NOBODY
        own, other = jnp.where(buys, 0, 1), jnp.where(buys, 1, 0)
        quote, quoter = state.quote, state.quoter
        reaches = jnp.where(buys, price >= quote[1], price <= quote[0])
        trade = present & (quoter[other] != NOBODY) & reaches
        better = (quoter[own] == NOBODY) | jnp.where(buys, price > quote[0], price < quote[1])
        improves = present & ~trade & better & (jnp.arange(2) == own)

        deal = quote[other]
        party = trade & ((index == trader) | (index == quoter[other]))
        values = self._next_values(state, params)
        gains = jnp.where(party, jnp.where(self._buyer, values - deal, deal - values), 0.0)
        quote = jnp.where(trade, self._no_quotes(jnp.zeros_like(deal)), jnp.where(improves, price, quote))
        quoter = jnp.where(trade, NOBODY, jnp.where(improves, trader, quoter))
        state = ContinuousDoubleAuctionState(
            state.step + 1,
            state.traded + party.astype(jnp.int32),
            quote,
            quoter,
            jnp.where(trade, deal, state.price),
            state.surplus + jnp.sum(gains),
        )
        info = {
            "trade": trade,
            "price": state.price,
            "trader": trader,
            "surplus": state.surplus,
            "quantity": jnp.sum(jnp.where(self._buyer, state.traded, 0), dtype=jnp.int32),
        }
        return state, gains, state.step >= self.num_steps, info

    def observe(
        self, state: ContinuousDoubleAuctionState, params: ContinuousDoubleAuctionParams
    ) -> Float[Array, "N 6"]:
        left = self.num_units - state.traded
        public = jnp.stack([*state.quote, state.step / self.num_steps])
        own = jnp.stack([self._next_values(state, params), self._buyer, left], axis=1, dtype=jnp.float32)
        shown = jnp.broadcast_to(public.astype(jnp.float32), (self.num_agents, 3))
        return jnp.concatenate([own, shown], axis=1)

    def benchmarks(self, params: ContinuousDoubleAuctionParams) -> dict[str, Any]:
        """`max_surplus`, and the policies `zi_c` and `zi_u` of `zero_intelligence` (unused params)."""
        values, costs = np.asarray(params.values)[: self.num_buyers], np.asarray(params.values)[self.num_buyers :]
        return {
            "max_surplus": float(max_surplus(jnp.ravel(values), jnp.ravel(costs))),
            "zi_c": zero_intelligence(self.max_price, constrained=True),
            "zi_u": zero_intelligence(self.max_price, constrained=False),
        }


def zero_intelligence(max_price: float, constrained: bool) -> Policy:
    """Prices drawn uniformly: from [0, max_price] (ZI-U), or constrained never to lose (ZI-C).

    A constrained buyer bids between 0 and its value, a seller asks between its cost and `max_price`.
    """

    def act(params, memory, obs, chance):
        low = jnp.where(obs[1] > 0.5, 0.0, obs[0]) if constrained else 0.0
        high = jnp.where(obs[1] > 0.5, obs[0], max_price) if constrained else max_price
        return low + (high - low) * chance, memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name="zi_c" if constrained else "zi_u")


def max_surplus(values: Float[Array, " n_b"], costs: Float[Array, " n_s"]) -> Float[Array, ""]:
    """Largest total gain from trade of units with these values and costs."""
    pairs = min(len(values), len(costs))
    gaps = jnp.sort(values, descending=True)[:pairs] - jnp.sort(costs)[:pairs]
    return jnp.sum(jnp.maximum(gaps, 0.0))
