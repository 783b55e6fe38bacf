"""The house auction: houses sold one after the other to buyers with tastes, budgets and a memory of each other."""

import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.auctions import mechanism
from jaxmarl.envs.auctions.one_shot import require_amounts, require_each

RAISES = (0, 1, 2, 5)  # by how many increments each action raises the standing price


@struct.dataclass
class HouseParams:
    """Numbers of the house auctions. House `m` is worth `base_m (value_floor + value_slope w_i . z_m)` to buyer `i`.

    Attributes:
        budget: `[N]`, for all houses.
        increment: the smallest raise.
        base_low: least `base_m`.
        base_high: largest `base_m`, and the unit of money in observations.
        value_floor: see above.
        value_slope: see above.
    """

    budget: Float[Array, " N"]
    increment: Float[Array, ""]
    base_low: Float[Array, ""]
    base_high: Float[Array, ""]
    value_floor: Float[Array, ""]
    value_slope: Float[Array, ""]


@struct.dataclass
class HouseState:
    """What chance dealt, where the bidding for the house on sale stands, and what each buyer has bought.

    Attributes:
        attributes: `[M, D]`, `z` in `[0, 1)`: size, location and so on.
        personas: `[N, D]`, `w`, the weights of the attributes for each buyer, which sum to 1.
        base: `[M]`.
        house: which one is on sale, `M` after the last one.
        price: the standing bid, 0 before the first one.
        holder: whose it is, -1 before the first one.
        round: number of rounds of bidding for this house.
        left: `[N]`, money not spent.
        profit: `[N]`, values of the houses bought less prices.
        wins: `[N]`, number of houses bought.
        liked: `[N, D]`, sum of the attributes of these.
    """

    attributes: Float[Array, "M D"]
    personas: Float[Array, "N D"]
    base: Float[Array, " M"]
    house: Int32[Array, ""]
    price: Float[Array, ""]
    holder: Int32[Array, ""]
    round: Int32[Array, ""]
    left: Float[Array, " N"]
    profit: Float[Array, " N"]
    wins: Float[Array, " N"]
    liked: Float[Array, "N D"]


