"""The figure of a book's depth: it is written, and refuses what does not fit."""

import numpy as np
import pytest

from jaxmarl.viz import plot_depth

PRICE = np.array([[100, 99, 97], [102, 103, 103]])
QUANTITY = np.array([[3, 0, 2], [1, 4, 2]])


def test_depth_is_drawn(tmp_path):
    path = plot_depth(PRICE, QUANTITY, tmp_path / "figures" / "depth.png", "A book")
    assert path == tmp_path / "figures" / "depth.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 10_000


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^price must be of shape \[2, C\], as quantity, got \(2, 2\)"):
        plot_depth(PRICE[:, :2], QUANTITY, tmp_path / "depth.png")
    with pytest.raises(ValueError, match=r"^quantity must be positive on both sides, got \[5, 0\]"):
        plot_depth(PRICE, QUANTITY * [[1], [0]], tmp_path / "depth.png")
