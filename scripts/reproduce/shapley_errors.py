"""Errors of estimated Shapley values at equal budgets, on games whose values are known.

    python scripts/reproduce/shapley_errors.py [--budgets 70 150 400 1000 3000] [--runs 200] [--folder runs/shapley]
    python scripts/reproduce/shapley_errors.py --smoke

An evaluation of a coalition is the unit of the budget, those of the empty and of the grand coalition included. Games:
the airport of ten users, a tour of ten random customers (exact values from all coalitions), and a sum of fifty
unanimity games of thirty players (exact in closed form). The mean squared errors, over players and runs, go to
`shapley_errors.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.evaluation.shapley import mean_squared_errors, shapley_of_table
from jaxmarl.games.coalitional import (
    CoalitionValue,
    airport_game,
    airport_shapley,
    table_game,
    unanimity_game,
    unanimity_shapley,
)
from jaxmarl.games.travelling_salesperson import euclidean_distances, tour_costs

RUNWAYS = (1.0, 1.0, 2.0, 3.0, 5.0, 6.0, 8.0, 9.0, 12.0, 15.0)
METHODS: dict[str, tuple[Any, dict[str, bool]]] = {
    "permutation": ("permutation", {}),
    "SVARM": ("svarm", {}),
    "stratified SVARM": ("stratified_svarm", {}),
    "stratified, paired and efficient": ("stratified_svarm", {"paired": True, "efficient": True}),
}


def games(seed: int) -> dict[str, tuple[CoalitionValue, np.ndarray]]:
    """Each game and its exact Shapley values."""
    rng = np.random.default_rng(seed)
    table = tour_costs(euclidean_distances(rng.random((11, 2))))
    needed = np.zeros((50, 30), bool)
    for row in needed:
        row[rng.choice(30, rng.integers(1, 7), replace=False)] = True
    worth = rng.random(50)
    return {
        "airport, 10 users": (airport_game(RUNWAYS), airport_shapley(RUNWAYS)),
        "tour of 10 customers": (table_game(table), shapley_of_table(table)),
        "unanimity games, 30 players": (unanimity_game(needed, worth), unanimity_shapley(needed, worth)),
    }


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each game, budget and method."""
    rows = []
    keys = jax.random.split(jax.random.key(args.seed), args.runs)
    for game, (value, truth) in games(args.seed).items():
        for budget in args.budgets:
            for name, (method, options) in METHODS.items():
                each = mean_squared_errors(value, truth, budget, keys, method, empty_value=0.0, **options)
                row = {"game": game, "budget": budget, "method": name, "error": float(each.mean())}
                rows.append({**row, "standard_error": float(each.std() / args.runs**0.5)})
        print(f"{game}: done", flush=True)
    return rows


def print_table(rows: list[dict[str, Any]], runs: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("game", "budget", *METHODS, title=f"Mean squared error, {runs} runs (standard error)")
    for game, budget in dict.fromkeys((row["game"], row["budget"]) for row in rows):
        group = [row for row in rows if (row["game"], row["budget"]) == (game, budget)]
        table.add_row(game, str(budget), *(f"{row['error']:.3g} ({row['standard_error']:.1g})" for row in group))
    Console(width=140).print(table)


def draw_figure(rows: list[dict[str, Any]], path: Path) -> Path:
    """Errors against budgets, a panel for each game."""
    from jaxmarl.viz.style import BODY, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    names = list(dict.fromkeys(row["game"] for row in rows))
    figure = new_figure(12, 4.0)
    for axes, game in zip(figure.subplots(1, len(names)), names, strict=True):
        quiet_axes(axes, grid="y")
        for name, look in zip(METHODS, SERIES, strict=False):
            line = [row for row in rows if (row["game"], row["method"]) == (game, name)]
            places, heights = [row["budget"] for row in line], [row["error"] for row in line]
            errors = [2 * row["standard_error"] for row in line]
            axes.errorbar(places, heights, errors, **look.marked, markersize=5, capsize=2, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        budgets = sorted({row["budget"] for row in rows})
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        axes.minorticks_off()
        axes.set_xlabel("evaluations of coalitions", fontsize=BODY, color=INK)
        panel_title(axes, game[0].upper() + game[1:])
    figure.axes[0].set_ylabel("mean squared error", fontsize=BODY, color=INK)
    legend(figure.axes[0], fontsize=BODY - 1, loc="lower left")
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--budgets", type=int, nargs="+", default=[70, 150, 400, 1000, 3000])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--folder", type=Path, default=Path("runs/shapley"))
    parser.add_argument("--smoke", action="store_true", help="few runs: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.budgets, args.runs = [70, 100], 4
    return args


def main() -> None:
    """Measures, prints and writes everything."""
    args = arguments()
    start = time.perf_counter()
    rows = measure(args)
    print_table(rows, args.runs)
    settings = {name: getattr(args, name) for name in ("budgets", "runs", "seed")}
    record = {"settings": settings, "seconds": time.perf_counter() - start, "rows": rows}
    args.folder.mkdir(parents=True, exist_ok=True)
    written = replace_file(args.folder / "shapley_errors.json", (json.dumps(record, indent=1) + "\n").encode())
    figure = draw_figure(rows, args.folder / "shapley_errors.png")
    print(f"{record['seconds']:.0f} s; wrote {written} and {figure}")


if __name__ == "__main__":
    main()
