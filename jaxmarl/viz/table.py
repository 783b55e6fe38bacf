"""Heat maps of cross-tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jaxmarl.viz import style


def plot_table(table: Float[np.ndarray, "K K"], names: Sequence[str], path: str | Path, title: str) -> Path:
    """Draws a cross-table of mean returns, row player against column player, as a PNG of its own.

    Args:
        table: mean returns of the row player.
        names: of the members, in the order of the rows.
        path: the PNG to write.
        title: what the figure shows.

    Returns:
        The path.
    """
    side = table_side(len(names))
    figure = style.new_figure(side, side + 0.6)
    style.panel_title(draw_table(figure, table, names), title)
    return style.write_figure(figure, path)


def table_side(members: int) -> float:
    """Inches of a side: a cell needs 0.205 for its 8-point name; the rest is for the names of the columns."""
    return max(6.4, 0.205 * members + 1.4)


def draw_table(figure: Figure | SubFigure, table: Float[np.ndarray, "K K"], names: Sequence[str]) -> Axes:
    """The heat map of a cross-table with its colour bar; colours are stretched near zero."""
    axes = figure.subplots()
    limit = float(np.abs(table).max())
    image = axes.imshow(table, cmap=style.DIVERGING, norm=style.signed_norm(limit), aspect="equal")
    style.mark_losses(axes, table, limit / 50)
    places = range(len(names))
    axes.set_xticks(places, names, rotation=90, fontsize=style.SMALL)
    axes.set_yticks(places, names, fontsize=style.SMALL)
    axes.tick_params(length=0, pad=3, colors=style.INK)
    axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.9, aspect=60, pad=0.015)
    bar.outline.set_visible(False)
    bar.locator = FixedLocator(_colour_ticks(limit))
    bar.minorlocator = NullLocator()
    bar.formatter = FuncFormatter(lambda value, _: style.minus(f"{value:g}"))
    bar.update_ticks()
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, length=2)
    bar.set_label("episode return of the row player (stretched near 0)", fontsize=style.BODY, color=style.INK)
    return axes


def _colour_ticks(limit: float) -> list[float]:
    """Zero and, of both signs, the round numbers 1, 3, 10, 30 … far enough from it on the scale to be read."""
    if limit <= 0:
        return [0.0]
    top = int(np.floor(np.log10(limit)))
    round_numbers = sorted(digit * 10.0**power for digit in (1, 3) for power in range(top - 2, top + 2))
    ticks = [tick for tick in round_numbers if limit / 50 <= tick <= limit * (1 + 1e-9)]
    return [*(-tick for tick in reversed(ticks)), 0.0, *ticks]
