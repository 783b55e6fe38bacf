"""Do populations that dislike risk get hurt less, by opponents that they have never met?

    python scripts/reproduce/rae.py [--tasks trust_dilemma overtaking] [--seeds 10] [--folder runs/rae]
    python scripts/reproduce/rae.py --smoke

PSRO with the risk-averse equilibrium as meta-solver and mean less variance as the oracle's objective (PSRO-RAE,
Slumbers et al. 2023) beside PSRO-Nash, PSRO-uniform, self-play, self-play on mean less variance, and training against
an adversary: the same networks and number of updates, evaluated against the mixtures of all the other methods. The
trust dilemma is a stag hunt on a grid, where a hunter alone at the stag is gored; in overtaking, two cars come towards
each other, each behind a slow one. Both are this project's own versions, so the published factor of 7 (crashes, of the
best baseline, in the authors' driving task) is no target, only a point of reference.

Every run of a method is saved in `--folder` when it ends, and is not repeated by a later call with the same settings;
seeds are finished one after the other. The numbers go to `rae.json` and `rae.png` there.
"""

import argparse
import io
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxmarl.core.files import replace_file
from jaxmarl.experiments.risk_averse import METHODS, TASKS, Method, Sizes, Task, Trained, make_task, trainer
from jaxmarl.experiments.risk_averse_evaluation import CrossTable, evaluate

RISK_AVERSE = ("psro_rae", "psro_rae_strong", "self_play_risk")
BASELINES = tuple(name for name in METHODS if name not in RISK_AVERSE)
PUBLISHED_FACTOR = 7.0
UTILITY_AVERSION = 0.1
TITLES = {"trust_dilemma": "Trust dilemma", "overtaking": "Overtaking"}
HARMS = {"trust_dilemma": "gored", "overtaking": "crashes"}
KINDS = ("held_out", "populations", "scripted", "itself")


def write_run(path: Path, population: Any, weights: np.ndarray, record: dict[str, Any]) -> None:
    """Parameters of the strategies, their weights, and what else is known of a run."""
    arrays = {f"population/{name}": leaf for name, leaf in flatten_dict(population, sep="/").items()}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, weights=weights, record=np.asarray(json.dumps(record)), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content.getvalue())


