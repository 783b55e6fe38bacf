import errno
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import training_toy
from training_toy import CONFIG, rows_of, same_state, toy, train

from jaxmarl.training import RunError, restore_state, storage
from jaxmarl.training.metrics import MetricsWriter
from jaxmarl.training.signals import StopSignal

# iterations of a loop of two operations, seconds of work on any machine
SLOW = 250_000_000


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdecimal())


def start(folder, *options):
    """The toy's script in a process of its own, slow enough to be caught in the middle."""
    command = [sys.executable, training_toy.__file__, str(folder), "--num-updates", "400", "--pause", "0.05", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    for _ in range(6000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    raise AssertionError("the script did not get there")


def test_killed_in_the_middle_it_resumes_bit_for_bit(tmp_path):
    folder = tmp_path / "killed"
    process = start(folder, "--checkpoint-every", "3")
    metrics = folder / "metrics.jsonl"
    # a checkpoint is there, and rows beyond the newest: what a resumed run must not repeat
    wait_for(lambda: saved(folder) and len(metrics.read_bytes().splitlines()) > saved(folder)[-1], process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 12 <= saved(folder)[-1] < 400
    with open(metrics, "ab") as file:
        file.write(b'{"update": 17, "agent')

    end = saved(folder)[-1] + 10
    whole = train(toy(**CONFIG), tmp_path / "whole", num_updates=end, config=CONFIG)
    resumed = train(toy(**CONFIG), folder, num_updates=end, config=CONFIG, resume=True)
    same_state(resumed.state, whole.state)
    assert rows_of(folder, timeless=True) == rows_of(tmp_path / "whole", timeless=True)


def test_sigterm_saves_says_how_to_resume_and_resumes(tmp_path):
    folder = tmp_path / "stopped"
    process = start(folder, "--checkpoint-every", "50")
    wait_for(lambda: (folder / "metrics.jsonl").exists() and len(rows_of(folder)) >= 8, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    updates = saved(folder)[-1]
    assert 8 <= updates < 200, "the checkpoint comes from the signal, not from the schedule"
    assert f"updates={updates} interrupted=True" in out
    assert f"stopped by SIGTERM after {updates} of 400 updates; say toy --resume" in err
    assert len(rows_of(folder)) == updates

    whole = train(toy(**CONFIG), tmp_path / "whole", num_updates=updates + 6, config=CONFIG)
    resumed = train(toy(**CONFIG), folder, num_updates=updates + 6, config=CONFIG, resume=True)
    same_state(resumed.state, whole.state)
    assert rows_of(folder, timeless=True) == rows_of(tmp_path / "whole", timeless=True)


def test_sigint_finishes_the_chunk_and_restores_the_handlers(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop = lambda updates, rows: updates == 4 and signal.raise_signal(signal.SIGINT)  # noqa: E731
    result = train(toy(), tmp_path / "run", num_updates=40, on_chunk=stop)
    # the first chunk is written while the second runs
    assert (result.updates, result.interrupted) == (8, True)
    assert saved(tmp_path / "run") == [4, 8]
    assert len(rows_of(tmp_path / "run")) == 8
    err = capsys.readouterr().err
    assert "stopped by SIGINT after 8 of 40 updates; to resume, call run again with resume=True" in err
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_a_second_sigint_interrupts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_sigint_does_not_wait_for_the_chunk(tmp_path, capsys):
    def slow_update(state):
        state, metrics = toy().update(state)
        work = jax.lax.fori_loop(0, SLOW, lambda i, x: 0.999 * x + 1.0, metrics["loss"])
        return state, {**metrics, "work": work}

    def interrupt():
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.01)
        time.sleep(0.2)
        for _ in range(2):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            signals.append(time.perf_counter())
            time.sleep(0.3)

    signals = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train(replace(toy(), update=slow_update), tmp_path / "run", num_updates=4)
    assert time.perf_counter() < signals[-1] + 1.0
    thread.join()
    assert rows_of(tmp_path / "run") == []
    assert "stopping after the running chunk" in capsys.readouterr().err


def empty(path):
    path.write_bytes(b"")


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def damage(folder, how, which="*"):
    files = [path for path in folder.rglob(which) if path.is_file()]
    assert files
    for path in files:
        how(path)


@pytest.mark.parametrize("how", [empty, truncate, flip, Path.unlink])
@pytest.mark.parametrize("which", ["*", "manifest.json", "d/*", "_METADATA"])
def test_a_damaged_newest_checkpoint_is_skipped(tmp_path, capsys, how, which):
    folder = tmp_path / "run"
    whole = train(toy(), tmp_path / "whole", num_updates=12)
    train(toy(), folder, num_updates=10)
    damage(folder / "checkpoints" / "10", how, which)
    assert restore_state(toy(), folder)[1] == 8
    assert saved(folder) == [4, 8, 10], "reading changes nothing"
    capsys.readouterr()
    resumed = train(toy(), folder, num_updates=12, resume=True)
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert "warning" in warnings[0]
    assert str(folder / "checkpoints" / "10") in warnings[0]
    same_state(resumed.state, whole.state)
    assert rows_of(folder, timeless=True) == rows_of(tmp_path / "whole", timeless=True)
    assert saved(folder) == [4, 8, 12]
    with pytest.raises(RunError, match="no checkpoint 10"):
        restore_state(toy(), folder, 10)


def test_if_all_checkpoints_are_damaged_it_says_so(tmp_path):
    folder = tmp_path / "run"
    train(toy(), folder, num_updates=8)
    damage(folder / "checkpoints", truncate)
    with pytest.raises(RunError, match=f"no checkpoint in {folder}/checkpoints can be read"):
        train(toy(), folder, num_updates=12, resume=True)
    assert saved(folder) == [4, 8]
    assert len(rows_of(folder)) == 8


def test_leftovers_of_an_interrupted_save_are_cleaned(tmp_path):
    folder = tmp_path / "run"
    train(toy(), folder, num_updates=8)
    shutil.copytree(folder / "checkpoints" / "8", folder / "checkpoints" / "unfinished-12")
    resumed = train(toy(), folder, num_updates=12, resume=True)
    assert resumed.updates == 12
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["12", "4", "8"]


def fail_to_write(path, arrays, about):
    (path.parent / f"unfinished-{path.name}").mkdir()
    raise OSError(errno.ENOSPC, "No space left on device")


def no_space(folder):
    return shutil._ntuple_diskusage(total=1, used=1, free=0)


@pytest.mark.parametrize(
    ("module", "name", "fault"), [(storage, "write", fail_to_write), (shutil, "disk_usage", no_space)]
)
def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path, monkeypatch, module, name, fault):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(RunError, match="No space left") as failure:
        train(
            toy(),
            folder,
            num_updates=20,
            on_chunk=lambda n, rows: n == 8 and patch.setattr(module, name, fault),
            keep=1,
        )
    assert f"cannot write checkpoint {folder}/checkpoints/12" in str(failure.value)
    assert "checkpoint 8 is intact" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["8"]
    assert len(rows_of(folder)) == 12, "the rows are there before the checkpoint"

    resumed = train(toy(), folder, num_updates=20, resume=True)
    same_state(resumed.state, train(toy(), tmp_path / "whole", num_updates=20).state)
    assert rows_of(folder, timeless=True) == rows_of(tmp_path / "whole", timeless=True)


def test_a_write_that_fails_half_way_keeps_the_previous_checkpoint(tmp_path):
    folder, learner = tmp_path / "run", toy(size=10_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(updates, rows):
        if updates == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(RunError, match=r"checkpoints/12: .*checkpoint 8 is intact"):
            train(learner, folder, num_updates=20, on_chunk=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved(folder) == [4, 8]
    assert restore_state(learner, folder)[1] == 8
    assert len(rows_of(folder)) == 12


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_the_metrics_is_one_line(tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.jsonl", steps_per_update=1, updates=0)
    writer._file = open("/dev/full", "w")  # noqa: SIM115 (it cannot be flushed, hence not closed)
    with pytest.raises(RunError, match=r"cannot write .*metrics\.jsonl: No space left") as failure:
        writer.write(2, {"loss": np.zeros(2)}, 0.5)
    assert "\n" not in str(failure.value)


def test_missing_rows_are_said(tmp_path, capsys):
    folder = tmp_path / "run"
    train(toy(), folder, num_updates=8)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join([*lines[:3], "garbage\n", *lines[4:]]))
    train(toy(), folder, num_updates=12, resume=True)
    assert "holds only 7 of the first 8 rows" in capsys.readouterr().err
    assert [row["update"] for row in rows_of(folder)] == [1, 2, 3, *range(5, 13)]


@pytest.mark.parametrize("below", ["file/run", "nowhere/run", "file"])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, below):
    (tmp_path / "file").write_text("")

    def init(key):
        pytest.fail("the learner was touched")

    with pytest.raises(RunError, match=f"cannot write {tmp_path / below}: ") as refusal:
        train(replace(toy(), init=init), tmp_path / below, num_updates=4)
    assert "\n" not in str(refusal.value)


def test_a_garbled_run_json_is_one_line(tmp_path):
    train(toy(), tmp_path / "run", num_updates=4)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"cannot read .*run\.json, which tells seed and config"):
        train(toy(), tmp_path / "run", num_updates=8, resume=True)
