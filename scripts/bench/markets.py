"""Speed of the market environments, and of the order book against plain Python, on this machine and in this run.

    python scripts/bench/markets.py [--instances 1 1024 16384] [--only NAME ...] [--quick] [--out FILE]
    python scripts/bench/markets.py --families mechanisms

Environments of `jaxmarl.envs.markets` and `jaxmarl.envs.liquidity` (or of other families, then without the order book)
are taken from the registry and stepped with random legal actions in one scan, by a `VectorEnv`; compilation is timed
apart. The order book executes one random stream of limit, market and cancel messages; the plain Python book is that of
the tests, and is left out where they are not there. So is JAX-LOB (Frey et al. 2023): `pip install --no-deps
jaxlob==0.19`, or name the folder of its unpacked source.
"""

import argparse
import importlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarl.bench.harness import compiled, parser, start, timed, write

FAMILIES = ("markets", "liquidity")
PYTHON_BOOK = Path(__file__).parents[2] / "tests" / "envs" / "markets" / "python_book.py"


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--instances", type=int, nargs="+", default=[1, 1024, 16384])
    options.add_argument("--families", nargs="+", help="folders of jaxmarl.envs, in place of markets and liquidity")
    options.add_argument("--only", nargs="*", help="some of the environments (none: the book alone)")
    options.add_argument("--quick", action="store_true", help="fewer steps and at most 1024 instances")
    options.add_argument("--jaxlob", type=Path, help="folder of JAX-LOB's unpacked source")
    args = options.parse_args()
    if args.quick:
        args.instances = sorted({min(count, 1024) for count in args.instances})
    return args


def market_environments(families: Sequence[str]) -> list[str]:
    """Registered names of these families."""
    from jaxmarl.core import list_envs, make

    folders = tuple(f"jaxmarl.envs.{family}." for family in families)
    return [name for name in list_envs() if type(make(name)[0]).__module__.startswith(folders)]


