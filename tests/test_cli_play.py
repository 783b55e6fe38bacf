"""`jaxmarl play`, as a user meets it: a GIF, the returns, one-line refusals."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageSequence

from jaxmarl import make
from jaxmarl.cli import main
from jaxmarl.core import Player
from jaxmarl.evaluation import play_episodes
from jaxmarl.viz.episodes import save_gif


def call(*arguments: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as stopped:
        main(["play", *arguments])
    return stopped.value.code


def test_an_episode_is_played_and_drawn(tmp_path, capsys):
    out = tmp_path / "new" / "hunt.gif"
    options = ("--set", "size=4", "num_plants=1", "--params", "gore_penalty=2", "--seed", "3")
    assert call("markov_stag_hunt", "--policy", "hunter", "gatherer", *options, "--frames", "6", "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "markov_stag_hunt, 6 steps" in printed
    env, params = make("markov_stag_hunt", size=4, num_plants=1)
    params = params.replace(gore_penalty=np.float32(2))
    players = [Player(env.benchmarks(params)[name]) for name in ("hunter", "gatherer")]
    episode = play_episodes(env, players, jax.random.key(3), num_steps=6, params=params)
    for total in episode.returns[0]:
        assert f"{total:.3f}" in printed
    with Image.open(out) as gif:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 7
    for frame, state in zip(frames, episode.path(), strict=True):
        assert np.abs(frame - env.render(state, params)).mean() < 3  # the palette has 256 colours


def test_episodes_end_where_the_game_does(tmp_path, capsys):
    out = tmp_path / "crash.gif"
    assert call("merge", "--policy", "hold", "--params", "start=-30,-30", "--out", str(out)) == 0
    printed = capsys.readouterr().out
    steps = int(printed.split("merge, ")[1].split()[0])
    assert steps < 40
    with Image.open(out) as gif:
        assert gif.n_frames == steps + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stag"], "ENV must be one of "),
        (["repeated_rps"], "foraging, grid_game, harvest, "),
        (["foraging", "--policy", "H5"], "policy must be one of H1, H2, H3, H4, uniform; got 'H5'; did you mean"),
        (["foraging", "--policy", "H1", "H2", "H3"], "policy must be one name, or one for each of 2 agents"),
        (["foraging", "--out", "a.png"], "out must be the name of a .gif file, got 'a.png'"),
        (["foraging", "--frames", "0"], "frames must be an integer >= 1, got 0"),
        (["foraging", "--fps", "0"], "fps must be in (0, 50], got 0.0"),
        (["foraging", "--set", "sise=8"], "foraging has no field 'sise'; did you mean 'size'?"),
        (["foraging", "--params", "penalt=1"], "params must be one of penalty; got 'penalt'"),
        (["foraging", "--params", "penalty=high"], "penalty must be a number, got 'high'"),
        (["foraging", "--params", "penalty=-1"], "penalty must be at least 0, got -1.0"),
        (["merge", "--params", "start=1"], "start must be 2 numbers, got 1"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_pictures_of_one_size_only(tmp_path):
    small, large = np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="frames must be at least one picture"):
        save_gif([small, large], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="frames must be at least one picture"):
        save_gif([], tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"path must be the name of a \.gif file"):
        save_gif([small], tmp_path / "a.png")
