"""The two calls of orbax that a run needs: write a folder in full or not at all, and read items of it."""

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp


def _check_space(folder: Path, wanted: int) -> None:
    # tensorstore would find out as well, but half-way and with a page of tracebacks
    if (free := shutil.disk_usage(folder).free) < wanted:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({free / 1e6:.3g} MB of {wanted / 1e6:.3g} MB)")


def write(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Writes a new folder `path` with the items `state` (arrays) and `about` (JSON), atomically."""
    _check_space(path.parent, sum(array.nbytes for array in arrays.values()))
    items = {"state": ocp.args.StandardSave(arrays), "about": ocp.args.JsonSave(about)}
    with _no_log(), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, args=ocp.args.Composite(**items))


def read_about(path: Path) -> dict[str, Any]:
    """The item `about` of a folder."""
    return _read(path, about=ocp.args.JsonRestore())["about"]


def read_arrays(path: Path, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The item `state` of a folder, arrays of the shapes and dtypes of `like`."""
    return _read(path, state=ocp.args.StandardRestore(like))["state"]


def one_line(error: Exception) -> str:
    """An error's message in one line of bearable length."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:100]} … {line[-90:]}"


def _read(path: Path, **items: Any) -> Any:
    with _no_log(), ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(path, args=ocp.args.Composite(**items))


@contextmanager
def _no_log() -> Iterator[None]:
    """Keeps orbax from logging the tracebacks of errors that it raises as well."""
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
