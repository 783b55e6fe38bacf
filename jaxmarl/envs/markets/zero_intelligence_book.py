"""Market makers in a limit order book whose other orders arrive at random (Cont, Stoikov and Talreja 2010)."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform, repeat
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.markets.book_flow import Account, Flow, FlowParams, book_trade, open_accounts, trades_of
from jaxmarl.envs.markets.order_book import (
    BUY,
    CANCEL,
    LIMIT,
    MAX_PRICE,
    NONE,
    SELL,
    TAKE,
    Message,
    OrderBook,
    apply_message,
    best_prices,
    depth,
    empty_book,
)

_SEEN_LEVELS = 5  # of depth, in observations
_AGENT_ORDERS = 2**30  # identifiers of agents' orders start here, above all of the background's
_PARTS = 5  # messages of an agent's requoting
_SCALE = 10.0  # lots and ticks in observations are shown in tens


@struct.dataclass
class BookParams:
    """Numbers of the market.

    Attributes:
        flow: rates of the background's orders.
        initial_price: mid price before the first order, ticks.
        inventory_penalty: φ, ticks a step for each lot held, long or short.
        fee: ticks a lot taken with a market order; resting orders pay nothing.
    """

    flow: FlowParams
    initial_price: Float[Array, ""]
    inventory_penalty: Float[Array, ""]
    fee: Float[Array, ""]


@struct.dataclass
class BookState:
    """State of the market.

    Attributes:
        step: steps made.
        book: the order book.
        account: of the agents.
        reference: `[2]`, the last best bid and ask there were, ticks.
        next_order: identifier of the background's next limit order.
        time: that has passed, in the units of the rates.
        paid: `[N]`, fees so far, ticks.
    """

    step: Int32[Array, ""]
    book: OrderBook
    account: Account
    reference: Int32[Array, " 2"]
    next_order: Int32[Array, ""]
    time: Float[Array, ""]
    paid: Float[Array, " N"]


@struct.dataclass
class Instruction:
    """What an agent wants done.

    Attributes:
        price: `[2]`, of its bid and its ask, ticks.
        size: `[2]`, lots of its bid and its ask, 0 for no quote.
        close: lots to buy at the market, negative to sell.
    """

    price: Int32[Array, " 2"]
    size: Int32[Array, " 2"]
    close: Int32[Array, ""]


@struct.dataclass
class Events:
    """Messages of a step and what became of them, `[M]`.

    Attributes:
        kind: of message.
        side: of message.
        distance: ticks behind the best price of its own side, as it was before.
        filled: lots traded at once.
        rested: lots that stayed.
        cancelled: lots taken off.
    """

    kind: Int32[Array, " M"]
    side: Int32[Array, " M"]
    distance: Int32[Array, " M"]
    filled: Int32[Array, " M"]
    rested: Int32[Array, " M"]
    cancelled: Int32[Array, " M"]


def agent_order(agent: Array | int, side: Array | int) -> Array:
    """Identifier of an agent's quote on a side."""
    return jnp.asarray(_AGENT_ORDERS + 2 * agent + side, jnp.int32)


def wealth(account: Account, mid: Float[Array, ""]) -> Float[Array, " N"]:
    """Gains of each agent since the start with its inventory valued at the mid price, ticks."""
    return account.realised + account.inventory * (mid - account.average)


