"""Speed of mechanisms, negotiation and macro-economies, of a million agents in one step, and of Shapley estimators.

    python scripts/bench/mechanisms.py [--instances 1 1024] [--agents 100000 1000000] [--quick] [--out FILE]

Environments are taken from the registry and stepped with random legal actions, compilation apart. Of the economies with
many agents one step of all of them is timed, with the most memory that the process held meanwhile; workers respond in
closed form, households save a random share of their cash, or submit random schedules. Shapley estimators are timed on
games of ten and thirty players by evaluations of coalitions.
"""

import argparse
from functools import partial
from typing import Any

from jaxmarl.bench.harness import compiled, parser, peak_memory, reset_peak_memory, start, timed, write

FAMILIES = ("mechanisms", "negotiation", "macro")
# the field that says how many agents there are
POPULATIONS = {"income_tax": "num_workers", "krusell_smith": "num_households", "huggett": "num_households"}


def parse_arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--instances", type=int, nargs="+", default=[1, 1024])
    options.add_argument("--agents", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--quick", action="store_true", help="few instances and agents")
    args = options.parse_args()
    if args.quick:
        args.instances, args.agents = [64], [1000]
    return args


def environment_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Steps a second of all instances together, under random legal actions."""
    from jaxmarl.bench.environments import time_play
    from jaxmarl.core import list_envs, make

    folders = tuple(f"jaxmarl.envs.{family}." for family in FAMILIES)
    rows = []
    for name in [name for name in list_envs() if type(make(name)[0]).__module__.startswith(folders)]:
        env, params = make(name)
        for instances in args.instances:
            steps = max(4, (500 if args.quick else 20_000) // instances)
            timing, total = time_play(env, params, instances, args.repeats, steps)
            rows.append({"name": name, "instances": instances, "agents": env.num_agents, **timing.rates(total)})
            print(f"{name}, {instances}: {rows[-1]['steps_per_second']:,.0f} steps a second", flush=True)
    return rows


def population_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds and memory of one step of an economy with many agents."""
    import jax

    from jaxmarl.core import make

    rows = []
    for name, field in POPULATIONS.items():
        for agents in args.agents:
            env, params = make(name, **{field: agents})
            shape = (env.num_agents, *env.action_space(params).shape)
            state = jax.jit(env.reset)(jax.random.key(0), params)[1]
            action = jax.jit(lambda key, shape=shape: jax.random.uniform(key, shape))(jax.random.key(1))
            ready, seconds = compiled(env.step, jax.random.key(2), state, action, params)
            reset_peak_memory()
            before = peak_memory()
            timing = timed(partial(ready, jax.random.key(2), state, action, params), args.repeats)
            row = {"name": name, "agents": agents, "seconds": timing.median, "compile_seconds": seconds}
            arrays = jax.tree.leaves((state, action, params))
            held = sum(x.size * x.dtype.itemsize for x in arrays)
            rows.append({**row, "held_mib": held / 2**20, "step_mib": (peak_memory() - before) / 2**20})
            rows[-1]["peak_mib"] = peak_memory() / 2**20
    return rows


def shapley_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Evaluations of coalitions a second."""
    import jax
    import numpy as np

    from jaxmarl.evaluation.shapley import estimate_shapley
    from jaxmarl.games.coalitional import airport_game, unanimity_game

    rng = np.random.default_rng(0)
    needed = rng.random((50, 30)) < 0.1
    needed[np.arange(50), np.arange(50) % 30] = True
    games = {10: airport_game(range(1, 11)), 30: unanimity_game(needed, rng.random(50))}
    budget, rows = 2000 if args.quick else 100_000, []
    for players, game in games.items():
        for method in ("permutation", "svarm", "stratified_svarm"):
            estimate = partial(estimate_shapley, game, players, budget, method=method, empty_value=0.0)
            values = lambda key, estimate=estimate: estimate(key).values  # noqa: E731
            ready, seconds = compiled(values, jax.random.key(0))
            rate = budget / timed(partial(ready, jax.random.key(0)), args.repeats).median
            row = {"method": method, "players": players, "evaluations_per_second": rate}
            rows.append({**row, "compile_seconds": seconds})
    return rows


def print_tables(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=110)
    table = Table("environment", "instances", "steps a second", "agent steps a second", "compile s")
    for row in record["environments"]:
        speed = row["steps_per_second"]
        speeds = f"{speed:,.0f}", f"{speed * row['agents']:,.0f}"
        table.add_row(row["name"], f"{row['instances']:,}", *speeds, f"{row['compile_seconds']:.1f}")
    console.print(table)
    table = Table("economy", "agents", "ms a step", "MiB held", "MiB more in a step", "MiB of the process", "compile s")
    for row in record["populations"]:
        sizes = [f"{row[name]:,.0f}" for name in ("held_mib", "step_mib", "peak_mib")]
        table.add_row(
            row["name"], f"{row['agents']:,}", f"{1000 * row['seconds']:.1f}", *sizes, f"{row['compile_seconds']:.1f}"
        )
    console.print(table)
    table = Table("Shapley estimator", "players", "evaluations a second", "compile s")
    for row in record["shapley"]:
        speed = f"{row['evaluations_per_second']:,.0f}"
        table.add_row(row["method"], str(row["players"]), speed, f"{row['compile_seconds']:.1f}")
    console.print(table)


def main() -> None:
    """Measures, prints and writes everything."""
    args = parse_arguments()
    print(start(args))
    record = {
        "populations": population_rows(args),
        "shapley": shapley_rows(args),
        "environments": environment_rows(args),
    }
    print_tables(record)
    write(args.out, record)


if __name__ == "__main__":
    main()
