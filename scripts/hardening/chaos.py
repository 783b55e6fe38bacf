"""What `training.run` survives: kills at random moments, full and read-only disks, damaged files, clocks that jump.

    python scripts/hardening/chaos.py [--kills 50] [--rounds 8] [--seed 0] [--folder runs/chaos] [--smoke]

A tiny job is killed with SIGKILL at random moments (while it starts, compiles, trains, writes), again and again, and
each time resumed. Other faults hit it while it runs in this process. After each one the run is resumed; in the end its
state and its rows must be those of a run that nothing happened to, bit for bit. Lost are updates of which rows were
written but no checkpoint: never more than a chunk. Prints how many faults were made, survived, and what was lost; exits
with 1 where something did not survive.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from jaxmarl.core.files import replace_file
from jaxmarl.core.policy import Policy
from jaxmarl.learners.base import Learner
from jaxmarl.training import RunError, RunResult, run

CHUNK = 4  # updates
SIZE = 5000  # numbers in the state, so that a file limit can hit in the middle of a checkpoint
NOBODY = 65534  # a user who owns nothing: root may write into read-only folders


class ToyState(NamedTuple):
    """Parameters, a key and a counter."""

    weights: jax.Array
    key: jax.Array
    updates: jax.Array


def toy() -> Learner:
    """Gradient steps on a noisy quadratic."""

    def update(state: ToyState) -> tuple[ToyState, dict[str, jax.Array]]:
        key, noise_key = jax.random.split(state.key)
        error = state.weights - 1 + 0.1 * jax.random.normal(noise_key, state.weights.shape)
        return ToyState(state.weights - 0.1 * error, key, state.updates + 1), {"loss": jnp.mean(error**2)}

    def init(key: jax.Array) -> ToyState:
        return ToyState(jax.random.normal(key, (SIZE,)), key, jnp.int32(0))

    policy = Policy(init=lambda chance: (), act=lambda params, memory, obs, chance: (jnp.int32(0), memory))
    return Learner(init, update, policy, lambda state: state.weights, steps_per_update=1)


def train(folder: Path, updates: int, **options: Any) -> RunResult:
    """The job, resumed where there is something to resume."""
    return run(toy(), folder, num_updates=updates, updates_per_chunk=CHUNK, show_progress=False, resume=True, **options)


@dataclass
class Tally:
    """Of one kind of fault.

    Attributes:
        faults: made.
        survived: after which the run went on, and ended as if nothing had happened.
        lost: most updates that had rows and no checkpoint.
        problems: what did not survive.
    """

    faults: int = 0
    survived: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def saved(folder: Path) -> list[int]:
    """Updates of the finished checkpoints."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdecimal())


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Whole rows of the metrics, without the clock."""
    path, rows = folder / "metrics.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append({name: value for name, value in json.loads(line).items() if name != "wall_seconds"})
        except ValueError:  # cut off by the kill
            break
    return rows


def unsaved(folder: Path) -> int:
    """Updates that have a row and no checkpoint."""
    return len(rows_of(folder)) - (saved(folder) or [0])[-1]


def same(folder: Path, updates: int, scratch: Path, *, rows: bool = True) -> str:
    """Ends the run at `updates` and compares it with an unbroken one; what differs, or nothing."""
    found = train(folder, updates).state
    whole = train(scratch / f"whole-{updates}", updates).state
    for name, ours, theirs in zip(ToyState._fields, found, whole, strict=True):
        left, right = (np.asarray(jax.random.key_data(x) if name == "key" else x) for x in (ours, theirs))
        if left.tobytes() != right.tobytes():
            return f"{name} differs from that of an unbroken run"
    if rows and rows_of(folder) != rows_of(scratch / f"whole-{updates}"):
        return "rows differ from those of an unbroken run"
    return ""


def in_a_child(work: Callable[[], Any]) -> int:
    """Starts a fork that does `work`; returns its process id. No backend of JAX may be running here."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (the child ends with it)
        code = 1 if work() else 0
    finally:
        os._exit(code)


