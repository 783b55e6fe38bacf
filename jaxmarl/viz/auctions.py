"""Learned bid functions beside the exact ones, as small multiples."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from jaxmarl.experiments.auctions import AuctionAnswer
from jaxmarl.viz import style

COLUMNS = 4


def plot_bids(answers: Sequence[AuctionAnswer], path: str | Path, title: str = "") -> Path:
    """One panel an auction: learned bids as dots, exact bids as lines, the distance between them in the corner.

    Args:
        answers: at least one.
        path: the PNG to write; its folder is made.
        title: above all panels.

    Returns:
        The path.
    """
    columns = min(COLUMNS, len(answers))
    rows = math.ceil(len(answers) / columns)
    single = len(answers) == 1
    figure = style.new_figure(6.4 if single else 3.1 * columns, 4.8 if single else 2.75 * rows + (0.5 if title else 0))
    if title:
        figure.suptitle(title, fontsize=style.HEADLINE, color=style.INK, fontweight="bold", x=0.012, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    if not single:
        figure.supxlabel("signal", fontsize=style.BODY, color=style.INK)
        figure.supylabel("bid", fontsize=style.BODY, color=style.INK)
    for panel, answer in zip(axes, answers, strict=False):
        _draw(panel, answer, single)
    for panel in axes[len(answers) :]:
        panel.axis("off")
    return style.write_figure(figure, path)


def _draw(axes: Axes, answer: AuctionAnswer, single: bool) -> None:
    style.quiet_axes(axes, "y")
    many = len(answer.types) > 1
    for g, look in zip(range(len(answer.types)), style.SERIES, strict=False):
        who = f"bidder {answer.groups.index(g)}, " if many and single else ""
        if answer.exact is not None:
            line, bids = _with_jumps(answer.types[g], answer.exact[g])
            axes.plot(line, bids, **look.line, linewidth=1.4, label=f"{who}exact")
        dots = slice(None, None, max(answer.types.shape[1] // 32, 1))
        places, heights = answer.types[g, dots], answer.bids[g, dots]
        axes.scatter(places, heights, **look.dots, s=10, alpha=0.75, label=f"{who}learned", linewidths=0)
    axes.set_xlim(0, None)
    axes.set_ylim(0, _top(answer))
    _title(axes, str(answer.setting), single)
    lines = [f"loss {100 * answer.relative_losses.max():.2f} %"]
    if answer.exact is not None:
        lines.insert(0, f"L2 {answer.distances.max():.4f}")
    axes.text(0.03, 0.96, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=style.SMALL, color=style.INK)
    if single:
        axes.set_xlabel("signal", fontsize=style.BODY, color=style.INK)
        axes.set_ylabel("bid", fontsize=style.BODY, color=style.INK)
        style.legend(axes, loc="lower right")


def _title(axes: Axes, text: str, single: bool) -> None:
    if single:
        style.panel_title(axes, text)
    else:
        axes.set_title(text, loc="left", fontsize=style.BODY, color=style.INK, fontweight="bold", pad=5)


def _top(answer: AuctionAnswer) -> float:
    """Room above the bids for the numbers; exact bids without bound do not count."""
    return 1.3 * max(float(np.max(answer.bids)), 1e-6)


def _with_jumps(signals: np.ndarray, bids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve with a gap where a bidder begins to take part."""
    jump = np.flatnonzero((bids[:-1] == 0) & (bids[1:] > 0.2 * np.max(bids))) + 1
    middle = (signals[jump - 1] + signals[jump]) / 2
    return np.insert(signals, jump, middle), np.insert(bids, jump, np.nan)
