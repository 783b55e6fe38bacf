"""Market making from features of the order book, as Sadighian (2019) set it up, on the random flow of the book."""

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec
from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markets.order_book import BUY, CANCEL, LIMIT, SELL, TAKE, depth, queue_ahead
from jaxmarl.envs.markets.step_rewards import positional_pnl, trade_completion
from jaxmarl.envs.markets.zero_intelligence_book import (
    BookParams,
    BookState,
    Events,
    Instruction,
    ZeroIntelligenceBook,
    agent_order,
    mid_price,
    wealth,
)

REWARDS = ("positional", "trade_completion")
QUOTE_LEVELS = (0, 4, 9, 14)  # ticks behind the best price at which the agent may quote
HOLD, FLATTEN = 0, 16
_CLIP = 10.0  # of features in standard deviations


@dataclass(frozen=True)
class QuotingBook(ZeroIntelligenceBook):
    """The book with the 17 actions of the set-up in place of its own.

    Action 0 quotes nothing, 1 to 15 are pairs of bid and ask levels, and 16 closes the position at the market. Quotes
    that would carry the position beyond `max_order` lots are not sent.
    """

    def action_space(self, params: BookParams) -> Discrete:
        return Discrete(FLATTEN + 1)

    def instruction(self, action: Array, best: Int32[Array, " 2"], held: Int32[Array, ""]) -> Instruction:
        levels = jnp.asarray(QUOTE_LEVELS, jnp.int32)
        pair = jnp.clip(action, 0, FLATTEN - 1)
        price = jnp.stack([best[BUY] - levels[pair // 4], best[SELL] + levels[pair % 4]])
        quotes = (action != HOLD) & (action != FLATTEN)
        room = jnp.stack([held < self.max_order, held > -self.max_order])
        return Instruction(price, (quotes & room).astype(jnp.int32), jnp.where(action == FLATTEN, -held, 0))


@struct.dataclass
class CryptoState:
    """State of the market and of the features.

    Attributes:
        market: of the book.
        raw: `[F]`, features of the book, not yet scaled.
        means: `[F]`, their running means.
        squares: `[F]`, running means of their squares.
        trades: `[W, 2]`, running means of lots bought and sold at the market, one row a window.
        moves: `[W, 2]`, running means of rises and of falls of the mid price.
    """

    market: BookState
    raw: Float[Array, " F"]
    means: Float[Array, " F"]
    squares: Float[Array, " F"]
    trades: Float[Array, "W 2"]
    moves: Float[Array, "W 2"]


@register("crypto_market_making")
@dataclass(frozen=True)
class CryptoMarketMaking(Environment[CryptoState, BookParams]):
    """One agent quotes at levels of a deep book and sees statistics of the book and of its orders.

    The source replays recorded data of an exchange; here the book is `ZeroIntelligenceBook`'s, so that an episode needs
    no data and orders of the agent wait in true queues. Actions: 0 quotes nothing; 1 to 15 quote one lot a side, `4 i +
    j` the bid at level i and the ask at level j of (0, 4, 9, 14) ticks behind the best price of the own side; 16 closes
    the position at the market.

    An observation is, for K levels a side: lots at each tick behind the best price `[2, K]`, their imbalance summed up
    to each level `[K]`, lots of market, limit and cancel orders of the last step by side and level `[3, 2, K]`, the
    spread, and the change of the mid price, all in running standard deviations from their running means, clipped to
    ±10; then for a short and a long window the imbalance of trades and the relative strength of the mid price, both in
    [-1, 1]; then the agent's inventory, realised and unrealised gains, distances of its bid and ask from the mid (0 for
    no quote), and the shares of the queue that stand before them.

    Rewards: `"positional"`, `inventory · Δmid + realised gains`; `"trade_completion"`, ±1 for gains beyond twice the
    fee and losses beyond it, else the gain (`step_rewards`); realised gains are net of fees.

    `info`: `mid`, `spread`, `inventory`, `wealth` (net of fees), `realised` (of the step), `traded`, `overflow`.

    Attributes:
        num_steps: steps of an episode.
        reward: which one, of `REWARDS`.
        num_levels: K, levels a side that are seen.
        max_inventory: lots, long or short.
        events_per_step: background messages a step.
        capacity: orders a side that the book has room for.
        warm_up: background messages before an episode starts.
        windows: steps of the two windows of indicators.
        memory: decay a step of the running means that features are scaled by.
    """

    num_steps: int = 100
    reward: str = "positional"
    num_levels: int = 15
    max_inventory: int = 10
    events_per_step: int = 32
    capacity: int = 96
    warm_up: int = 128
    windows: tuple[int, int] = (10, 30)
    memory: float = 0.99

    num_agents = 1
    agent_names = ("market_maker",)

    def __post_init__(self):
        require_choice("reward", self.reward, REWARDS)
        require_int("num_levels", self.num_levels, 1)
        require_int("max_inventory", self.max_inventory, 1)
        for window in self.windows:
            require_int("windows", window, 1)
        _ = self.book  # refuses what is wrong in the fields that it shares

    @property
    def book(self) -> QuotingBook:
        """The book underneath; its limit orders arrive up to 15 ticks from the other side."""
        return QuotingBook(
            num_steps=self.num_steps,
            events_per_step=self.events_per_step,
            capacity=self.capacity,
            num_distances=15,
            warm_up=self.warm_up,
            max_order=self.max_inventory,
        )

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> BookParams:
        """Of the book, with a fee of 0.2 % of the price for market orders."""
        return replace(self.book.default_params, fee=jnp.asarray(2.0, float))

    def validate(self, params: BookParams) -> None:
        self.book.validate(params)

    def action_space(self, params: BookParams) -> Discrete:
        return Discrete(FLATTEN + 1)

    @property
    def _num_scaled(self) -> int:
        return 9 * self.num_levels + 2

    def observation_space(self, params: BookParams) -> Box:
        return Box(-math.inf, math.inf, (self._num_scaled + 2 * len(self.windows) + 7,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return self.book.reset_chance

    @property
    def step_chance(self) -> ChanceSpec:
        return self.book.step_chance

    def initial(self, chance, params: BookParams) -> CryptoState:
        market = self.book.initial(chance, params)
        flow = jnp.zeros((3, 2, self.num_levels))
        raw = self._raw(market, flow, jnp.zeros(()))
        nothing = jnp.zeros((len(self.windows), 2), jnp.float32)
        return CryptoState(market, raw, raw, raw**2 + 1.0, nothing, nothing)

    def transition(self, state: CryptoState, action: Array, chance, params: BookParams):
        before = state.market
        held, old_mid = before.account.inventory[0], mid_price(before)
        market, events = self.book.advance(before, action, chance, params)
        market = replace(market, step=before.step + 1)
        mid = mid_price(market)
        realised = market.account.realised[0] - market.paid[0] - before.account.realised[0] + before.paid[0]
        reward = self.step_reward(held.astype(mid.dtype), mid - old_mid, realised, params)
        state = self._measure(state, market, events, mid - old_mid)
        info = {
            "mid": mid,
            "spread": market.reference[SELL] - market.reference[BUY],
            "inventory": market.account.inventory[0],
            "wealth": wealth(market.account, mid)[0] - market.paid[0],
            "realised": realised,
            "traded": jnp.sum(events.filled, dtype=jnp.int32),
            "overflow": jnp.sum(market.book.overflow, dtype=jnp.int32),
        }
        return state, reward[None], market.step >= self.num_steps, info

    def step_reward(self, held: Array, move: Array, realised: Array, params: BookParams) -> Array:
        """The reward of a step that began with `held` lots, moved the mid by `move`, and realised net gains."""
        if self.reward == "positional":
            return positional_pnl(held, move, realised)
        return trade_completion(realised, params.fee)

    def _measure(self, state: CryptoState, market: BookState, events: Events, move: Array) -> CryptoState:
        """The features' state after a step."""
        flow = order_flow(events, self.num_levels)
        raw = self._raw(market, flow, move)
        keep = self.memory
        window = 1 - 1 / jnp.asarray(self.windows, jnp.float32)[:, None]
        bought_sold = jnp.sum(flow[0], axis=-1)
        rise_fall = jnp.maximum(jnp.stack([move, -move]), 0.0)
        return CryptoState(
            market,
            raw,
            keep * state.means + (1 - keep) * raw,
            keep * state.squares + (1 - keep) * raw**2,
            window * state.trades + (1 - window) * bought_sold,
            window * state.moves + (1 - window) * rise_fall,
        )

    def _raw(self, market: BookState, flow: Array, move: Array) -> Float[Array, " F"]:
        """Features before they are scaled."""
        levels = depth(market.book, market.reference, self.num_levels).astype(jnp.float32)
        total = jnp.cumsum(levels, axis=1)
        imbalance = (total[BUY] - total[SELL]) / jnp.maximum(total[BUY] + total[SELL], 1.0)
        spread = (market.reference[SELL] - market.reference[BUY]).astype(jnp.float32)
        return jnp.concatenate([levels.ravel(), imbalance, flow.ravel(), jnp.stack([spread, move])]).astype(jnp.float32)

    def observe(self, state: CryptoState, params: BookParams) -> Float[Array, "1 O"]:
        market = state.market
        mid = mid_price(market)
        deviation = jnp.sqrt(jnp.maximum(state.squares - state.means**2, 1e-4))
        scaled = jnp.clip((state.raw - state.means) / deviation, -_CLIP, _CLIP)
        indicators = jnp.concatenate([_balance(state.trades), _balance(state.moves)])
        return jnp.concatenate([scaled, indicators, self._own(market, mid)])[None].astype(jnp.float32)

    def _own(self, market: BookState, mid: Array) -> Float[Array, " 7"]:
        account, scale = market.account, float(self.max_inventory)
        distances, queues = [], []
        for side in (BUY, SELL):
            order = agent_order(0, side)
            mine = (market.book.order[side] == order) & (market.book.quantity[side] > 0)
            there = jnp.any(mine)
            price = jnp.sum(jnp.where(mine, market.book.price[side], 0))
            distances.append(jnp.where(there, price - mid, 0.0) / scale)
            ahead = queue_ahead(market.book, side, order)
            queues.append(jnp.where(there, ahead / (ahead + 1.0), 0.0))
        held = account.inventory[0]
        unrealised = held * (mid - account.average[0])
        money = [(account.realised[0] - market.paid[0]) / scale, unrealised / scale]
        return jnp.stack([held / scale, *money, *distances, *queues])


def order_flow(events: Events, num_levels: int) -> Float[Array, "3 2 K"]:
    """Lots of market, limit and cancel orders by side and by ticks behind the best price of that side.

    Market orders, and the part of a limit order that trades at once, count as market orders at level 0; what is beyond
    the last level is not counted. The side is that of the order: a market order to buy is on the bid's side.
    """
    level = jnp.arange(num_levels)
    side = (events.side[:, None] == jnp.arange(2))[:, :, None]
    at_level = jnp.maximum(events.distance, 0)[:, None] == level
    first = jnp.broadcast_to(level == 0, at_level.shape)
    lots = (
        (events.filled, first, (events.kind == TAKE) | (events.kind == LIMIT)),
        (events.rested, at_level, events.kind == LIMIT),
        (events.cancelled, at_level, events.kind == CANCEL),
    )
    rows = [jnp.where(which, count, 0)[:, None, None] * (side & where[:, None, :]) for count, where, which in lots]
    return jnp.stack([jnp.sum(row, axis=0) for row in rows]).astype(jnp.float32)


def _balance(pair: Float[Array, "W 2"]) -> Float[Array, " W"]:
    """`(a - b) / (a + b)`, 0 where both are."""
    total = pair[:, 0] + pair[:, 1]
    return jnp.where(total > 0, (pair[:, 0] - pair[:, 1]) / jnp.where(total > 0, total, 1.0), 0.0)