def kills(count: int, rng: random.Random, folder: Path) -> Tally:
    """Kills the job at random moments: every third while it starts and compiles, the others once it trains again."""
    tally, job, starting = Tally(), folder / "killed", 3.0
    while tally.faults < count:
        before, started = (saved(job) or [0])[-1], time.perf_counter()
        pid = in_a_child(lambda: train(job, 10**6))
        if tally.faults % 3:
            wanted, patience = before + rng.randint(1, 3) * CHUNK, started + 60
            while (saved(job) or [0])[-1] < wanted and time.perf_counter() < patience:
                time.sleep(0.001)
            starting = time.perf_counter() - started
            time.sleep(rng.uniform(0, 0.2))
        else:
            time.sleep(rng.uniform(0, starting))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        tally.faults += 1
        after = (saved(job) or [0])[-1]
        tally.lost = max(tally.lost, unsaved(job))
        if after < before or not 0 <= unsaved(job) <= CHUNK:
            tally.problems.append(f"kill {tally.faults}: {before} updates, then {after}, {unsaved(job)} unsaved")
        elif tally.faults % 3 != 1 and after == before:
            tally.problems.append(f"kill {tally.faults}: no progress from {before} updates in a minute")
        else:
            tally.survived += 1
    end = saved(job)[-1] + 2 * CHUNK if saved(job) else 2 * CHUNK
    differs = os.waitpid(in_a_child(lambda: same(job, end, folder)), 0)[1]
    if differs:
        tally.problems.append(f"after {count} kills the run does not end as an unbroken one at update {end}")
        tally.survived = 0
    print(f"{count} kills on the way to update {end}", file=sys.stderr)
    return tally


def faulty(
    rounds: int, folder: Path, fault: Callable[[Path, int], str], *, rows: bool = True, name: str = "fault"
) -> Tally:
    """Rounds of a fault on fresh copies of a run of two chunks, each resumed to its end and compared."""
    tally, start = Tally(), folder / "start"
    if not start.exists():
        train(start, 2 * CHUNK)
    for i in range(rounds):
        job = folder / f"{name}-{i}"
        shutil.copytree(start, job)
        tally.faults += 1
        problem = fault(job, i)
        tally.lost = max(tally.lost, min(unsaved(job), 2 * CHUNK))
        problem = problem or same(job, 4 * CHUNK, folder, rows=rows)
        if problem:
            tally.problems.append(f"{name} {i}: {problem}")
        else:
            tally.survived += 1
        shutil.rmtree(job)
    return tally


def refused(job: Path) -> str:
    """Goes on with a run that cannot be written: it must say so in one line."""
    try:
        train(job, 4 * CHUNK)
    except RunError as error:
        return "" if "\n" not in str(error) else f"says more than a line: {str(error)[:80]!r}"
    return "nothing was refused"


def file_limit(rng: random.Random) -> Callable[[Path, int], str]:
    """No file may grow beyond a random size: the disk is full in the middle of a write."""

    def fault(job: Path, number: int) -> str:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randint(0, 2 * SIZE), limits[1]))
        try:
            return refused(job)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return fault


def full_disk(rng: random.Random) -> Callable[[Path, int], str] | None:
    """A file system of a few hundred kB that fills up, where one may be mounted."""
    with tempfile.TemporaryDirectory() as probe:
        if not _mount(Path(probe), 64):
            return None
        _unmount(Path(probe))

    def fault(job: Path, number: int) -> str:
        kept = job.with_name(f"{job.name}-kept")
        job.rename(kept)
        job.mkdir()
        used = sum(path.stat().st_size for path in kept.rglob("*")) // 1024
        _mount(job, 2 * used + rng.randint(40, 80))
        try:
            shutil.copytree(kept, job, dirs_exist_ok=True)
            _fill(job / "ballast", rng.randint(0, 12))
            # an empty promise, so that the write itself fails
            with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=2**40)):
                problem = refused(job)
            (job / "ballast").unlink(missing_ok=True)
            shutil.rmtree(kept)
            shutil.copytree(job, kept)
        finally:
            _unmount(job)
        job.rmdir()
        kept.rename(job)
        return problem

    return fault