@register("house_auction")
@dataclass(frozen=True)
class HouseAuction(Environment[HouseState, HouseParams]):
    """English auctions of `M` houses in a row among `N` buyers, whose tastes differ and whose money runs out.

    In each round everybody but the holder of the standing bid passes (action 0) or raises it by 1, 2 or 5 increments;
    the highest raise stands, by lot where several are equal. A round of passes sells the house to the holder, as does
    the last of `max_rounds`, and the next house comes up. Nobody may bid more than the money it has left. The reward is
    value less price of a house won. Setting of the seed HARBOR (arXiv 2502.12149), whose numbers are not published: the
    defaults are this project's.

    An observation, with money in units of `base_high`: `[attributes of the house D, own weights D, own value, price,
    increment, own bid stands, another's stands, share of the houses sold, share of the rounds played]`, then for each
    buyer, oneself first and the others in circular order, `[money left, houses won, mean price paid, sum of the
    attributes of houses won D]`. `info`: `winner` (-1 but where a house is sold), `price`, `welfare` and
    `efficient_welfare` (of the sale), `payments [N]`.

    Attributes:
        num_agents: number of buyers `N`.
        num_houses: `M`.
        num_attributes: `D`.
        max_rounds: of bidding for a house; the budget over the increment, plus 1, are enough.
    """

    num_agents: int = 4
    num_houses: int = 10
    num_attributes: int = 4
    max_rounds: int = 51

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_houses", self.num_houses, 1)
        require_int("num_attributes", self.num_attributes, 1)
        require_int("max_rounds", self.max_rounds, 1)

    @property
    def default_params(self) -> HouseParams:
        numbers = (jnp.full((), x, float) for x in (5.0, 50.0, 150.0, 0.7, 0.6))
        return HouseParams(jnp.full(self.num_agents, 250.0, float), *numbers)

    def action_space(self, params: HouseParams) -> Discrete:
        return Discrete(len(RAISES))

    def observation_space(self, params: HouseParams) -> Box:
        d = self.num_attributes
        return Box(-math.inf, math.inf, (2 * d + 7 + self.num_agents * (3 + d),))

    @property
    def reset_chance(self) -> ChanceSpec:
        n, m, d = self.num_agents, self.num_houses, self.num_attributes
        return Uniform((m, d)), Uniform((n, d)), Uniform((m,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,))

    def validate(self, params: HouseParams) -> None:
        require_each(params, self.num_agents, "budget")
        require_amounts(params, *vars(params))
        low, high, increment = (np.asarray(x) for x in (params.base_low, params.base_high, params.increment))
        require(bool((increment > 0).all()), "increment", increment.tolist(), "positive")
        require(bool((low < high).all()), "base_high", high.tolist(), f"above base_low ({low.tolist()})")

    def initial(self, chance: Chance, params: HouseParams) -> HouseState:
        attributes, units, base_units = chance
        none = jnp.zeros_like(params.budget)
        zero = jnp.zeros((), jnp.int32)
        base = params.base_low + (params.base_high - params.base_low) * base_units
        personas, money = dirichlet_ones(units), jnp.zeros((), base.dtype)
        liked = jnp.zeros_like(personas)
        return HouseState(attributes, personas, base, zero, money, zero - 1, zero, params.budget, none, none, liked)

    def values(self, state: HouseState, params: HouseParams) -> Float[Array, " N"]:
        """What the house on sale is worth to each buyer."""
        house = jnp.minimum(state.house, self.num_houses - 1)
        taste = state.personas @ state.attributes[house]
        return state.base[house] * (params.value_floor + params.value_slope * taste)

    def action_mask(self, state: HouseState, params: HouseParams) -> Bool[Array, "N 4"]:
        raises = jnp.asarray(RAISES)
        affordable = state.price + raises * params.increment <= state.left[:, None]
        free = (state.holder != jnp.arange(self.num_agents))[:, None]
        return (affordable & free) | (raises == 0)

    def transition(self, state: HouseState, action: Array, chance: Chance, params: HouseParams):
        raises = jnp.asarray(RAISES)[action]
        legal = jnp.take_along_axis(self.action_mask(state, params), action[:, None], axis=1)[:, 0]
        bids = state.price + raises * params.increment
        bidding = legal & (raises > 0)
        where = mechanism.places(bids, bidding, "random", chance)
        stands = mechanism.award(where, bidding, jnp.ones(1, bids.dtype))
        raised, spoken = jnp.any(bidding), state.round + 1
        price = jnp.where(raised, mechanism.highest(bids, bidding), state.price)
        holder = jnp.where(raised, jnp.argmax(stands).astype(jnp.int32), state.holder)
        closed = ~raised | (spoken >= self.max_rounds)
        return self._settle(state, price, holder, closed, params)

    def _settle(
        self,
        state: HouseState,
        price: Float[Array, ""],
        holder: Int32[Array, ""],
        closed: Bool[Array, ""],
        params: HouseParams,
    ):
        values = self.values(state, params)
        bought = closed & (holder == jnp.arange(self.num_agents))
        payments = jnp.where(bought, price, 0.0)
        reward = jnp.where(bought, values, 0.0) - payments
        shown = state.attributes[jnp.minimum(state.house, self.num_houses - 1)]
        house = state.house + closed
        after = replace(
            state,
            house=house,
            price=jnp.where(closed, 0.0, price),
            holder=jnp.where(closed, -1, holder),
            round=jnp.where(closed, 0, state.round + 1),
            left=state.left - payments,
            profit=state.profit + reward,
            wins=state.wins + bought,
            liked=state.liked + bought[:, None] * shown,
        )
        info = {
            "winner": jnp.where(closed, holder, -1),
            "price": jnp.sum(payments),
            "welfare": jnp.sum(jnp.where(bought, values, 0.0)),
            "efficient_welfare": jnp.where(closed, jnp.max(values), 0.0),
            "payments": payments,
        }
        return after, reward, house >= self.num_houses, info

    def observe(self, state: HouseState, params: HouseParams) -> Float[Array, "N features"]:
        n, unit, dtype = self.num_agents, params.base_high, state.price.dtype
        buyer = jnp.arange(n)
        own, standing = state.holder == buyer, state.holder >= 0
        shown = state.attributes[jnp.minimum(state.house, self.num_houses - 1)]
        shares = state.house / self.num_houses, state.round / self.max_rounds
        public = jnp.stack([state.price / unit, params.increment / unit])
        mine = [state.personas, self.values(state, params)[:, None] / unit, jnp.broadcast_to(public, (n, 2))]
        flags = jnp.stack([own, standing & ~own, *(jnp.broadcast_to(share, (n,)) for share in shares)], axis=1)
        mean_price = (params.budget - state.left) / jnp.maximum(state.wins, 1.0)
        record = jnp.column_stack([state.left / unit, state.wins, mean_price / unit, state.liked])
        circle = record[(buyer[:, None] + buyer) % n].reshape(n, -1)  # oneself first
        parts = [jnp.broadcast_to(shown, (n, len(shown))), *mine, flags, circle]
        return jnp.concatenate([part.astype(dtype) for part in parts], axis=1)

    def metrics(self, state: HouseState, params: HouseParams) -> dict[str, Float[Array, " N"]]:
        """Of each buyer: `profit`, `win_rate` (of all houses) and `budget_use` (share of the budget spent)."""
        spent = params.budget - state.left
        has = params.budget > 0
        use = jnp.where(has, spent / jnp.where(has, params.budget, 1.0), 0.0)
        return {"profit": state.profit, "win_rate": state.wins / self.num_houses, "budget_use": use}

    def benchmarks(self, params: HouseParams) -> dict[str, Any]:
        """`policy`: raises by one increment as long as price and money left allow, `value_bidder`."""
        return {"policy": value_bidder(self.num_attributes)}


