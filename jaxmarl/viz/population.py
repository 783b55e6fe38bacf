"""One figure of an agent against a population: who beats whom, by how much, and how it was learned."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike

from jaxmarl.core.checks import require
from jaxmarl.evaluation.report import PopulationReport, plain_number
from jaxmarl.evaluation.tables import extend_table
from jaxmarl.viz import style
from jaxmarl.viz.table import draw_table

CURVE_KEYS = ("steps", "population_return", "within_pop_expl")
Curve = dict[str, Float64[np.ndarray, " T"]]


def plot_population(
    report: PopulationReport, path: str | Path, learning_curve: Mapping[str, ArrayLike] | None = None
) -> Path:
    """Draws the report: the cross-table with the agent on top, its return against each member, its learning curve.

    Args:
        report: of one agent against a population of at most some 60 members (names stay readable).
        path: the PNG to write.
        learning_curve: `steps`, `population_return` and `within_pop_expl`, each `[T]`; other keys are not drawn.
            Without it the third panel is left out.

    Returns:
        The path.

    Raises:
        ValueError: a learning curve without these keys, of unequal lengths or not finite; a path that is not a `.png`.
    """
    curve = None if learning_curve is None else _check_curve(learning_curve)
    members = len(report.opponents)
    side = max(
        6.4, 0.205 * (members + 1) + 1.4
    )  # a cell needs 0.205 inch for its 8-point name; the rest is column names
    figure = style.new_figure(side + 6.9, side + 1.1)
    figure.suptitle(_headline(report), fontsize=style.HEADLINE, color=style.INK, fontweight="bold", x=0.012, ha="left")
    left, right = cast(np.ndarray, figure.subfigures(1, 2, width_ratios=[side, 6.6]))
    panels = right.subplots(2, 1, height_ratios=[side - 2.6, 2.6]) if curve else [right.subplots()]
    _draw_table(left, report)
    _draw_bars(panels[0], report)
    if curve:
        _draw_curve(panels[1], curve)
    return style.write_figure(figure, path)


def _check_curve(learning_curve: Mapping[str, ArrayLike]) -> Curve:
    missing = [key for key in CURVE_KEYS if key not in learning_curve]
    require(not missing, "learning_curve", sorted(learning_curve), f"a mapping with keys {', '.join(CURVE_KEYS)}")
    curve = {key: np.asarray(learning_curve[key], np.float64) for key in CURVE_KEYS}
    shapes = {key: values.shape for key, values in curve.items()}
    same = len(set(shapes.values())) == 1 and curve["steps"].ndim == 1 and curve["steps"].size > 0
    require(same, "learning_curve", shapes, "non-empty arrays of one length")
    for key, values in curve.items():
        require(bool(np.isfinite(values).all()), f"learning_curve[{key!r}]", "NaN or infinity", "finite")
    return curve


def _headline(report: PopulationReport) -> str:
    third = ", upper third" if report.rank.upper_third else ""
    ranked = f"ranks {report.rank.position} of {report.rank.size}{third}"
    return f"{report.agent} {ranked}: AggregateScore {style.minus(report.aggregate_text)}"


# --- who beats whom -------------------------------------------------------------------------------------------------


def _draw_table(figure: SubFigure, report: PopulationReport) -> None:
    """The cross-table, best member first, the agent's row and column before all, framed."""
    index = {name: i for i, name in enumerate(report.opponents)}
    order = [len(index), *(index[member.name] for member in report.members)]
    table = extend_table(report.table, report.mean)[np.ix_(order, order)]
    names = [report.agent, *(member.name for member in report.members)]
    axes = draw_table(figure, table, names)
    for width, height in ((len(names), 1), (1, len(names))):
        frame = Rectangle(
            (-0.5, -0.5), width, height, fill=False, edgecolor=style.INK, linewidth=1.6, zorder=5, clip_on=False
        )
        axes.add_patch(frame)
    for label in (axes.get_xticklabels()[0], axes.get_yticklabels()[0]):
        label.set(fontweight="bold", color=style.ACCENT)
    style.panel_title(axes, _table_finding(report))


def _table_finding(report: PopulationReport) -> str:
    best = report.members[0]
    row = report.table[report.opponents.index(best.name)]
    ahead = int((report.mean > row).sum())
    return f"Outscores {best.name} (the best bot) against {ahead} of {len(row)}"


# --- by how much ----------------------------------------------------------------------------------------------------


def _draw_bars(axes: Axes, report: PopulationReport) -> None:
    """The agent's mean return against each member, best first; pale where the sign is within noise."""
    order = np.argsort(-report.mean, kind="stable")
    mean, error = report.mean[order], report.standard_error[order]
    clear = np.abs(mean) > 1.96 * error
    places = np.arange(len(order))
    bars = axes.barh(places, mean, height=0.74, color=[style.GAIN if value > 0 else style.LOSS for value in mean])
    for bar, sure in zip(bars, clear, strict=True):
        bar.set_alpha(1.0 if sure else 0.4)
    axes.errorbar(mean, places, xerr=error, fmt="none", ecolor=style.INK, elinewidth=0.9, capsize=1.5, capthick=0.9)
    axes.axvline(0, color=style.INK, linewidth=0.8)
    axes.set_yticks(places, [report.opponents[i] for i in order], fontsize=style.SMALL)
    axes.set_ylim(len(order) - 0.4, -0.6)
    style.quiet_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0, labelsize=style.SMALL)
    axes.set_xlabel(f"mean return ± standard error, {report.num_matches} matches each", fontsize=style.BODY)
    kinds = [(style.GAIN, 1.0, "wins"), (style.LOSS, 1.0, "loses"), (style.FAINT, 0.4, "within 1.96 s.e. of 0")]
    handles = [Patch(color=colour, alpha=alpha, label=label) for colour, alpha, label in kinds]
    axes.legend(handles=handles, loc="lower right", fontsize=style.SMALL, frameon=False)
    worst = style.minus(plain_number(report.mean.min()))
    won, total = report.record[0], len(mean)
    style.panel_title(axes, f"Beats {won} of {total} bots; worst: {worst} against {report.worst_opponent}")


# --- how it was learned ---------------------------------------------------------------------------------------------


def _draw_curve(axes: Axes, curve: Curve) -> None:
    """Mean return over the population and return against the worst member, by environment steps."""
    steps, worst = curve["steps"], -curve["within_pop_expl"]
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    noisy = "worst opponent (of noisy means: biased down)"
    lines = [("whole population", curve["population_return"]), (noisy, worst)]
    marker = "o" if len(steps) < 3 else None
    for (label, values), look in zip(lines, style.SERIES, strict=False):
        axes.plot(steps, values, **look.line, linewidth=1.8, marker=marker, label=label)
    style.quiet_axes(axes, grid="y")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.margins(x=0.01)
    axes.set_xlabel("environment steps", fontsize=style.BODY)
    axes.set_ylabel("mean return", fontsize=style.BODY)
    style.legend(axes, fontsize=style.SMALL)
    first, last = (plain_number(curve["population_return"][i]) for i in (0, -1))
    style.panel_title(axes, style.minus(f"Average {first} → {last} in training"))
