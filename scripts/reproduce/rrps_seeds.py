"""A rock-paper-scissors preset over several seeds: scores and rank of each, and their spread.

    python scripts/reproduce/rrps_seeds.py [--preset quick] [--seeds 5] [--folder runs/seeds] [--set NAME=VALUE ...]

Each seed is a run of its own in `--folder` (finished ones are not trained again); the table goes to `seeds.json` there.
"""

import argparse
import json
import statistics
from pathlib import Path

COLUMNS = (
    "population_return",
    "within_pop_expl",
    "aggregate_score",
    "split_half_aggregate",
    "rank",
    "steps_per_second",
)


def one_seed(folder: Path, preset: str, settings: list[str], seed: int) -> dict[str, float]:
    """Trains and evaluates one seed."""
    from jaxmarl.experiments import rrps
    from jaxmarl.experiments.config import override

    run_dir = folder / f"{preset}-seed{seed}"
    rrps.train(override(rrps.preset(preset), settings), run_dir, seed=seed, resume=run_dir.exists())
    report = rrps.evaluate(run_dir, seed=1000 + seed)
    print(report.summary, flush=True)
    plain, debiased = report.score.plain, report.score.split_half
    return {
        "population_return": plain.population_return,
        "within_pop_expl": plain.within_pop_expl,
        "aggregate_score": plain.aggregate_score,
        "split_half_aggregate": debiased.aggregate_score if debiased else float("nan"),
        "rank": report.rank.position,
        "of": report.rank.size,
        "steps_per_second": report.facts.get("steps_per_second", float("nan")),
    }


def main() -> None:
    """Runs all seeds, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/seeds"))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = [one_seed(args.folder, args.preset, args.set, seed) for seed in range(args.seeds)]

    from rich.console import Console
    from rich.table import Table

    table = Table("seed", *COLUMNS, title=f"preset {args.preset}, {args.seeds} seeds")
    for seed, row in enumerate(rows):
        table.add_row(str(seed), *(f"{row[name]:,.1f}" for name in COLUMNS))
    columns = [[row[name] for row in rows] for name in COLUMNS]
    table.add_row("mean", *(f"{statistics.mean(values):,.1f}" for values in columns), style="bold")
    if len(rows) > 1:
        table.add_row("s.d.", *(f"{statistics.stdev(values):,.1f}" for values in columns))
    Console(width=130).print(table)
    (args.folder / "seeds.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
