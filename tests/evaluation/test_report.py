"""The report and its figure: round trip, printed text, picture, refusals."""

import errno
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from jaxmarl.evaluation.report import REPORT_FILE, load_report, make_report, replace_file
from jaxmarl.viz import plot_population

SCRIPT = Path(__file__).parents[2] / "scripts" / "reproduce" / "rrps_published_table.py"


def synthetic(members=6, shift=2.0, **options):
    rng = np.random.default_rng(0)
    table = rng.normal(0, 30, (members, members))
    table = (table - table.T) / 2
    returns = rng.normal(shift + np.linspace(-20, 60, members)[:, None], 15, (members, 40))
    return make_report("agent", [f"bot_{i}" for i in range(members)], returns, table, num_bootstrap=50, **options)


@pytest.fixture(scope="module")
def report():
    facts = {"wall_seconds": np.float32(1.5), "env_steps": np.int64(10**9), "device": "cpu"}
    return synthetic(facts=facts, config={"seed": 0, "hidden": [64, 64], "folder": Path("runs")})


def printed(report, width=100):
    console = Console(file=io.StringIO(), width=width)
    report.print(console)
    return console.file.getvalue()


def test_round_trip(report, tmp_path):
    paths = report.save(tmp_path / "new" / "folder")
    assert paths == {"report": tmp_path / "new" / "folder" / REPORT_FILE}
    for source in (paths["report"], paths["report"].parent):
        loaded = load_report(source)
        assert loaded.to_dict() == report.to_dict()
        assert loaded.score == report.score
        np.testing.assert_array_equal(loaded.table, report.table)
        assert loaded.table_error is None
    assert [path.name for path in paths["report"].parent.iterdir()] == [REPORT_FILE]  # no temporary left behind


def test_file_is_strict_json(report, tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    text = report.save(tmp_path)["report"].read_text()
    data = json.loads(text, parse_constant=refuse)
    assert data["config"] == {"seed": 0, "hidden": [64, 64], "folder": "runs"}
    assert data["facts"]["env_steps"] == 10**9
    assert [row["name"] for row in data["ranking"]] == [member.name for member in report.members]
    assert data["rank"]["size"] == 7


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = replace_file(tmp_path / "file.txt", b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_table_errors_survive(tmp_path):
    report = replace(synthetic(), table_error=np.full((6, 6), 0.5))
    np.testing.assert_array_equal(load_report(report.save(tmp_path)["report"]).table_error, report.table_error)


@pytest.mark.parametrize("shift", [-2000.0, 2.0, 2000.0])
def test_agent_is_printed_once_at_its_place(shift):
    report = synthetic(shift=shift)
    if shift != 2.0:
        assert report.rank.position == (1 if shift > 0 else 7)
    lines = printed(report).splitlines()
    rows = [line.split() for line in lines if line.split() and line.split()[0].isdigit() and "%" not in line]
    assert [int(row[0]) for row in rows] == list(range(1, 8))
    expected = [member.name for member in report.members]
    expected.insert(report.rank.position - 1, "agent")
    assert [row[1] for row in rows] == expected


def test_print_shows_intervals_facts_and_summary(report):
    text = printed(report)
    assert "95 % interval" in text
    assert "split-half" in text
    assert "1,000,000,000" in text
    assert " ".join(text.split()).endswith(report.summary)
    assert f"ranked {report.rank.position} of 7" in report.summary
    for width in (60, 80, 200):
        assert max(map(len, printed(report, width).splitlines())) <= width


def test_record_counts_only_clear_results():
    returns = np.array([[1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    report = make_report("agent", list("abcd"), returns, np.zeros((4, 4)), num_bootstrap=0)
    assert report.record == (1, 2, 1)
    assert report.record_text == "beats 1 of 4 (even with 2, loses to 1)"
    assert report.worst_opponent == "b"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"agent": "a"}, "agent"),
        ({"opponents": ["a", "a"]}, "opponents"),
        ({"opponents": ["a", "b", "c"]}, "score"),
        ({"table": np.zeros((3, 3))}, "table"),
        ({"table": np.zeros((2, 3))}, "table"),
        ({"table_error": np.full((2, 2), np.nan)}, "table_error"),
        ({"facts": {"rate": float("nan")}}, "facts"),
        ({"config": {"net": object()}}, "config"),
    ],
)
def test_refusals(options, named):
    good = {"agent": "x", "opponents": ["a", "b"], "returns": np.zeros((2, 3)), "table": np.zeros((2, 2))}
    with pytest.raises(ValueError, match=rf"^{named} must") as caught:
        make_report(**(good | options), num_bootstrap=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "other"}', '{"format": "jaxmarl-population-report", "version": 1}']
)
def test_files_that_are_no_report(tmp_path, text):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"report\.json") as caught:
        load_report(path)
    assert "\n" not in str(caught.value)


# --- figure ---------------------------------------------------------------------------------------------------------


def curve(length=20):
    steps = np.arange(length) * 1e6
    return {"steps": steps, "population_return": np.sqrt(steps), "within_pop_expl": 1e3 - np.sqrt(steps)}


@pytest.mark.parametrize(("members", "learning_curve"), [(1, None), (6, curve()), (24, curve(1))])
def test_figure_is_written_and_shows_something(tmp_path, members, learning_curve):
    path = plot_population(synthetic(members), tmp_path / "figures" / "population.png", learning_curve)
    assert path.stat().st_size > 20_000
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[0] > 900
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05
    assert np.isfinite(pixels).all()


def test_figure_of_a_population_that_always_ties(tmp_path):
    report = make_report("agent", list("abc"), np.zeros((3, 4)), np.zeros((3, 3)), num_bootstrap=0)
    assert plot_population(report, tmp_path / "p.png").exists()


def test_figure_refusals(tmp_path, report):
    with pytest.raises(ValueError, match=r"^path must"):
        plot_population(report, tmp_path / "p.pdf")
    broken = [{"steps": [1]}, curve() | {"steps": [1.0]}, curve(2) | {"within_pop_expl": [0.0, np.nan]}]
    for learning_curve in broken:
        with pytest.raises(ValueError, match=r"^learning_curve"):
            plot_population(report, tmp_path / "p.png", learning_curve)
    assert not list(tmp_path.iterdir())


def test_metrics_and_report_do_not_import_matplotlib_nor_figures_pyplot():
    code = (
        "import sys, jaxmarl.evaluation.report; assert 'matplotlib' not in sys.modules; "
        "import jaxmarl.viz; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_script_prints_a_ranking_or_where_the_table_is(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("('a', 'a', 0.0)\n('a', 'b', 2.0)\n('b', 'a', -2.0)\n('b', 'b', 0.0)\n")
    run = [sys.executable, str(SCRIPT)]
    good = subprocess.run([*run, "--table", str(path)], capture_output=True, text=True, timeout=120)
    assert good.returncode == 0
    assert "mean WithinPopExpl 1.00000" in good.stdout
    for arguments in ([], ["--table", str(tmp_path / "absent.txt")]):
        bad = subprocess.run([*run, *arguments], capture_output=True, text=True, timeout=120)
        assert bad.returncode == 2
        assert "bot_table_file.txt" in bad.stderr
        assert "Traceback" not in bad.stderr


def test_a_file_that_cannot_be_written_is_told_by_its_own_name(tmp_path):
    path = tmp_path / "missing" / "report.json"
    with pytest.raises(OSError, match="report") as caught:
        replace_file(path, b"new")
    assert caught.value.filename == str(path)
    assert caught.value.errno == errno.ENOENT
