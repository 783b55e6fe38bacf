"""Training on a mesh of devices and in several processes gives what one device gives."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import devices_toy
import jax
import numpy as np
import pytest
from devices_toy import NUM_ENVS, NUM_SEEDS, small
from jax.sharding import AbstractMesh, PartitionSpec
from training_toy import rows_of, toy, train

from jaxmarl.learners import over_seeds
from jaxmarl.training import connect, make_mesh, restore_state, state_shardings
from jaxmarl.training.processes import by_first, greatest


def environment(devices: int) -> dict[str, str]:
    """Of a process with virtual devices, which shares the compilation cache of the tests."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }


def toy_script(what: str, folder: Path, devices: int) -> None:
    command = [sys.executable, devices_toy.__file__, what, str(folder)]
    done = subprocess.run(command, env=environment(devices), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def leaves(path: Path) -> dict[str, np.ndarray]:
    with np.load(path.with_suffix(".npz")) as file:
        return dict(file)


def near(left: dict[str, np.ndarray], right: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    assert left.keys() == right.keys()
    for name, leaf in left.items():
        np.testing.assert_allclose(leaf, right[name], rtol=0, atol=tolerance, err_msg=name)


def near_rows(left: Path, right: Path) -> None:
    left_rows, right_rows = rows_of(left, timeless=True), rows_of(right, timeless=True)
    assert len(left_rows) == len(right_rows) > 0
    for mine, others in zip(left_rows, right_rows, strict=True):
        assert mine == pytest.approx(others, abs=1e-5)


def parts(path: Path) -> dict[str, int]:
    return json.loads(path.with_suffix(".json").read_text())


def specs(state, *sizes: int) -> dict[str, PartitionSpec]:
    shardings = state_shardings(state, AbstractMesh(sizes, ("seed", "data")))
    return {jax.tree_util.keystr(path): leaf.spec for path, leaf in jax.tree_util.tree_flatten_with_path(shardings)[0]}


def test_roll_outs_are_split_and_the_rest_is_copied():
    state = jax.eval_shape(small().init, jax.random.key(0))
    found = specs(state, 1, 4)
    assert found[".rollout.start"] == PartitionSpec("data")
    assert found[".rollout.episode_return"] == PartitionSpec("data")
    assert found[".rollout.env.env.t"] == PartitionSpec("data")
    assert found[".rollout.env.elapsed"] == PartitionSpec()
    assert found[".key"] == PartitionSpec()
    assert {spec for name, spec in found.items() if "params" in name or "opt" in name} == {PartitionSpec()}


def test_seeds_are_split_over_their_own_axis():
    state = jax.eval_shape(over_seeds(small(), NUM_SEEDS).init, jax.random.key(0))
    found = specs(state, 2, 4)
    assert found[".rollout.start"] == PartitionSpec("seed", "data")
    assert {spec for name, spec in found.items() if "params" in name or "opt" in name} == {PartitionSpec("seed")}
    assert found[".key"] == found[".rollout.env.elapsed"] == PartitionSpec("seed")
    # as many seeds as there are environments must not be taken for them
    assert specs(state, 1, 4)[".rollout.start"] == PartitionSpec(None, "data")
    assert specs(state, 1, 4)[".rollout.env.elapsed"] == PartitionSpec()


@pytest.mark.parametrize(
    ("learner", "sizes", "message"),
    [
        (small, (1, 3), f"num_envs must be a multiple of the 3 devices of 'data', got {NUM_ENVS}"),
        (lambda: over_seeds(small(), 3), (2, 4), "led by an axis of seeds"),
        (small, (2, 4), "led by an axis of seeds"),
    ],
)
def test_a_mesh_that_does_not_divide_is_refused(learner, sizes, message):
    with pytest.raises(ValueError, match=message):
        specs(jax.eval_shape(learner().init, jax.random.key(0)), *sizes)


def test_wrong_meshes_and_addresses_are_named(tmp_path):
    with pytest.raises(ValueError, match="seed must be"):
        make_mesh(seed=len(jax.devices()) + 1)
    with pytest.raises(ValueError, match="data must be"):
        make_mesh(data=0)
    with pytest.raises(ValueError, match="axes of the mesh"):
        state_shardings({}, jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",)))
    for arguments, message in {
        ("localhost", 2, 0): "coordinator must be HOST:PORT",
        ("localhost:1234", 0, 0): "num_processes must be",
        ("localhost:1234", 2, 2): "process_id must be",
    }.items():
        with pytest.raises(ValueError, match=message):
            connect(*arguments)


def test_a_mesh_of_one_device_changes_no_bit(tmp_path):
    plain = train(toy(), tmp_path / "plain", num_updates=6)
    meshed = train(toy(), tmp_path / "meshed", num_updates=6, mesh=make_mesh(data=1, devices=jax.devices()[:1]))
    assert rows_of(plain.run_dir, timeless=True) == rows_of(meshed.run_dir, timeless=True)
    assert (
        json.loads((meshed.run_dir / "run.json").read_text())["sessions"][0]["mesh"] == "1 seed x 1 data, 1 processes"
    )


def test_alone_a_process_asks_nobody():
    assert by_first(lambda: "mine") == "mine"
    assert greatest(3) == 3


def test_two_devices_are_one(tmp_path):
    toy_script("equal", tmp_path, devices=2)
    near(leaves(tmp_path / "one"), leaves(tmp_path / "many"))
    near_rows(tmp_path / "one", tmp_path / "many")
    found = parts(tmp_path / "many")
    assert found[".rollout.start"] == 2
    assert {count for name, count in found.items() if "params" in name or "opt" in name} == {1}


@pytest.mark.slow
def test_eight_devices_are_one(tmp_path):
    toy_script("eight", tmp_path, devices=8)
    near(leaves(tmp_path / "one"), leaves(tmp_path / "many"))
    near_rows(tmp_path / "one", tmp_path / "many")
    assert parts(tmp_path / "many")[".rollout.start"] == 8


@pytest.mark.slow
def test_seeds_on_devices_are_separate_runs(tmp_path):
    toy_script("seeds", tmp_path, devices=8)
    stacked = leaves(tmp_path / "stacked")
    for i in range(NUM_SEEDS):
        near({name: leaf[i] for name, leaf in stacked.items()}, leaves(tmp_path / f"seed{i}"))
    assert parts(tmp_path / "stacked")[".rollout.start"] == 8
    assert parts(tmp_path / "stacked")[".key"] == 4


@pytest.mark.slow
def test_what_eight_devices_saved_goes_on_anywhere(tmp_path):
    toy_script("resume", tmp_path, devices=8)
    saved = leaves(tmp_path / "eight")
    for name in ("restored1", "restored2"):
        near(saved, leaves(tmp_path / name), tolerance=0.0)
    assert parts(tmp_path / "restored2")[".rollout.start"] == 2
    unbroken = leaves(tmp_path / "unbroken")
    near(unbroken, leaves(tmp_path / "to8"), tolerance=0.0)
    for name in ("to1", "to2"):
        near(unbroken, leaves(tmp_path / name))
        near_rows(tmp_path / "unbroken", tmp_path / name)
    # and the other number of devices is noted in the record
    sessions = json.loads((tmp_path / "to2" / "run.json").read_text())["sessions"]
    assert [session["mesh"] for session in sessions] == ["1 seed x 8 data, 1 processes", "1 seed x 2 data, 1 processes"]


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start_two(folder: Path, *options: str) -> list[subprocess.Popen]:
    command = [sys.executable, devices_toy.__file__, "process", str(folder), "--coordinator", free_address(), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen([*command, "--process-id", str(i)], env=environment(1), **pipes) for i in range(2)]


def finish(processes: list[subprocess.Popen]) -> list[dict]:
    try:
        said = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    assert finish(start_two(tmp_path)) == [{"updates": 4, "interrupted": False, "devices": 2}] * 2
    one = train(small(), tmp_path / "one", num_updates=4, updates_per_chunk=2)
    alone = devices_toy.whole_leaves(one.state)
    for i in range(2):
        near(alone, leaves(tmp_path / f"process{i}"))
    near_rows(one.run_dir, tmp_path / "shared")
    restored, updates = restore_state(small(), tmp_path / "shared")
    assert updates == 4
    near(leaves(tmp_path / "process0"), devices_toy.whole_leaves(restored), tolerance=0.0)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_and_the_run_goes_on_alone(tmp_path):
    processes = start_two(tmp_path, "--num-updates", "400", "--pause", "0.1")
    metrics = tmp_path / "shared" / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_bytes()):
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGTERM)
    first, second = finish(processes)
    assert first == second
    assert first["interrupted"]
    assert 2 <= first["updates"] < 400
    until = first["updates"] + 4
    resumed = train(small(), tmp_path / "shared", num_updates=until, updates_per_chunk=2, resume=True)
    unbroken = train(small(), tmp_path / "unbroken", num_updates=until, updates_per_chunk=2)
    # rounding grows with the updates, and how many there are depends on when the signal comes
    near(devices_toy.whole_leaves(unbroken.state), devices_toy.whole_leaves(resumed.state), tolerance=1e-4)
    assert len(rows_of(tmp_path / "shared")) == until


@pytest.mark.slow
def test_what_the_first_process_refuses_all_refuse(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "run.json").write_text("{}")
    processes = start_two(tmp_path)
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert all("already holds a run" in error for error in errors)


@pytest.mark.slow
def test_the_command_line_trains_in_two_processes(tmp_path):
    command = [sys.executable, "-m", "jaxmarl.cli", "train", "rrps", "--preset", "smoke", "--num-processes", "2"]
    command += ["--run", "both", "--coordinator", free_address()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    processes = [subprocess.Popen([*command, "--process-id", str(i)], env=environment(1), **pipes) for i in range(2)]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len(rows_of(tmp_path / "runs" / "both")) == 4
    record = json.loads((tmp_path / "runs" / "both" / "run.json").read_text())
    assert record["sessions"][0]["mesh"] == "1 seed x 2 data, 2 processes"
