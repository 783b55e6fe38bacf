"""Do learners that carry a stock attain the best tails, and the targets they are given?

    python scripts/reproduce/stock_control.py [--seeds 5] [--folder runs/stock_control]
    python scripts/reproduce/stock_control.py --smoke

Stock-augmented Q-learning on laws ("DηN", Pires et al. 2025) on two small processes whose optimum is computed exactly:
two steps of bets, and a slippery grid with a cliff. Tails: one network for all levels, started at the stock from which
simulated returns have the best conditional value at risk. Targets: one network for all, which keeps the return near a
number. What is reported are exact values of what the network plays; shares are of the way from the risk-neutral policy
to the optimum (where that policy is optimal itself, 1 minus the relative loss).

A run (process, objective, seed) is a file in `--folder` when it is done, and not repeated. The table and
`stock_control.png` are of all runs in the folder.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.distributional import Utility, distance, shortfall
from jaxmarl.experiments.stock_control import Attained, StockControl, processes

OBJECTIVES: dict[str, Callable[[], Utility]] = {"tails": shortfall, "targets": distance}
TARGETS = {"two steps": (2, 5, 8), "slippery cliff": (-12, -7, 0, 3, 5)}
AIMS = {"tails": "level", "targets": "target"}


def trained(name: str, objective: str, args: argparse.Namespace) -> None:
    """Trains and judges the seeds that are not there yet."""
    paths = {seed: args.folder / f"{name.replace(' ', '_')}-{objective}-{seed}.json" for seed in range(args.seeds)}
    missing = {seed: path for seed, path in paths.items() if not path.exists()}
    if not missing:
        return
    process = processes()[name]
    if args.smoke:
        process = process._replace(agent_steps=12_800)
    control = StockControl(process, OBJECTIVES[objective]())
    for seed, path in missing.items():
        start, cpu = time.perf_counter(), time.process_time()
        params = control.run(jax.random.key(seed))
        if objective == "tails":
            rows = control.tails(params, jax.random.key(1000 + seed))
        else:
            rows = control.utilities(params, [-float(target) for target in TARGETS[name]])
        took = {"wall": time.perf_counter() - start, "process": time.process_time() - cpu}
        record = {"process": name, "objective": objective, "seed": seed, "seconds": took}
        record["rows"] = [row._asdict() | {"share": row.share} for row in rows]
        replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
        print(f"{name}, {objective}, seed {seed}: least share {min(row.share for row in rows):.3f}", flush=True)


def gathered(records: list[dict[str, Any]]) -> dict[tuple[str, str, float], list[Attained]]:
    """Rows of all seeds by process, objective and aim."""
    found: dict[tuple[str, str, float], list[Attained]] = {}
    for record in records:
        for row in record["rows"]:
            key = record["process"], record["objective"], row["aim"]
            found.setdefault(key, []).append(Attained(**{name: row[name] for name in Attained._fields}))
    return found


def print_table(found: dict[tuple[str, str, float], list[Attained]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "objective", "aim", "seeds", "risk-neutral", "learned", "optimum", "share", "worst share")
    for (name, objective, aim), rows in found.items():
        share = np.array([row.share for row in rows])
        values = np.array([row.value for row in rows])
        exact = f"{rows[0].neutral:.4f}", f"{values.mean():.4f}", f"{rows[0].optimum:.4f}"
        what = f"{AIMS[objective]} {aim:g}"
        table.add_row(name, objective, what, str(len(rows)), *exact, f"{share.mean():.3f}", f"{share.min():.3f}")
    Console(width=130).print(table)


def draw_figure(found: dict[tuple[str, str, float], list[Attained]], path: Path) -> Path:
    """A panel each process and objective: the optimum, the risk-neutral policy, and every seed."""
    from jaxmarl.viz.style import (
        ACCENT,
        BODY,
        FAINT,
        INK,
        SERIES,
        legend,
        new_figure,
        panel_title,
        quiet_axes,
        write_figure,
    )

    panels = list(dict.fromkeys((name, objective) for name, objective, _ in found))
    figure = new_figure(3.7 * len(panels), 3.7)
    for axes, (name, objective) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        quiet_axes(axes, grid="y")
        rows = {aim: each for (a, b, aim), each in found.items() if (a, b) == (name, objective)}
        aims = list(rows)
        places = list(range(len(aims)))
        axes.plot(places, [rows[aim][0].neutral for aim in aims], **SERIES[1].marked, ms=4, label="risk-neutral")
        axes.plot(places, [rows[aim][0].optimum for aim in aims], color=FAINT, linewidth=4, label="optimum")
        for place, aim in zip(places, aims, strict=True):
            values = [row.value for row in rows[aim]]
            spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
            label = "learned, each seed" if place == 0 else None
            axes.scatter(place + np.array(spread), values, s=14, color=ACCENT, zorder=3, label=label)
        axes.set_xticks(places, [f"{aim:g}" for aim in aims])
        worth = "conditional value at risk" if objective == "tails" else "minus mean distance"
        axes.set_ylabel(worth, fontsize=BODY, color=INK)
        axes.set_xlabel(AIMS[objective], fontsize=BODY, color=INK)
        panel_title(axes, f"{name}: {objective}")
    legend(axes)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/stock_control"))
    parser.add_argument("--smoke", action="store_true", help="one seed, few steps: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.processes = 1, ["two steps"]
    return args


def main() -> None:
    """Trains what is missing, prints and draws everything in the folder."""
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.processes:
        for objective in args.objectives:
            trained(name, objective, args)
    found = gathered([json.loads(path.read_text()) for path in sorted(args.folder.glob("*-*-*.json"))])
    print_table(found)
    print(f"wrote {draw_figure(found, args.folder / 'stock_control.png')}")


if __name__ == "__main__":
    main()
