"""The host loop: chunks of updates on the device, everything else between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.learners.base import Learner
from jaxmarl.training.checkpoint import Checkpoints, Snapshot
from jaxmarl.training.chunk import compile_chunk
from jaxmarl.training.display import Display
from jaxmarl.training.errors import RunError, say
from jaxmarl.training.processes import by_first, is_first
from jaxmarl.training.record import CHECKPOINTS, METRICS_FILE, claim_folder, note_changes, plain, session_facts
from jaxmarl.training.session import OnChunk, Session
from jaxmarl.training.signals import StopSignal


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        state: the learner's, after the last update.
        updates: finished, those before a resumption included.
        agent_steps: of these updates.
        interrupted: whether a signal asked the run to stop.
        run_dir: folder of the run.
        metrics_path: its `metrics.jsonl`.
        last_metrics: the last row written by this call; empty if it made no update, or another process writes.
        compile_seconds: to trace and compile the updates, in this call.
        steps_per_second: agent steps a second in this call, compilation left out; 0 if it made no update.
    """

    state: PyTree = field(repr=False)
    updates: int
    agent_steps: int
    interrupted: bool
    run_dir: Path
    metrics_path: Path
    last_metrics: dict[str, Any]
    compile_seconds: float
    steps_per_second: float


def run(
    learner: Learner,
    run_dir: str | Path,
    *,
    num_updates: int,
    seed: int = 0,
    updates_per_chunk: int = 10,
    checkpoint_every: int = 1,
    keep: int = 3,
    resume: bool = False,
    config: Mapping[str, Any] | None = None,
    show_progress: bool = True,
    on_chunk: OnChunk | None = None,
    resume_hint: str | None = None,
    mesh: Mesh | None = None,
) -> RunResult:
    """Trains `learner` for `num_updates` updates, in a folder that holds everything about the run.

    Updates run on the device in compiled chunks; between them go rows to `metrics.jsonl` (and TensorBoard), a
    checkpoint to `checkpoints/` and a look at the signals: SIGINT and SIGTERM finish the running chunk, save and return
    with `interrupted`; a second SIGINT is a KeyboardInterrupt. A stopped or killed run resumes bit for bit, on the same
    device with the same versions and `updates_per_chunk`: the same state and the same rows but for `wall_seconds`.

    Args:
        learner: what to train.
        run_dir: folder of the run; it is made, its parent is not.
        num_updates: total number of updates, those before a resumption included.
        seed: of the key that `learner.init` is given.
        updates_per_chunk: updates between two looks at the host; the last chunk may be shorter.
        checkpoint_every: chunks between two checkpoints; there is always one at the end.
        keep: how many of the newest checkpoints to keep.
        resume: continue the run in `run_dir` from its newest checkpoint; from scratch if there is none.
        config: what `learner` was made from, kept in `run.json`; a run is only resumed under the same.
        show_progress: draw a progress bar.
        on_chunk: called after every chunk with the finished updates and the chunk's metrics, `[updates, …]` each.
        resume_hint: how to resume, in the user's words, for the message after a signal.
        mesh: devices to train on (`make_mesh`): environments are split over its axis "data", the runs of `over_seeds`
            over "seed". The numbers are those of one device but for rounding, and a run may be resumed on another mesh.
            With several processes (`processes.connect`) all call `run` alike; the first alone reads and writes
            `run_dir`, draws, and calls `on_chunk`, and a signal to any of them stops all after the same chunk.

    Returns:
        The final state and the facts of the run.

    Raises:
        ValueError: an argument is out of its range.
        RunError: the folder cannot be written, holds a run that was not to be resumed or differs from this one, has
            only damaged checkpoints, or cannot take another one. The message is one line.
    """
    sizes = {"num_updates": num_updates, "updates_per_chunk": updates_per_chunk, "keep": keep}
    for name, value in {**sizes, "checkpoint_every": checkpoint_every}.items():
        require_int(name, value, 1)
    require_int("seed", seed, 0, 2**32 - 1)
    require(config is None or isinstance(config, Mapping), "config", config, "a mapping or None")
    folder = Path(run_dir).expanduser().absolute()
    record = {"seed": seed, "config": plain(config or {}), "steps_per_update": learner.steps_per_update}
    require(mesh is not None or jax.process_count() == 1, "mesh", mesh, "given where there are several processes")
    stored = by_first(lambda: claim_folder(folder, record, resume))
    key = jax.random.key(seed)
    checkpoints = Checkpoints(folder / CHECKPOINTS, jax.eval_shape(learner.init, key), keep)
    state, updates = _restore(checkpoints, num_updates) if resume else (None, 0)
    facts = session_facts(updates_per_chunk, mesh) | {"from_update": updates}
    if stored and is_first():
        note_changes(stored, facts)
    record |= {"num_updates": num_updates, "sessions": [*(stored or {}).get("sessions", []), facts]}
    chunk = None
    show_progress = show_progress and is_first()
    with StopSignal() as stop, Display(folder.name, updates, num_updates, show=show_progress) as display:
        session = Session(learner, folder, checkpoints, record, display, on_chunk, updates)
        if updates < num_updates:
            chunk, state = compile_chunk(learner, key, state, updates_per_chunk, mesh)
            state = session.go(chunk, state, num_updates, checkpoint_every, stop)
    if session.updates < num_updates and is_first():
        hint = resume_hint or f"to resume, call run again with resume=True (run_dir={str(folder)!r})"
        say(f"stopped by {stop.requested} after {session.updates} of {num_updates} updates; {hint}")
    return RunResult(
        state=state,
        updates=session.updates,
        agent_steps=session.updates * learner.steps_per_update,
        interrupted=stop.requested is not None,
        run_dir=folder,
        metrics_path=folder / METRICS_FILE,
        last_metrics=session.last_row,
        compile_seconds=chunk.compile_seconds if chunk else 0.0,
        steps_per_second=session.steps_per_second,
    )


def _restore(checkpoints: Checkpoints, num_updates: int) -> tuple[PyTree | None, int]:
    restored = by_first(lambda: _read(checkpoints, num_updates))
    return (None, 0) if restored is None else (checkpoints.assemble(restored[0]), restored[1])


def _read(checkpoints: Checkpoints, num_updates: int) -> tuple[Snapshot, int] | None:
    restored = checkpoints.read_newest(set_aside=True)
    if restored is None:
        say(f"note: there is no checkpoint in {checkpoints.folder}: starting from scratch")
    elif restored[1] > num_updates:
        raise RunError(
            f"the run in {checkpoints.folder.parent} has {restored[1]} updates already, more than {num_updates=}"
        )
    return restored
