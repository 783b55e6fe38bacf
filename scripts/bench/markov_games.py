"""Speed of Markov games, dilemmas, gridworlds, driving and bandits under random actions, and of OpenSpiel's.

    python scripts/bench/markov_games.py [--only NAME ...] [--sizes 1 64 1024 16384] [--core 0] [--out out.json]

Registered environments of the five families play `--sizes` parallel instances with random legal actions; those that
end are restarted as roll-outs do; a step is one move of all agents. Prints median steps a second of all instances
together over `--repeats` timed calls, with compile seconds (no compilation cache). OpenSpiel's games, where it is
installed: its iterated prisoner's dilemma is a NumPy batch, given actions drawn beforehand; `markov_soccer` is played
from Python, one game at a time; its rules differ a little (the ball starts loose), and two moves and the chance node
that orders them count as one step. `--core` pins the process to one core before JAX starts.
"""

import argparse
import random
import statistics
from collections.abc import Callable
from typing import Any

from auctions import play

from jaxmarl.bench.harness import parser, start, write
from jaxmarl.bench.peers import open_spiel_dilemma, open_spiel_soccer

FAMILIES = ("markov", "dilemmas", "gridworlds", "driving", "bandits")
STEPS = {1: 2048, 64: 512, 1024: 128, 16384: 16}


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--only", nargs="*", help="registered names; all of the five families by default")
    options.add_argument("--sizes", type=int, nargs="+", default=[1, 64, 1024, 16384], help="parallel instances")
    options.add_argument("--smoke", action="store_true", help="8 instances, one call: does it run")
    args = options.parse_args()
    if args.smoke:
        args.sizes, args.repeats = [8], 1
    return args


def environments() -> list[str]:
    """Registered names of the five families."""
    from jaxmarl.core import list_envs
    from jaxmarl.core.registry import env_factory

    folders = tuple(f"jaxmarl.envs.{family}." for family in FAMILIES)
    return [name for name in list_envs() if env_factory(name).__module__.startswith(folders)]


PEERS: dict[str, tuple[str, Callable[[int, int], float], int]] = {
    "soccer": (
        "OpenSpiel markov_soccer",
        lambda size, steps: open_spiel_soccer(size * steps),
        10_000,
    ),  # steps at most: it is slow
    "iterated_matrix": ("OpenSpiel iterated dilemma", open_spiel_dilemma, 2**20),
}


def peer_speeds(name: str, sizes: list[int], repeats: int) -> dict[int, dict[str, float]]:
    """Steps a second of OpenSpiel's version of an environment, all instances together."""
    _, seconds, most = PEERS[name]
    rows = {}
    for size in sizes:
        steps = max(min(STEPS.get(size, 64), most // size), 1)
        rates = [size * steps / seconds(size, steps) for _ in range(repeats)]
        rows[size] = {"steps_per_second": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}
    return rows


def print_table(rows: dict[str, dict[int, Any]], theirs: dict[str, dict[int, Any]], title: str) -> None:
    """A line for each environment, a column for each number of instances."""
    from rich.console import Console
    from rich.table import Table

    sizes = sorted({size for row in rows.values() for size in row})
    table = Table("environment", "agents", *(f"{size:,} at once" for size in sizes), "compile s", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in rows.items():
        speeds = [f"{row[size]['steps_per_second']:,.0f}" for size in sizes]
        compiled = max(figures["compile_seconds"] for figures in row.values())
        table.add_row(name, str(row[sizes[0]]["num_agents"]), *speeds, f"{compiled:.1f}")
    for name, peer in theirs.items():
        table.add_section()
        table.add_row(PEERS[name][0], "2", *(f"{peer[size]['steps_per_second']:,.0f}" for size in sizes), "")
        ratios = [rows[name][size]["steps_per_second"] / peer[size]["steps_per_second"] for size in sizes]
        table.add_row(f"{name} : OpenSpiel's", "", *(f"{ratio:.3g} x" for ratio in ratios), "")
    Console(width=120).print(table)


def main() -> None:
    """Measures, prints and writes."""
    args = parse_arguments()
    device = start(args)
    import jaxmarl.envs  # noqa: F401
    from jaxmarl.core.registry import env_factory

    names = environments() if args.only is None else args.only
    for name in names:
        env_factory(name)  # an unknown name fails now, not after minutes
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    theirs: dict[str, dict[int, dict[str, float]]] = {}
    random.seed(0)
    for name in names:
        rows[name] = {size: play(name, None, size, args.repeats, STEPS.get(size, 64)) for size in args.sizes}
        try:
            if name in PEERS:
                theirs[name] = peer_speeds(name, args.sizes, args.repeats)
        except ImportError:
            print(f"OpenSpiel is not installed: {name} is not compared")
    print_table(rows, theirs, f"steps a second; {device}")
    write(args.out, {"environments": rows, "open_spiel": theirs})


if __name__ == "__main__":
    main()
