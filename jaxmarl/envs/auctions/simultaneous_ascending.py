"""The simultaneous ascending auction: several items sold together in rounds, until a round without bids."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.auctions import mechanism
from jaxmarl.envs.auctions.assignment import minimum_walrasian_prices, optimal_assignment
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each, require_prior
from jaxmarl.envs.auctions.priors import MARGINALS, Marginal

DEMANDS = ("additive", "unit")
MOST_ITEMS = 10


@struct.dataclass
class AscendingParams:
    """Numbers of a simultaneous ascending auction.

    Attributes:
        active: bool `[N]`, who takes part.
        reserve: `[M]`, the first bid for each item.
        increment: by which a new bid exceeds the standing one.
        budget: `[N]`, the most a bidder may commit at any time.
        eligibility: int32 `[N]`, the number of items a bidder may be active on in the first round.
        prior: law of each bidder's value for an item; values are independent over items.
    """

    active: Bool[Array, " N"]
    reserve: Float[Array, " M"]
    increment: Float[Array, ""]
    budget: Float[Array, " N"]
    eligibility: Int32[Array, " N"]
    prior: Any


@struct.dataclass
class AscendingState:
    """Values, and where the bidding stands.

    Attributes:
        values: `[N, M]`, of each item to each bidder.
        price: `[M]`, standing bids, the reserves before the first one.
        holder: int32 `[M]`, whose bids stand, -1 where there is none.
        eligibility: int32 `[N]`, on how many items a bidder may still be active.
        round: number of rounds played.
    """

    values: Float[Array, "N M"]
    price: Float[Array, " M"]
    holder: Int32[Array, " M"]
    eligibility: Int32[Array, " N"]
    round: Int32[Array, ""]


@register("simultaneous_ascending_auction")
@dataclass(frozen=True)
class SimultaneousAscendingAuction(Environment[AscendingState, AscendingParams]):
    """`M` items are open at once; in each round every bidder may bid on any of those it does not hold.

    An action is a set of items, item `m` its bit `2^m`. A bid is the reserve on an item without bids and the standing
    bid plus the increment otherwise; of several new bids one is drawn to stand. Bids that stand and new ones together
    may not exceed the bidder's budget, nor their number its eligibility, which falls to the number of items it was
    active on (Milgrom 2000). Illegal sets are masked, and taken for no bid. The auction closes after a round without
    bids, or after `max_rounds`, and holders pay their bids. The reward, given then, is the value of what is won less
    payments: the sum of the values, or with unit demand the highest of them.

    An observation is `[values M, next bids M, own standing bids (0 or 1) M, others' standing bids (0 or 1) M, money not
    committed, eligibility, number of active bidders, share of the rounds played]`. `info`: `allocation [N, M]` and
    `payments [N]` if the auction closed now, `revenue`, `welfare`, `new_bids` (their number in the round).

    Attributes:
        num_agents: number of bidders `N`.
        num_items: `M`, at most 10.
        demand: `"additive"` or `"unit"`.
        max_rounds: with increment `d` and values up to `v`, at most `M (v / d + 1) + 1` rounds have sensible bids.
        prior: family of the law of values, of `priors.MARGINALS`.
    """

    num_agents: int = 4
    num_items: int = 3
    demand: str = "unit"
    max_rounds: int = 80
    prior: str = "uniform"

    symmetric = True

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_items", self.num_items, 1, MOST_ITEMS)
        require_choice("demand", self.demand, DEMANDS)
        require_int("max_rounds", self.max_rounds, 1)
        require_choice("prior", self.prior, MARGINALS)

    @property
    def default_params(self) -> AscendingParams:
        n, items = self.num_agents, self.num_items
        limit = 1 if self.demand == "unit" else items
        return AscendingParams(
            active=jnp.ones(n, bool),
            reserve=jnp.zeros(items),
            increment=jnp.full((), 0.05, float),
            budget=jnp.full(n, items, float),
            eligibility=jnp.full(n, limit, jnp.int32),
            prior=MARGINALS[self.prior].default(n),
        )

    def action_space(self, params: AscendingParams) -> Discrete:
        return Discrete(2**self.num_items)

    def observation_space(self, params: AscendingParams) -> Box:
        return Box(-math.inf, math.inf, (4 * self.num_items + 4,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_items, self.num_agents))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_items, self.num_agents))

    def validate(self, params: AscendingParams) -> None:
        require_each(params, self.num_agents, "active", "budget", "eligibility")
        require_each(params, self.num_items, "reserve")
        require_amounts(params, "reserve", "budget", "eligibility")
        increment = np.asarray(params.increment)
        require(bool((np.isfinite(increment) & (increment > 0)).all()), "increment", increment.tolist(), "positive")
        require_prior(params.prior, MARGINALS[self.prior], self.num_agents)

    def initial(self, chance: Chance, params: AscendingParams) -> AscendingState:
        prior: Marginal = params.prior
        values = prior.quantile(chance).T
        eligibility = jnp.where(params.active, params.eligibility, 0).astype(jnp.int32)
        holder = jnp.full(self.num_items, -1, jnp.int32)
        return AscendingState(values, params.reserve, holder, eligibility, jnp.zeros((), jnp.int32))

    def held(self, state: AscendingState) -> Bool[Array, "N M"]:
        """Whose bids stand on which items."""
        return state.holder == jnp.arange(self.num_agents)[:, None]

    def next_bids(self, state: AscendingState, params: AscendingParams) -> Float[Array, " M"]:
        """What a new bid on each item would be."""
        return jnp.where(state.holder < 0, params.reserve, state.price + params.increment)

    def _allowed(
        self, sets: Int[Array, "rows sets"], state: AscendingState, params: AscendingParams
    ) -> Bool[Array, "N sets"]:
        """Whether each bidder may bid on these sets of items (rows: one a bidder, or one for all)."""
        held = self.held(state)
        left = params.budget - jnp.sum(held * state.price, axis=1)
        room = state.eligibility - jnp.sum(held, axis=1)
        own = jnp.sum(held << jnp.arange(self.num_items), axis=1)
        bids = self.next_bids(state, params)
        cost, size = jnp.zeros(sets.shape, bids.dtype), jnp.zeros_like(sets)
        # sets stay codes: their items, as an axis more, would cost most of the time of a round
        for item in range(self.num_items):
            inside = (sets >> item) & 1
            cost, size = cost + inside * bids[item], size + inside
        fits = (cost <= left[:, None]) & (size <= room[:, None]) & (sets & own[:, None] == 0)
        return fits | (sets == 0)

    def action_mask(self, state: AscendingState, params: AscendingParams) -> Bool[Array, "N sets"]:
        return self._allowed(jnp.arange(2**self.num_items)[None], state, params)

    def transition(self, state: AscendingState, action: Array, chance: Chance, params: AscendingParams):
        wanted = _items_of(action, self.num_items)
        new = wanted & self._allowed(action[:, None], state, params)
        bids, held = self.next_bids(state, params), self.held(state)
        won = jax.vmap(_draw_one)(bids, new.T, chance)  # [M, N], who is drawn to stand
        bid_on = jnp.any(new, axis=0)
        active_on = (jnp.sum(held, axis=1) + jnp.sum(new, axis=1)).astype(jnp.int32)
        after = AscendingState(
            values=state.values,
            price=jnp.where(bid_on, bids, state.price),
            holder=jnp.where(bid_on, jnp.argmax(won, axis=1).astype(jnp.int32), state.holder),
            eligibility=jnp.minimum(state.eligibility, active_on),
            round=state.round + 1,
        )
        over = ~jnp.any(bid_on) | (after.round >= self.max_rounds)
        allocation = self.held(after)
        owned = jnp.where(allocation, state.values, 0.0)
        worth = jnp.sum(owned, axis=1) if self.demand == "additive" else jnp.max(owned, axis=1)
        payments = allocation @ after.price
        info = {
            "allocation": allocation.astype(worth.dtype),
            "payments": payments,
            "revenue": jnp.sum(payments),
            "welfare": jnp.sum(worth),
            "new_bids": jnp.sum(new, dtype=jnp.int32),
        }
        return after, jnp.where(over, worth - payments, 0.0), over, info

    def observe(self, state: AscendingState, params: AscendingParams) -> Float[Array, "N features"]:
        held = self.held(state)
        dtype = state.values.dtype
        bids = jnp.broadcast_to(self.next_bids(state, params), held.shape)
        others = (state.holder >= 0) & ~held
        left = params.budget - held @ state.price
        public = jnp.stack([jnp.sum(params.active), state.round / self.max_rounds], dtype=dtype)
        own = jnp.stack([left, state.eligibility], axis=1, dtype=dtype)
        parts = [state.values, bids, held, others, own, jnp.broadcast_to(public, (self.num_agents, 2))]
        seen = jnp.concatenate([part.astype(dtype) for part in parts], axis=1)
        return jnp.where(params.active[:, None], seen, 0.0)

    def benchmarks(self, params: AscendingParams) -> dict[str, Any]:
        """`policy`: straightforward bidding; functions from values `[N, M]` (inactive bidders' rows 0) on the host.

        `efficient_welfare`: of the best allocation; with unit demand `prices`, the least Walrasian ones `[M]`: where
        budgets do not bind and there are no reserves, straightforward bidding ends within `M` increments of both
        (Demange, Gale and Sotomayor 1986).
        """
        answers: dict[str, Any] = {"policy": straightforward_bidding(self.num_items, self.demand)}
        if self.demand == "unit":
            return answers | {"efficient_welfare": optimal_assignment, "prices": minimum_walrasian_prices}
        return answers | {"efficient_welfare": _best_of_each}


def _best_of_each(values: Float[Array, "N M"]) -> float:
    return float(np.asarray(values, np.float64).max(axis=0).sum())


def _items_of(action: Int[Array, "*shape"], num_items: int) -> Bool[Array, "*shape M"]:
    return (action[..., None] >> jnp.arange(num_items)) & 1 == 1


def _draw_one(bid: Float[Array, ""], bidders: Bool[Array, " N"], lots: Float[Array, " N"]) -> Float[Array, " N"]:
    bids = jnp.broadcast_to(bid, bidders.shape)
    return mechanism.award(mechanism.places(bids, bidders, "random", lots), bidders, jnp.ones(1, bids.dtype))


def straightforward_bidding(num_items: int, demand: str = "unit") -> Policy:
    """Bids in each round on the items that would be the best to own at the prices shown, if those shown were final.

    Items are taken by what they are worth above the next bid, as long as that is positive and money and eligibility
    last; with unit demand one, by a bidder that holds none.

    Args:
        num_items: `M`.
        demand: of `DEMANDS`.
    """
    require_choice("demand", demand, DEMANDS)

    def act(params, memory, obs, chance):
        values, bids, held, _ = obs[: 4 * num_items].reshape(4, num_items)
        money, eligibility = obs[4 * num_items], obs[4 * num_items + 1]
        limit = jnp.minimum(eligibility, 1) if demand == "unit" else eligibility
        surplus = values - bids

        def take(left, item):
            money, room = left
            taken = (surplus[item] > 0) & (held[item] == 0) & (bids[item] <= money) & (room > 0)
            return (money - jnp.where(taken, bids[item], 0.0), room - taken), taken

        order = jnp.argsort(-jnp.where(held > 0, -jnp.inf, surplus))
        _, taken = jax.lax.scan(take, (money, limit - jnp.sum(held)), order)
        return jnp.sum(jnp.where(taken, 1 << order, 0)).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, name="straightforward")
