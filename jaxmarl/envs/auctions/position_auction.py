"""Positions on a page, sold by one bid a click: generalised second price, VCG and generalised first price."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import equilibria, mechanism, priors
from jaxmarl.envs.auctions.one_shot import (
    OneShotAuction,
    PrivateValues,
    common_law,
    require_amounts,
    require_each,
    require_prior,
)

PAYMENTS: dict[str, mechanism.PlacePrices] = {
    "gsp": mechanism.pay_next_bid,
    "vcg": mechanism.pay_harm,
    "first_price": mechanism.pay_own_bid,
}


@struct.dataclass
class PositionParams:
    """Numbers of a position auction.

    Attributes:
        active: bool `[N]`, who takes part; the others observe zeros and earn nothing.
        reserve: least score that is accepted, and least price in scores.
        click_rates: `[K]`, clicks of a bidder of quality 1 in each slot, best first, not increasing.
        quality: `[N]`, factors on a bidder's clicks in every slot; scores are bids times these.
        prior: laws of the values of a click, leaves `[N]`.
    """

    active: Bool[Array, " N"]
    reserve: Float[Array, ""]
    click_rates: Float[Array, " K"]
    quality: Float[Array, " N"]
    prior: Any


@register("position_auction")
@dataclass(frozen=True)
class PositionAuction(OneShotAuction[PrivateValues, PositionParams]):
    """Bids for a click are ranked by score, bid times quality; slot `s` yields `quality * click_rates[s]` clicks.

    A click costs, in scores, over the payer's quality: `"gsp"`: the score of the next slot (Edelman, Ostrovsky and
    Schwarz 2007; Varian 2007); `"first_price"`: the bidder's own. `"vcg"` charges for the clicks that one keeps from
    those behind, which makes truthful bids dominant. Rewards are expected over clicks: clicks times value, less
    payment.

    An observation is `[value of a click, quality, active, number of active bidders, reserve, click rates (K)]`, the
    bidder's own value and quality. `info`: `allocation [N]` (clicks), `payments [N]`, `revenue`, `welfare`,
    `efficient_welfare`. Bidders are alike (`symmetric`) as far as their numbers in `params` are equal.

    Attributes:
        payment: `"gsp"`, `"vcg"` or `"first_price"`.
        num_agents: number of bidders `N`, active or not.
        num_slots: `K`.
        prior: family of the values of a click, of `priors.MARGINALS`.
        num_bid_levels: number of equally spaced bids from 0 to `max_bid`, None for continuous bids.
        max_bid: largest bid; continuous bids are clipped to it, and it may be infinite.
        tie_rule: `"split"` or `"random"`.
    """

    payment: str = "gsp"
    num_agents: int = 4
    num_slots: int = 3
    prior: str = "uniform"
    num_bid_levels: int | None = None
    max_bid: float = 2.0
    tie_rule: str = "split"

    symmetric = True

    def __post_init__(self):
        require_choice("payment", self.payment, PAYMENTS)
        require_int("num_agents", self.num_agents, 1)
        require_int("num_slots", self.num_slots, 1)
        require_choice("prior", self.prior, priors.MARGINALS)
        self.check_bids()

    @property
    def default_params(self) -> PositionParams:
        n = self.num_agents
        prior = priors.MARGINALS[self.prior].default(n)
        rates = 0.6 ** jnp.arange(self.num_slots)
        return PositionParams(jnp.ones(n, bool), jnp.zeros(()), rates, jnp.ones(n), prior)

    def observation_space(self, params: PositionParams) -> Box:
        return Box(-math.inf, math.inf, (5 + self.num_slots,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    def validate(self, params: PositionParams) -> None:
        require_each(params, self.num_agents, "active", "quality")
        require_each(params, self.num_slots, "click_rates")
        require_amounts(params, "reserve", "click_rates")
        rates, quality = np.asarray(params.click_rates), np.asarray(params.quality)
        require(bool((np.diff(rates, axis=-1) <= 0).all()), "click_rates", rates.tolist(), "not increasing")
        usable = bool((np.isfinite(quality) & (quality > 0)).all())
        require(usable, "quality", quality.tolist(), "positive, and finite")
        require_prior(params.prior, priors.MARGINALS[self.prior], self.num_agents)

    def initial(self, chance, params: PositionParams) -> PrivateValues:
        return PrivateValues(params.prior.sample(chance, params.active)[1])

    def transition(self, state: PrivateValues, action: Array, chance, params: PositionParams):
        scores, worth = params.quality * self.bids(action), params.quality * state.values
        competing = params.active & (scores >= params.reserve)
        where = mechanism.places(scores, competing, self.tie_rule, self.lots(chance))
        rates = mechanism.award(where, competing, params.click_rates)
        held = mechanism.standing(scores, where, competing, jnp.arange(self.num_slots + 1), params.reserve)
        prices = PAYMENTS[self.payment](held, params.click_rates)
        payments = mechanism.award(where, competing, prices)
        best = mechanism.places(worth, params.active, "split")
        info = {
            "allocation": params.quality * rates,
            "payments": payments,
            "revenue": jnp.sum(payments),
            "welfare": jnp.sum(rates * worth),
            "efficient_welfare": jnp.sum(mechanism.award(best, params.active, params.click_rates) * worth),
        }
        return state, rates * worth - payments, jnp.ones((), bool), info

    def observe(self, state: PrivateValues, params: PositionParams) -> Float[Array, "N features"]:
        dtype = state.values.dtype
        own = jnp.stack([state.values, params.quality, params.active], axis=1, dtype=dtype)
        public = jnp.stack([jnp.sum(params.active), params.reserve], dtype=dtype)
        public = jnp.concatenate([public, params.click_rates], dtype=dtype)
        seen = jnp.concatenate([own, jnp.broadcast_to(public, (self.num_agents, len(public)))], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def benchmarks(self, params: PositionParams) -> dict[str, Any]:
        """What theory knows of this auction; entries are absent where no closed form is known.

        `bid`: a function from values `[..., N]` to equilibrium bids `[..., N]`: the values, with `"vcg"`, or with
        `"gsp"` and one slot. Where active bidders are alike, expected before values are known: `revenue` and
        `utility [N]` of VCG. With `"gsp"` these are called `envy_free_revenue` and `envy_free_utility`: bidders who
        know each other's values and bid `solvers.auctions.envy_free_bids` pay the same. Runs outside jit.
        """
        active = np.flatnonzero(params.active)
        truthful = self.payment == "vcg" or (self.payment == "gsp" and self.num_slots == 1)
        answers: dict[str, Any] = {"bid": lambda values: values} if truthful else {}
        quality = np.asarray(params.quality)[active]
        law = common_law(params.prior, active)
        if self.payment == "first_price" or law is None or np.ptp(quality) != 0:
            return answers
        rates = params.click_rates * quality[0]
        threshold = jnp.clip(params.reserve / quality[0], law.low, law.high)
        utility = equilibria.expected_utility(law, len(active), threshold, rates)
        prefix = "" if truthful else "envy_free_"
        return answers | {
            f"{prefix}revenue": equilibria.expected_revenue(law, len(active), threshold, rates),
            f"{prefix}utility": jnp.zeros(params.active.shape).at[active].set(utility),
        }
