"""What the reproductions of learning curves share: cells of a game and a learner, kept one by one, and their table."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from jaxmarl.core.files import replace_file
from jaxmarl.viz.style import BODY, FAINT

Cell = dict[str, Any]
"""`game`, `learner`, `seconds`, `steps` `[points]`, `curves` `[seeds, points]` and `final` `[seeds]`."""


def all_cells(
    args: argparse.Namespace, learners: Iterable[str], run_cell: Callable[[str, str, argparse.Namespace], Cell]
) -> list[Cell]:
    """What is in the folder for these settings, and what is missing there, run now."""
    cells = []
    for game in args.games:
        for name in learners:
            path = args.folder / "cells" / f"{game}-{name}-{args.seeds}-{args.seed}.json"
            if path.exists():
                cells.append(json.loads(path.read_text(encoding="utf-8")))
                continue
            cells.append(run_cell(game, name, args))
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(cells[-1]).encode())
            print(f"{game} {name}: {np.mean(cells[-1]['final']):.3f} in {cells[-1]['seconds']:.0f} s", flush=True)
    return cells


def print_cells(cells: list[Cell], title: str) -> None:
    """The table of final values over seeds."""
    columns = ("game", "learner", "steps, all instances", "mean of seeds", "std", "least", "most", "seconds")
    table = Table(*columns, title=title)
    for cell in cells:
        final = np.array(cell["final"])
        spread = final.std(ddof=1) if len(final) > 1 else 0.0
        numbers = [f"{x:.3f}" for x in (final.mean(), spread, final.min(), final.max())]
        table.add_row(cell["game"], cell["learner"], f"{cell['steps'][-1]:,}", *numbers, f"{cell['seconds']:.0f}")
    Console(width=120).print(table)


def write_cells(path: Path, cells: list[Cell], args: argparse.Namespace) -> Path:
    """All cells as one JSON file."""
    record = {"settings": {"seeds": args.seeds, "seed": args.seed}, "cells": cells}
    return replace_file(path, (json.dumps(record, indent=1) + "\n").encode())


def known_line(axes: Any, label: str, height: float, *, right: bool = False, below: bool = False) -> None:
    """A dashed line at a known value with its name at one end."""
    axes.axhline(height, color=FAINT, linewidth=0.8, linestyle="--")
    look = {"fontsize": BODY - 2, "color": FAINT, "xytext": (0, -3 if below else 2), "textcoords": "offset points"}
    sides = {"ha": "right" if right else "left", "va": "top" if below else "bottom"}
    axes.annotate(label, (0.99 if right else 0.01, height), xycoords=("axes fraction", "data"), **look, **sides)
