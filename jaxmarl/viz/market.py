"""A day of a dealer market: quotes around the mid price, what each dealer holds, and liquidity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from jaxmarl.core.checks import require
from jaxmarl.viz import style

MOST_NAMED = 6


def plot_market_day(
    mid: Float[np.ndarray, " T"],
    half_spreads: Float[np.ndarray, "T N 2"],
    inventory: Float[np.ndarray, "T N"],
    path: str | Path,
    *,
    title: str = "",
    names: Sequence[str] | None = None,
    liquidity: Float[np.ndarray, " T"] | None = None,
) -> Path:
    """Draws quotes and inventories of one market over its steps as a PNG.

    Args:
        mid: mid price at each step, or its change since the start.
        half_spreads: distances of each dealer's bid and ask from it; NaN where it does not quote.
        inventory: parcels that each dealer holds.
        path: the PNG to write; its folder is made.
        title: headline.
        names: of the dealers; `dealer 0`, … where None.
        liquidity: index of the pool, for a third panel.

    Returns:
        The path.

    Raises:
        ValueError: arrays that do not fit each other.
    """
    mid, half_spreads, inventory = (np.asarray(x, float) for x in (mid, half_spreads, inventory))
    steps, dealers = inventory.shape
    require(half_spreads.shape == (steps, dealers, 2), "half_spreads", half_spreads.shape, f"[{steps}, {dealers}, 2]")
    require(mid.shape == (steps,), "mid", mid.shape, f"[{steps}]")
    names = [f"dealer {i}" for i in range(dealers)] if names is None else list(names)
    require(len(names) == dealers, "names", len(names), f"one for each of {dealers} dealers")
    panels = 2 if liquidity is None else 3
    figure = style.new_figure(9.6, 2.6 * panels + 0.5)
    figure.suptitle(title, fontsize=style.HEADLINE, color=style.INK, fontweight="bold", x=0.012, ha="left")
    axes = figure.subplots(panels, 1, sharex=True)
    _draw_quotes(axes[0], mid, half_spreads)
    _draw_inventories(axes[1], inventory, names)
    if liquidity is not None:
        style.quiet_axes(axes[2], grid="y")
        axes[2].plot(np.asarray(liquidity, float), color=style.ACCENT, linewidth=1.6)
        axes[2].set_ylim(0, None)
        style.panel_title(axes[2], "Liquidity")
    axes[-1].set_xlabel("step", fontsize=style.BODY, color=style.INK)
    axes[-1].set_xlim(0, steps - 1)
    return style.write_figure(figure, path)


def _draw_quotes(axes: Axes, mid: np.ndarray, half_spreads: np.ndarray) -> None:
    style.quiet_axes(axes, grid="y")
    steps = np.arange(len(mid))
    bids, asks = mid[:, None] - half_spreads[:, :, 0], mid[:, None] + half_spreads[:, :, 1]
    for quotes, colour, dash, label in ((asks, style.LOSS, "--", "asks"), (bids, style.GAIN, "-", "bids")):
        lowest, highest = np.fmin.reduce(quotes, axis=1), np.fmax.reduce(quotes, axis=1)
        axes.fill_between(steps, lowest, highest, color=colour, alpha=0.25, linewidth=0, step="post")
        best = lowest if label == "asks" else highest
        axes.step(
            steps, best, where="post", color=colour, linestyle=dash, linewidth=1.2, label=f"{label}: best, and range"
        )
    axes.step(steps, mid, where="post", color=style.INK, linewidth=1.0, label="mid price")
    style.legend(axes, fontsize=style.SMALL, ncols=3, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))  # room for the legend
    style.panel_title(axes, "Quotes around the mid price")


def _draw_inventories(axes: Axes, inventory: np.ndarray, names: list[str]) -> None:
    style.quiet_axes(axes, grid="y")
    axes.axhline(0, color=style.FAINT, linewidth=0.8)
    for i, name in enumerate(names):
        named = len(names) <= MOST_NAMED
        look = style.SERIES[i].line if named else {"color": style.FAINT}
        axes.plot(inventory[:, i], drawstyle="steps-post", **look, linewidth=1.2, label=name if named else None)
    if len(names) <= MOST_NAMED:
        style.legend(axes, fontsize=style.SMALL, ncols=len(names), loc="upper left")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.22 * (high - low))
    style.panel_title(axes, "Parcels held")
