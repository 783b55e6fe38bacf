"""The published table of the 43 rock-paper-scissors bots with our numbers beside it.

    python scripts/reproduce/rrps_table.py [--table cross_table.json] [--agent runs/NAME …] [--baselines FILE]

Ours is the cross-table that comes with the project (1000 matches a pair; `jaxmarl evaluate rrps --cross-table` plays it
anew), the reports of trained agents where `--agent` names their runs, and what `rrps_baselines.py --out FILE` wrote,
means over its seeds. Published: Lanctot et al., "Population-based
Evaluation in Repeated Rock-Paper-Scissors as a Benchmark for Multiagent Reinforcement Learning", TMLR 2023.
"""

import csv
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.evaluation import load_report
from jaxmarl.experiments.rrps_table import SHIPPED, load_cross_table

PUBLISHED = Path(__file__).parents[2] / "tests" / "data" / "rrps_published_scores.csv"
LEARNED = {
    "PopRL (best learned agent)": ("258.0", "11.0", "247.0"),
    "Q-learning, R=10": ("", "", "8.1"),
    "uniform": ("0.0", "0.0", "0.0"),
}
"""Published agents: PopulationReturn, WithinPopExpl, AggregateScore."""


@dataclass
class Args:
    """The published table of the rock-paper-scissors bots with our numbers beside it."""

    table: Path = SHIPPED
    """A cross-table of our bots."""
    agent: tuple[Path, ...] = ()
    """Runs whose reports are added."""
    baselines: Path | None = None
    """What `rrps_baselines.py --out` wrote."""


def agent_rows(args: Args) -> dict[str, tuple[str, ...]]:
    """Our figures of trained agents and baselines, by name."""
    rows: dict[str, tuple[str, ...]] = {}
    for run in args.agent:
        plain = load_report(run).score.plain
        figures = plain.population_return, plain.within_pop_expl, plain.aggregate_score
        rows[run.name] = tuple(f"{figure:.1f}" for figure in figures)
    if args.baselines:
        for row in json.loads(args.baselines.read_text())["rows"]:
            seeds = (row[name] for name in ("population_return", "within_pop_expl", "aggregate_score"))
            rows[row["agent"]] = tuple(f"{statistics.mean(values):.1f}" for values in seeds)
    return rows


def main(args: Args) -> None:
    """Prints the table."""
    ours = load_cross_table(args.table)
    scores = {score.name: score for score in ours.scores}
    titles = ("bot", "Return", "ours", "Expl", "ours", "Aggregate", "ours", "worst opponent", "ours")
    table = Table(*titles, title=f"published (1000 matches a pair) and ours ({ours.num_matches})")
    with PUBLISHED.open() as file:
        for row in csv.DictReader(file):
            score = scores[row["name"]]
            cells = []
            for name in ("population_return", "within_pop_expl", "aggregate_score"):
                cells += [f"{float(row[name]):.1f}", f"{getattr(score, name):.1f}"]
            table.add_row(row["name"], *cells, row["worst_opponent"], score.worst_opponent)
    table.add_section()
    rows = agent_rows(args)
    for name in (*LEARNED, *(name for name in rows if name not in LEARNED)):
        published: tuple[str, ...] = LEARNED.get(name, ("", "", ""))
        mine = rows.get(name, ("", "", ""))
        table.add_row(name, *(cell for pair in zip(published, mine, strict=True) for cell in pair))
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Args))
