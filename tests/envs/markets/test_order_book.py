"""The order book against a plain Python one, message by message, and its conservation laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from python_book import PythonBook

from jaxmarl.envs.markets import order_book
from jaxmarl.envs.markets.order_book import BUY, CANCEL, LIMIT, NONE, SELL, TAKE, Message, OrderBook, empty_book, replay

CAPACITY = 128


def random_messages(seed, count):
    """Limit, take and cancel messages around a wandering price; cancels name recent orders of either side."""
    rng = np.random.default_rng(seed)
    kind = rng.choice([NONE, LIMIT, TAKE, CANCEL], count, p=[0.02, 0.44, 0.12, 0.42])
    side = rng.integers(0, 2, count)
    centre = 1000 + np.round(6 * np.sin(np.arange(count) / 150)).astype(int)
    offset = np.floor(rng.exponential(4.0, count)).astype(int) - 1
    price = np.where(side == BUY, centre - offset, centre + offset)
    extreme = np.where(side == BUY, order_book.MAX_PRICE, -order_book.MAX_PRICE)
    price = np.where((kind == TAKE) & (rng.random(count) < 0.5), extreme, price)
    quantity = rng.integers(0, 12, count) * np.where(kind == TAKE, 4, 1)
    order = np.arange(count)
    past = np.maximum(order - rng.integers(1, 80, count), 0)
    cancels = kind == CANCEL
    order, side = np.where(cancels, past, order), np.where(cancels, side[past], side)
    quantity = np.where(cancels & (rng.random(count) < 0.7), 10**6, quantity)
    return np.stack([kind, side, price, quantity, order, rng.integers(-1, 4, count)])


@pytest.fixture(scope="module")
def played():
    messages = random_messages(0, 100_000)

    @jax.jit
    def run(columns):
        book, report = replay(empty_book(CAPACITY), Message.of(*columns))
        marks = [jnp.sum(report.maker_fill * report.maker_order**power, axis=1) for power in (0, 1, 2)]  # modulo 2^32
        return book, jnp.stack([report.rested, report.cancelled, report.value, *marks], -1)

    return messages, *jax.tree.map(np.asarray, run(jnp.asarray(messages)))


def test_every_trade_of_100000_messages_is_that_of_the_python_book(played):
    """Whose orders traded how much is compared by `Σ lots · order^p` for p of 0, 1 and 2, modulo 2^32."""
    messages, book, totals = played
    reference, deepest, most, expected = PythonBook(), 0, 0, []
    for row in messages.T.tolist():
        fills, rested, cancelled = reference.apply(*row)
        marks = [sum(lots * order**power for order, _, lots in fills) for power in (0, 1, 2)]
        expected.append([rested, cancelled, sum(price * lots for _, price, lots in fills), *marks])
        deepest, most = max(deepest, len(reference.orders[0])), max(most, len(fills))
    expected = (np.asarray(expected) % 2**32).astype(np.uint32).astype(np.int32)
    np.testing.assert_array_equal(totals, expected)
    assert book.overflow.sum() == 0
    assert 40 < deepest <= CAPACITY
    assert most >= 4, "orders that sweep several others are among them"
    for side in (BUY, SELL):
        rows = [*zip(book.price[side], book.quantity[side], book.order[side], strict=True)]
        assert [tuple(map(int, row)) for row in rows if row[1] > 0] == reference.resting(side)


def test_trades_come_in_order_of_priority():
    """The rows that traded, one by one, against the Python book's list."""
    messages = random_messages(7, 1000)
    _, report = jax.jit(lambda x: replay(empty_book(CAPACITY), Message.of(*x)))(jnp.asarray(messages))
    fill, price, order = (np.asarray(x) for x in (report.maker_fill, report.maker_price, report.maker_order))
    reference = PythonBook()
    for i, row in enumerate(messages.T.tolist()):
        rows = np.flatnonzero(fill[i])
        traded = [*zip(order[i, rows].tolist(), price[i, rows].tolist(), fill[i, rows].tolist(), strict=True)]
        assert traded == reference.apply(*row)[0]


def test_quantity_is_conserved_exactly(played):
    _, book, totals = played
    rested, cancelled, _, filled, _, _ = totals.sum(axis=0)
    assert rested - cancelled - filled == book.quantity.sum(), "what came to rest traded, was cancelled or is there"
    assert (book.quantity >= 0).all()
    assert (np.diff(book.key, axis=1) >= 0).all(), "sides stay sorted"


@pytest.mark.parametrize("seed", [1, 2])
def test_the_book_is_never_crossed(seed):
    messages = Message.of(*random_messages(seed, 2000))

    @jax.jit
    def run(messages):
        def step(book, message):
            book, _ = order_book.apply_message(book, message)
            return book, order_book.best_prices(book)

        return jax.lax.scan(step, empty_book(CAPACITY), messages)[1]

    best = np.asarray(run(messages))
    assert (best[:, BUY] < best[:, SELL]).all()


