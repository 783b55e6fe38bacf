"""What learning to contract costs: regret against the optimal contract, by discovery and by bandits.

    python scripts/reproduce/contract_regret.py [--rounds 1000 10000 100000 1000000] [--folder runs/contracts]
    python scripts/reproduce/contract_regret.py --smoke

The principal knows its rewards and sees outcomes; it knows neither costs nor laws of the agent's actions. Compared are
upper confidence bounds on ceil(T^(1/3)) linear contracts and on a product grid of all contracts, and
`discover_and_cover`. One problem is the four efforts of the tests, whose best linear contract is far from the optimum
(0.4375 against 0.645); the others are random. Every learner starts anew for each horizon T. The numbers go to
`contract_regret.json` and `.png` in `--folder`.
"""

import argparse
import functools
import json
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.envs.mechanisms import (
    HiddenAction,
    best_linear_contract,
    contract_grid,
    four_efforts,
    linear_grid,
    optimal_contract,
    random_hidden_action,
)
from jaxmarl.solvers.mechanisms import discover_and_cover, ucb_contracts

CAP = 1.0
GRID_LEVELS = 6
METHODS = ("UCB, linear contracts", "UCB, product grid", "discover and cover")


def problems(args: argparse.Namespace) -> dict[str, list[HiddenAction]]:
    """The problems of each panel, in float64 on the host."""
    keys = jax.random.split(jax.random.key(args.seed), args.problems)
    batch = jax.jit(jax.vmap(functools.partial(random_hidden_action, num_actions=4, num_outcomes=3)))(keys)
    random = [jax.tree.map(lambda x, i=i: np.asarray(x[i], float), batch) for i in range(args.problems)]
    return {"four efforts": [four_efforts()], f"{args.problems} random problems": random}


@functools.partial(jax.jit, static_argnames="num_rounds")
def earned(problem: HiddenAction, contracts: jax.Array, keys: jax.Array, num_rounds: int) -> jax.Array:
    """Mean expected utility a round, of each seed."""
    return jax.vmap(lambda key: jnp.mean(ucb_contracts(problem, contracts, key, num_rounds)))(keys)


def losses(problem: HiddenAction, num_rounds: int, seeds: int) -> dict[str, list[float]]:
    """Regret a round of each method and seed."""
    optimum = optimal_contract(problem, cap=CAP).utility
    arms = {
        METHODS[0]: linear_grid(np.asarray(problem.rewards), math.ceil(num_rounds ** (1 / 3))),
        METHODS[1]: contract_grid(len(problem.rewards), GRID_LEVELS, CAP),
    }
    device = jax.tree.map(lambda x: jnp.asarray(x, float), problem)
    keys = jax.random.split(jax.random.key(num_rounds), seeds)
    found = {
        name: (optimum - np.asarray(earned(device, jnp.asarray(grid, float), keys, num_rounds))).tolist()
        for name, grid in arms.items()
    }
    end = np.array([num_rounds])
    runs = [discover_and_cover(problem, num_rounds, seed, cap=CAP) for seed in range(seeds)]
    found[METHODS[2]] = [float(run.regret(optimum, end)[0]) / num_rounds for run in runs]
    return found


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each panel, horizon and method."""
    rows = []
    for panel, members in problems(args).items():
        seeds = args.seeds if len(members) == 1 else 1
        linear = [optimal_contract(p, cap=CAP).utility - float(_linear(p)) for p in members]
        for num_rounds in args.rounds:
            each = [losses(problem, num_rounds, seeds) for problem in members]
            for name in METHODS:
                values = np.concatenate([found[name] for found in each])
                error = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else math.nan
                row = {"problems": panel, "rounds": num_rounds, "method": name, "regret": float(values.mean())}
                rows.append({**row, "error": float(error), "linear_gap": float(np.mean(linear))})
            print(f"{panel}, {num_rounds} rounds: done", flush=True)
    return rows


def _linear(problem: HiddenAction) -> jax.Array:
    return best_linear_contract(jax.tree.map(lambda x: jnp.asarray(x, float), problem)).utility


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("problems", "rounds", *METHODS, "best linear contract", title="Regret a round (standard error)")
    for panel, num_rounds in dict.fromkeys((row["problems"], row["rounds"]) for row in rows):
        group = [row for row in rows if (row["problems"], row["rounds"]) == (panel, num_rounds)]
        numbers = [f"{row['regret']:.4f} ({row['error']:.4f})" for row in group]
        table.add_row(panel, f"{num_rounds:,}", *numbers, f"{group[0]['linear_gap']:.4f}")
    Console(width=140).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """Regret a round against the horizon, a panel for each set of problems."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    panels = list(dict.fromkeys(row["problems"] for row in rows))
    figure = new_figure(10, 4.2)
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True), panels, strict=True):
        quiet_axes(axes, grid="y")
        group = [row for row in rows if row["problems"] == panel]
        for name, look in zip(METHODS, SERIES, strict=False):
            line = [row for row in group if row["method"] == name]
            places, heights = [row["rounds"] for row in line], np.array([row["regret"] for row in line])
            errors = 2 * np.array([row["error"] for row in line])
            axes.errorbar(places, heights, errors, **look.marked, markersize=5, capsize=2, label=name)
        axes.axhline(group[0]["linear_gap"], color=FAINT, linewidth=1, label="best linear contract")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rounds T (each learner starts anew)", fontsize=BODY, color=INK)
        panel_title(axes, panel[0].upper() + panel[1:])
    figure.axes[0].set_ylabel("regret a round", fontsize=BODY, color=INK)
    legend(figure.axes[0], loc="lower left")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--seeds", type=int, default=8, help="runs on the first problem")
    parser.add_argument("--problems", type=int, default=12, help="random problems, one run each")
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/contracts"))
    parser.add_argument("--smoke", action="store_true", help="few short runs: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.seeds, args.problems = [300, 1000], 2, 2
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    rows = measure(args)
    print_table(rows)
    settings = {name: getattr(args, name) for name in ("rounds", "seeds", "problems", "seed")}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "rows": rows}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "contract_regret.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(rows, args.folder / "contract_regret.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()
