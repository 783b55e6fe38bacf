"""A limit order book of fixed capacity with price-time priority: limit, take and cancel messages as pure functions.

    book = empty_book(64)
    message = Message.of(LIMIT, BUY, price=1000, quantity=5, order=1, owner=0)
    book, report = apply_message(book, message)
    book, reports = replay(book, messages)                 # leaves [T]: one scan

Prices are whole ticks and quantities whole lots, both int32, so that nothing is ever rounded. Each side keeps its rows
sorted by priority, *with* the rows of orders that are gone (quantity 0). Time priority is then the position of a row
and no clock is stored; matching is a running sum along the rows; and a new order moves only the rows between its place
and the nearest free one, each by one place. That is a few passes over short arrays and neither sorts, searches nor
loops, which is fast on vector units, alone and under `vmap`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int, Int32

from jaxmarl.core.checks import require_int

NONE, LIMIT, TAKE, CANCEL = range(4)  # kinds of message
BUY, SELL = range(2)  # sides: bids rest in row 0 of a book, asks in row 1
NOBODY = -1  # owner of background orders
MAX_PRICE = 2**29 - 1  # ticks
_NO_PRICE = 2**30  # of rows never used: behind every price


@struct.dataclass
class Message:
    """An instruction to the book; leaves `[...]`, all int32.

    Attributes:
        kind: `LIMIT` (what is not matched rests), `TAKE` (what is not matched is dropped: with an extreme price a
            market order, else immediate-or-cancel), `CANCEL` (takes up to `quantity` off a resting order), `NONE`.
        side: `BUY` or `SELL`; of the resting order, where one is cancelled.
        price: worst acceptable price in ticks, at most `MAX_PRICE` in size; unused by `CANCEL`.
        quantity: lots, not negative.
        order: identifier of the order, unique among those that rest on one side.
        owner: who sends it, `NOBODY` for the background.
    """

    kind: Int32[Array, "*batch"]
    side: Int32[Array, "*batch"]
    price: Int32[Array, "*batch"]
    quantity: Int32[Array, "*batch"]
    order: Int32[Array, "*batch"]
    owner: Int32[Array, "*batch"]

    @classmethod
    def of(cls, kind, side, price=0, quantity=1, order=0, owner=NOBODY) -> "Message":
        """A message from numbers or arrays, which are broadcast against each other and made int32."""
        leaves = jnp.broadcast_arrays(*(jnp.asarray(x, jnp.int32) for x in (kind, side, price, quantity, order, owner)))
        return cls(*leaves)


@struct.dataclass
class OrderBook:
    """Both sides of a book: `[2, C]` int32 arrays, bids first, each side sorted from the best order to the worst.

    Attributes:
        key: what rows are sorted by, lowest first: the price of an ask, minus the price of a bid, in ticks. Rows
            without an order keep theirs, which holds their place.
        quantity: lots that rest; 0 in rows without an order.
        order: identifiers.
        owner: who sent the order.
        overflow: `[2]`, lots that were dropped so far because a side was full (the worst-priced go first).
    """

    key: Int32[Array, "2 C"]
    quantity: Int32[Array, "2 C"]
    order: Int32[Array, "2 C"]
    owner: Int32[Array, "2 C"]
    overflow: Int32[Array, " 2"]

    @property
    def price(self) -> Int32[Array, "2 C"]:
        """Price of each row in ticks."""
        return jnp.stack([-self.key[BUY], self.key[SELL]])


@struct.dataclass
class Report:
    """What a message did.

    Attributes:
        filled: lots traded at once.
        value: their total price, `Σ price · lots` in ticks (int32: below 2³¹).
        rested: lots that stayed in the book.
        cancelled: lots taken off.
        maker_fill: `[C]`, lots that each row of the other side traded, in the order of trading.
        maker_price: `[C]`, at which price.
        maker_order: `[C]`, whose order.
        maker_owner: `[C]`, whose lots.
    """

    filled: Int32[Array, "*batch"]
    value: Int32[Array, "*batch"]
    rested: Int32[Array, "*batch"]
    cancelled: Int32[Array, "*batch"]
    maker_fill: Int32[Array, "*batch C"]
    maker_price: Int32[Array, "*batch C"]
    maker_order: Int32[Array, "*batch C"]
    maker_owner: Int32[Array, "*batch C"]


def empty_book(capacity: int = 64) -> OrderBook:
    """A book without orders, with room for `capacity` orders a side.

    Raises:
        ValueError: a capacity that is not a positive integer.
    """
    require_int("capacity", capacity, 1)
    blank = jnp.zeros((2, capacity), jnp.int32)
    return OrderBook(blank + _NO_PRICE, blank, blank, blank - 1, jnp.zeros(2, jnp.int32))


def apply_message(book: OrderBook, message: Message) -> tuple[OrderBook, Report]:
    """Executes one message: matches it with the other side by price, then time, and rests what a limit order has left.

    Fields of `message` are scalars. An incoming order trades at the prices of the orders that rest.
    """
    side, kind, other = message.side, message.kind, 1 - message.side
    key = _sign(side) * message.price
    other_key, resting = book.key[other], book.quantity[other]
    available = jnp.where(other_key <= -key, resting, 0)
    wanted = jnp.where((kind == LIMIT) | (kind == TAKE), message.quantity, 0)
    upto = prefix_sum(available)
    fill = jnp.clip(wanted - (upto - available), 0, available)
    filled = jnp.minimum(wanted, upto[-1])
    rest = jnp.where(kind == LIMIT, message.quantity - filled, 0)
    named = (book.order[side] == message.order) & (kind == CANCEL)
    cancelled = jnp.where(named, jnp.minimum(book.quantity[side], message.quantity), 0)
    price = _sign(other) * other_key
    report = Report(
        filled,
        jnp.sum(jnp.where(fill > 0, fill * price, 0), dtype=jnp.int32),
        rest,
        jnp.sum(cancelled, dtype=jnp.int32),
        fill,
        price,
        book.order[other],
        book.owner[other],
    )
    quantity = book.quantity.at[other].set(resting - fill).at[side].add(-cancelled)
    return _insert(replace(book, quantity=quantity), message, key, rest), report


def _insert(book: OrderBook, message: Message, key: Int32[Array, ""], rest: Int32[Array, ""]) -> OrderBook:
    """The book with a new order of `rest` lots behind all that are as good; unchanged where that is 0."""
    side, capacity = message.side, book.key.shape[1]
    keys, size = book.key[side], book.quantity[side]
    index = jnp.arange(capacity, dtype=jnp.int32)
    place = jnp.sum(keys <= key, dtype=jnp.int32)
    free, behind = size == 0, index >= place
    after = jnp.min(jnp.where(free & behind, index, capacity))
    before = jnp.max(jnp.where(free & ~behind, index, -1))
    full = (after == capacity) & (before < 0)  # then the worst order is pushed out
    rightwards = (after < capacity) | full
    pushed_out = jnp.where(place == capacity, rest, size[-1])
    place = jnp.where(rightwards, place, place - 1)
    first, last = jnp.where(rightwards, place, before), jnp.where(rightwards, after, place)
    inserts = rest > 0
    here = inserts & (index == place)
    moves = inserts & (first <= index) & (index <= last)

    def moved(x, new):
        row = x[side]
        around = jnp.pad(row, 1)
        shifted = jnp.where(rightwards, around[:capacity], around[2:])
        return x.at[side].set(jnp.where(here, new, jnp.where(moves, shifted, row)))

    return OrderBook(
        moved(book.key, key),
        moved(book.quantity, rest),
        moved(book.order, message.order),
        moved(book.owner, message.owner),
        book.overflow.at[side].add(jnp.where(inserts & full, pushed_out, 0)),
    )


def replay(book: OrderBook, messages: Message) -> tuple[OrderBook, Report]:
    """Executes messages (leaves `[T]`) in order; reports have leaves `[T, ...]`. What is not used is not computed."""
    return jax.lax.scan(apply_message, book, messages)


def prefix_sum(x: Int[Array, " C"]) -> Int[Array, " C"]:
    """Running sums of a short vector by blocks of eight, several times faster on a CPU than a scan of its entries."""
    block = 8
    padded = jnp.pad(x, (0, -len(x) % block)).reshape(-1, block)
    index = jnp.arange(block)
    within = jnp.sum(jnp.where(index <= index[:, None], padded[:, None, :], 0), axis=-1, dtype=x.dtype)
    number = jnp.arange(len(padded))
    earlier = jnp.sum(jnp.where(number < number[:, None], within[:, -1], 0), axis=-1, dtype=x.dtype)
    return (within + earlier[:, None]).reshape(-1)[: len(x)]


def _sign(side: Int[Array, ""]) -> Int32[Array, ""]:
    """What turns the price of a side into its key, and back."""
    return jnp.where(side == BUY, -1, 1).astype(jnp.int32)


def live(book: OrderBook) -> Bool[Array, "2 C"]:
    """Which rows hold an order."""
    return book.quantity > 0


def best_prices(book: OrderBook, empty: Int[Array, " 2"] | None = None) -> Int32[Array, " 2"]:
    """Best bid and best ask in ticks; where a side is empty, `empty` (default: beyond every price)."""
    resting = live(book)
    key = jnp.min(jnp.where(resting, book.key, _NO_PRICE), axis=1)
    best = jnp.stack([-key[BUY], key[SELL]])
    return best if empty is None else jnp.where(jnp.any(resting, axis=1), best, empty).astype(jnp.int32)


def depth(book: OrderBook, start: Int[Array, " 2"], num_levels: int) -> Int32[Array, "2 L"]:
    """Lots resting at each of `num_levels` prices a side, from `start` (best bid and ask, say) outwards by ticks."""
    start_key = jnp.stack([-start[BUY], start[SELL]])
    at_level = (book.key - start_key[:, None])[:, None, :] == jnp.arange(num_levels)[:, None]
    return jnp.sum(jnp.where(at_level, book.quantity[:, None, :], 0), axis=-1, dtype=jnp.int32)


def queue_ahead(book: OrderBook, side: int, order: Int[Array, ""]) -> Int32[Array, ""]:
    """Lots that trade before the order `order` of a side does (all of the side where it does not rest)."""
    found = (book.order[side] == order) & live(book)[side]
    index = jnp.arange(book.order.shape[1])
    place = jnp.min(jnp.where(found, index, len(index)))
    return jnp.sum(jnp.where(index < place, book.quantity[side], 0), dtype=jnp.int32)
