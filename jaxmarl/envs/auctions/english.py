"""The English auction on a button clock: the price rises and bidders drop out for good."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.chance import Chance
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions.clock import ClockAuction, ClockParams, ClockState


@register("english_auction")
@dataclass(frozen=True)
class EnglishAuction(ClockAuction):
    """The price rises from the reserve; action 1 stays in at the price shown, 0 drops out, irrevocably.

    The auction ends when at most one bidder accepts the price. One who is left alone pays it. Where the last ones drop
    out together, one of them gets the item at the price before, which they had accepted; at the reserve, it stays
    unsold. At the highest price the item goes to one of those who accept it. With private values it is dominant to
    accept prices up to one's value, and the price is then within one increment of the second highest value (Milgrom
    and Weber 1982, the "Japanese" auction).

    An observation is the bidder's own `[signal, risk, in or out]`, the public `[price, number of active bidders,
    reserve, increment, number still in]`, and the prices at which bidders dropped out, highest first, 0 for the others.
    `info` is that of sealed-bid auctions, with zeros and winner -1 until the sale.
    """

    def price(self, level, params: ClockParams) -> Array:
        return params.reserve + self.increment(params) * level

    def observation_space(self, params: ClockParams) -> Box:
        return Box(-math.inf, math.inf, (8 + self.num_agents,))

    def observe(self, state: ClockState, params: ClockParams) -> Float[Array, "N features"]:
        seen = super().observe(state, params)
        exits = jnp.where(state.exits >= 0, self.price(state.exits, params), 0.0).astype(seen.dtype)
        public = jnp.append(jnp.sum(state.remaining).astype(seen.dtype), jnp.sort(exits)[::-1])
        shown = jnp.where(params.active[:, None], public, 0.0)
        return jnp.concatenate([seen, shown], axis=1)

    def transition(self, state: ClockState, action: Array, chance: Chance, params: ClockParams):
        level = state.level
        stay = state.remaining & (action == 1)
        count = jnp.sum(stay)
        over = (count <= 1) | (level == self.num_levels - 1)
        # where nobody accepts this price, it is sold at the last one that somebody did
        accepted = jnp.where(count > 0, stay, state.remaining & (level > 0))
        price = self.price(jnp.where(count > 0, level, level - 1), params)
        reward, info = self.sell(price, accepted & over, state, chance, params)
        exits = jnp.where(state.remaining & ~stay, level, state.exits)
        after = replace(state, level=jnp.minimum(level + 1, self.num_levels - 1), remaining=stay, exits=exits)
        return after, reward, over, info

    def benchmarks(self, params: ClockParams) -> dict[str, Any]:
        """What theory knows of the auction with infinitely fine prices; outside jit.

        `bid`: from signals `[..., N]` to the highest prices to accept; `policies`: one for each bidder, which do that;
        `revenue`: expected; `utility`: `[N]`, expected before signals are known. With private values, or two bidders,
        these are the answers of the second-price auction; otherwise nothing is known here, as bidders learn from the
        prices at which others drop out.
        """
        alike = params.prior.private or int(np.sum(params.active)) <= 2
        return self.answers_of("second_price", params) if alike else {}
