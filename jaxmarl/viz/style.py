"""One look for all figures: colours, a diverging map centred at zero, quiet axes, and writing a figure to a file."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from jaxmarl.core.checks import require
from jaxmarl.core.files import replace_file

# of unlike lightness, so that they stay apart in grey and for colour-blind readers: 132, 103, 37, 147 and 69 of 255
GAIN, LOSS = "#2fae88", "#cc4125"
INK, FAINT, ACCENT = "#22272e", "#8b949e", "#1f4a94"
DPI = 150
SMALL, BODY, TITLE, HEADLINE = 8, 9, 11.5, 15  # points

DIVERGING = LinearSegmentedColormap.from_list("loss_gain", ["#7d1d10", LOSS, "#f7f7f5", "#0a8f69", "#04533c"])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width × height` inches on its own canvas: no display, no pyplot, safe in any thread."""
    figure = Figure(figsize=(width, height), facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def quiet_axes(axes: Axes, grid: str | None = None) -> None:
    """Removes what carries no information; `grid` is `"x"`, `"y"` or None."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=BODY, length=3, color=FAINT)
    if grid:
        axes.grid(axis=grid, color="#e6e8eb", linewidth=0.8)  # type: ignore[arg-type]
        axes.set_axisbelow(True)


def panel_title(axes: Axes, text: str) -> None:
    """A left-aligned title that states the panel's finding."""
    axes.set_title(text, loc="left", fontsize=TITLE, color=INK, fontweight="bold", pad=8)


def seed_curves(
    axes: Axes, x: Sequence[float] | np.ndarray, curves: np.ndarray, colour: str, label: str, width: float = 2
) -> None:
    """The mean over seeds of curves `[seeds, points]`, and a band from the least to the largest."""
    axes.fill_between(x, curves.min(0), curves.max(0), color=colour, alpha=0.13, linewidth=0)
    axes.plot(x, curves.mean(0), color=colour, linewidth=width, label=label)


def minus(text: str) -> str:
    """The text with true minus signs before its numbers, as on matplotlib's own axes."""
    return re.sub(r"(?<!\w)-(?=[\d.])", "\N{MINUS SIGN}", text)


def signed_norm(limit: float) -> AsinhNorm:
    """A colour scale from `−limit` to `limit`, zero in the middle, that still tells small returns from none."""
    limit = limit if limit > 0 else 1.0
    return AsinhNorm(linear_width=limit / 50, vmin=-limit, vmax=limit)


def mark_losses(axes: Axes, table: np.ndarray, least: float) -> None:
    """A minus in every cell of a heat map below `-least`: in grey, gains and losses of one size look alike."""
    rows, columns = np.nonzero(table < -least)
    axes.scatter(columns, rows, marker="_", s=7, c="white", linewidths=0.7)


def write_figure(figure: Figure, path: str | Path) -> Path:
    """Renders a PNG and puts it at `path` in one step, making its folder if needed.

    Raises:
        ValueError: a path that does not end in `.png`.
    """
    path = Path(path)
    require(path.suffix == ".png", "path", str(path), "the name of a .png file")
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return replace_file(path, buffer.getvalue())
