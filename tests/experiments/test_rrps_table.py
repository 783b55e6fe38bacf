"""The cross-table that comes with the project: against the published figures, and against itself."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from jaxmarl.envs.rps import BOTS
from jaxmarl.experiments.rrps_table import compare, load_cross_table, play_cross_table

TABLE = load_cross_table()
SCORES = {score.name: score for score in TABLE.scores}
with (Path(__file__).parent.parent / "data" / "rrps_published_scores.csv").open() as file:
    PUBLISHED = {row["name"]: row for row in csv.DictReader(file)}
RELEASED = Path(
    os.environ.get("JAXMARL_RRPS_TABLE", Path(__file__).parents[2].parent / "shared" / "data" / "rrps_bot_table.txt")
)


def test_it_covers_every_bot():
    assert tuple(BOTS) == TABLE.names
    assert TABLE.num_matches == 1000


@pytest.mark.parametrize("name", BOTS)
def test_population_returns_are_within_three_standard_errors_of_the_published(name):
    row = TABLE.names.index(name)
    error = np.sqrt((TABLE.standard_error[row] ** 2).sum()) / len(TABLE.names)
    difference = SCORES[name].population_return - float(PUBLISHED[name]["population_return"])
    # both tables have a thousand matches a cell; the published figures have three decimals
    assert abs(difference) < 3 * np.sqrt(2) * error + 1e-3


def test_the_same_bots_lead_in_the_same_order():
    ours = [score.name for score in TABLE.scores][:8]
    assert ours == sorted(PUBLISHED, key=lambda name: int(PUBLISHED[name]["rank"]))[:8]


def test_a_row_mirrors_its_column():
    """Row and column are separate matches, so their sum is zero but for noise."""
    total, error = TABLE.mean + TABLE.mean.T, np.hypot(TABLE.standard_error, TABLE.standard_error.T)
    assert (np.abs(total) <= 4 * error + 1e-3).mean() > 0.99


@pytest.mark.skipif(not RELEASED.is_file(), reason="the released cross-table is not here")
def test_cells_agree_with_the_released_table():
    comparison = compare(TABLE, RELEASED)
    assert comparison.within(4) >= 0.99
    assert np.abs(comparison.population_return_z).max() <= 3


def test_a_comparison_can_fail(tmp_path):
    table = TABLE.of(("rockbot", "copybot"))
    wrong = tmp_path / "wrong.txt"
    cells = {("rockbot", "copybot"): -990.0, ("copybot", "rockbot"): 1000.0}
    cells |= {(name, name): 0.0 for name in table.names}
    wrong.write_text("".join(f"{(*pair, value)}\n" for pair, value in cells.items()))
    assert compare(table, wrong).within(4) == 0.75
    with pytest.raises(ValueError, match="a table with the bots pibot"):
        compare(TABLE.of(("rockbot", "pibot")), wrong)


def test_saving_and_playing_are_reproducible(tmp_path):
    bots = ("randbot", "rockbot", "switchbot")
    first, second = (play_cross_table(4, seed=3, bots=bots) for _ in range(2))
    np.testing.assert_array_equal(first.mean, second.mean)
    loaded = load_cross_table(first.save(tmp_path / "table.json"))
    np.testing.assert_allclose(loaded.mean, first.mean, atol=5e-4)
    assert loaded.names == bots
    assert loaded.num_matches == 4


@pytest.mark.slow
def test_playing_it_anew_gives_the_same_table():
    again = play_cross_table(40, seed=11)
    error = TABLE.standard_error * np.sqrt(1 + TABLE.num_matches / again.num_matches)
    within = np.abs(again.mean - TABLE.mean) <= 4 * error + 1e-3  # exact cells are exact
    assert within.mean() >= 0.99