def read_run(path: Path) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """What `write_run` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name.removeprefix("population/"): file[name] for name in file.files if "/" in name}
        return unflatten_dict(arrays, sep="/"), file["weights"], json.loads(str(file["record"]))


def train_one(train: Any, key: Any, path: Path) -> None:
    """A run of a method, and the CPU seconds it took, into a file; nothing if it is there."""
    if path.exists():
        return
    start = time.process_time()
    trained: Trained = train(key)
    population = jax.tree.map(np.asarray, trained.population)
    record = {"certificates": trained.certificates, "seconds": time.process_time() - start}
    write_run(path, population, np.asarray(trained.weights), record)


class Study:
    """Trains and evaluates the methods of one task, seed by seed."""

    def __init__(self, task: Task, methods: dict[str, Method], sizes: Sizes, args: argparse.Namespace) -> None:
        self.task, self.methods, self.sizes, self.args = task, methods, sizes, args
        self.folder = args.folder / task.name
        self.trainers = {name: trainer(task, method, sizes) for name, method in methods.items()}
        self.tables: dict[int, CrossTable] = {}

    def seed(self, seed: int) -> dict[str, Any]:
        """`runs` (certificates and seconds) and `statistics` of every method."""
        base = jax.random.fold_in(jax.random.key(self.args.seed), seed)
        trained, runs = {}, {}
        for i, (name, train) in enumerate(self.trainers.items()):
            key = jax.random.fold_in(base, i)
            path = self.folder / f"{name}_{seed}.npz"
            train_one(train, key, path)
            population, weights, record = read_run(path)
            trained[name] = Trained(population, weights, record["certificates"])
            runs[name] = {"weights": weights.tolist(), "seconds": record["seconds"], **record["certificates"]}
            print(f"{self.task.name}, seed {seed}: {name}, {record['seconds']:.0f} s of CPU", flush=True)
        path = self.folder / f"statistics_{seed}.json"
        if not path.exists():
            replace_file(path, json.dumps(self._evaluate(trained, base)).encode())
        return {"seed": seed, "runs": runs, "statistics": json.loads(path.read_text())}

    def _evaluate(self, trained: dict[str, Trained], key: Any) -> dict[str, Any]:
        members = sum(len(each.weights) for each in trained.values())
        if members not in self.tables:
            self.tables[members] = CrossTable(self.task, self.sizes, members, self.args.episodes)
        return evaluate(self.tables[members], trained, jax.random.fold_in(key, 999))


def column(seeds: list[dict[str, Any]], method: str, kind: str, name: str) -> np.ndarray:
    """A statistic of a method, one number a seed; `utility` is that of the risk-averse."""
    if name == "utility":
        return column(seeds, method, kind, "mean") - UTILITY_AVERSION * column(seeds, method, kind, "variance")
    return np.array([row["statistics"][method][kind][name] for row in seeds])


def interval(values: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over seeds."""
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def summary(seeds: list[dict[str, Any]], methods: list[str]) -> dict[str, Any]:
    """Means over seeds with intervals, by opponents, method and statistic; and factors of the risk-averse methods."""
    draws = np.random.default_rng(0).integers(len(seeds), size=(4000, len(seeds)))
    table: dict[str, Any] = {}
    for kind in KINDS:
        names = [*seeds[0]["statistics"][methods[0]][kind], "utility"]
        table[kind] = {
            method: {
                name: {"mean": float(values.mean()), "interval": interval(values, draws), "seeds": values.tolist()}
                for name in names
                for values in [column(seeds, method, kind, name)]
            }
            for method in methods
        }
    factors = {
        kind: {
            method: {name: _factors(seeds, methods, method, kind, name, draws) for name in ("variance", "harm_rate")}
            for method in methods
            if method in RISK_AVERSE
        }
        for kind in KINDS
    }
    return {"table": table, "factors": factors}


def _factors(
    seeds: list[dict[str, Any]], methods: list[str], method: str, kind: str, name: str, draws: np.ndarray
) -> dict[str, Any]:
    """How many times a baseline's number is that of a method: ratio of means over seeds, with its interval."""
    own = column(seeds, method, kind, name)
    found: dict[str, Any] = {}
    for baseline in methods:
        if baseline in BASELINES:
            other = column(seeds, baseline, kind, name)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio, ratios = other.mean() / own.mean(), other[draws].mean(1) / own[draws].mean(1)
            found[baseline] = {
                "factor": float(ratio),
                "interval": [float(q) for q in np.nanquantile(ratios, (0.025, 0.975))],
            }
    if not found:
        return {}
    best = min(found, key=lambda baseline: found[baseline]["factor"])
    return {"best_baseline": best, **found[best], "against": found}


