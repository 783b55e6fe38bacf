"""Repeated second-price auctions with budgets, and adaptive pacing as a policy that plays them."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box
from jaxmarl.envs.auctions import mechanism
from jaxmarl.envs.auctions.budget_closed_forms import PacingRule, symmetric_uniform_pacing
from jaxmarl.envs.auctions.ledger import Ledger
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each, require_prior
from jaxmarl.envs.auctions.priors import MARGINALS, Marginal
from jaxmarl.envs.auctions.priors import Uniform as UniformPrior

ENTRIES = ("all", "elected")


@struct.dataclass
class RepeatedAuctionParams:
    """Numbers of the repeated auctions.

    Attributes:
        rate: `[N]`, budgets per round: a bidder has `rate * horizon` in all.
        prior: law of each bidder's values, independent over bidders and rounds.
        outside: law of the highest bid from outside, with leaves `[1]`.
    """

    rate: Float[Array, " N"]
    prior: Any
    outside: Any


@struct.dataclass
class RepeatedAuctionState:
    """The values of the round, and what has been paid.

    Attributes:
        values: `[N]`, of the item on sale.
        ledger: what bidders have paid so far.
        payments: `[N]`, in the last round.
        outside: the highest outside bid of the last round, 0 before there is one.
        round: number of rounds played.
    """

    values: Float[Array, " N"]
    ledger: Ledger
    payments: Float[Array, " N"]
    outside: Float[Array, ""]
    round: Int32[Array, ""]


@register("repeated_second_price_auction")
@dataclass(frozen=True)
class RepeatedSecondPriceAuction(Environment[RepeatedAuctionState, RepeatedAuctionParams]):
    """One item a round; the highest bid wins and pays the second highest, that from outside included.

    An action is a bid (a pacing policy bids `value / (1 + multiplier)`), cut to the money left. Ties with the outside
    bid are lost; members' equal bids share the item. The reward is value less price of what is won. With entry
    `"elected"` only the highest bid of all members enters, as if they bid through one agent: its price is the outside
    bid (the coordinated bidding of Chen et al. 2023). Setting of Balseiro and Gur (2019).

    An observation is the bidder's own `[value, budget per round, money left, last payment]`, and `[the last outside
    bid, share of the rounds played]`. `info`: `allocation [N]`, `payments [N]`, `revenue`, `welfare`, `outside`.

    Attributes:
        num_agents: number of bidders `N`.
        horizon: number of rounds.
        entry: `"all"` or `"elected"`.
        prior: family of the laws of values and outside bid, of `priors.MARGINALS`.
        max_bid: largest bid.
    """

    num_agents: int = 2
    horizon: int = 100
    entry: str = "all"
    prior: str = "uniform"
    max_bid: float = 1.0

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("horizon", self.horizon, 1)
        require_choice("entry", self.entry, ENTRIES)
        require_choice("prior", self.prior, MARGINALS)
        require(self.max_bid > 0, "max_bid", self.max_bid, "positive")

    @property
    def default_params(self) -> RepeatedAuctionParams:
        law = MARGINALS[self.prior]
        return RepeatedAuctionParams(
            jnp.full(self.num_agents, 0.06, float), law.default(self.num_agents), law.default(1)
        )

    def action_space(self, params: RepeatedAuctionParams) -> Box:
        return Box(0.0, self.max_bid)

    def observation_space(self, params: RepeatedAuctionParams) -> Box:
        return Box(-math.inf, math.inf, (6,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    @property
    def step_chance(self) -> ChanceSpec:
        """The outside bid of the round, and the values of the next one."""
        return Uniform((1,)), Uniform((self.num_agents,))

    def validate(self, params: RepeatedAuctionParams) -> None:
        require_each(params, self.num_agents, "rate")
        require_amounts(params, "rate")
        require_prior(params.prior, MARGINALS[self.prior], self.num_agents)
        require_prior(params.outside, MARGINALS[self.prior], 1, "outside")

    def initial(self, chance: Chance, params: RepeatedAuctionParams) -> RepeatedAuctionState:
        prior: Marginal = params.prior
        nothing = jnp.zeros_like(params.rate)
        values, zero = prior.quantile(chance), jnp.zeros((), params.rate.dtype)
        return RepeatedAuctionState(values, Ledger.empty(nothing), nothing, zero, jnp.zeros((), jnp.int32))

    def transition(self, state: RepeatedAuctionState, action: Array, chance: Chance, params: RepeatedAuctionParams):
        outside_unit, units = chance
        law: Marginal = params.outside
        outside = law.quantile(outside_unit)[0].astype(state.outside.dtype)
        left = state.ledger.left(params.rate * self.horizon)
        bids = jnp.minimum(jnp.clip(action, 0.0, self.max_bid), left)
        competing = bids > outside
        if self.entry == "elected":
            competing = competing & (bids == jnp.max(bids))
        allocation = mechanism.award(mechanism.places(bids, competing, "split"), competing, jnp.ones(1, bids.dtype))
        if_win, _ = mechanism.PAYMENT_RULES["second_price"](bids, competing, outside)
        if self.entry == "elected":
            if_win = jnp.broadcast_to(outside, if_win.shape)
        payments = (allocation * if_win).astype(state.payments.dtype)
        prior: Marginal = params.prior
        after = RepeatedAuctionState(
            prior.quantile(units), state.ledger.pay(payments), payments, outside, state.round + 1
        )
        info = {
            "allocation": allocation,
            "payments": payments,
            "revenue": jnp.sum(payments),
            "welfare": jnp.sum(allocation * state.values),
            "outside": outside,
        }
        return after, allocation * state.values - payments, after.round >= self.horizon, info

    def observe(self, state: RepeatedAuctionState, params: RepeatedAuctionParams) -> Float[Array, "N 6"]:
        left = state.ledger.left(params.rate * self.horizon)
        own = jnp.stack([state.values, params.rate, left, state.payments], axis=1)
        public = jnp.stack([state.outside, state.round / self.horizon]).astype(own.dtype)
        return jnp.concatenate([own, jnp.broadcast_to(public, (self.num_agents, 2))], axis=1)

    def benchmarks(self, params: RepeatedAuctionParams) -> dict[str, Any]:
        """`policy`: adaptive pacing; where all values and the outside bid are uniform on [0, 1] and budgets equal,
        `pace`, the share of the value that is bid where pacing settles, and `utility`, of each bidder a round.
        """
        answers: dict[str, Any] = {"policy": adaptive_pacing(self.horizon)}
        laws = (params.prior, params.outside)
        standard = all(type(law) is UniformPrior and not np.any(law.low) and np.all(law.high == 1) for law in laws)
        rates = np.asarray(params.rate)
        if not standard or np.ptp(rates) > 0 or rates[0] <= 0:
            return answers
        rule: PacingRule = "independent" if self.entry == "all" else "coordinated"
        pace, utility = symmetric_uniform_pacing(float(rates[0]), self.num_agents, rule)
        return answers | {"pace": pace, "utility": np.full(self.num_agents, utility)}


def adaptive_pacing(
    horizon: int,
    *,
    initial: float = 0.0,
    step_size: float | None = None,
    max_multiplier: float | None = None,
    value_bound: float = 1.0,
) -> Policy:
    """Adaptive pacing (Balseiro and Gur 2019): bids `v / (1 + mu)`, and `mu` follows spend less budget, round by round.

    Plays `repeated_second_price_auction` as `solvers.auctions.pacing_dynamics` does, to which the options belong.

    Args:
        horizon: number of rounds.
        initial: multiplier before the first round.
        step_size: of the multiplier; None for `1 / (value_bound sqrt(horizon))`.
        max_multiplier: None for `value_bound / (budget per round) - 1`.
        value_bound: the largest value there can be.
    """
    require_int("horizon", horizon, 1)
    require(value_bound > 0, "value_bound", value_bound, "positive")
    step = 1 / (value_bound * horizon**0.5) if step_size is None else step_size

    def init(chance):
        return jnp.full((), initial, jnp.float32), jnp.zeros((), bool)

    def act(params, memory, obs, chance):
        multiplier, started = memory
        value, rate, payment = obs[0], obs[1], obs[3]
        paid = rate > 0  # a bidder without money has no bid to pace
        bound = value_bound / jnp.where(paid, rate, 1.0) - 1 if max_multiplier is None else max_multiplier
        highest = jnp.maximum(bound, 0.0)
        moved = jnp.where(started, multiplier - step * (rate - payment), multiplier)
        multiplier = jnp.clip(moved, 0.0, highest).astype(jnp.float32)
        return (value / (1 + multiplier)).astype(jnp.float32), (multiplier, jnp.ones((), bool))

    return Policy(init, act, name="adaptive pacing")
