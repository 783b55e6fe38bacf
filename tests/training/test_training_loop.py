import json
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_toy import CONFIG, plain_leaves, rows_of, same_state, toy, train

from jaxmarl.learners.base import over_seeds
from jaxmarl.training import RunError, restore_state, run


def test_the_loop_does_what_updates_by_hand_do(tmp_path):
    learner = toy()
    state, losses = jax.jit(learner.init)(jax.random.key(3)), []
    for _ in range(11):
        state, metrics = jax.jit(learner.update)(state)
        losses.append(float(metrics["loss"]))
    result = train(learner, tmp_path / "run", num_updates=11, seed=3)
    assert (result.updates, result.agent_steps, result.interrupted) == (11, 77, False)
    for name, leaf in plain_leaves(state).items():
        np.testing.assert_allclose(plain_leaves(result.state)[name], leaf, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose([row["loss"] for row in rows_of(result.run_dir)], losses, rtol=1e-6)


def test_a_row_for_every_update_in_valid_json(tmp_path):
    result = train(toy(bad_update=4), tmp_path / "run", num_updates=10)
    rows = rows_of(result.run_dir)
    assert [row["update"] for row in rows] == list(range(1, 11))
    assert [row["agent_steps"] for row in rows] == [7 * i for i in range(1, 11)]
    assert [row["n"] for row in rows] == list(range(10))
    assert (rows[4]["loss"], rows[4]["noise"]) == (None, None)
    assert all(isinstance(row["loss"], float) for row in rows if row["update"] != 5)
    assert rows[0]["wall_seconds"] <= rows[-1]["wall_seconds"]
    assert result.last_metrics == rows[-1]


def test_run_json_tells_seed_config_and_timing(tmp_path):
    @dataclass
    class Config:
        clip: float = float("inf")
        sizes: tuple[int, ...] = (64, 64)

    config = {"learner": Config(), "levels": np.arange(2), "path": Path("a")}
    result = train(toy(), tmp_path / "run", num_updates=8, seed=5, config=config)
    record = json.loads((result.run_dir / "run.json").read_text())
    assert record["seed"] == 5
    assert record["config"] == {"learner": {"clip": "inf", "sizes": [64, 64]}, "levels": [0, 1], "path": "a"}
    assert (record["status"], record["updates"], record["agent_steps"]) == ("finished", 8, 56)
    session = record["sessions"][0]
    assert session["versions"]["jax"] == jax.__version__
    assert jax.devices()[0].device_kind in session["device"]
    assert session["compile_seconds"] == pytest.approx(result.compile_seconds, abs=1e-3)
    assert session["steps_per_second"] == pytest.approx(result.steps_per_second, abs=0.1)
    assert result.steps_per_second > 0 < result.compile_seconds


def test_git_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = train(toy(), tmp_path / "run", num_updates=4)
    assert json.loads((result.run_dir / "run.json").read_text())["sessions"][0]["git_commit"] is None


@pytest.mark.parametrize("cut", [8, 10])
def test_a_run_cut_in_two_is_the_same_bit_for_bit(tmp_path, cut):
    whole = train(toy(), tmp_path / "whole", num_updates=20)
    train(toy(), tmp_path / "cut", num_updates=cut)
    resumed = train(toy(), tmp_path / "cut", num_updates=20, resume=True)
    same_state(resumed.state, whole.state)
    assert rows_of(tmp_path / "cut", timeless=True) == rows_of(tmp_path / "whole", timeless=True)
    sessions = json.loads((tmp_path / "cut" / "run.json").read_text())["sessions"]
    assert [session["from_update"] for session in sessions] == [0, cut]
    same_state(restore_state(toy(), tmp_path / "cut")[0], whole.state)


def test_seeds_are_lists_and_resume_as_well(tmp_path):
    learner = over_seeds(toy(), 3)
    whole = train(learner, tmp_path / "whole", num_updates=8)
    train(learner, tmp_path / "cut", num_updates=4)
    resumed = train(learner, tmp_path / "cut", num_updates=8, resume=True, show_progress=True)
    same_state(resumed.state, whole.state)
    rows = rows_of(tmp_path / "cut", timeless=True)
    assert rows == rows_of(tmp_path / "whole", timeless=True)
    assert len(set(rows[-1]["loss"])) == 3
    assert rows[-1]["agent_steps"] == 8 * 3 * 7


def test_other_key_implementations_survive(tmp_path):
    learner = replace(toy(), init=lambda key: toy().init(jax.random.key(jax.random.bits(key), impl="rbg")))
    result = train(learner, tmp_path / "run", num_updates=4)
    state, updates = restore_state(learner, tmp_path / "run")
    assert updates == 4
    assert jax.random.key_impl(state.key) == "rbg"
    same_state(state, result.state)
    with pytest.raises(
        RunError, match=r"does not fit this learner: \.key is stored as key<rbg>\[\], wanted as key<fry>"
    ):
        restore_state(toy(), tmp_path / "run")


def test_a_shorter_last_chunk_is_not_compiled_again(tmp_path):
    def traces(num_updates, name):
        count = 0

        def update(state):
            nonlocal count
            count += 1
            return toy().update(state)

        train(replace(toy(), update=update), tmp_path / name, num_updates=num_updates)
        return count

    assert traces(11, "short") == traces(4, "even")


def test_on_chunk_sees_every_chunk(tmp_path):
    seen = []
    train(toy(), tmp_path / "run", num_updates=10, on_chunk=lambda n, rows: seen.append((n, rows["n"].tolist())))
    assert seen == [(4, [0, 1, 2, 3]), (8, [4, 5, 6, 7]), (10, [8, 9])]


def test_checkpoints_are_every_so_often_and_few(tmp_path):
    def saved(name):
        return sorted(int(path.name) for path in (tmp_path / name / "checkpoints").iterdir())

    train(toy(), tmp_path / "a", num_updates=18, keep=2)
    assert saved("a") == [16, 18]
    train(toy(), tmp_path / "b", num_updates=22, checkpoint_every=2, keep=9)
    assert saved("b") == [8, 16, 22]
    assert restore_state(toy(), tmp_path / "b", 8)[1] == 8
    with pytest.raises(RunError, match=r"no checkpoint 9 in .*; it has \[8, 16, 22\]"):
        restore_state(toy(), tmp_path / "b", 9)
    with pytest.raises(RunError, match="no checkpoint in"):
        restore_state(toy(), tmp_path / "c")


def test_a_finished_run_is_left_alone(tmp_path):
    first = train(toy(), tmp_path / "run", num_updates=8)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = train(toy(), tmp_path / "run", num_updates=8, resume=True)
    same_state(again.state, first.state)
    assert (again.updates, again.interrupted, again.last_metrics) == (8, False, {})
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_resume_of_nothing_starts_from_scratch(tmp_path, capsys):
    whole = train(toy(), tmp_path / "whole", num_updates=4)
    new = train(toy(), tmp_path / "new", num_updates=4, resume=True)
    assert "starting from scratch" in capsys.readouterr().err
    same_state(new.state, whole.state)


def test_refusals_are_one_line_and_touch_nothing(tmp_path):
    folder = tmp_path / "run"
    train(toy(**CONFIG), folder, num_updates=8, config=CONFIG)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for changed, message in [
        ({"resume": False}, r"already holds a run: resume it \(resume=True, or --resume\), or choose another"),
        ({"seed": 1}, "holds another run: seed was 0, now 1"),
        ({"config": {**CONFIG, "learning_rate": 0.2}}, r"config\.learning_rate was 0\.1, now 0\.2"),
        ({"config": {"size": 5}}, r"config\.learning_rate was 0\.1, now null"),
        ({"config": None}, "holds another run"),
        ({"num_updates": 7}, "has 8 updates already, more than num_updates=7"),
        (
            {"learner": toy(size=6)},
            r"does not fit this learner: \.params\['w'\] is stored as float32\[5\], .*float32\[6\]",
        ),
        ({"learner": replace(toy(), steps_per_update=8)}, "steps_per_update was 7, now 8"),
    ]:
        arguments = {"learner": toy(), "num_updates": 12, "resume": True, "config": CONFIG} | changed
        with pytest.raises(RunError, match=message) as refusal:
            train(arguments.pop("learner"), folder, **arguments)
        assert "\n" not in str(refusal.value)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_updates": 0}, "num_updates must be an integer >= 1, got 0"),
        ({"updates_per_chunk": 2.0}, "updates_per_chunk must be"),
        ({"checkpoint_every": 0}, "checkpoint_every must be"),
        ({"keep": 0}, "keep must be"),
        ({"seed": 2**32}, "seed must be"),
        ({"config": [1]}, "config must be a mapping"),
        ({"config": {"a": {"b": object}}}, r"config\.a\.b must be made of numbers"),
    ],
)
def test_bad_arguments_are_named(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        run(toy(), tmp_path / "run", **{"num_updates": 1} | changed)
    assert not (tmp_path / "run").exists()


def test_a_learner_that_does_not_compile_leaves_the_folder_free(tmp_path):
    def update(state):
        return state, {"wall_seconds": jnp.zeros(())}

    with pytest.raises(ValueError, match="metrics of the learner must be named other than"):
        train(replace(toy(), update=update), tmp_path / "run", num_updates=4)
    train(toy(), tmp_path / "run", num_updates=4)


def test_tensorboard_sees_every_update_once(tmp_path):
    pytest.importorskip("tensorboardX")
    train(toy(), tmp_path / "run", num_updates=6)
    train(toy(), tmp_path / "run", num_updates=8, resume=True)
    files = sorted((tmp_path / "run" / "tensorboard").iterdir(), key=lambda path: path.stat().st_mtime)
    assert len(files) == 2
    steps = [event.step for path in files for event in events_of(path) if event.summary.value]
    assert sorted(set(steps)) == [7 * i for i in range(1, 9)]
    assert len(steps) == 8 * 3


def test_without_tensorboard_nothing_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    result = train(toy(), tmp_path / "run", num_updates=4)
    assert len(rows_of(result.run_dir)) == 4
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_in_a_thread_signals_are_left_alone(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    handlers, results = [], []

    def work():
        look = lambda updates, rows: handlers.append(signal.getsignal(signal.SIGTERM))  # noqa: E731
        results.append(train(toy(), tmp_path / "run", num_updates=4, on_chunk=look))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].updates == 4
    assert handlers == [before]


def test_import_of_the_library_does_not_pay_for_it():
    code = "import sys, jaxmarl; print([m for m in ('jaxmarl.training', 'orbax', 'tensorboardX') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def events_of(path):
    from tensorboardX.proto import event_pb2

    data, events = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return events
