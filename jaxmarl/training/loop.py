"""The host loop: chunks of updates on the device, everything else between them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.learners.base import Learner
from jaxmarl.training.checkpoint import Checkpoints, Snapshot
from jaxmarl.training.chunk import CompiledChunk, compile_chunk
from jaxmarl.training.display import Display
from jaxmarl.training.errors import RunError, say
from jaxmarl.training.metrics import MetricsWriter
from jaxmarl.training.record import (
    CHECKPOINTS,
    METRICS_FILE,
    RUN_FILE,
    claim_folder,
    note_changes,
    plain,
    session_facts,
    write_json,
)
from jaxmarl.training.signals import StopSignal

OnChunk = Callable[[int, dict[str, np.ndarray]], Any]


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
        last_metrics: the last row written by this call; empty if it made no update.
        compile_seconds: to trace and compile the updates, in this call.
        steps_per_second: agent steps a second in this call, compilation left out; 0 if it made no update.
    """

    state: PyTree
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

    Returns:
        The final state and the facts of the run.

    Raises:
        ValueError: an argument is out of its range.
        RunError: the folder cannot be written, holds a run that was not to be resumed or differs from this one, has
            only damaged checkpoints, or cannot take another one. The message is one line.
    """
    require_int("num_updates", num_updates, 1)
    require_int("seed", seed, 0, 2**32 - 1)
    for name, value in (("updates_per_chunk", updates_per_chunk), ("checkpoint_every", checkpoint_every)):
        require_int(name, value, 1)
    require_int("keep", keep, 1)
    require(config is None or isinstance(config, Mapping), "config", config, "a mapping or None")
    folder = Path(run_dir).expanduser().absolute()
    record = {"seed": seed, "config": plain(config or {}), "steps_per_update": learner.steps_per_update}
    stored = claim_folder(folder, record, resume)
    key = jax.random.key(seed)
    checkpoints = Checkpoints(folder / CHECKPOINTS, jax.eval_shape(learner.init, key), keep)
    state, updates = _restore(checkpoints, num_updates) if resume else (None, 0)
    session = session_facts(updates_per_chunk) | {"from_update": updates}
    if stored:
        note_changes(stored, session)
    record |= {"num_updates": num_updates, "sessions": [*(stored or {}).get("sessions", []), session]}
    with StopSignal() as stop, Display(folder.name, updates, num_updates, show=show_progress) as display:
        chunk = compile_chunk(learner, key, state, updates_per_chunk)
        loop = _Loop(learner, folder, checkpoints, chunk, display, record, on_chunk, updates)
        try:
            loop.run(num_updates, checkpoint_every, stop)
        finally:
            loop.metrics.close()
    loop.write_record("interrupted" if loop.updates < num_updates else "finished")
    if loop.updates < num_updates:
        hint = resume_hint or f"to resume, call run with the same arguments and resume=True (run_dir={str(folder)!r})"
        say(f"stopped by {stop.requested} after {loop.updates} of {num_updates} updates, saved; {hint}")
    return loop.result(stop.requested is not None)
