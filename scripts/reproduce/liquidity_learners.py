"""What PPO with continuous actions earns as a dealer and as a battery, beside rules and what can be earned at most.

    python scripts/reproduce/liquidity_learners.py [--seeds 5] [--tasks dealer_market imbalance_battery]
    python scripts/reproduce/liquidity_learners.py --smoke

`dealer_market`: one dealer against independent clients, charged for squared inventory; beside the quotes of Avellaneda
and Stoikov and the optimum by dynamic programming. `imbalance_battery`: prices drawn anew each day and revealed after
each action; beside resting, thresholds on the last price, the best plan, and the profit with all prices known. The
numbers go to `liquidity_learners.json` and `.png` in `--folder`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.experiments import liquidity_learners as experiment
from jaxmarl.experiments.market_making import evaluate, train

UPDATES = {"dealer_market": 240, "imbalance_battery": 200}
NUM_ENVS = {"dealer_market": 128, "imbalance_battery": 128}


def learn(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Trains and evaluates every seed of one task; its record."""
    task, start = experiment.TASKS[name](), time.perf_counter()
    updates = 4 if args.smoke else args.updates or UPDATES[name]
    num_envs, episodes = (8, 32) if args.smoke else (NUM_ENVS[name], 2048)
    train_key, play_key, known_key = jax.random.split(jax.random.key(args.seed), 3)
    learned = train(task.trained, train_key, args.seeds, updates, num_envs, task.settings(updates))
    seconds = time.perf_counter() - start
    found = evaluate(task.tested, learned, play_key, episodes)
    known = task.known(known_key, episodes)
    return {
        "updates": updates,
        "training_seconds": seconds,
        "benchmark": task.benchmark,
        "known": known,
        "found": found.tolist(),
        "mean": float(found.mean()),
        "deviation": float(found.std(ddof=1)) if len(found) > 1 else 0.0,
        "ratio": float(found.mean()) / known[task.benchmark],
        "returns": [[float(x) if np.isfinite(x) else None for x in row] for row in learned.returns],
    }


def print_table(tasks: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    for name, record in tasks.items():
        benchmark = record["known"][record["benchmark"]]
        title = f"{name}: total reward of an episode"
        table = Table("policy", "mean", "s.d. over seeds", f"of {record['benchmark']}", title=title)
        for column in table.columns[1:]:
            column.justify = "right"
        for rule, value in record["known"].items():
            table.add_row(rule, f"{value:.1f}", "", f"{100 * value / benchmark:.0f} %")
        spread, ratio = f"{record['deviation']:.1f}", f"{100 * record['ratio']:.0f} %"
        table.add_row(f"PPO, {len(record['found'])} seeds", f"{record['mean']:.1f}", spread, ratio)
        Console(width=110).print(table)


def draw_figure(tasks: dict[str, Any], path: Path) -> Path:
    """Returns of training by update, one faint line a seed, with what the rules earn."""
    from jaxmarl.viz.style import BODY, FAINT, INK, SERIES, legend, new_figure, panel_title, quiet_axes, write_figure

    figure = new_figure(5.5 * len(tasks), 4.2)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for panel, (name, record) in zip(panels, tasks.items(), strict=True):
        quiet_axes(panel, grid="y")
        for curve in np.array(record["returns"], float).T:
            steps = np.flatnonzero(np.isfinite(curve))
            panel.plot(steps + 1, curve[steps], color=FAINT, linewidth=1)
        hidden = ("risk aversion", "perfect foresight")  # which nobody can earn
        lines = [(rule, x) for rule, x in record["known"].items() if not any(word in rule for word in hidden)]
        lines = [("PPO, fresh episodes", record["mean"]), *lines]
        for (rule, value), look in zip(lines, SERIES, strict=False):
            panel.axhline(value, **look.line, linewidth=1.5, label=f"{rule}: {value:.1f}")
        low, high = panel.get_ylim()
        panel.set_ylim(max(low, -0.5 * high), high + 0.5 * max(high, 0.0))  # room for the legend; early losses are cut
        legend(panel, loc="upper right")
        panel.set_xlabel("updates", fontsize=BODY, color=INK)
        panel.set_ylabel("total reward of an episode", fontsize=BODY, color=INK)
        panel_title(panel, name)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=experiment.TASKS, default=list(experiment.TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, help="instead of each task's own number")
    parser.add_argument("--seed", type=int, default=2008)
    parser.add_argument("--folder", type=Path, default=Path("runs/liquidity_learners"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds = 2
    return args


def main() -> None:
    """Trains, evaluates, prints and writes everything."""
    args = arguments()
    tasks = {name: learn(name, args) for name in args.tasks}
    print_table(tasks)
    record = {"settings": {"seeds": args.seeds, "num_envs": dict(NUM_ENVS), "seed": args.seed}, "tasks": tasks}
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "liquidity_learners.json"
    written = replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
    print(f"wrote {written} and {draw_figure(tasks, path.with_suffix('.png'))}")


if __name__ == "__main__":
    main()