def _fill(path: Path, spare: int) -> None:
    """Writes until there is no room but for about `spare` kB."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 1024):
            pass
    os.truncate(path, max(path.stat().st_size - spare * 1024, 0))


def _mount(folder: Path, kilobytes: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    return shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=True)


def read_only(job: Path, number: int) -> str:
    """The folder, or one in it, cannot be written."""
    folder = (job, job / "checkpoints")[number % 2]
    with _as_nobody(job):
        folder.chmod(0o555)
        problem = refused(job)
        folder.chmod(0o777)
    return problem


@contextlib.contextmanager
def _as_nobody(job: Path) -> Iterator[None]:
    """Root may write anywhere: within the block, somebody else."""
    if os.geteuid():
        yield
        return
    for path in [job, *job.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def damage(rng: random.Random) -> Callable[[Path, int], str]:
    """A random file of the newest checkpoint is cut, emptied, removed, overwritten or flipped in one bit."""

    def fault(job: Path, number: int) -> str:
        files = sorted(path for path in (job / "checkpoints" / str(2 * CHUNK)).rglob("*") if path.is_file())
        path = rng.choice(files)
        data = bytearray(path.read_bytes())
        how = number % 5
        if how == 0:
            data = data[: rng.randrange(len(data))] if data else data
        elif how == 1:
            data = bytearray()
        elif how == 2:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif how == 3:
            data = bytearray(rng.randbytes(len(data) + 7))
        path.write_bytes(data)
        if how == 4:
            path.unlink()
        return ""

    return fault


def cut_metrics(rng: random.Random) -> Callable[[Path, int], str]:
    """The metrics end at a random byte: their rows are lost, which is said, and the run goes on."""

    def fault(job: Path, number: int) -> str:
        path = job / "metrics.jsonl"
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
        return ""

    return fault


def clock_jumps(rng: random.Random) -> Callable[[Path, int], str]:
    """The wall clock jumps by years at every look, and files are dated anywhere."""

    def fault(job: Path, number: int) -> str:
        real = time.time
        for path in job.rglob("*"):
            moment = rng.randint(0, 2**32)
            os.utime(path, (moment, moment))
        with mock.patch("time.time", side_effect=lambda: max(real() + rng.uniform(-3e8, 3e8), 0.0)):
            train(job, 3 * CHUNK)
        return ""

    return fault


def in_process_faults(rounds: int, rng: random.Random, folder: Path) -> dict[str, Tally]:
    """All faults but kills."""
    tallies = {"no file may grow further": faulty(rounds, folder, file_limit(rng), name="limit")}
    if mounted := full_disk(rng):
        tallies["the disk is full"] = faulty(rounds, folder, mounted, name="full")
    tallies["a read-only folder"] = faulty(rounds, folder, read_only, name="read-only")
    tallies["a damaged checkpoint"] = faulty(5 * -(-rounds // 5), folder, damage(rng), name="damage")
    tallies["metrics cut off"] = faulty(rounds, folder, cut_metrics(rng), rows=False, name="cut")
    tallies["the clock jumps"] = faulty(rounds, folder, clock_jumps(rng), name="clock")
    return tallies


def main() -> None:
    """Makes faults, prints and writes what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=8, help="of each other fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/chaos"))
    parser.add_argument("--smoke", action="store_true", help="three kills, two rounds")
    args = parser.parse_args()
    if args.smoke:
        args.kills, args.rounds = 3, 2
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        tallies = {"SIGKILL at a random moment": kills(args.kills, rng, Path(scratch))}
        tallies |= in_process_faults(args.rounds, rng, Path(scratch))
    table = Table("fault", "made", "survived", "most updates lost", title=f"chunks of {CHUNK} updates")
    for name, tally in tallies.items():
        table.add_row(name, str(tally.faults), str(tally.survived), str(tally.lost))
    Console(width=100).print(table)
    problems = [problem for tally in tallies.values() for problem in tally.problems]
    print("\n".join(problems) or "every run ended bit for bit as an unbroken one")
    args.folder.mkdir(parents=True, exist_ok=True)
    record = {"chunk": CHUNK, "seed": args.seed, "faults": {name: asdict(tally) for name, tally in tallies.items()}}
    print(f"wrote {replace_file(args.folder / 'chaos.json', (json.dumps(record, indent=1) + chr(10)).encode())}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
