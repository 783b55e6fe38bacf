"""One call of `run`: chunks on the device, and what the host does between them; the first process alone writes."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree

from jaxmarl.learners.base import Learner
from jaxmarl.training.checkpoint import Checkpoints, Snapshot
from jaxmarl.training.chunk import Chunk, wait
from jaxmarl.training.display import Display
from jaxmarl.training.metrics import MetricsWriter
from jaxmarl.training.processes import is_first
from jaxmarl.training.record import METRICS_FILE, RUN_FILE, write_json
from jaxmarl.training.signals import StopSignal

OnChunk = Callable[[int, dict[str, np.ndarray]], Any]


@dataclass
class _Done:
    """A chunk that the device has finished, still to be written.

    Attributes:
        updates: finished at its end.
        length: updates in it.
        metrics: on the device, `[size, …]`.
        wall_seconds: of this call, at its end.
        snapshot: the state at its end, if it is to be a checkpoint.
    """

    updates: int
    length: int
    metrics: dict[str, Array]
    wall_seconds: float
    snapshot: Snapshot | None


class Session:
    """Takes a state from `updates` to `num_updates` updates, or as far as a signal lets it.

    Attributes:
        updates: finished so far.
        last_row: of `metrics.jsonl`; empty before the first.
    """

    def __init__(
        self,
        learner: Learner,
        folder: Path,
        checkpoints: Checkpoints,
        record: dict[str, Any],
        display: Display,
        on_chunk: OnChunk | None,
        updates: int,
    ) -> None:
        """For the run in `folder`, whose `run.json` is to hold `record`."""
        self.updates, self._first = updates, updates
        self.last_row: dict[str, Any] = {}
        self._seconds = 0.0
        self._metrics: MetricsWriter | None = None
        self._learner, self._folder, self._checkpoints = learner, folder, checkpoints
        self._record, self._display, self._on_chunk = record, display, on_chunk

    @property
    def steps_per_second(self) -> float:
        """Agent steps a second, compilation left out; 0 before the first chunk."""
        steps = (self.updates - self._first) * self._learner.steps_per_update
        return steps / self._seconds if self._seconds else 0.0

    def go(self, chunk: Chunk, state: PyTree, num_updates: int, checkpoint_every: int, stop: StopSignal) -> PyTree:
        """Runs chunks up to `num_updates` or a signal, and keeps the files of the run.

        Returns:
            The last state, which is also the last checkpoint.

        Raises:
            RunError: a file cannot be written.
        """
        self._record["sessions"][-1]["compile_seconds"] = round(chunk.compile_seconds, 3)
        self._write_record("running")
        if is_first():
            steps = self._learner.steps_per_update
            self._metrics = MetricsWriter(self._folder / METRICS_FILE, steps, self.updates)
        try:
            state = self._chunks(chunk, state, num_updates, checkpoint_every, stop)
        finally:
            if self._metrics:
                self._metrics.close()
        self._record["sessions"][-1]["steps_per_second"] = round(self.steps_per_second, 1)
        self._write_record("interrupted" if self.updates < num_updates else "finished")
        return state

    def _chunks(self, chunk: Chunk, state: PyTree, num_updates: int, checkpoint_every: int, stop: StopSignal) -> PyTree:
        start = time.perf_counter()
        done: _Done | None = None
        self._display.start()
        while self.updates < num_updates and not stop.agreed():
            # up to the next multiple of the chunk's size, so that a resumed run checkpoints where an unbroken one does
            length = min(chunk.size - self.updates % chunk.size, num_updates - self.updates)
            state, metrics = chunk.start(state, length)
            # the host writes the previous chunk while the device runs this one
            self._write(done)
            wait(metrics, stop.announce)
            self.updates += length
            self._seconds = time.perf_counter() - start
            due = -(-self.updates // chunk.size) % checkpoint_every == 0
            # before the next chunk takes the state's memory
            snapshot = self._checkpoints.snapshot(state) if due else None
            done = _Done(self.updates, length, metrics, self._seconds, snapshot)
        if done and done.snapshot is None:
            done.snapshot = self._checkpoints.snapshot(state)
        self._write(done)
        return state

    def _write(self, done: _Done | None) -> None:
        if done is None or self._metrics is None:
            return
        rows = {name: np.asarray(column)[: done.length] for name, column in jax.device_get(done.metrics).items()}
        self.last_row = self._metrics.write(done.updates, rows, self._metrics.wall_seconds + done.wall_seconds)
        if done.snapshot is not None:
            # rows first: there is never a checkpoint without its rows
            self._metrics.sync()
            self._checkpoints.save(done.updates, done.snapshot)
        self._display.update(done.updates, self.steps_per_second, {name: rows[name][-1] for name in rows})
        if self._on_chunk:
            self._on_chunk(done.updates, rows)

    def _write_record(self, status: str) -> None:
        if not is_first():
            return
        steps = self.updates * self._learner.steps_per_update
        facts = {"status": status, "updates": self.updates, "agent_steps": steps}
        write_json(self._folder / RUN_FILE, facts | self._record)
