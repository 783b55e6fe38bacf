"""One figure of a PSRO run: the population's payoffs, how it was mixed, and how exploitable the mixture was."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmarl.solvers.psro.state import PsroState
from jaxmarl.viz import style

MIXTURE = LinearSegmentedColormap.from_list("weights", ["#f7f7f5", "#9db7e0", style.ACCENT, "#0d2650"])
FLOOR = 1e-7  # relative to the first value: what is smaller is rounding


def plot_psro(state: PsroState, path: str | Path, title: str = "PSRO", exact: bool = True) -> Path:
    """Draws a run of PSRO to a PNG.

    Panels: payoffs of the first player's strategies (rows) against the second's (further players mixed as in the end);
    the first player's mixture at each iteration; NashConv (or, with learned responses, what they gain, with a band of
    two standard errors).

    Args:
        state: after at least one iteration.
        path: the PNG to write; its folder is made.
        title: headline.
        exact: whether responses and payoffs are exact.

    Returns:
        The path.
    """
    rows = state.rows()
    figure = style.new_figure(15.6, 4.9)
    last, error = rows["nash_conv"][-1], rows["nash_conv_error"][-1]
    gap = f"NashConv {last:.2g}" if exact else f"responses gain {last:.2g} ± {error:.1g}"
    headline = f"{title}: {gap} after {len(rows['nash_conv'])} iterations"
    figure.suptitle(headline, fontsize=style.HEADLINE, color=style.INK, fontweight="bold", x=0.012, ha="left")
    payoffs, mixture, curve = figure.subplots(1, 3)
    _draw_payoffs(figure, payoffs, _two_player_payoffs(state))
    _draw_mixture(figure, mixture, rows["mixture"][:, 0, : int(rows["size"][-1, 0])])
    _draw_curve(curve, rows, exact)
    return style.write_figure(figure, path)


def _two_player_payoffs(state: PsroState) -> Float[np.ndarray, "rows columns"]:
    """The first player's payoffs `[K_0, K_1]`, other players mixed; of what was there at the last certificate."""
    table, sizes = np.asarray(state.empirical.cells.mean[0], np.float64), state.rows()["size"][-1]
    for mixture in np.asarray(state.mixtures)[:1:-1]:
        table = table @ mixture
    return table[: sizes[0], : sizes[1]] if table.ndim == 2 else table[: sizes[0], None]


def _draw_payoffs(figure: Figure, axes: Axes, table: Float[np.ndarray, "rows columns"]) -> None:
    limit = float(np.max(np.abs(table))) or 1.0
    image = axes.imshow(table, cmap=style.DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    if max(table.shape) <= 40:  # cells that have room for a sign
        style.mark_losses(axes, table, limit / 10)
    _tidy(axes, "strategy of player 1, in order of discovery", "strategy of player 0")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, length=2)
    style.panel_title(axes, "Payoffs of player 0")


def _draw_mixture(figure: Figure, axes: Axes, weights: Float[np.ndarray, "iterations strategies"]) -> None:
    image = axes.imshow(
        weights.T,
        cmap=MIXTURE,
        norm=PowerNorm(0.5, vmin=0, vmax=1),
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, len(weights) + 0.5, weights.shape[1] - 0.5, -0.5),
    )
    _tidy(axes, "iteration", "strategy of player 0")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=style.SMALL, colors=style.INK, length=2)
    played = int(np.sum(weights[-1] > 1e-6))
    style.panel_title(axes, f"In the end {played} of {weights.shape[1]} are played")


def _draw_curve(axes: Axes, rows: dict[str, np.ndarray], exact: bool) -> None:
    style.quiet_axes(axes, "y")
    iteration = np.arange(1, len(rows["nash_conv"]) + 1)
    values, errors = rows["nash_conv"], rows["nash_conv_error"]
    marker = "o" if len(iteration) < 40 else None
    if exact:
        floor = FLOOR * max(float(values.max()), 1e-30)
        shown = np.maximum(values, floor)
        axes.semilogy(iteration, shown, color=style.ACCENT, linewidth=1.8, marker=marker, markersize=4)
        zero = values <= floor
        axes.plot(iteration[zero], shown[zero], "v", color=style.GAIN, markersize=8, label="zero up to rounding")
        style.panel_title(axes, "NashConv of the mixture")
        if zero.any():
            axes.legend(fontsize=style.SMALL, frameon=False, labelcolor=style.INK)
    else:
        axes.fill_between(
            iteration, values - 2 * errors, values + 2 * errors, color=style.ACCENT, alpha=0.18, linewidth=0
        )
        axes.plot(iteration, values, color=style.ACCENT, linewidth=1.8, marker=marker, markersize=4)
        axes.axhline(0, color=style.FAINT, linewidth=0.8)
        style.panel_title(axes, "What learned responses gain (± 2 s.e.)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("iteration", fontsize=style.BODY, color=style.INK)


def _tidy(axes: Axes, across: str, down: str) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=style.INK, labelsize=style.BODY, length=2, color=style.FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(across, fontsize=style.BODY, color=style.INK)
    axes.set_ylabel(down, fontsize=style.BODY, color=style.INK)
