"""Recomputes the published ranking of the 43 rock-paper-scissors bots from the cross-table that its authors released.

    python scripts/reproduce/rrps_published_table.py --table bot_table_file.txt

Source: Lanctot et al., "Population-based Evaluation in Repeated Rock-Paper-Scissors as a Benchmark for Multiagent
Reinforcement Learning", TMLR 2023, arXiv 2303.03196.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from jaxmarl.evaluation.tables import load_table, score_table

WHERE = (
    "give the released cross-table with --table PATH: it is open_spiel/data/paper_data/pbe_rrps/bot_table_file.txt in "
    "the repository github.com/google-deepmind/open_spiel (43 * 43 lines ('row', 'col', value), 1000 matches each)"
)


@dataclass
class Args:
    """Recomputes the published ranking of the rock-paper-scissors bots."""

    table: Path | None = None
    """The released cross-table, one `('row', 'col', value)` a line."""


def main(args: Args) -> int:
    if args.table is None:
        print(WHERE, file=sys.stderr)
        return 2
    try:
        table, names = load_table(args.table)
    except (OSError, ValueError) as error:
        print(f"{error}\n{WHERE}", file=sys.stderr)
        return 2
    scores = sorted(score_table(table, names), key=lambda score: -score.aggregate_score)
    shown = Table(title=f"{len(names)} bots by AggregateScore", box=box.SIMPLE_HEAD)
    for title in (
        "rank",
        "bot",
        "Population\nReturn",
        "WithinPop\nExpl",
        "worst\nopponent",
        "Aggregate\nScore",
        "best vs it",
    ):
        left = title in ("bot", "worst\nopponent", "best vs it")
        shown.add_column(title, justify="left" if left else "right", no_wrap=True)
    for position, s in enumerate(scores, start=1):
        figures = f"{s.population_return:.3f}", f"{s.within_pop_expl:.3f}", f"{s.aggregate_score:.3f}"
        best = f"{s.best_against} {s.best_against_return:.1f}"
        shown.add_row(str(position), s.name, *figures[:2], s.worst_opponent, figures[2], best)
    console = Console()
    console.width = max(console.width, 100)  # a pipe has 80 columns, which would cut the names
    console.print(shown)
    returned, loss = (np.mean([getattr(s, key) for s in scores]) for key in ("population_return", "within_pop_expl"))
    console.print(f"mean PopulationReturn {returned:.5f}, mean WithinPopExpl {loss:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
