"""The command line, as a user meets it: the smoke preset end to end, and one-line refusals."""

import json
from dataclasses import asdict

import jax
import numpy as np
import pytest

import jaxmarl
from jaxmarl.cli import main
from jaxmarl.core.registry import list_envs
from jaxmarl.envs.rps import BOTS, bot_players, split_bots
from jaxmarl.evaluation import cross_play, load_report
from jaxmarl.experiments import rrps
from jaxmarl.experiments.config import from_dict, override
from jaxmarl.experiments.rrps_table import load_cross_table
from jaxmarl.games.zoo import list_games
from jaxmarl.solvers import list_solvers


def call(*arguments: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the smoke preset was trained and evaluated."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call("train", "rrps", "--preset", "smoke", "--run", "first") == 0
    return folder


def test_training_leaves_everything_a_reader_needs(trained):
    run = trained / "runs" / "first"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [1, 2, 3, 4]
    report = load_report(run)
    assert report.opponents == ("copybot", "rockbot", "switchbot")
    assert rows[-1]["agent_steps"] == 4 * 3 * 4 * 50
    assert (run / "report.png").stat().st_size > 20_000
    assert from_dict(rrps.RRPSConfig(), json.loads((run / "run.json").read_text())["config"]).ppo.hidden == 8


def test_evaluation_can_be_repeated(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    before = load_report(trained / "runs" / "first")
    assert call("evaluate", "rrps", "first") == 0
    after = load_report(trained / "runs" / "first")
    assert after.mean.tolist() == before.mean.tolist()
    assert "ranked" in capsys.readouterr().out


@pytest.mark.parametrize(("matches", "words"), [("0", "matches must be an integer >= 2, got 0"), ("3", "must be even")])
def test_evaluation_needs_matches_in_both_seats(matches, words, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    assert call("evaluate", "rrps", "first", "--matches", matches) == 2
    assert words in capsys.readouterr().err


def test_a_finished_run_goes_on_when_more_updates_are_asked_for(trained, monkeypatch):
    monkeypatch.chdir(trained)
    more = ("--set", "num_updates=6")
    assert call("train", "rrps", "--preset", "smoke", "--run", "longer", "--no-evaluate") == 0
    assert call("train", "rrps", "--preset", "smoke", "--run", "longer", "--no-evaluate", "--resume", *more) == 0
    assert call("train", "rrps", "--preset", "smoke", "--run", "at-once", "--no-evaluate", *more) == 0
    both = [(trained / "runs" / name / "metrics.jsonl").read_text().splitlines() for name in ("longer", "at-once")]
    for resumed, unbroken in zip(*both, strict=True):
        assert {**json.loads(resumed), "wall_seconds": 0} == {**json.loads(unbroken), "wall_seconds": 0}


def test_held_out_bots_are_met_in_evaluation_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bots = "bots=rockbot,copybot,rotatebot,randbot,r226bot,switchbot"
    split = ("held_out=2", "split_seed=5")
    assert call("train", "rrps", "--preset", "smoke", "--run", "split", "--set", bots, *split) == 0
    train_names, unseen = split_bots(5, 2)
    report = load_report(tmp_path / "runs" / "split")
    assert report.opponents[-2:] == unseen
    assert not set(unseen) & set(report.opponents[:-2])
    assert report.facts["unseen"] == list(unseen)
    assert len(train_names) == len(BOTS) - 2


def test_a_trained_agent_joins_the_population(trained):
    agent = rrps.load_agent(trained / "runs" / "first")
    env = rrps.make_env(rrps.preset("smoke"), num_throws=20)
    result = cross_play(env, [agent, *bot_players(env, ["rockbot"])], jax.random.key(0), 2)
    assert result.names[0] == ("first", "rockbot")
    np.testing.assert_array_equal(result.returns[..., 0], -result.returns[..., 1])


def test_the_cross_table_is_played_saved_and_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxmarl.experiments.rrps_table.BOTS", {name: BOTS[name] for name in ("copybot", "rockbot")})
    released = tmp_path / "released.txt"
    cells = {("rockbot", "copybot"): -1000.0, ("copybot", "rockbot"): 1000.0}
    cells |= {(name, name): 0.0 for name in ("rockbot", "copybot")}
    released.write_text("".join(f"{(*pair, value)}\n" for pair, value in cells.items()))
    command = ("evaluate", "rrps", "mine", "--cross-table", "--matches", "2", "--compare", str(released))
    assert call(*command) == 0
    assert "100.00 % of the cells within 4 standard errors" in capsys.readouterr().out
    table = load_cross_table(tmp_path / "runs" / "mine" / "cross_table.json")
    assert table.of(("rockbot", "copybot")).mean.tolist() == [[0, -1000], [1000, 0]]
    assert (tmp_path / "runs" / "mine" / "cross_table.png").stat().st_size > 10_000


def test_the_environments_and_the_bots_are_listed(capsys):
    assert call("envs") == 0
    assert "repeated_rps_versus" in capsys.readouterr().out
    assert call("envs", "repeated_rps") == 0
    assert "num_throws" in capsys.readouterr().out
    assert call("envs", "--bots") == 0
    listing = capsys.readouterr().out
    assert all(name in listing for name in BOTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian", "rrps"), "did you mean 'train'?"),
        (("train", "rps"), "did you mean 'rrps'?"),
        (("train", "rrps", "--preset", "quik"), "did you mean 'quick'?"),
        (("train", "rrps", "--set", "ppo.learning_rat=1"), "did you mean 'learning_rate'?"),
        (("train", "rrps", "--set", "ppo.learning_rate=fast"), "ppo.learning_rate must be of type float"),
        (("train", "rrps", "--set", "ppo.chunk_length=7"), "a divisor of the horizon 1000"),
        (("train", "rrps", "--set", "bots=copibot"), "did you mean 'copybot'?"),
        (("train", "rrps", "--set", "bots="), "bots takes values separated by commas, got ''"),
        (("train", "rrps", "--resume"), "--resume needs --run"),
        (("train", "rrps", "--process-id", "1"), "need --coordinator"),
        (("train", "rrps", "--coordinator", "localhost"), "coordinator must be HOST:PORT"),
        (("train", "rrps", "--devices", "4096"), "data must be"),
        (("evaluate", "rrps", "nowhere"), "is not a run"),
        (("envs", "repeated_rsp"), "did you mean 'repeated_rps'?"),
    ],
)
def test_wrong_input_is_refused_in_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error


def test_the_version_is_told(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"jaxmarl {jaxmarl.__version__}\n"


def test_listings_fit_80_columns_and_cut_no_name(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for command, names in (("envs", list_envs()), ("solve", [*list_games(), *list_solvers()])):
        assert call(command) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert set(names) <= {line.split()[0] for line in lines if line.strip()}


def test_overrides_and_dictionaries_keep_types():
    config = override(rrps.preset("quick"), ["ppo.discount=1", "bots=copybot,rockbot", "append_time=True"])
    assert type(config.ppo.discount) is float
    assert config.bots == ("copybot", "rockbot")
    assert from_dict(rrps.RRPSConfig(), json.loads(json.dumps(asdict(config)))) == config
    assert rrps.preset("quick").resolved().bots == tuple(BOTS)
