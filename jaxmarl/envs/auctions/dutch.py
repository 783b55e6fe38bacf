"""The Dutch auction: the price falls until somebody takes the item."""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.chance import Chance
from jaxmarl.core.registry import register
from jaxmarl.envs.auctions.clock import ClockAuction, ClockParams, ClockState


@register("dutch_auction")
@dataclass(frozen=True)
class DutchAuction(ClockAuction):
    """The price falls from `top` to the reserve; action 1 stops the clock and buys at the price shown, 0 waits.

    The first to stop wins, by lot where several do, and pays the price; after the reserve the item stays unsold. All
    that a bidder can choose is at which price to stop, so it is the first-price auction with the clock's prices as
    bids. An observation is the bidder's own `[signal, risk, active]` and the public `[price, number of active bidders,
    reserve, increment]`. `info` is that of sealed-bid auctions, with zeros and winner -1 until the sale.
    """

    def price(self, level, params: ClockParams) -> Array:
        # rounding must not take the last price below the reserve
        return jnp.maximum(params.top - self.increment(params) * level, params.reserve)

    def transition(self, state: ClockState, action: Array, chance: Chance, params: ClockParams):
        stop = state.remaining & (action == 1)
        last = state.level == self.num_levels - 1
        reward, info = self.sell(self.price(state.level, params), stop, state, chance, params)
        after = replace(state, level=jnp.minimum(state.level + 1, self.num_levels - 1))
        return after, reward, jnp.any(stop) | last, info

    def benchmarks(self, params: ClockParams) -> dict[str, Any]:
        """What theory knows of the auction with infinitely fine prices: the first-price auction; outside jit.

        `bid`: from signals `[..., N]` to the prices at which to stop; `policies`: one for each bidder, which stop
        there; `revenue`: expected; `utility`: `[N]`, expected before signals are known.
        """
        return self.answers_of("first_price", params)