def apply_all(book, *messages):
    """The book after some messages, without jit, and the last report."""
    report = None
    for message in messages:
        book, report = order_book.apply_message(book, Message.of(*message))
    return book, report


def test_a_full_side_pushes_its_worst_order_out_and_counts_it():
    book, _ = apply_all(empty_book(2), (LIMIT, BUY, 100, 5, 1), (LIMIT, BUY, 99, 7, 2), (LIMIT, BUY, 101, 1, 3))
    assert book.order[BUY].tolist() == [3, 1]
    assert book.overflow.tolist() == [7, 0]
    book, report = apply_all(book, (LIMIT, BUY, 98, 4, 4))
    assert book.order[BUY].tolist() == [3, 1], "a new order that is the worst is the one that goes"
    assert book.overflow.tolist() == [11, 0]
    assert int(report.rested) == 4


def test_time_priority_survives_free_rows_on_either_side():
    book, _ = apply_all(
        empty_book(4),
        *[(LIMIT, SELL, 105, 1, order) for order in (1, 2, 3, 4)],
        (CANCEL, SELL, 0, 1, 2),
        (LIMIT, SELL, 105, 1, 5),
        (CANCEL, SELL, 0, 1, 4),
        (LIMIT, SELL, 104, 1, 6),
    )
    kept = order_book.live(book)[SELL]
    assert np.asarray(book.order[SELL])[np.asarray(kept)].tolist() == [6, 1, 3, 5]
    assert int(order_book.queue_ahead(book, SELL, jnp.int32(3))) == 2
    assert int(order_book.queue_ahead(book, SELL, jnp.int32(77))) == 4, "all of the side, if it does not rest"


def test_depth_and_best_prices():
    book, _ = apply_all(
        empty_book(8),
        (LIMIT, BUY, 100, 5, 1),
        (LIMIT, BUY, 98, 2, 2),
        (LIMIT, BUY, 100, 1, 3),
        (LIMIT, SELL, 103, 4, 4),
    )
    assert order_book.best_prices(book).tolist() == [100, 103]
    assert order_book.depth(book, order_book.best_prices(book), 3).tolist() == [[6, 0, 2], [4, 0, 0]]
    emptied, _ = apply_all(book, (TAKE, BUY, order_book.MAX_PRICE, 9, 5))
    assert order_book.best_prices(emptied, jnp.array([90, 110])).tolist() == [100, 110]


def test_prefix_sums():
    for size in (1, 7, 8, 100):
        x = np.random.default_rng(size).integers(0, 9, size)
        np.testing.assert_array_equal(order_book.prefix_sum(jnp.asarray(x)), np.cumsum(x))


def test_batches_of_books_equal_single_ones():
    columns = np.stack([random_messages(seed, 200) for seed in (3, 4, 5)])
    run = jax.jit(jax.vmap(lambda x: replay(empty_book(16), Message.of(*x))[0]))
    many = run(jnp.asarray(columns))
    single = jax.jit(lambda x: replay(empty_book(16), Message.of(*x))[0])
    for i in range(3):
        alone = single(jnp.asarray(columns[i]))
        for name in OrderBook.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(many, name)[i], getattr(alone, name))


def test_wrong_capacity_is_refused():
    with pytest.raises(ValueError, match="capacity must be an integer >= 1, got 0"):
        empty_book(0)


def test_exponential_reservation_prices_fill_as_avellaneda_and_stoikov_assume():
    """Buyers who come with probability `A dt` and pay up to `Exp(k)` above the mid fill a quote as `A exp(-k δ) dt`."""
    rng, count, ticks, decay, arrival = np.random.default_rng(9), 40_000, 100, 1.5, 0.7
    reservation = np.floor(rng.exponential(1 / decay, count) * ticks).astype(int)
    comes = rng.random(count) < arrival
    offset = 60  # ticks
    steps = []
    for i in range(2):  # a quote, then a taker
        steps.append(
            Message.of(
                LIMIT if i == 0 else np.where(comes, TAKE, NONE),
                SELL if i == 0 else BUY,
                offset if i == 0 else reservation,
                np.ones(count, int),
                np.arange(count),
                0 if i == 0 else 1,
            )
        )

    @jax.jit
    def run(quote, taker):
        def step(book, pair):
            quote, taker = pair
            book, _ = order_book.apply_message(book, quote)
            book, report = order_book.apply_message(book, taker)
            book, _ = order_book.apply_message(book, quote.replace(kind=jnp.int32(CANCEL)))
            return book, report.filled

        return jax.lax.scan(step, empty_book(4), (quote, taker))[1]

    share, expected = float(run(*steps).mean()), arrival * np.exp(-decay * offset / ticks)
    assert abs(share / expected - 1) < 0.05
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)
