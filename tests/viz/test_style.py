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


def test_series_stay_apart_in_grey():
    """A dash or a hatch that comes again does so in quite another grey; no marker comes again."""
    shades = [lightness(look.colour) for look in style.SERIES]
    assert max(shades) < 170
    assert len({look.marker for look in style.SERIES}) == len(style.SERIES) == 8
    for (one, shade), (other, second) in itertools.combinations(zip(style.SERIES, shades, strict=True), 2):
        if one.dash == other.dash or one.hatch == other.hatch:
            assert abs(shade - second) > 40, f"{one} {shade:.0f} and {other} {second:.0f}"


def test_curves_of_seeds_and_their_legend_have_dashes():
    figure = style.new_figure(4, 2)
    for axes in figure.subplots(1, 2):
        for name, look in zip("abc", style.SERIES, strict=False):
            style.seed_curves(axes, [0, 1], np.array([[0.0, 1.0], [2.0, 1.0]]), look, name)
    lines = axes.get_lines()
    assert [(line.get_color(), line.get_linestyle()) for line in lines] == [each[:2] for each in style.SERIES[:3]]
    np.testing.assert_array_equal(lines[0].get_ydata(), [1, 1])
    box = style.legend(figure)  # one entry a name, not one a panel
    assert [text.get_text() for text in box.get_texts()] == ["a", "b", "c"]
    assert [line.get_linestyle() for line in box.get_lines()] == [look.dash for look in style.SERIES[:3]]


def test_crowded_curves_have_the_markers_of_their_series():
    axes = style.new_figure(2, 2).subplots()
    for look in style.SERIES:
        style.seed_curves(axes, [0, 1], np.ones((2, 2)), look, "", crowded=True)
    assert [line.get_marker() for line in axes.get_lines()] == [look.marker for look in style.SERIES]


def test_losses_are_marked():
    axes, table = style.new_figure(2, 2).subplots(), np.array([[0.0, -3.0, -0.6], [3.0, -0.1, 0.6]])
    axes.imshow(table, cmap=style.DIVERGING, vmin=-3, vmax=3)
    style.mark_losses(axes, table, 0.5)
    (marks,) = axes.collections
    np.testing.assert_array_equal(marks.get_offsets(), [[1, 0], [2, 0]])
    np.testing.assert_allclose([lightness(colour) for colour in marks.get_edgecolors()[:, :3]], [255, 38], atol=1)


def test_heat_maps_without_losses_have_no_marks():
    axes, table = style.new_figure(2, 2).subplots(), np.ones((2, 2))
    axes.imshow(table)
    style.mark_losses(axes, table, 0.5)
    assert len(axes.collections[0].get_offsets()) == 0
