"""Figures can be read in grey: the colours differ in lightness, and losses in a heat map have a sign."""

import itertools

import numpy as np
from matplotlib.colors import to_rgb

from jaxmarl.viz import style


def lightness(colour) -> float:
    """From 0 (black) to 255, as a printer without colours makes it."""
    return 255 * float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


def test_colours_of_lines_and_bars_stay_apart_in_grey():
    colours = {name: lightness(getattr(style, name)) for name in ("GAIN", "LOSS", "ACCENT", "INK")}
    assert max(colours.values()) < 140  # a line that light is still seen on white
    for (one, first), (other, second) in itertools.combinations(colours.items(), 2):
        assert abs(first - second) > 25, f"{one} {first:.0f} and {other} {second:.0f}"


def test_losses_are_marked():
    axes = style.new_figure(2, 2).subplots()
    style.mark_losses(axes, np.array([[0.0, -3.0], [3.0, -0.1]]), 0.5)
    (marks,) = axes.collections
    np.testing.assert_array_equal(marks.get_offsets(), [[1, 0]])
