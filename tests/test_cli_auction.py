"""`jaxmarl solve auction`, as a user meets it: tables, files and figures, one-line refusals."""

import json

import pytest

from jaxmarl.cli import main


def call(*arguments: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(["solve", "auction", *arguments])
    return stopped.value.code


def test_bids_beside_the_exact_ones(tmp_path, capsys):
    out, figure = tmp_path / "new" / "f.json", tmp_path / "new" / "f.png"
    options = ("--format", "first_price", "--bidders", "3", "--reserve", "0.5", "--risk", "0.5", "--levels", "16")
    assert call(*options, "--out", str(out), "--figure", str(figure)) == 0
    printed = capsys.readouterr().out
    assert "first price, 3 bidders, uniform, reserve 0.5, risk 0.5" in printed
    assert "exact" in printed
    assert "relative utility loss" in printed
    answer = json.loads(out.read_text())
    assert answer["relative_losses"][0] < 0.01
    assert answer["distances"][0] < 0.04
    assert answer["revenue"] == pytest.approx(answer["known_revenue"], rel=0.15)  # ties that lose cost some
    assert len(answer["bids"][0]) == len(answer["exact"][0]) == 16
    assert answer["bids"][0][0] == 0  # below the reserve
    assert figure.stat().st_size > 20_000


def test_unequal_bidders_and_options_of_the_solver(capsys):
    assert call("--high", "1", "2", "--levels", "16", "--max-bid", "1", "--set", "max_iterations=300") == 0
    printed = capsys.readouterr().out
    assert "value of bidder 1" in printed
    assert "soda: 300 iterations" in printed


def test_without_a_known_formula(capsys):
    assert call("--prior", "bernoulli_weights", "--levels", "8", "--set", "tolerance=0.5") == 0
    assert "no formula is known" in capsys.readouterr().out


@pytest.mark.slow
def test_networks(capsys):
    assert call("--method", "npga", "--levels", "8", "--set", "num_iterations=5", "num_pretraining=5") == 0
    assert "npga: 5 iterations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "frist_price"], "format must be one of first_price, second_price"),
        (["--bidders", "0"], "bidders must be an integer >= 1, got 0"),
        (["--prior", "normal"], "prior must be one of"),
        (["--risk", "2"], "risk must be in (0, 1]"),
        (["--high", "1", "2", "3"], "high must be one number, or one for each of 2 bidders"),
        (["--prior", "wallet", "--high", "2"], "high must be left out with prior wallet"),
        (["--prior", "wallet", "--risk", "0.5"], "params.risk must be 1 where values depend on all signals"),
        (["--method", "sodah"], "method must be one of soda, npga"),
        (["--set", "steps=3"], "soda's option must be one of"),
        (["--levels", "1"], "levels must be an integer >= 2, got 1"),
        (["--levels", "4", "--out", "x.txt"], "out's suffix must be one of .json"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
