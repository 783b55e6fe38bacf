"""Where the metrics of every update go: `metrics.jsonl`, and TensorBoard where tensorboardX is installed."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxmarl.core.files import replace_file
from jaxmarl.training.errors import say, writing

RESERVED = ("update", "agent_steps", "wall_seconds")


class MetricsWriter:
    """Appends one row for every update, and lets TensorBoard see the mean of each metric.

    A row of `metrics.jsonl` is a JSON object: `update` (finished updates, from 1), `agent_steps` (up to here),
    `wall_seconds` (of training, at the end of the update's chunk, compilation left out), then each metric as a number
    or, where it has axes such as one of seeds, as a list. NaN and infinities are null, which JSON can hold.

    Attributes:
        path: of `metrics.jsonl`.
        wall_seconds: of the rows that were there already.
    """

    def __init__(self, path: Path, steps_per_update: int, updates: int) -> None:
        """To go on after `updates` updates: rows beyond are dropped.

        Raises:
            RunError: the file cannot be written.
        """
        self.path, self._steps_per_update = path, steps_per_update
        self.wall_seconds = keep_rows(path, updates)
        self._board = _tensorboard(path.with_name("tensorboard"), updates * steps_per_update)
        with writing(path):
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)

    def write(self, updates: int, metrics: dict[str, np.ndarray], wall_seconds: float) -> dict[str, Any]:
        """Appends the rows of a chunk, flushed.

        Args:
            updates: finished updates at the chunk's end.
            metrics: arrays with a leading axis of the chunk's updates.
            wall_seconds: of training, at the chunk's end.

        Returns:
            The last row.

        Raises:
            RunError: they cannot be written.
        """
        length = len(next(iter(metrics.values()), ()))
        columns = {name: _numbers(np.asarray(values, np.float64).tolist()) for name, values in metrics.items()}
        row: dict[str, Any] = {}
        with writing(self.path):
            for i in range(length):
                update = updates - length + i + 1
                steps = update * self._steps_per_update
                row = {"update": update, "agent_steps": steps, "wall_seconds": round(wall_seconds, 3)}
                row |= {name: column[i] for name, column in columns.items()}
                self._file.write(json.dumps(row, allow_nan=False) + "\n")
                if self._board:
                    self._draw(steps, {name: float(np.mean(values[i])) for name, values in metrics.items()})
            self._file.flush()
        return row

    def _draw(self, steps: int, means: dict[str, float]) -> None:
        for name, value in means.items():
            if math.isfinite(value):  # tensorboardX warns about every other one
                self._board.add_scalar(name, value, steps)

    def sync(self) -> None:
        """Forces the rows onto the disk, so that no checkpoint survives a crash without its rows."""
        with writing(self.path):
            os.fsync(self._file.fileno())
        if self._board:
            self._board.flush()

    def close(self) -> None:
        """Closes the files."""
        with writing(self.path):
            self._file.close()
        if self._board:
            self._board.close()


def keep_rows(path: Path, updates: int) -> float:
    """Drops from a `metrics.jsonl` what is beyond `updates`, repeated or cut off, atomically.

    Returns:
        `wall_seconds` of the last row kept, or 0.

    Raises:
        RunError: the file cannot be written.
    """
    kept: list[bytes] = []
    last: dict[str, Any] = {"update": 0, "wall_seconds": 0.0}
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for line in lines:
        row = _row(line)
        if row and last["update"] < row["update"] <= updates:
            kept.append(line)
            last = row
    if len(kept) != updates:
        say(f"warning: {path} holds only {len(kept)} of the first {updates} rows")
    if kept != lines:
        with writing(path):
            replace_file(path, b"".join(kept))
    return last["wall_seconds"]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
        whole = line.endswith(b"\n") and isinstance(row["update"], int) and isinstance(row["wall_seconds"], float)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return row if whole else None


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value if math.isfinite(value) else None


def _tensorboard(folder: Path, steps: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    # files are named by the second, and a quick resumption would write over the last one
    return SummaryWriter(str(folder), purge_step=steps + 1, filename_suffix=f".{steps}")
