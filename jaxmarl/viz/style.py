"""One look for all figures: colours, a diverging map centred at zero, quiet axes, and writing a figure to a file."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import AsinhNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend

from jaxmarl.core.checks import require
from jaxmarl.core.files import replace_file

# of unlike lightness, so that they stay apart in grey and for colour-blind readers: 132, 103, 37, 147 and 69 of 255
GAIN, LOSS = "#2fae88", "#cc4125"
INK, FAINT, ACCENT = "#22272e", "#8b949e", "#1f4a94"


class Look(NamedTuple):
    """How one series of a figure looks: told from the others by more than its colour."""

    colour: str
    dash: str
    marker: str
    hatch: str

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `axes.plot` for a curve."""
        return {"color": self.colour, "linestyle": self.dash}

    @property
    def marked(self) -> dict[str, Any]:
        """Arguments of `axes.plot` for a curve through few points."""
        return {**self.line, "marker": self.marker}

    @property
    def dots(self) -> dict[str, Any]:
        """Arguments of `axes.scatter` for points without a line."""
        return {"color": self.colour, "marker": self.marker}

    @property
    def bars(self) -> dict[str, Any]:
        """Arguments of `axes.bar` and `axes.hist`."""
        return {"facecolor": self.colour, "hatch": self.hatch, "edgecolor": "white", "linewidth": 0.5}


# dashes and hatches come twice, in colours of quite another lightness: 69, 103, 132 and 37, then 165, 60, 83 and 157
SERIES = tuple(
    Look(*each)
    for each in zip(
        (ACCENT, LOSS, GAIN, INK, "#d9a420", "#4b2a73", "#7a4a1e", "#6fa8dc"),
        ("-", "--", "-.", ":") * 2,
        "os^DvXP*",
        ("", "///", "...", "xxx") * 2,
        strict=True,
    )
)
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


def legend(target: Axes | Figure, **options: Any) -> Legend:
    """A legend without a frame, its samples long enough to show the dashes; that of a figure is below all panels."""
    look = {"fontsize": BODY, "frameon": False, "labelcolor": INK, "handlelength": 3.2}
    if isinstance(target, Axes):
        return target.legend(**{**look, **options})
    named: dict[str, Any] = {}
    for axes in target.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    return target.legend(
        named.values(), named, **{**look, "loc": "outside lower center", "ncols": len(named), **options}
    )


def seed_curves(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    curves: np.ndarray,
    look: Look,
    label: str,
    width: float = 2,
    *,
    crowded: bool = False,
) -> None:
    """The mean over seeds of curves `[seeds, points]`, and a band from the least to the largest.

    Where it is `crowded`, bands are paler and every third point has the marker of its series.
    """
    axes.fill_between(x, curves.min(0), curves.max(0), color=look.colour, alpha=0.06 if crowded else 0.13, linewidth=0)
    marks: dict[str, Any] = {"marker": look.marker, "markevery": 3, "markersize": 4.5} if crowded else {}
    axes.plot(x, curves.mean(0), **look.line, **marks, linewidth=width, label=label)


def minus(text: str) -> str:
    """The text with true minus signs before its numbers, as on matplotlib's own axes."""
    return re.sub(r"(?<!\w)-(?=[\d.])", "\N{MINUS SIGN}", text)


def signed_norm(limit: float) -> AsinhNorm:
    """A colour scale from `−limit` to `limit`, zero in the middle, that still tells small returns from none."""
    limit = limit if limit > 0 else 1.0
    return AsinhNorm(linear_width=limit / 50, vmin=-limit, vmax=limit)


def mark_losses(axes: Axes, table: np.ndarray, least: float) -> None:
    """A minus in every cell of the heat map on `axes` below `-least`: in grey, gains and losses look alike."""
    rows, columns = np.nonzero(table < -least)
    cells = np.asarray(axes.images[0].to_rgba(table[rows, columns]))
    light = cells[:, :3] @ np.array([0.299, 0.587, 0.114])  # dark signs on pale cells
    axes.scatter(columns, rows, marker="_", s=7, c=np.where(light > 0.6, INK, "white").tolist(), linewidths=0.7)


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
