"""One figure of a solution: how the gap fell, where the strategies went, and what is played in the end."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from jaxmarl.evaluation.solutions import GAP_NAMES
from jaxmarl.solvers.solution import Solution
from jaxmarl.viz import style

FLOOR = 1e-16  # a gap of exactly zero is drawn here on the logarithmic axis
MOST_BARS = 60


def plot_solution(solution: Solution, path: str | Path, title: str = "") -> Path:
    """Draws a solution to a PNG.

    Panels, each where there is something to show: the gaps in `solution.trace` against iterations (log-log); for each
    player with three actions, its path through the simplex (`trace["strategy_i"]`, and its running average
    `trace["average_i"]`); the final strategies.

    Args:
        solution: of one game.
        path: the PNG to write; its folder is made.
        title: headline; the gap is added to it.

    Returns:
        The path.
    """
    trace = {name: np.asarray(values) for name, values in solution.trace.items()}
    curves = {name: values for name, values in trace.items() if values.ndim == 1 and name != "iteration"}
    curves = curves if "iteration" in trace and len(trace["iteration"]) > 1 else {}
    triangles = [i for i, x in enumerate(solution.strategies) if len(x) == 3 and _path(trace, i)]
    panels = bool(curves) + len(triangles) + 1
    figure = style.new_figure(4.6 * panels + 0.4, 4.6)
    gap = f"{GAP_NAMES[solution.gap_kind]} {float(solution.gap):.2g}"
    headline = f"{title}: {gap}" if title else gap
    figure.suptitle(headline, fontsize=style.HEADLINE, color=style.INK, fontweight="bold", x=0.012, ha="left")
    axes = iter(figure.subplots(1, panels, squeeze=False)[0])
    if curves:
        _draw_curves(next(axes), trace["iteration"], curves)
    for player in triangles:
        _draw_simplex(next(axes), player, _path(trace, player), np.asarray(solution.strategies[player]))
    _draw_strategies(next(axes), [np.asarray(x) for x in solution.strategies])
    return style.write_figure(figure, path)


def _path(trace: dict[str, np.ndarray], player: int) -> dict[str, np.ndarray]:
    names = {"current": f"strategy_{player}", "average": f"average_{player}"}
    return {label: trace[name] for label, name in names.items() if name in trace}


def _draw_curves(axes: Axes, iteration: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    style.quiet_axes(axes, "y")
    width = 1.6 if len(iteration) < 400 else 0.9  # thin where noise would cover other curves
    for look, (name, values) in zip(style.SERIES, curves.items(), strict=False):
        axes.loglog(iteration, np.maximum(values, FLOOR), **look.line, linewidth=width, label=name.replace("_", " "))
    axes.set_xlabel("iteration", fontsize=style.BODY, color=style.INK)
    style.legend(axes, fontsize=style.SMALL)
    style.panel_title(axes, "Gaps")


def _draw_simplex(axes: Axes, player: int, path: dict[str, np.ndarray], final: np.ndarray) -> None:
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    axes.set_aspect("equal")
    axes.axis("off")
    axes.fill(*corners.T, facecolor="#f6f7f8", edgecolor=style.FAINT, linewidth=1.0)
    for action, (corner, shift) in enumerate(zip(corners, ((-0.04, -0.06), (0.04, -0.06), (0, 0.04)), strict=True)):
        axes.text(
            corner[0] + shift[0],
            corner[1] + shift[1],
            f"action {action}",
            ha="center",
            fontsize=style.BODY,
            color=style.INK,
        )
    for label, colour, width in (("current", style.FAINT, 0.8), ("average", style.ACCENT, 1.6)):
        if label in path:
            axes.plot(*(path[label] @ corners).T, color=colour, linewidth=width, label=label, solid_capstyle="round")
    axes.plot(*(final @ corners), "o", color=style.LOSS, mec="white", markersize=7, label="solution", zorder=3)
    axes.legend(fontsize=style.SMALL, frameon=False, labelcolor=style.INK, loc="upper left", bbox_to_anchor=(-0.05, 1))
    style.panel_title(axes, f"Path of player {player}")


def _draw_strategies(axes: Axes, strategies: list[np.ndarray]) -> None:
    style.quiet_axes(axes, "y")
    width = 0.8 / len(strategies)
    longest = max(map(len, strategies))
    for i, strategy in enumerate(strategies):
        look, places = style.SERIES[i % len(style.SERIES)], np.arange(len(strategy))
        if longest <= MOST_BARS:
            across = places + (i - (len(strategies) - 1) / 2) * width
            axes.bar(across, strategy, width, **look.bars, label=f"player {i}")
        else:
            axes.vlines(places, 0, strategy, color=look.colour, linewidth=0.8, alpha=0.7, label=f"player {i}")
    axes.set_xlabel("action", fontsize=style.BODY, color=style.INK)
    if longest <= 12:
        axes.set_xticks(range(longest))
    axes.set_ylim(0, None)
    axes.legend(fontsize=style.SMALL, frameon=False, labelcolor=style.INK)
    style.panel_title(axes, "Probabilities played")
