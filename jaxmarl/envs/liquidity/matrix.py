"""The liquidity game as an environment: banks post signed orders without a price, and quantity traded is utility."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.games import NormalFormGame, pure_equilibria
from jaxmarl.games.liquidity_clearing import FILL_RULES, ROUNDINGS, clear, order_bounds, random_pairs
from jaxmarl.games.liquidity_payoffs import order_payoffs
from jaxmarl.games.zoo import liquidity_matrix

MAX_PROFILES = 2**16


@struct.dataclass
class LiquidityMatrixParams:
    """Numbers of each bank, all `[N]`.

    Attributes:
        holding: parcels held at the start.
        low: least holding allowed.
        high: largest holding allowed.
        capacity: most parcels it can post in a round (1 for a small bank, 2 for a large one, say).
        cost: of a parcel posted, filled or not.
        aversion: to leaving the target, per parcel squared.
        target: holding that it would like to have.
    """

    holding: Float[Array, " N"]
    low: Float[Array, " N"]
    high: Float[Array, " N"]
    capacity: Float[Array, " N"]
    cost: Float[Array, " N"]
    aversion: Float[Array, " N"]
    target: Float[Array, " N"]


@struct.dataclass
class LiquidityMatrixState:
    """What banks hold.

    Attributes:
        holding: `[N]`, parcels.
        round: int32, rounds played.
    """

    holding: Float[Array, " N"]
    round: Int32[Array, ""]


@register("liquidity_matrix")
@dataclass(frozen=True)
class LiquidityMatrix(Environment[LiquidityMatrixState, LiquidityMatrixParams]):
    """Each round all banks post an order at the same time; `games.liquidity_clearing.clear` says what trades.

    Action k is the order `k - max_order` (positive: buy). An order beyond the bank's capacity or bounds is masked, and
    moved to the nearest feasible one if played. The reward is `|x| - cost |a| - aversion / 2 ((d + x)² - d²)` for an
    order a of which x is filled, d being the holding less the target; holdings then move by x. With neither cost nor
    aversion this is the price-free game of Vidler and Walsh (2405.02865): see the game `liquidity_matrix` of the zoo
    for its equilibria.

    An observation is the bank's own `[holding - target, least order, largest order, capacity, cost, aversion, share of
    rounds left]`. `info`: `orders` and `fills` `[N]`, `volume` (parcels that changed hands).

    Attributes:
        num_agents: banks `N`.
        max_order: A, the largest order that any of them can post.
        fill: `"pro_rata"`, or a rule for random pairs, of `games.liquidity_clearing.FILL_RULES`.
        rounding: `"largest_remainder"` for pro-rata fills of whole parcels, else `"none"`.
        num_rounds: horizon; holdings carry over.
    """

    num_agents: int = 2
    max_order: int = 2
    fill: str = "pro_rata"
    rounding: str = "none"
    num_rounds: int = 1

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 2)
        require_int("max_order", self.max_order, 1)
        require_choice("fill", self.fill, FILL_RULES)
        require_choice("rounding", self.rounding, ROUNDINGS)
        require_int("num_rounds", self.num_rounds, 1)

    @property
    def horizon(self) -> int:
        return self.num_rounds

    @property
    def symmetric(self) -> bool:
        """As far as the banks' numbers are equal; whole parcels go to the first of equals."""
        return self.fill != "pro_rata" or self.rounding == "none"

    @property
    def deterministic(self) -> bool:
        return self.fill == "pro_rata"

    @property
    def default_params(self) -> LiquidityMatrixParams:
        def each(number):
            return jnp.full(self.num_agents, number, float)

        most = float(self.max_order)
        bound = 10.0 * most
        return LiquidityMatrixParams(each(0), each(-bound), each(bound), each(most), each(0.25), each(0), each(0))

    def action_space(self, params: LiquidityMatrixParams) -> Discrete:
        return Discrete(2 * self.max_order + 1)

    def observation_space(self, params: LiquidityMatrixParams) -> Box:
        return Box(-math.inf, math.inf, (7,))

    @property
    def step_chance(self) -> ChanceSpec:
        return () if self.fill == "pro_rata" else Uniform((self.num_agents,))

    def validate(self, params: LiquidityMatrixParams) -> None:
        for name in ("holding", "low", "high", "capacity", "cost", "aversion", "target"):
            number = np.asarray(getattr(params, name))
            require(number.shape[-1:] == (self.num_agents,), name, number.shape, f"of shape [{self.num_agents}]")
            if name not in ("low", "high"):
                require(bool(np.isfinite(number).all()), name, number.tolist(), "finite")
        capacity, holding = np.asarray(params.capacity), np.asarray(params.holding)
        allowed = bool(((capacity >= 0) & (capacity <= self.max_order)).all())
        require(allowed, "capacity", capacity.tolist(), f"in [0, {self.max_order}]")
        inside = bool(((np.asarray(params.low) <= holding) & (holding <= np.asarray(params.high))).all())
        require(inside, "holding", holding.tolist(), "between low and high")

    def initial(self, chance, params: LiquidityMatrixParams) -> LiquidityMatrixState:
        return LiquidityMatrixState(jnp.asarray(params.holding, float), jnp.zeros((), jnp.int32))

    def bounds(
        self, state: LiquidityMatrixState, params: LiquidityMatrixParams
    ) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
        """Least and largest feasible order of each bank."""
        return order_bounds(state.holding, params.low, params.high, params.capacity)

    def action_mask(self, state: LiquidityMatrixState, params: LiquidityMatrixParams) -> Bool[Array, "N orders"]:
        least, largest = self.bounds(state, params)
        orders = jnp.arange(-self.max_order, self.max_order + 1)
        return (least[:, None] <= orders) & (orders <= largest[:, None])

    def transition(self, state: LiquidityMatrixState, action: Array, chance, params: LiquidityMatrixParams):
        least, largest = self.bounds(state, params)
        orders = jnp.clip((action - self.max_order).astype(state.holding.dtype), least, largest)
        pairs = None if self.fill == "pro_rata" else random_pairs(chance)
        fills = clear(orders, self.fill, pairs, self.rounding)
        reward = order_payoffs(orders, fills, params.cost, params.aversion, state.holding - params.target)
        after = LiquidityMatrixState(state.holding + fills, state.round + 1)
        info = {"orders": orders, "fills": fills, "volume": jnp.sum(jnp.abs(fills)) / 2}
        return after, reward, after.round >= self.num_rounds, info

    def observe(self, state: LiquidityMatrixState, params: LiquidityMatrixParams) -> Float[Array, "N 7"]:
        left = jnp.full(self.num_agents, 1 - state.round / self.num_rounds)
        own = [state.holding - params.target, *self.bounds(state, params), params.capacity, params.cost]
        return jnp.stack([*own, params.aversion, left], axis=1).astype(state.holding.dtype)

    def game(self, params: LiquidityMatrixParams) -> NormalFormGame:
        """The first round as a normal-form game (outside jit), with these numbers and the same actions."""
        capacities = [int(capacity) for capacity in np.floor(np.asarray(params.capacity))]
        numbers = {name: np.asarray(getattr(params, name)) for name in ("cost", "aversion", "low", "high")}
        return liquidity_matrix(
            capacities,
            holdings=np.asarray(params.holding),
            targets=np.asarray(params.target),
            fill=self.fill,
            rounding=self.rounding,
            **numbers,
        )

    def benchmarks(self, params: LiquidityMatrixParams) -> dict[str, Any]:
        """Pure equilibria of a single round: `orders [E, N]` and the `payoffs [E, N]` in them; empty for big games."""
        if self.num_rounds > 1 or (2 * self.max_order + 1) ** self.num_agents > MAX_PROFILES:
            return {}
        game = self.game(params)
        profiles = np.argwhere(np.asarray(pure_equilibria(game)))
        payoffs = np.asarray(game.payoffs)[:, *profiles.T].T
        return {"orders": profiles - game.num_actions[0] // 2, "payoffs": payoffs}
