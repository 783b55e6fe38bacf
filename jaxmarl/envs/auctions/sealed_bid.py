"""One item, one sealed bid each: first-, second- and third-price auctions, all-pay auctions, wars of attrition."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Info
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import interdependent, mechanism, priors
from jaxmarl.envs.auctions.benchmarks import known_answers
from jaxmarl.envs.auctions.one_shot import OneShotAuction, require_amounts, require_each, require_prior, require_risk

PRIORS: dict[str, type[priors.Prior]] = {
    **priors.MARGINALS,
    "bernoulli_weights": interdependent.BernoulliWeights,
    "wallet": interdependent.Wallet,
    "affiliated": interdependent.Affiliated,
    "mineral_rights": interdependent.MineralRights,
    "common_value": interdependent.CommonValue,
}


@struct.dataclass
class SealedBidParams:
    """Numbers of an auction.

    Attributes:
        active: bool `[N]`, who takes part; the others observe zeros and earn nothing.
        reserve: least bid that is accepted, and least price.
        entry_fee: paid by everyone whose bid is accepted; where it is positive, a bid of 0 stays out.
        risk: `[N]`, exponents of CRRA utility, 1 for risk-neutral bidders.
        temperature: of the smoothed allocation, unused otherwise.
        prior: numbers of the joint law of signals and values.
    """

    active: Bool[Array, " N"]
    reserve: Float[Array, ""]
    entry_fee: Float[Array, ""]
    risk: Float[Array, " N"]
    temperature: Float[Array, ""]
    prior: Any


@struct.dataclass
class SealedBidState:
    """What chance dealt.

    Attributes:
        signals: `[N]`, what each bidder knows; its value, under private values.
        values: `[N]`, what the item is worth to each bidder.
    """

    signals: Float[Array, " N"]
    values: Float[Array, " N"]


@dataclass(frozen=True)
class SealedBidAuction(OneShotAuction[SealedBidState, SealedBidParams]):
    """Bidders see their signals and bid once, at the same time; the highest bid wins one item.

    The reward is the CRRA utility of what the item is worth, if won, less what is paid. Bids below the reserve, and
    with an entry fee bids of 0, do not take part. An observation is the bidder's own
    `[signal, risk, active, number of active bidders, reserve, entry fee]`.

    `info`: `allocation [N]` (shares, or chances of winning), `payments [N]` (expected, fees included), `revenue` (their
    sum), `welfare` (values allocated), `efficient_welfare` (the highest active value), `winner` (the first of those
    with the largest allocation, -1 where the item stays unsold), `price` (what the winner pays, fee included). Bidders
    are alike (`symmetric`) as far as their numbers in `params` are equal.

    Attributes:
        payment: who pays what, of `mechanism.PAYMENT_RULES`.
        num_agents: number of bidders `N`, active or not.
        prior: family of the law of signals and values, of `PRIORS`.
        num_bid_levels: number of equally spaced bids from 0 to `max_bid`, None for continuous bids.
        max_bid: largest bid; continuous bids are clipped to it, and it may be infinite.
        tie_rule: what equal bids get, of `mechanism.TIE_RULES`; `"split"` is the expected payoff of a fair draw.
        smooth: allocate by `mechanism.smooth_award` at `params.temperature`, for gradients through the allocation.
    """

    payment: str = "first_price"
    num_agents: int = 2
    prior: str = "uniform"
    num_bid_levels: int | None = None
    max_bid: float = 2.0
    tie_rule: str = "split"
    smooth: bool = False

    symmetric = True
    tie_rules = mechanism.TIE_RULES

    def __post_init__(self):
        require_choice("payment", self.payment, mechanism.PAYMENT_RULES)
        require_int("num_agents", self.num_agents, 1)
        require_choice("prior", self.prior, PRIORS)
        require(isinstance(self.smooth, bool), "smooth", self.smooth, "True or False")
        self.check_bids()

    @property
    def differentiable_params(self) -> tuple[str, ...]:
        return ("reserve",) if self.smooth else ()

    @property
    def default_params(self) -> SealedBidParams:
        n = self.num_agents
        prior = PRIORS[self.prior].default(n)
        zero = jnp.zeros(())
        return SealedBidParams(jnp.ones(n, bool), zero, zero, jnp.ones(n), jnp.full((), 0.01, float), prior)

    def observation_space(self, params: SealedBidParams) -> Box:
        return Box(-math.inf, math.inf, (6,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return PRIORS[self.prior].chance(self.num_agents)

    @property
    def step_chance(self) -> ChanceSpec:
        return () if self.smooth else super().step_chance

    def validate(self, params: SealedBidParams) -> None:
        require_each(params, self.num_agents, "active")
        require_amounts(params, "reserve", "entry_fee")
        require_risk(params, self.num_agents)
        temperature = np.asarray(params.temperature)
        require(bool((temperature > 0).all()), "temperature", temperature.tolist(), "positive")
        require_prior(params.prior, PRIORS[self.prior], self.num_agents)

    def initial(self, chance, params: SealedBidParams) -> SealedBidState:
        return SealedBidState(*params.prior.sample(chance, params.active))

    def transition(self, state: SealedBidState, action: Array, chance, params: SealedBidParams):
        bids, values = self.bids(action), state.values
        # the smoothed auction lets the seller bid the reserve instead of refusing what is below it
        least = 0.0 if self.smooth else params.reserve
        competing = mechanism.entrants(bids, params.active, least, params.entry_fee)
        if self.smooth:
            allocation = mechanism.smooth_award(bids, competing, params.reserve, params.temperature)
        else:
            where = mechanism.places(bids, competing, self.tie_rule, self.lots(chance))
            allocation = mechanism.award(where, competing, jnp.ones(1, bids.dtype))
        fees = jnp.where(competing, params.entry_fee, 0.0)
        if_win, if_lose = mechanism.PAYMENT_RULES[self.payment](bids, competing, params.reserve)
        if_win, if_lose = if_win + fees, if_lose + fees
        reward = mechanism.expected_utility(allocation, values, if_win, if_lose, params.risk)
        return state, reward, jnp.ones((), bool), measure_sale(allocation, values, if_win, if_lose, params.active)

    def observe(self, state: SealedBidState, params: SealedBidParams) -> Float[Array, "N 6"]:
        public = jnp.stack([jnp.sum(params.active), params.reserve, params.entry_fee]).astype(state.signals.dtype)
        own = jnp.stack([state.signals, params.risk, params.active], axis=1, dtype=state.signals.dtype)
        seen = jnp.concatenate([own, jnp.broadcast_to(public, (self.num_agents, 3))], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def benchmarks(self, params: SealedBidParams) -> dict[str, Any]:
        """What theory knows of this auction; entries are absent where no closed form is known.

        `bid`: a function from signals `[..., N]` to equilibrium bids `[..., N]`; `revenue`: expected; `utility`: `[N]`,
        expected before signals are known (0 for inactive bidders). Looks at the numbers, so it runs outside jit; the
        bid function itself may be jitted. Bids are those of the continuous auction without `max_bid`.
        """
        return known_answers(self.payment, params)


def measure_sale(
    allocation: Float[Array, " N"],
    values: Float[Array, " N"],
    if_win: Float[Array, " N"],
    if_lose: Float[Array, " N"],
    active: Bool[Array, " N"],
) -> Info:
    """The `info` of a sale of one item: allocation, payments, revenue, welfare, winner and price."""
    payments = allocation * if_win + (1 - allocation) * if_lose
    sold = jnp.max(allocation) > 0
    winner: Int32[Array, ""] = jnp.where(sold, jnp.argmax(allocation), -1).astype(jnp.int32)
    best = allocation == jnp.max(allocation)
    return {
        "allocation": allocation,
        "payments": payments,
        "revenue": jnp.sum(payments),
        "welfare": jnp.sum(allocation * values),
        "efficient_welfare": jnp.max(jnp.where(active, values, 0.0)),
        "winner": winner,
        "price": jnp.where(sold, jnp.max(jnp.where(best, if_win, 0.0)), 0.0),
    }


@register("first_price_auction")
@dataclass(frozen=True)
class FirstPriceAuction(SealedBidAuction):
    """The winner pays its bid. With uniform values, `N` risk-neutral bidders bid `(N - 1) / N` of their values."""

    payment: str = field(default="first_price", init=False)


@register("second_price_auction")
@dataclass(frozen=True)
class SecondPriceAuction(SealedBidAuction):
    """The winner pays the highest other bid, or the reserve. Bidding one's private value is dominant."""

    payment: str = field(default="second_price", init=False)


@register("third_price_auction")
@dataclass(frozen=True)
class ThirdPriceAuction(SealedBidAuction):
    """The winner pays the second highest other bid. Equilibrium bids exceed values."""

    payment: str = field(default="third_price", init=False)
    num_agents: int = 3


@register("all_pay_auction")
@dataclass(frozen=True)
class AllPayAuction(SealedBidAuction):
    """The highest bid wins, and everybody pays."""

    payment: str = field(default="all_pay", init=False)


@register("war_of_attrition")
@dataclass(frozen=True)
class WarOfAttrition(SealedBidAuction):
    """The highest bid wins and pays the highest other bid; losers pay their own. Equilibrium bids are unbounded."""

    payment: str = field(default="war_of_attrition", init=False)
    max_bid: float = 16.0