@register("zero_intelligence_book")
@dataclass(frozen=True)
class ZeroIntelligenceBook(Environment[BookState, BookParams]):
    """Agents make a market of one lot a side in a book that random orders fill, take from and leave.

    A step: in random order every agent cancels the quotes whose prices it changes and sends new ones (one that stays
    keeps its place in the queue); then come `events_per_step` background messages, one at a time, each drawn in
    proportion to its rate in the book as it then stands. Action
    `bid level · (L + 1) + ask level` of `L = num_levels`: the bid goes level ticks below the best ask, the ask level
    ticks above the best bid (both without the agent's own quotes), and level 0 does not quote; the last action, `(L +
    1)²`, quotes nothing and closes up to `max_order` lots of the inventory at the market. The reward is the change of
    wealth at the mid price, less fees and less `φ |inventory|`, in ticks. An observation is `[inventory, spread, own
    realised gains, t / T, imbalance of the depth at the best prices]` and the depth at 5 prices a side, bids first.

    `info`: `mid`, `spread` (ticks), `inventory [N]`, `wealth [N]`, `traded` (lots in this step), `overflow` (lots that
    found no room in the book, so far), `time`.

    Attributes:
        num_agents: market makers.
        num_steps: steps of an episode.
        events_per_step: background messages a step.
        num_levels: distances at which an agent may quote.
        capacity: orders a side that the book has room for.
        num_distances: distances at which the background's limit orders arrive.
        warm_up: background messages before an episode starts, in which the book fills.
        max_order: lots that closing sends at most.
    """

    num_agents: int = 1
    num_steps: int = 50
    events_per_step: int = 8
    num_levels: int = 3
    capacity: int = 48
    num_distances: int = 10
    warm_up: int = 64
    max_order: int = 5

    def __post_init__(self):
        for name in ("num_agents", "num_steps", "events_per_step", "num_levels", "num_distances", "max_order"):
            require_int(name, getattr(self, name), 1)
        require_int("capacity", self.capacity, 2 * self.num_agents + 8)
        require_int("warm_up", self.warm_up, 0)

    @property
    def symmetric(self) -> bool:
        # quotes are sent in an order drawn by lot, so exchanging agents exchanges outcomes only in law
        return self.num_agents == 1

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def flow(self) -> Flow:
        """The background's orders."""
        return Flow(self.num_distances)

    @property
    def default_params(self) -> BookParams:
        zero = jnp.zeros(())
        return BookParams(self.flow.default_params, jnp.asarray(1000.0, float), jnp.asarray(0.01, float), zero)

    def validate(self, params: BookParams) -> None:
        rates = np.asarray(params.flow.limit_rates)
        require(
            rates.shape[-1:] == (self.num_distances,), "limit_rates", rates.shape, f"of shape [{self.num_distances}]"
        )
        flow = {"take_rate": params.flow.take_rate, "cancel_rate": params.flow.cancel_rate}
        for name, given in {**flow, "inventory_penalty": params.inventory_penalty}.items():
            number = np.asarray(given)
            require(bool((np.isfinite(number) & (number >= 0)).all()), name, number.tolist(), "at least 0 and finite")
        require(bool((rates >= 0).all() and (rates.sum(-1) > 0).all()), "limit_rates", rates.tolist(), "not negative")
        price = np.asarray(params.initial_price)
        require(bool((np.abs(price) < MAX_PRICE / 2).all()), "initial_price", price.tolist(), "far from MAX_PRICE")

    def action_space(self, params: BookParams) -> Discrete:
        return Discrete((self.num_levels + 1) ** 2 + 1)

    def observation_space(self, params: BookParams) -> Box:
        return Box(-math.inf, math.inf, (5 + 2 * _SEEN_LEVELS,))

    @property
    def reset_chance(self) -> ChanceSpec:
        return repeat(self.flow.chance, self.warm_up)

    @property
    def step_chance(self) -> ChanceSpec:
        return Uniform((self.num_agents,)), repeat(self.flow.chance, self.events_per_step)

    def initial(self, chance, params: BookParams) -> BookState:
        below = jnp.floor(params.initial_price - 0.5).astype(jnp.int32)
        state = BookState(
            jnp.zeros((), jnp.int32),
            empty_book(self.capacity),
            open_accounts(self.num_agents),
            jnp.stack([below, below + 1]),
            jnp.zeros((), jnp.int32),
            jnp.zeros(()),
            jnp.zeros(self.num_agents),
        )
        return self._warmed(state, chance, params) if self.warm_up else state

    def instruction(self, action: Array, best: Int32[Array, " 2"], held: Int32[Array, ""]) -> Instruction:
        """What an agent's action tells the market to do, given the best prices without its own quotes."""
        size = self.num_levels + 1
        closes, levels = action == size**2, jnp.stack([action // size, action % size])
        return Instruction(
            jnp.stack([best[SELL] - levels[BUY], best[BUY] + levels[SELL]]),
            (~closes & (levels > 0)).astype(jnp.int32),
            jnp.where(closes, -jnp.clip(held, -self.max_order, self.max_order), 0),
        )

    # jitted, since a scan over a local function is compiled anew at every call from outside jit
    @partial(jax.jit, static_argnums=0)
    def advance(
        self, state: BookState, action: Int32[Array, " N"], chance, params: BookParams
    ) -> tuple[BookState, Events]:
        """The state after every agent has requoted, in an order by lot, and the background's events."""
        lots, units = chance
        agents = jnp.repeat(jnp.argsort(lots), _PARTS, total_repeat_length=self.num_agents * _PARTS).astype(jnp.int32)
        parts = jnp.asarray(np.tile(np.arange(_PARTS), self.num_agents), jnp.int32)
        fallback = state.reference

        def turn(state: BookState, x):
            message = self._message(action, state.book, state.account, fallback, *x)
            return self._send(state, message, params)

        state, own = jax.lax.scan(turn, state, (agents, parts))
        state, events = self._background(state, units, params)
        return state, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), own, events)

    @partial(jax.jit, static_argnums=0)
    def _background(self, state: BookState, chance, params: BookParams) -> tuple[BookState, Events]:
        """The state after events of the background, one a row of `chance`."""

        def turn(state: BookState, units):
            message, waited = self.flow.event(state.book, state.reference, state.next_order, units, params.flow)
            state = replace(state, next_order=state.next_order + 1, time=state.time + waited)
            return self._send(state, message, params)

        return jax.lax.scan(turn, state, chance)

    @partial(jax.jit, static_argnums=0)
    def _warmed(self, state: BookState, chance, params: BookParams) -> BookState:
        """The state after events of the background in which nobody has an account."""

        def turn(carry, units):
            book, reference, order = carry
            message, _ = self.flow.event(book, reference, order, units, params.flow)
            book, _ = apply_message(book, message)
            return (book, best_prices(book, reference), order + 1), ()

        (book, reference, order), _ = jax.lax.scan(turn, (state.book, state.reference, state.next_order), chance)
        return replace(state, book=book, reference=reference, next_order=order)

    def _send(self, state: BookState, message: Message, params: BookParams) -> tuple[BookState, Events]:
        """The state after a message, with the accounts of those who traded."""
        book, report = apply_message(state.book, message)
        reference, side, price = state.reference, message.side, message.price
        distance = jnp.where(side == BUY, reference[BUY] - price, price - reference[SELL])
        fees = params.fee * report.filled * (jnp.arange(self.num_agents) == message.owner)
        state = replace(
            state,
            book=book,
            account=book_trade(state.account, *trades_of(report, message, self.num_agents)),
            reference=best_prices(book, reference),
            paid=state.paid + fees,
        )
        return state, Events(message.kind, side, distance, report.filled, report.rested, report.cancelled)

    def _message(self, action: Array, book: OrderBook, account: Account, reference, agent, part) -> Message:
        """Part 0 and 1 of requoting cancel the bid and the ask that shall change, 2 closes, 3 and 4 send new ones."""
        mine = jnp.arange(self.num_agents) == agent
        held = jnp.sum(jnp.where(mine, account.inventory, 0), dtype=jnp.int32)
        others = jnp.where(book.owner == agent, 0, book.quantity)
        best = best_prices(replace(book, quantity=others), reference)
        told = self.instruction(jnp.sum(jnp.where(mine, action, 0)), best, held)
        side = jnp.where(part == 2, jnp.where(told.close > 0, BUY, SELL), (part == 1) | (part == 4))
        size = jnp.where(side == BUY, told.size[BUY], told.size[SELL])
        price = jnp.where(side == BUY, told.price[BUY], told.price[SELL])
        order = agent_order(agent, side)
        resting = (book.order == order) & (book.quantity > 0)
        stays = jnp.any(resting & (book.price == price)) & (size > 0)  # and keeps its place in the queue
        kind = jnp.where(part == 2, TAKE, jnp.where(stays, NONE, jnp.where(part < 2, CANCEL, LIMIT)))
        quantity = jnp.where(part == 2, jnp.abs(told.close), jnp.where(part < 2, MAX_PRICE, size))
        extreme = jnp.where(side == BUY, MAX_PRICE, -MAX_PRICE)
        return Message.of(kind, side, jnp.where(part > 2, price, extreme), quantity, order, agent)

    def transition(self, state: BookState, action: Array, chance, params: BookParams):
        before = wealth(state.account, mid_price(state)) - state.paid
        state, events = self.advance(state, action, chance, params)
        mid = mid_price(state)
        after = wealth(state.account, mid) - state.paid
        reward = after - before - params.inventory_penalty * jnp.abs(state.account.inventory)
        state = replace(state, step=state.step + 1)
        info = {
            "mid": mid,
            "spread": state.reference[SELL] - state.reference[BUY],
            "inventory": state.account.inventory,
            "wealth": after,
            "traded": jnp.sum(events.filled, dtype=jnp.int32),
            "overflow": jnp.sum(state.book.overflow, dtype=jnp.int32),
            "time": state.time,
        }
        return state, reward, state.step >= self.num_steps, info

    def observe(self, state: BookState, params: BookParams) -> Float[Array, "N 15"]:
        levels = depth(state.book, state.reference, _SEEN_LEVELS).astype(jnp.float32)
        top = levels[:, 0]
        imbalance = (top[BUY] - top[SELL]) / jnp.maximum(top[BUY] + top[SELL], 1.0)
        n = self.num_agents
        public = jnp.stack(
            [(state.reference[SELL] - state.reference[BUY]) / _SCALE, state.step / self.num_steps, imbalance]
        )
        public = jnp.concatenate([public, levels.ravel() / _SCALE])
        own = jnp.stack([state.account.inventory, state.account.realised], axis=1, dtype=jnp.float32) / _SCALE
        return jnp.concatenate([own, jnp.broadcast_to(public, (n, len(public)))], axis=1)


def mid_price(state: Any) -> Float[Array, ""]:
    """Half-way between the last best bid and best ask that there were, ticks."""
    return jnp.mean(state.reference.astype(jnp.float32))
