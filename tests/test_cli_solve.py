"""`jaxmarl solve`, as a user meets it: games of the zoo and files, tables, files and figures, one-line refusals."""

import json
import re

import numpy as np
import pytest

from jaxmarl.cli import main
from jaxmarl.games import list_games
from jaxmarl.games.zoo import biased_rps
from jaxmarl.interop import save_game
from jaxmarl.solvers import list_solvers


def call(*arguments: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(["solve", *arguments])
    return stopped.value.code


def test_a_game_of_the_zoo(capsys):
    assert call("travelers", "--game", "hi=5", "reward=2") == 0
    out = capsys.readouterr().out
    assert "travelers by lemke_howson" in out
    assert re.search(r"0 +│ +2 │ +0 │ +1\.0000 │ +2 ", out)
    assert "NashConv 0" in out
    assert "recomputed" in out


def test_without_a_game_everything_is_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert call() == 0
    out = capsys.readouterr().out
    for name in (*list_games(), *list_solvers()):
        assert name in out


@pytest.mark.parametrize("suffix", [".nfg", ".npz", ".npy"])
def test_a_game_from_a_file_with_a_solution_for_scripts(tmp_path, suffix, capsys):
    path = save_game(biased_rps(), tmp_path / f"game{suffix}")
    assert call(str(path), "--out", str(tmp_path / "new" / "solution.json")) == 0
    assert "zero_sum_lp" in capsys.readouterr().out
    solution = json.loads((tmp_path / "new" / "solution.json").read_text())
    np.testing.assert_allclose(solution["strategy_0"], [1 / 4, 5 / 12, 1 / 3], atol=1e-6)
    assert solution["gap_kind"] == "nash_conv"
    assert abs(solution["gap"]) < 1e-6
    assert solution["payoffs"][0] == pytest.approx(1 / 12, abs=1e-6)


def test_a_learner_leaves_its_trace_and_a_figure(tmp_path, capsys):
    out, figure = tmp_path / "solution.npz", tmp_path / "figures" / "rps.png"
    options = ("--set", "num_iterations=300", "record_every=10", "--out", str(out), "--figure", str(figure))
    assert call("biased_rps", "--solver", "predictive_regret_matching_plus", *options) == 0
    assert "300 iterations" in " ".join(capsys.readouterr().out.split())
    with np.load(out) as solution:
        gaps = solution["trace_nash_conv"]
        assert gaps.shape == (30,)
        assert gaps[-1] < gaps[0]
        assert gaps[-1] == pytest.approx(float(solution["gap"]), abs=1e-6)
        assert solution["trace_average_0"].shape == (30, 3)
        np.testing.assert_allclose(solution["trace_average_0"][-1], solution["strategy_0"], atol=1e-6)
    assert figure.stat().st_size > 20_000


def test_a_correlated_solution_keeps_its_joint(tmp_path, capsys):
    out = tmp_path / "solution.json"
    assert call("chicken", "--solver", "ce_max_welfare", "--out", str(out)) == 0
    assert "CE gap" in capsys.readouterr().out
    solution = json.loads(out.read_text())
    np.testing.assert_allclose(solution["joint"], [[0.5, 0.25], [0.25, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biased_rsp"], "unknown game 'biased_rsp'; did you mean 'biased_rps'"),
        (["rps", "--game", "size=5"], "rps has no parameter 'size'"),
        (["rps", "--game", "win"], "--game takes NAME=VALUE, got 'win'"),
        (["rps", "--solver", "magic"], "unknown solver 'magic'"),
        (["rps", "--solver", "hedge", "--set", "rounds=3"], "hedge has no option 'rounds'"),
        (["chicken", "--solver", "zero_sum_lp"], "zero-sum for solver zero_sum_lp"),
        (["rps", "--out", "solution.txt"], "out's suffix must be one of .json, .npz"),
        (["rps", "--figure", "rps.pdf"], "figure must be the name of a .png file, got 'rps.pdf'"),
        (["kuhn_poker"], "this is a tree, for `jaxmarl psro kuhn_poker`"),
        (["soccer"], "this is an environment, for `jaxmarl psro soccer`"),
        (["no/such/file.npz"], "jaxmarl: no/such/file.npz: No such file or directory"),
        (["none.npz", "--game", "a=1"], "none.npz is a file"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
