"""Background orders without intelligence for the book (Cont, Stoikov and Talreja 2010), and accounts of traders."""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require_int
from jaxmarl.envs.markets.order_book import (
    BUY,
    CANCEL,
    LIMIT,
    MAX_PRICE,
    NOBODY,
    SELL,
    TAKE,
    Message,
    OrderBook,
    Report,
    prefix_sum,
)


@struct.dataclass
class FlowParams:
    """Rates of the flow, per unit of time; all orders are of one lot.

    Attributes:
        take_rate: market orders, each side.
        limit_rates: `[L]`, limit orders 1 to `L` ticks from the best price of the other side, each side.
        cancel_rate: θ, cancellations of each background order that rests.
    """

    take_rate: Float[Array, ""]
    limit_rates: Float[Array, " L"]
    cancel_rate: Float[Array, ""]


@dataclass(frozen=True)
class Flow:
    """One event at a time, drawn in proportion to the rates given the book.

    Attributes:
        num_distances: `L`, distances at which limit orders arrive.
    """

    num_distances: int = 10

    def __post_init__(self):
        require_int("num_distances", self.num_distances, 1)

    @property
    def default_params(self) -> FlowParams:
        """Power law of distances as measured on stock markets: `λ(i) = 1.2 i^-0.6`, with μ = 0.3 and θ = 0.4."""
        distance = jnp.arange(1.0, self.num_distances + 1)
        return FlowParams(jnp.asarray(0.3, float), 1.2 * distance**-0.6, jnp.asarray(0.4, float))

    @property
    def chance(self) -> ChanceSpec:
        """What one event draws: which it is, its side and, of cancellations, the order."""
        return Uniform((3,))

    def event(
        self, book: OrderBook, best: Int32[Array, " 2"], order: Int32[Array, ""], chance: Array, params: FlowParams
    ) -> tuple[Message, Float[Array, ""]]:
        """The next message, and the mean time that passes until it.

        Args:
            book: as it stands.
            best: `[2]`, best bid and ask; where a side is empty, a price to measure distances from.
            order: identifier of a limit order, should it be one.
            chance: as `chance` declares.
            params: rates.
        """
        which, side_unit, pick = chance
        background = ((book.quantity > 0) & (book.owner == NOBODY)).reshape(-1)
        upto = prefix_sum(background.astype(jnp.int32))
        total = 2 * params.take_rate + 2 * jnp.sum(params.limit_rates)
        rate = total + params.cancel_rate * upto[-1]
        point = which * rate
        cumulative = 2 * params.take_rate + 2 * jnp.cumsum(params.limit_rates)
        is_take, is_cancel = point < 2 * params.take_rate, point >= total
        distance = 1 + jnp.sum(point >= cumulative, dtype=jnp.int32)
        side = jnp.where(side_unit < 0.5, BUY, SELL).astype(jnp.int32)
        limit = jnp.where(side == BUY, best[SELL] - distance, best[BUY] + distance)
        extreme = jnp.where(side == BUY, MAX_PRICE, -MAX_PRICE)
        # the row of the k-th background order of both sides, k uniform
        row = jnp.sum(upto <= jnp.floor(pick * upto[-1]).astype(jnp.int32), dtype=jnp.int32)
        cancel_side = (row >= book.order.shape[1]).astype(jnp.int32)
        cancelled, cancel_key = (x.reshape(-1).at[row].get(mode="clip") for x in (book.order, book.key))
        cancel_price = jnp.where(cancel_side == BUY, -cancel_key, cancel_key)
        kind = jnp.where(is_take, TAKE, jnp.where(is_cancel, CANCEL, LIMIT))
        message = Message.of(
            kind,
            jnp.where(is_cancel, cancel_side, side),
            jnp.where(is_take, extreme, jnp.where(is_cancel, cancel_price, limit)),
            1,
            jnp.where(is_cancel, cancelled, order),
        )
        return message, 1 / jnp.maximum(rate, 1e-6)


@struct.dataclass
class Account:
    """What traders hold; leaves `[N]`, money in ticks.

    Attributes:
        inventory: lots, negative when short.
        average: price at which the inventory was acquired, on average; 0 without any.
        realised: gains of lots that were closed.
    """

    inventory: Int32[Array, " N"]
    average: Float[Array, " N"]
    realised: Float[Array, " N"]


def open_accounts(num_agents: int) -> Account:
    """Accounts without holdings."""
    zeros = jnp.zeros(num_agents)
    return Account(jnp.zeros(num_agents, jnp.int32), zeros, zeros)


def book_trade(account: Account, quantity: Int32[Array, " N"], value: Float[Array, " N"]) -> Account:
    """The accounts after trades at average cost: what reduces a position realises its gain.

    Args:
        account: before.
        quantity: lots bought, negative when sold.
        value: what was paid, in ticks; negative when received.
    """
    price = value / jnp.where(quantity == 0, 1, quantity)
    opposed = account.inventory * quantity < 0
    closed = jnp.where(opposed, jnp.minimum(jnp.abs(account.inventory), jnp.abs(quantity)), 0)
    gain = closed * jnp.sign(account.inventory) * (price - account.average)
    inventory = account.inventory + quantity
    turned = opposed & (jnp.abs(quantity) > jnp.abs(account.inventory))
    added = account.inventory * account.average + value
    average = jnp.where(opposed, account.average, added / jnp.where(inventory == 0, 1, inventory))
    average = jnp.where(turned, price, average)
    average = jnp.where(inventory == 0, 0.0, jnp.where(quantity == 0, account.average, average))
    return Account(inventory, average, account.realised + gain)


def trades_of(report: Report, message: Message, num_agents: int) -> tuple[Int32[Array, " N"], Float[Array, " N"]]:
    """Lots bought (negative: sold) by each agent in one message, as taker or maker, and what they paid in ticks."""
    agent = jnp.arange(num_agents)
    sign = jnp.where(message.side == BUY, 1, -1)
    made = jnp.where(report.maker_owner == agent[:, None], report.maker_fill, 0)
    taken = jnp.where(message.owner == agent, report.filled, 0)
    spent = jnp.where(message.owner == agent, report.value, 0) - jnp.sum(made * report.maker_price, axis=1)
    quantity = sign * (taken - jnp.sum(made, axis=1, dtype=jnp.int32))
    return quantity.astype(jnp.int32), (sign * spent).astype(jnp.float32)
