"""A dealer quotes around a random mid price and bears the risk of its inventory (Avellaneda and Stoikov 2008)."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Normal, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.liquidity.flow import FILL_FORMS, fill_probability
from jaxmarl.envs.markets import inventory_quotes

OBJECTIVES = ("pnl", "running", "mean_variance", "cara")
PRICE_MOVES = ("binomial", "gaussian")
INVENTORY_UNIT = 10.0  # observations show inventory in tens


@struct.dataclass
class MarketMakingParams:
    """Numbers of the market.

    Attributes:
        initial_price: S_0.
        volatility: σ of the mid price, per square root of time.
        duration: T, length of the day.
        intensity: A, fills a unit of time of a quote at the mid price.
        decay: k, at which fills decay with the distance of the quote.
        risk_aversion: γ, of the dealer's exponential utility (benchmarks, and objectives `cara` and `mean_variance`).
        inventory_penalty: φ, what the objective `running` takes off, a unit of time, for each squared unit held.
        initial_inventory: q_0, whole units.
    """

    initial_price: Float[Array, ""]
    volatility: Float[Array, ""]
    duration: Float[Array, ""]
    intensity: Float[Array, ""]
    decay: Float[Array, ""]
    risk_aversion: Float[Array, ""]
    inventory_penalty: Float[Array, ""]
    initial_inventory: Float[Array, ""]


@struct.dataclass
class MarketMakingState:
    """State of the day.

    Attributes:
        step: steps made.
        move: mid price less its initial value.
        inventory: q, whole units, negative when short.
        gain: wealth at the mid price, `cash + q S`, less the wealth of the start: P&L, without the cancellation of
            large numbers that cash and stock would bring.
        fills: whether the last bid and the last ask were filled.
    """

    step: Int32[Array, ""]
    move: Float[Array, ""]
    inventory: Float[Array, ""]
    gain: Float[Array, ""]
    fills: Float[Array, " 2"]


@register("market_making")
@dataclass(frozen=True)
class MarketMaking(Environment[MarketMakingState, MarketMakingParams]):
    """One dealer quotes a bid and an ask for one unit each, again at every step; it is filled the less often the wider.

    A step: an ask at distance δ from the mid S is filled with probability `min(1, A exp(-k δ) dt)` at the price
    `S + δ`, a bid alike, independently; then the mid moves by `±σ sqrt(dt)`. Actions are `[bid offset, ask offset]`,
    or with `num_levels` an index `bid level · num_levels + ask level`. An observation is `[t / T, q / 10,
    (S - S_0) / σ, bid filled, ask filled]`. Wealth is valued at the mid; its change in a step is `ΔW`, and q the
    inventory after the fills. Rewards by `objective`: `"pnl"`, ΔW; `"running"`, `ΔW - φ q² dt`; `"mean_variance"`,
    `ΔW - γ ΔW² / 2`; `"cara"`, `-exp(-γ (W_T - W_0))` at the end of the day and 0 before.

    `info`: `pnl` (ΔW), `inventory`, `offsets [2]` (bid and ask), `spread` (their sum), `fills` (their number), `price`.

    Attributes:
        num_steps: steps of a day; `dt = T / num_steps`.
        objective: what the reward is, of `OBJECTIVES`.
        num_levels: number of equally spaced offsets, None for continuous ones.
        min_offset: least offset; negative ones quote beyond the mid. Continuous offsets are clipped to these bounds,
            which may be infinite (as in the published simulations).
        max_offset: largest offset.
        max_inventory: the side that would carry the inventory beyond it is not filled; None for no limit.
        fill_form: `"linear"`, as above, or `"poisson"`, with probability `1 - exp(-A exp(-k δ) dt)`.
        price_moves: `"binomial"`, or `"gaussian"` for normal increments.
    """

    num_steps: int = 200
    objective: str = "pnl"
    num_levels: int | None = None
    min_offset: float = -1.0
    max_offset: float = 3.0
    max_inventory: int | None = None
    fill_form: str = "linear"
    price_moves: str = "binomial"

    num_agents = 1
    agent_names = ("dealer",)

    def __post_init__(self):
        require_int("num_steps", self.num_steps, 1)
        require_choice("objective", self.objective, OBJECTIVES)
        require_choice("fill_form", self.fill_form, FILL_FORMS)
        require_choice("price_moves", self.price_moves, PRICE_MOVES)
        require(self.min_offset < self.max_offset, "min_offset", self.min_offset, f"below max_offset {self.max_offset}")
        if self.max_inventory is not None:
            require_int("max_inventory", self.max_inventory, 1)
        if self.num_levels is not None:
            require_int("num_levels", self.num_levels, 2)
            for name in ("min_offset", "max_offset"):
                offset = getattr(self, name)
                require(math.isfinite(offset), name, offset, "finite where offsets are discrete")

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> MarketMakingParams:
        numbers = (100.0, 2.0, 1.0, 140.0, 1.5, 0.1, 0.2, 0.0)
        return MarketMakingParams(*(jnp.asarray(x, float) for x in numbers))

    def validate(self, params: MarketMakingParams) -> None:
        for name in ("duration", "intensity", "decay", "risk_aversion"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number > 0)).all()), name, number.tolist(), "positive and finite")
        for name in ("volatility", "inventory_penalty"):
            number = np.asarray(getattr(params, name))
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0 and finite")
        held = np.asarray(params.initial_inventory)
        most = math.inf if self.max_inventory is None else self.max_inventory
        whole = bool((np.isfinite(held) & (held == np.round(held)) & (np.abs(held) <= most)).all())
        require(whole, "initial_inventory", held.tolist(), "whole, and within max_inventory")

    def action_space(self, params: MarketMakingParams) -> Discrete | Box:
        if self.num_levels is not None:
            return Discrete(self.num_levels**2)
        return Box(self.min_offset, self.max_offset, (2,))

    def observation_space(self, params: MarketMakingParams) -> Box:
        return Box(-math.inf, math.inf, (5,))

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((2,)), Integers(2) if self.price_moves == "binomial" else Normal()

    def initial(self, chance, params: MarketMakingParams) -> MarketMakingState:
        zero = jnp.zeros_like(params.initial_inventory)
        return MarketMakingState(jnp.zeros((), jnp.int32), zero, params.initial_inventory, zero, jnp.zeros(2))

    def offsets(self, action: Array) -> Float[Array, " 2"]:
        """Bid and ask offset that one agent's action stands for."""
        if self.num_levels is None:
            return jnp.clip(action, self.min_offset, self.max_offset)
        levels = jnp.stack([action // self.num_levels, action % self.num_levels])
        return self.min_offset + levels * ((self.max_offset - self.min_offset) / (self.num_levels - 1))

    def action(self, offsets: Float[Array, " 2"]) -> Array:
        """The action nearest to given bid and ask offsets."""
        clipped = jnp.clip(offsets, self.min_offset, self.max_offset)
        if self.num_levels is None:
            return clipped
        width = (self.max_offset - self.min_offset) / (self.num_levels - 1)
        level = jnp.round((clipped - self.min_offset) / width).astype(jnp.int32)
        return level[0] * self.num_levels + level[1]

    def transition(self, state: MarketMakingState, action: Array, chance, params: MarketMakingParams):
        units, draw = chance
        dt = params.duration / self.num_steps
        offsets = self.offsets(action[0])
        chances = fill_probability(offsets, params.intensity, params.decay, dt, self.fill_form)
        if self.max_inventory is not None:
            room = jnp.stack([state.inventory < self.max_inventory, state.inventory > -self.max_inventory])
            chances = jnp.where(room, chances, 0.0)
        fills = (units < chances).astype(state.move.dtype)
        inventory = state.inventory + fills[0] - fills[1]
        unit = 2.0 * draw - 1.0 if self.price_moves == "binomial" else draw
        move = params.volatility * jnp.sqrt(dt) * unit
        # not `fills · offsets` where a quote is infinitely far away
        pnl = jnp.sum(jnp.where(fills > 0, offsets, 0.0)) + inventory * move
        state = MarketMakingState(state.step + 1, state.move + move, inventory, state.gain + pnl, fills)
        ended = state.step >= self.num_steps
        reward = self._reward(state, pnl, ended, dt, params)
        info = {
            "pnl": pnl,
            "inventory": inventory,
            "offsets": offsets,
            "spread": jnp.sum(offsets),
            "fills": jnp.sum(fills),
            "price": params.initial_price + state.move,
        }
        return state, reward[None], ended, info

    def _reward(self, state: MarketMakingState, pnl, ended, dt, params: MarketMakingParams) -> Float[Array, ""]:
        if self.objective == "running":
            return pnl - params.inventory_penalty * state.inventory**2 * dt
        if self.objective == "mean_variance":
            return pnl - params.risk_aversion / 2 * pnl**2
        if self.objective == "cara":
            return jnp.where(ended, -jnp.exp(-params.risk_aversion * state.gain), 0.0)
        return pnl

    def observe(self, state: MarketMakingState, params: MarketMakingParams) -> Float[Array, "1 5"]:
        sigma = jnp.where(params.volatility > 0, params.volatility, 1.0)
        own = [state.step / self.num_steps, state.inventory / INVENTORY_UNIT, state.move / sigma]
        return jnp.concatenate([jnp.stack(own), state.fills])[None].astype(jnp.float32)

    def benchmarks(self, params: MarketMakingParams) -> dict[str, Any]:
        """Known quotes, each a `Policy` whose params are those of the market.

        `avellaneda_stoikov`: approximate quotes for exponential utility; `symmetric`: the same spread centred on the
        mid; `glft`: the stationary quotes of Guéant, Lehalle and Fernandez-Tapia; `constant`: the constant offsets of
        the largest expected P&L, `1 / k`, earning `constant_pnl`. Of the exact solution of the model in continuous
        time, with inventories up to `max_inventory` (30 without one): `exact` (policy), `certainty_equivalent`. With
        objective `running` and linear fills: `optimal` (policy) and `optimal_value`, by dynamic programming, exact for
        this environment but for the cut of inventories. Looks at the numbers, so it runs outside jit.
        """
        return inventory_quotes.known_answers(self, params)
