"""The figure of a market day: it is written, stands missing quotes and many dealers, and refuses what does not fit."""

import numpy as np
import pytest

from jaxmarl.viz import plot_market_day

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("dealers", "liquidity"), [(2, True), (9, False)])
def test_a_day_is_drawn(tmp_path, dealers, liquidity):
    half_spreads = RNG.random((50, dealers, 2))
    half_spreads[10:20, 0] = np.nan
    path = plot_market_day(
        RNG.normal(size=50).cumsum(),
        half_spreads,
        RNG.integers(-3, 4, (50, dealers)).astype(float),
        tmp_path / "figures" / "day.png",
        title="A day",
        liquidity=RNG.random(50) if liquidity else None,
    )
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size > 10_000


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^half_spreads must be \[5, 2, 2\], got \(5, 3, 2\)$"):
        plot_market_day(np.zeros(5), np.zeros((5, 3, 2)), np.zeros((5, 2)), tmp_path / "day.png")
    with pytest.raises(ValueError, match=r"^mid must be \[5\], got \(4,\)$"):
        plot_market_day(np.zeros(4), np.zeros((5, 2, 2)), np.zeros((5, 2)), tmp_path / "day.png")