def dirichlet_ones(units: Float[Array, "*shape D"]) -> Float[Array, "*shape D"]:
    """Weights uniform on the simplex, Dirichlet(1, ..., 1): normalised exponentials of uniform numbers in `[0, 1)`."""
    # the least positive exponential of a 24-bit uniform is 6e-8: the sum is positive unless all numbers are 0
    exponentials = -jnp.log1p(-units) + 1e-12
    return exponentials / jnp.sum(exponentials, axis=-1, keepdims=True)


def value_bidder(num_attributes: int) -> Policy:
    """Raises by one increment up to its value or its money, whichever is less.

    Where everybody does, each house goes to the buyer with the highest of these limits, or one within an increment of
    it, at a price within one increment of the second highest.

    Args:
        num_attributes: `D` of the environment.
    """
    value, price, increment = 2 * num_attributes, 2 * num_attributes + 1, 2 * num_attributes + 2

    def act(params, memory, obs: MaskedObs, chance):
        seen = obs.obs
        return (obs.mask[1] & (seen[price] + seen[increment] <= seen[value])).astype(jnp.int32), memory

    return Policy(lambda chance: (), act, masked=True, name="up to value and budget")


def profiling_accuracy(
    estimates: Float[Array, "*shape D"], personas: Float[Array, "*shape D"]
) -> Float[Array, "*shape"]:
    """The cosine between estimated and true weights of the attributes; 0 for an estimate of all zeros.

    Args:
        estimates: of any scale, from an auxiliary head of a network or from `estimated_personas`.
        personas: `HouseState.personas`.
    """
    size = jnp.sum(estimates**2, axis=-1) * jnp.sum(personas**2, axis=-1)
    positive = size > 0
    root = jnp.sqrt(jnp.where(positive, size, 1.0))
    return jnp.where(positive, jnp.sum(estimates * personas, axis=-1) / root, 0.0)


def estimated_personas(state: HouseState, weight: float = 0.5) -> Float[Array, "N D"]:
    """What the sales so far say of tastes: equal weights, moved by how houses won differ from all that were sold.

    Uses public records only. A baseline for `profiling_accuracy`.

    Args:
        state: of the environment.
        weight: of the difference of the mean attributes.
    """
    sold = jnp.maximum(jnp.sum(state.wins), 1.0)
    mean = state.liked / jnp.maximum(state.wins, 1.0)[:, None]
    tilt = jnp.where(state.wins[:, None] > 0, mean - jnp.sum(state.liked, axis=0) / sold, 0.0)
    return jnp.maximum(1 / state.personas.shape[1] + weight * tilt, 0.0)
