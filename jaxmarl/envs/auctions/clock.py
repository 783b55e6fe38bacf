"""What single-item clock auctions share: a price that moves by itself, bidders who say yes or no, and the sale."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment, Info
from jaxmarl.core.policy import Policy
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.auctions import mechanism
from jaxmarl.envs.auctions.benchmarks import known_answers
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each, require_prior, require_risk
from jaxmarl.envs.auctions.priors import Marginal
from jaxmarl.envs.auctions.sealed_bid import PRIORS, SealedBidParams, measure_sale

SIGNAL, PRICE = 0, 3  # places in an observation


@struct.dataclass
class ClockParams:
    """Numbers of a clock auction.

    Attributes:
        active: bool `[N]`, who takes part; the others observe zeros and earn nothing.
        reserve: the lowest price of the clock.
        top: the highest price of the clock.
        risk: `[N]`, exponents of CRRA utility, 1 for risk-neutral bidders.
        prior: numbers of the joint law of signals and values.
    """

    active: Bool[Array, " N"]
    reserve: Float[Array, ""]
    top: Float[Array, ""]
    risk: Float[Array, " N"]
    prior: Any


@struct.dataclass
class ClockState:
    """What chance dealt, and where the clock stands.

    Attributes:
        signals: `[N]`, what each bidder knows; its value, under private values.
        values: `[N]`, what the item is worth to each bidder.
        level: how often the price has moved.
        remaining: bool `[N]`, who may still buy.
        exits: int32 `[N]`, the level at which a bidder dropped out, -1 while it has not.
    """

    signals: Float[Array, " N"]
    values: Float[Array, " N"]
    level: Int32[Array, ""]
    remaining: Bool[Array, " N"]
    exits: Int32[Array, " N"]


@dataclass(frozen=True)
class ClockAuction(Environment[ClockState, ClockParams]):
    """One item; the price moves by `(top - reserve) / (num_levels - 1)` a step, and action 1 accepts it.

    Attributes:
        num_agents: number of bidders `N`, active or not.
        prior: family of the law of signals and values, of `sealed_bid.PRIORS`.
        num_levels: number of prices of the clock; an episode has at most as many steps.
        tie_rule: what bidders get who accept the same price, of `mechanism.TIE_RULES`.
    """

    num_agents: int = 2
    prior: str = "uniform"
    num_levels: int = 101
    tie_rule: str = "random"

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_choice("prior", self.prior, PRIORS)
        require_int("num_levels", self.num_levels, 2)
        require_choice("tie_rule", self.tie_rule, mechanism.TIE_RULES)

    @property
    def default_params(self) -> ClockParams:
        n = self.num_agents
        prior = PRIORS[self.prior].default(n)
        # signals of interdependent values reach to 2, and so do the values
        top = jnp.max(prior.high) if isinstance(prior, Marginal) else jnp.full((), 2.0, float)
        return ClockParams(jnp.ones(n, bool), jnp.zeros(()), top, jnp.ones(n), prior)

    def action_space(self, params: ClockParams) -> Discrete:
        return Discrete(2)

    @property
    def reset_chance(self) -> ChanceSpec:
        return PRIORS[self.prior].chance(self.num_agents)

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,)) if self.tie_rule == "random" else ()

    def validate(self, params: ClockParams) -> None:
        require_each(params, self.num_agents, "active")
        require_amounts(params, "reserve", "top")
        reserve, top = np.asarray(params.reserve), np.asarray(params.top)
        require(bool((reserve < top).all()), "top", top.tolist(), f"above reserve ({reserve.tolist()})")
        require_risk(params, self.num_agents)
        require_prior(params.prior, PRIORS[self.prior], self.num_agents)

    def initial(self, chance: Chance, params: ClockParams) -> ClockState:
        signals, values = params.prior.sample(chance, params.active)
        return ClockState(
            signals, values, jnp.zeros((), jnp.int32), params.active, jnp.full(self.num_agents, -1, jnp.int32)
        )

    def increment(self, params: ClockParams) -> Float[Array, ""]:
        """By how much the price moves in a step."""
        return (params.top - params.reserve) / (self.num_levels - 1)

    @abc.abstractmethod
    def price(self, level: Int32[Array, "*shape"], params: ClockParams) -> Float[Array, "*shape"]:
        """The price after `level` moves."""

    def observation_space(self, params: ClockParams) -> Box:
        return Box(-math.inf, math.inf, (7,))

    def observe(self, state: ClockState, params: ClockParams) -> Float[Array, "N features"]:
        dtype = state.signals.dtype
        public = jnp.stack(
            [self.price(state.level, params), jnp.sum(params.active), params.reserve, self.increment(params)],
            dtype=dtype,
        )
        own = jnp.stack([state.signals, params.risk, state.remaining], axis=1, dtype=dtype)
        seen = jnp.concatenate([own, jnp.broadcast_to(public, (self.num_agents, len(public)))], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def action_mask(self, state: ClockState, params: ClockParams) -> Bool[Array, "N 2"]:
        return jnp.stack([jnp.ones_like(state.remaining), state.remaining], axis=1)

    def sell(
        self,
        price: Float[Array, ""],
        buyers: Bool[Array, " N"],
        state: ClockState,
        chance: Chance,
        params: ClockParams,
    ) -> tuple[Float[Array, " N"], Info]:
        """Rewards and measurements of a sale at `price` to one of `buyers`; without buyers nothing is sold."""
        bids = jnp.broadcast_to(price, buyers.shape)
        lots = chance if self.tie_rule == "random" else None
        where = mechanism.places(bids, buyers, self.tie_rule, lots)
        allocation = mechanism.award(where, buyers, jnp.ones(1, bids.dtype))
        if_win, if_lose = mechanism.PAYMENT_RULES["first_price"](bids, buyers, params.reserve)
        reward = mechanism.expected_utility(allocation, state.values, if_win, if_lose, params.risk)
        return reward, measure_sale(allocation, state.values, if_win, if_lose, params.active)

    def answers_of(self, payment: str, params: ClockParams) -> dict[str, Any]:
        """Benchmarks of the sealed-bid auction that the clock is strategically equal to, and policies that play it."""
        zero, temperature = jnp.zeros(()), jnp.ones(())
        sealed = SealedBidParams(params.active, params.reserve, zero, params.risk, temperature, params.prior)
        answers = known_answers(payment, sealed)
        if "bid" not in answers:
            return answers
        return answers | {"policies": threshold_policies(answers["bid"], self.num_agents)}


def threshold_policies(bid: Callable[[Array], Array], num_agents: int) -> tuple[Policy, ...]:
    """For each bidder the policy that accepts prices up to its bid.

    Args:
        bid: from signals `[N]` to bids `[N]`.
        num_agents: `N`.
    """

    def policy(bidder: int) -> Policy:
        def act(params, memory, obs, chance):
            most = bid(jnp.full(num_agents, obs[SIGNAL]))[bidder]
            return (obs[PRICE] <= most).astype(jnp.int32), memory

        return Policy(lambda chance: (), act, name="accept up to the bid")

    return tuple(policy(bidder) for bidder in range(num_agents))