def environment_row(name: str, instances: int, args: argparse.Namespace) -> dict[str, Any]:
    """Steps a second of all instances together, under random legal actions."""
    from jaxmarl.bench.environments import time_play
    from jaxmarl.core import make

    length = max(8, (20_000 if instances == 1 else 200_000) // (instances * (20 if args.quick else 4)))
    timing, steps = time_play(*make(name), instances, args.repeats, length)
    return {"name": name, "instances": instances, **timing.rates(steps)}


def random_messages(books: int, count: int) -> np.ndarray:
    """`[books, 6, count]`: kind, side, price, quantity, order and owner of each message around a price of 1000."""
    from jaxmarl.envs.markets import order_book as ob

    rng = np.random.default_rng(0)
    shape = (books, count)
    kind = rng.choice([ob.LIMIT, ob.TAKE, ob.CANCEL], shape, p=[0.45, 0.12, 0.43])
    side = rng.integers(0, 2, shape)
    offset = np.floor(rng.exponential(4.0, shape)).astype(int) - 1
    extreme = np.where(side == ob.BUY, ob.MAX_PRICE, -ob.MAX_PRICE)
    price = np.where(kind == ob.TAKE, extreme, np.where(side == ob.BUY, 1000 - offset, 1000 + offset))
    quantity = rng.integers(1, 12, shape) * np.where(kind == ob.TAKE, 4, np.where(kind == ob.CANCEL, 10**6, 1))
    order = np.broadcast_to(np.arange(count), shape)
    past = np.maximum(order - rng.integers(1, 80, shape), 0)
    order = np.where(kind == ob.CANCEL, past, order)
    side = np.where(kind == ob.CANCEL, np.take_along_axis(side, past, axis=1), side)
    return np.stack([kind, side, price, quantity, order, np.full(shape, ob.NOBODY)], axis=1)


def book_rows(args: argparse.Namespace, capacity: int = 64) -> list[dict[str, Any]]:
    """Messages a second: one book and many in JAX, and one in plain Python."""
    import jax
    import jax.numpy as jnp

    from jaxmarl.envs.markets.order_book import Message, empty_book, replay

    rows = []
    for books, count in ((1, 100_000), (64, 4_000), (1024, 400)):
        count = count // 5 if args.quick else count
        columns = random_messages(books, count)

        def run(columns):
            book, report = replay(empty_book(capacity), Message.of(*columns))
            return jnp.sum(report.filled), jnp.sum(book.overflow)

        def first(columns, run=run):
            return run(columns[0])

        every = jax.vmap(run) if books > 1 else first
        given = jnp.asarray(columns, jnp.int32)
        ready, compile_seconds = compiled(every, given)
        seconds = timed(partial(ready, given), args.repeats).median
        traded, overflow = (int(np.sum(x)) for x in ready(given))
        name = f"jaxmarl, {books} book{'s' if books > 1 else ''} at once"
        row = {"name": name, "messages_per_second": books * count / seconds, "compile_seconds": compile_seconds}
        rows.append({**row, "traded": traded, "overflow": overflow})
    return rows + python_rows(args) + peer_rows(args, capacity)


def python_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The plain Python book on the stream of the single book."""
    if not PYTHON_BOOK.exists():
        print(f"plain Python is left out: no {PYTHON_BOOK}")
        return []
    spec = importlib.util.spec_from_file_location("python_book", PYTHON_BOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    messages = random_messages(1, 20_000 if args.quick else 100_000)[0].T.tolist()
    traded = []

    def play() -> None:
        book = module.PythonBook()
        traded.append(sum(lots for row in messages for _, _, lots in book.apply(*row)[0]))

    speed = len(messages) / timed(play, args.repeats).median
    return [{"name": "plain Python, one book", "messages_per_second": speed, "traded": traded[-1]}]


def peer_rows(args: argparse.Namespace, capacity: int) -> list[dict[str, Any]]:
    """JAX-LOB on the same streams; immediate-or-cancel orders, which it does not have, become limit orders."""
    import jax
    import jax.numpy as jnp

    if args.jaxlob:
        sys.path.insert(0, str(args.jaxlob))
    try:
        peer = importlib.import_module("jaxlob.gymnax_exchange.jaxob.JaxOrderBookArrays")
    except ImportError as error:
        print(f"JAX-LOB is left out: {error}")
        return []
    # written for a jax whose `where` took its branches by keyword
    where = lambda condition, x=None, y=None, **kinds: jnp.where(condition, x, y, **kinds)  # noqa: E731
    vars(peer)["jnp"] = types.SimpleNamespace(**{**vars(jnp), "where": where})
    rows = []
    for books, count in ((1, 100_000), (64, 4_000)):
        count = count // 5 if args.quick else count
        kind, side, price, quantity, order, owner = np.moveaxis(random_messages(books, count), 1, 0)
        columns = [np.where(kind == 3, 2, 1), np.where(side == 0, 1, -1), quantity, price, owner, order]
        messages = jnp.asarray(np.stack([*columns, order, np.zeros_like(order)], axis=-1), jnp.int32)

        def run(messages):
            sides = jnp.full((2, capacity, 6), -1, jnp.int32)
            return peer.scan_through_entire_array(messages, (*sides, jnp.full((16, 6), -1, jnp.int32)))

        ready, compile_seconds = compiled(jax.vmap(run), messages)
        speed = books * count / timed(partial(ready, messages), args.repeats).median
        name = f"JAX-LOB, {books} book{'s' if books > 1 else ''} at once"
        rows.append({"name": name, "messages_per_second": speed, "compile_seconds": compile_seconds, "traded": ""})
    return rows


def print_tables(environments: list[dict[str, Any]], books: list[dict[str, Any]], device: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    counts = sorted({row["instances"] for row in environments})
    heads = ("environment", *(f"steps/s, {count} at once" for count in counts), "compile s")
    table = Table(*heads, title=device)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(row["name"] for row in environments):
        of_env = {row["instances"]: row for row in environments if row["name"] == name}
        speeds = [f"{of_env[count]['steps_per_second']:,.0f}" for count in counts]
        table.add_row(name, *speeds, f"{max(row['compile_seconds'] for row in of_env.values()):.1f}")
    console.print(table)
    if not books:
        return
    table = Table("order book", "messages/s", "compile s", "lots traded", "lots without room")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in books:
        compiled = f"{row['compile_seconds']:.1f}" if "compile_seconds" in row else ""
        numbers = [f"{row['messages_per_second']:,.0f}", compiled, str(row["traded"]), str(row.get("overflow", ""))]
        table.add_row(row["name"], *numbers)
    console.print(table)


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    import jaxmarl.envs  # noqa: F401

    known = market_environments(args.families or FAMILIES)
    names = known if args.only is None else [name for name in known if name in args.only]
    environments = [environment_row(name, count, args) for name in names for count in args.instances]
    books = [] if args.families else book_rows(args)
    print_tables(environments, books, device)
    write(args.out, {"environments": environments, "order_book": books})


if __name__ == "__main__":
    main()
