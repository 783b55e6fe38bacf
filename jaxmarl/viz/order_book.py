"""The depth of a limit order book as a figure."""

from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxmarl.core.checks import require
from jaxmarl.viz import style


def plot_depth(
    price: Int[np.ndarray, "2 C"], quantity: Int[np.ndarray, "2 C"], path: str | Path, title: str = "Depth of the book"
) -> Path:
    """Draws lots at each price (bars) and lots up to each price (steps), bids to the left and asks to the right.

    Args:
        price: of the orders of both sides, bids first, in ticks (`OrderBook.price`).
        quantity: lots, 0 in rows without an order (`OrderBook.quantity`).
        path: the PNG to write.
        title: of the figure.

    Returns:
        The path.

    Raises:
        ValueError: arrays of other shapes, an empty side, or a path that is not a `.png`.
    """
    price, quantity = np.asarray(price), np.asarray(quantity)
    two_sides = price.ndim == 2 and len(price) == 2 and price.shape == quantity.shape
    require(two_sides, "price", price.shape, "of shape [2, C], as quantity")
    require(bool((quantity > 0).any(axis=1).all()), "quantity", quantity.sum(axis=1).tolist(), "positive on both sides")
    figure = style.new_figure(7.5, 4.2)
    axes = figure.subplots()
    style.quiet_axes(axes, grid="y")
    for side, colour, name in ((0, style.GAIN, "bids"), (1, style.LOSS, "asks")):
        _draw_side(axes, price[side], quantity[side], -1 if side == 0 else 1, colour, name)
    best = [price[0][quantity[0] > 0].max(), price[1][quantity[1] > 0].min()]
    axes.axvline(np.mean(best), color=style.FAINT, linewidth=0.8)
    axes.set_xlabel("price, ticks", fontsize=style.BODY, color=style.INK)
    axes.set_ylabel("lots", fontsize=style.BODY, color=style.INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.legend(axes, loc="upper center")  # where the totals of both sides are least
    style.panel_title(axes, title)
    return style.write_figure(figure, path)


def _draw_side(axes: Axes, price: np.ndarray, quantity: np.ndarray, sign: int, colour: str, name: str) -> None:
    there = quantity > 0
    levels, index = np.unique(price[there], return_inverse=True)
    lots = np.bincount(index, weights=quantity[there])
    axes.bar(levels, lots, width=0.8, facecolor=colour, hatch="///" if sign > 0 else "", edgecolor="white", label=name)
    order = np.argsort(sign * levels)
    away, total = levels[order], np.cumsum(lots[order])
    # the outer edge of each price, so that a step rises where its orders begin
    edges = np.append(away - sign * 0.5, away[-1] + sign * 0.5)
    gaps = np.arange(edges.min(), edges.max() + 1)
    height = np.array([total[sign * away <= sign * (left + 0.5)].max() for left in gaps[:-1]])
    axes.stairs(height, gaps, color=colour, linewidth=1.2)
