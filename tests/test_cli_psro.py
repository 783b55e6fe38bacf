"""`jaxmarl psro`, as a user meets it: the table of iterations, files, one-line refusals."""

import json

import numpy as np
import pytest

from jaxmarl.cli import main


def call(*arguments: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(["psro", *arguments])
    return stopped.value.code


def test_a_file_of_payoffs_to_its_equilibrium(tmp_path, capsys):
    matrix = np.random.default_rng(0).uniform(-1, 1, (9, 9))
    matrix = matrix - matrix.T  # the shape of a test of the solver, so that what it compiled is found again
    file, run, figure = tmp_path / "game.npy", tmp_path / "new" / "run", tmp_path / "new" / "psro.png"
    np.save(file, np.stack([matrix, -matrix]))
    assert call(str(file), "--meta", "nash_lp", "--run", str(run), "--figure", str(figure)) == 0
    printed = capsys.readouterr().out
    assert "NashConv" in printed
    assert "no response gains anything more" in printed
    rows = json.loads((run / "iterations.json").read_text())
    assert rows["nash_conv"][-1] < 1e-6 < rows["nash_conv"][0]
    assert rows["size"][0] == [1, 1]
    assert max(rows["size"][-1]) <= 9
    assert figure.stat().st_size > 20_000
    assert call(str(file), "--meta", "nash_lp", "--run", str(run)) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert call(str(file), "--meta", "nash_lp", "--run", str(run), "--resume") == 0


def test_poker_is_solved(capsys):
    assert call("kuhn_poker", "--iterations", "12") == 0
    assert "no response gains anything more" in capsys.readouterr().out


@pytest.mark.slow
def test_an_environment_with_ppo(capsys):
    options = ("--game", "num_throws=2", "--iterations", "2", "--updates", "3", "--episodes", "20", "--ppo", "hidden=8")
    assert call("repeated_rps", *options) == 0
    assert "responses gain" in capsys.readouterr().out


@pytest.mark.slow
def test_episodes_that_end_early_are_made_of_one_length(tmp_path, capsys):
    options = ("--horizon", "5", "--iterations", "2", "--updates", "2", "--episodes", "10", "--ppo", "hidden=8")
    assert call("soccer", "--oracle", "ppo", *options, "--run", str(tmp_path / "run")) == 0
    assert "responses gain" in capsys.readouterr().out
    assert call("soccer", "--oracle", "ppo", *options, "--run", str(tmp_path / "run"), "--resume") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rsp",), "did you mean 'rps'"),
        (
            ("kuhn",),
            "did you mean 'kuhn_poker'? (known: those of jaxmarl solve and jaxmarl envs, goofspiel, kuhn_poker",
        ),
        (("rps", "--iterations", "-1"), "iterations must be an integer >= 0, got -1"),
        (("rps", "--figure", "rps.gif"), "figure must be the name of a .png file"),
        (("rps", "--meta", "nahs"), "did you mean"),
        (("rps", "--oracle", "ppo"), "no environment"),
        (("repeated_rps", "--oracle", "exact"), "oracle must be ppo"),
        (("rps", "--set", "capcity=3"), "did you mean 'capacity'"),
        (("rps", "--ppo", "hidden=8"), "ppo must be left out"),
        (("rps", "--resume"), "run must be given"),
        (("soccer", "--oracle", "ppo"), "horizon must be the steps of an episode"),
        (("repeated_rps", "--horizon", "9"), "horizon must be left out"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