def print_tables(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    for task, found in record["tasks"].items():
        seeds = len(found["seeds"])
        for kind in ("held_out", "scripted"):
            title = f"{TITLES[task]}: against {kind.replace('_', '-')} opponents, {seeds} seeds, 95 % intervals"
            harm = f"{HARMS[task]} / 1000 episodes"
            table = Table("method", "mean", "variance", "mean - 0.1 variance", "CVaR 5 %", harm, title=title)
            for name, row in found["table"][kind].items():
                cells = [
                    f"{row[x]['mean']:.{d}f} [{row[x]['interval'][0]:.{d}f}, {row[x]['interval'][1]:.{d}f}]"
                    for x, d in (("mean", 2), ("variance", 1), ("utility", 2), ("cvar", 2), ("harm_rate", 0))
                ]
                table.add_row(METHODS[name].label, *cells)
            console.print(table)
        table = Table(
            "method", "of", "best baseline", "factor", title=f"{TITLES[task]}: best baseline / method, held-out"
        )
        for name, row in found["factors"]["held_out"].items():
            for what, factor in row.items():
                if factor:
                    low, high = factor["interval"]
                    label = METHODS[factor["best_baseline"]].label
                    table.add_row(METHODS[name].label, what, label, f"{factor['factor']:.2f} [{low:.2f}, {high:.2f}]")
        console.print(table)
    console.print(f"published, crashes in the authors' own driving task: {PUBLISHED_FACTOR:.0f}x", highlight=False)


def draw_figure(record: dict[str, Any], path: Path) -> Path:
    """Mean, variance and harm of every method, a row a task."""
    from jaxmarl.viz.style import ACCENT, BODY, FAINT, INK, new_figure, panel_title, quiet_axes, write_figure

    tasks = record["tasks"]
    figure = new_figure(12, 3.4 * len(tasks))
    axes = figure.subplots(len(tasks), 3, squeeze=False)
    for row, (task, found) in zip(axes, tasks.items(), strict=True):
        table = found["table"]["held_out"]
        titles = (f"{TITLES[task]}: mean return", "variance", f"{HARMS[task]} / 1000 episodes")
        for axis, name, title in zip(row, ("mean", "variance", "harm_rate"), titles, strict=True):
            quiet_axes(axis, grid="x")
            for i, (method, numbers) in enumerate(reversed(table.items())):
                averse = method in RISK_AVERSE
                colour = ACCENT if averse else INK
                low, high = numbers[name]["interval"]
                axis.plot(numbers[name]["seeds"], [i] * len(numbers[name]["seeds"]), ".", color=FAINT, markersize=4)
                axis.plot([low, high], [i, i], color=colour, linewidth=2)
                axis.plot(numbers[name]["mean"], i, "o" if averse else "s", color=colour, markersize=6)
            axis.set_ylim(-0.6, len(table) - 0.4)
            labels = [METHODS[method].label for method in reversed(table)] if axis is row[0] else [""] * len(table)
            axis.set_yticks(range(len(table)), labels, fontsize=BODY, color=INK)
            if name != "mean":
                axis.set_xlim(left=0)
            panel_title(axis, title)
    return write_figure(figure, path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--updates", type=int, default=Sizes.updates, help="of PPO, for each of 6 responses")
    parser.add_argument("--episodes", type=int, default=32, help="of each ordered pair of strategies, to evaluate")
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--folder", type=Path, default=Path("runs/rae"))
    parser.add_argument("--smoke", action="store_true", help="a few updates: that it runs, not what it finds")
    args = parser.parse_args()
    if args.smoke:
        args.seeds, args.updates, args.episodes = 2, 3, 4
        args.tasks, args.methods = args.tasks[:1], ["psro_rae", "self_play"]
        args.folder = args.folder / "smoke"
    return args


def check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Refuses a folder with runs under other settings."""
    path = folder / "settings.json"
    text = json.dumps(settings, indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        raise SystemExit(f"{folder} holds runs with other settings ({path}); choose another --folder")
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode())


def write(args: argparse.Namespace, settings: dict[str, Any], rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The record of the seeds that are finished, in `rae.json`."""
    tasks = {name: {**summary(seeds, args.methods), "seeds": seeds} for name, seeds in rows.items() if seeds}
    record = {"settings": settings, "published_factor": PUBLISHED_FACTOR, "tasks": tasks}
    replace_file(args.folder / "rae.json", (json.dumps(record, indent=1) + "\n").encode())
    return record


def main() -> None:
    """Trains and evaluates what is not there yet; prints and writes everything."""
    args = arguments()
    sizes = Sizes(responses=3, updates=args.updates, episodes=8) if args.smoke else Sizes(updates=args.updates)
    methods = {name: METHODS[name] for name in args.methods}
    settings = {**asdict(sizes), "seed": args.seed, "evaluation_episodes": args.episodes, "methods": args.methods}
    check_settings(args.folder, settings)
    studies = {name: Study(make_task(name), methods, sizes, args) for name in args.tasks}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in args.tasks}
    for seed in range(args.seeds):
        for name, study in studies.items():
            rows[name].append(study.seed(seed))
    record = write(args, settings, rows)
    print_tables(record)
    figure = draw_figure(record, args.folder / "rae.png")
    print(f"wrote {args.folder / 'rae.json'} and {figure}")


if __name__ == "__main__":
    main()
