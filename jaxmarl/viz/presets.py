"""How presets were learned: the curves on record."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.experiments.presets import Reference
from jaxmarl.viz.style import BODY, INK, SERIES, new_figure, panel_title, quiet_axes, seed_curves, write_figure


def plot_records(references: Mapping[str, Reference], path: str | Path) -> Path:
    """Draws a panel for each record: the score by updates, mean and range of its runs, and each run's end.

    Raises:
        ValueError: no record, or a path that does not end in `.png`.
    """
    require(len(references) > 0, "references", "{}", "one record or more")
    columns = min(len(references), 3)
    rows = -(-len(references) // columns)
    figure = new_figure(4.2 * columns, 2.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, found) in zip(panels, references.items(), strict=False):
        quiet_axes(axes, grid="y")
        curves = np.asarray(found.curves)
        updates = found.updates * (1 + np.arange(curves.shape[1])) / curves.shape[1]
        seed_curves(axes, updates, curves, SERIES[0], name)
        axes.scatter([found.updates] * len(found.scores), found.scores, s=9, color=INK, zorder=3)
        axes.set_xlabel("updates", fontsize=BODY, color=INK)
        axes.set_ylabel(textwrap.fill(found.score_is.split(", ")[0], 28), fontsize=BODY - 1, color=INK)
        panel_title(axes, name)
    for axes in panels[len(references) :]:
        axes.set_visible(False)
    return write_figure(figure, path)
