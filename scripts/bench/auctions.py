"""Speed of the auction environments under random bids, and of OpenSpiel's sealed-bid auction beside ours.

    python scripts/bench/auctions.py [--sizes 1 1024 65536] [--formats ...] [--agents 8] [--core 0] [--out out.json]

Every registered auction format plays `--sizes` parallel instances, episodes restarted as roll-outs do; a step is one
round of bids of all its bidders, in one-shot formats a whole auction. Prints a table of median steps a second over
`--repeats` timed calls, with compile seconds (no compilation cache), and the discrete first-price auction against
OpenSpiel's `first_sealed_auction`: the same game, values and bids drawn alike. `--agents` asks for so many bidders
instead of a format's default number, where it is a field. `--out` writes the same as JSON; `--core` pins the process
to one core before JAX starts, for figures per core.
"""

import argparse
import random
from typing import Any

from jaxmarl.bench.environments import time_play
from jaxmarl.bench.harness import parser, start, timed, write
from jaxmarl.bench.peers import discrete_auction, open_spiel_auctions

STEPS = {1: 2048, 1024: 256, 65536: 8}


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--formats", nargs="*", help="registered names; all auctions by default")
    options.add_argument("--sizes", type=int, nargs="*", default=[1, 1024, 65536], help="parallel instances")
    options.add_argument("--agents", type=int, help="bidders, in formats for any number of them")
    options.add_argument("--smoke", action="store_true", help="two formats, 8 instances, one call: does it run")
    return options.parse_args()


def auction_formats() -> list[str]:
    """Registered environments that are defined in the auctions' folder."""
    from jaxmarl.core import list_envs
    from jaxmarl.core.registry import env_factory
    from jaxmarl.envs import auctions

    return [name for name in list_envs() if env_factory(name).__module__.startswith(auctions.__name__)]


def make_format(name: str, num_agents: int | None) -> tuple[Any, Any]:
    """The environment with its default fields, or with `num_agents` bidders where that is one of its fields."""
    import inspect

    from jaxmarl.core import make
    from jaxmarl.core.registry import env_factory

    fields = inspect.signature(env_factory(name)).parameters
    if num_agents is not None and "num_agents" in fields:
        return make(name, num_agents=num_agents)
    if num_agents is not None and "num_buyers" in fields:
        return make(name, num_buyers=-(-num_agents // 2), num_sellers=num_agents // 2)
    return make(name)


def play(name: str, num_agents: int | None, num_envs: int, repeats: int, steps: int) -> dict[str, float]:
    """Joint steps a second of `num_envs` instances of a format."""
    env, params = make_format(name, num_agents)
    timing, steps = time_play(env, params, num_envs, repeats, steps)
    return {**timing.rates(steps), "num_agents": env.num_agents}


def our_discrete_auction(num_envs: int, repeats: int, steps: int) -> dict[str, float]:
    """Values 1 to 10, bids below them, drawn ties: auctions a second, and the mean payoff of a bidder."""
    timing, payoff = discrete_auction(num_envs, repeats, steps)
    return {**timing.rates(steps * num_envs), "mean_payoff": payoff}


def open_spiel_auction(repeats: int, games: int) -> dict[str, float]:
    """The same of OpenSpiel, one game at a time from Python, which is how it is played."""
    random.seed(0)
    payoffs: list[float] = []
    timing = timed(lambda: payoffs.append(open_spiel_auctions(games)), repeats)
    return {**timing.rates(games), "mean_payoff": sum(payoffs) / len(payoffs)}


def print_table(rows: dict[str, dict[str, Any]], title: str) -> None:
    """A line for each measurement."""
    from rich.console import Console
    from rich.table import Table

    table = Table("format", "bidders", "instances", "M steps/s (median)", "range", "compile s", title=title)
    for name, row in rows.items():
        format_name, _, instances = name.partition(" x ")
        speed, low, high = (f"{row[key] / 1e6:.4g}" for key in ("steps_per_second", "slowest", "fastest"))
        bidders = str(row.get("num_agents", 2))
        table.add_row(format_name, bidders, instances, speed, f"{low} - {high}", f"{row['compile_seconds']:.1f}")
    Console(width=120).print(table)


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    formats, sizes, repeats = args.formats or auction_formats(), args.sizes, args.repeats
    if args.smoke:
        formats, sizes, repeats = formats[:2], [8], 1
    rows: dict[str, dict[str, Any]] = {}
    for name in formats:
        for size in sizes:
            rows[f"{name} x {size}"] = play(name, args.agents, size, repeats, STEPS.get(size, 16))
    for size in sizes:
        rows[f"discrete first price x {size}"] = our_discrete_auction(size, repeats, STEPS.get(size, 16))
    try:
        rows["OpenSpiel first_sealed_auction x 1"] = open_spiel_auction(repeats, 200 if args.smoke else 5000)
    except ImportError:
        print("OpenSpiel is not installed: not compared")
    print_table(rows, device)
    payoffs = {name: row["mean_payoff"] for name, row in rows.items() if "mean_payoff" in row}
    print("mean payoff of a random bidder:", ", ".join(f"{name}: {payoff:.3f}" for name, payoff in payoffs.items()))
    write(args.out, {"rows": rows})


if __name__ == "__main__":
    main()
