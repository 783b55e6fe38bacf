"""`jaxmarl bench`: what is timed is timed, results keep the machine, and the guard refuses what it must."""

import json
import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from jaxmarl.bench import Row, Timing, chained, compare, harness, load_results, results, save_results, timed
from jaxmarl.cli import main

ROW = Row("environments", "coin_game", 4, "steps/s", 100.0, 90.0, 110.0, 1.0, 300.0)


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code


def test_a_warm_up_is_not_counted_and_the_median_counts():
    pauses = iter([0.05, 0.001, 0.02, 0.001])
    timing = timed(lambda: time.sleep(next(pauses)), 3)
    assert len(timing.seconds) == 3
    assert timing.median < 0.01 < max(timing.seconds) < 0.05
    assert Timing((1.0, 4.0, 2.0)).rates(8) == {
        "steps_per_second": 4.0,
        "slowest": 2.0,
        "fastest": 8.0,
        "compile_seconds": 0.0,
    }
    with pytest.raises(ValueError, match="repeats must be an integer >= 1, got 0"):
        timed(lambda: None, 0)


def test_the_output_of_a_call_is_the_input_of_the_next():
    seen = []
    timing = chained(lambda x: (jax.debug.callback(lambda y: seen.append(int(y)), x), x + 1)[1], jnp.int32(0), 3)
    jax.effects_barrier()
    assert seen == [0, 1, 2, 3]
    assert timing.compile_seconds > 0


def test_peak_memory_starts_anew_and_sees_what_was_held():
    harness.reset_peak_memory()
    before = harness.peak_memory()
    held = bytearray(300 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    assert harness.peak_memory() > before + 250 * 2**20
    del held
    if harness.Path("/proc/self/clear_refs").exists():
        harness.reset_peak_memory()
        assert harness.peak_memory() < before + 100 * 2**20


def test_results_come_back_and_are_compared_by_ratio(tmp_path):
    path = save_results([ROW, replace(ROW, size=8)], tmp_path / "new" / "base.json")
    machine, rows = load_results(path)
    assert rows == [ROW, replace(ROW, size=8)]
    assert machine["cores"] == harness.num_cores()
    assert set(machine["versions"]) == {"python", "jax", "jaxlib", "numpy"}
    found = compare([replace(ROW, rate=50.0), replace(ROW, name="soccer")], path)
    assert [(each.row.name, each.before, each.ratio) for each in found] == [("coin_game", 100.0, 0.5)]
    with pytest.raises(ValueError, match=r"^baseline must be a file with one of the rows \['soccer'\], got "):
        compare([replace(ROW, name="soccer")], path)


@pytest.mark.parametrize("name", results.IDENTITY)
def test_the_baseline_of_another_machine_is_refused_in_one_line(tmp_path, capsys, name):
    path = save_results([ROW], tmp_path / "base.json")
    record = json.loads(path.read_text())
    record["machine"][name] = "something else"
    path.write_text(json.dumps(record))
    assert call("bench", "--names", "coin_game", "--baseline", str(path)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"jaxmarl: baseline's {name} must be this machine's (")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"version": 2}', '{"version": 1, "machine": {}, "rows": [{"group": "x"}]}', "[" * 100_000, "\0"],
)
def test_a_file_that_is_no_result_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a file of jaxmarl bench --out") as refusal:
        load_results(path)
    assert "\n" not in str(refusal.value)


def test_a_file_with_a_rate_that_is_no_number_or_of_great_size_is_refused(tmp_path):
    path = save_results([ROW], tmp_path / "base.json")
    path.write_text(path.read_text().replace("100.0", "NaN"))
    with pytest.raises(ValueError, match="rate of 'coin_game' must be a number above 0, got nan"):
        load_results(path)
    with path.open("r+b") as file:
        file.truncate(results.MOST_BYTES + 1)
    with pytest.raises(ValueError, match="must be a file of at most 16777216 bytes"):
        load_results(path)


def test_the_guard_lets_pass_and_stops(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("bench", "environments", "--names", "two_step_game", "--sizes", "4")
    assert call(*options, "--out", "base.json") == 0
    assert "two_step_game" in capsys.readouterr().out
    assert call(*options, "--baseline", "base.json", "--slack", "1000") == 0
    (row,) = load_results("base.json")[1]
    assert row.compile_seconds > 0
    assert row.slowest <= row.rate <= row.fastest
    save_results([replace(row, rate=row.rate * 1e4)], "base.json")
    assert call(*options, "--baseline", "base.json", "--slack", "10") == 1
    assert "SLOWER" in capsys.readouterr().out


def test_solvers_on_the_host_and_in_jit(capsys):
    assert call("bench", "solvers", "--names", "zero_sum_lp", "pure_nash", "--sizes", "3") == 0
    out = capsys.readouterr().out
    assert "gap" in out
    assert "games/s" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("speed",), "group must be one of environments, solvers, training, peers; got 'speed'"),
        (("--names", "coin_gane"), "did you mean 'coin_game'?"),
        (("solvers", "--names", "nash"), "names must be one of alpha_rank"),
        (("--repeats", "4"), "repeats must be an integer >= 5, got 4"),
        (("--sizes", "0"), "sizes must be an integer in [1, 16777216], got 0"),
        (("--slack", "nan"), "slack must be a number of at least 1, got nan"),
        (("--out", "here"), "out must be the name of a .json file, got 'here'"),
        (("--baseline", "nowhere.json"), "No such file"),
    ],
)
def test_wrong_options_are_one_line(capsys, arguments, said):
    assert call("bench", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_learners_and_peers(capsys):
    assert call("bench", "training", "--sizes", "16") == 0
    assert call("bench", "peers", "--names", "zero_sum", "iterated_matrix", "--sizes", "16") == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("ppo_coin_game", "HiGHS", "ours"))
