"""A folder of arrays on disk: written by orbax in full or not at all, and verified file by file when it is read."""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxmarl.core.files import read_json

MANIFEST, ARRAYS, UNFINISHED = "manifest.json", "state", "unfinished-"
BESIDE = 2**16  # bytes that orbax and the manifest take beside the arrays


class CorruptError(Exception):
    """A folder whose files are missing, unreadable or not what was written."""


def write(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Writes a new folder `path` of `arrays`, with a manifest of its files and what is to be told `about` them.

    Raises:
        Exception: it cannot be written, an OSError or what tensorstore makes of one; `path` is not there then.
    """
    _check_space(path.parent, sum(array.nbytes for array in arrays.values()) + BESIDE)
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    with _quiet_orbax() as orbax:
        orbax.save(unfinished / ARRAYS, args=ocp.args.StandardSave(arrays))
    manifest = {"about": about, "files": _files(unfinished)}
    text = json.dumps({"sha256": _digest(json.dumps(manifest).encode()), **manifest}, indent=1)
    (unfinished / MANIFEST).write_text(text, encoding="utf-8")
    unfinished.rename(path)


def verify(path: Path) -> dict[str, Any]:
    """What was told about the arrays in `path`, once every file of it is seen to be as it was written.

    Raises:
        CorruptError: one is not.
    """
    try:
        manifest = read_json(path / MANIFEST)
        digest = manifest.pop("sha256")
        found = _files(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"its {MANIFEST} or another file cannot be read ({one_line(error)})") from error
    if digest != _digest(json.dumps(manifest).encode()):
        raise CorruptError(f"its {MANIFEST} is not as it was written")
    for name, wanted in manifest["files"].items():
        if found.get(name) != wanted:
            raise CorruptError(f"its file {name} is {'not as it was written' if name in found else 'missing'}")
    return manifest["about"]


def read(path: Path, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays in `path`, of the shapes and dtypes of `like`.

    Raises:
        CorruptError: orbax cannot read them.
    """
    try:
        with _quiet_orbax() as orbax:
            return orbax.restore(path / ARRAYS, args=ocp.args.StandardRestore(like))
    except Exception as error:
        raise CorruptError(one_line(error)) from error


def clean(folder: Path) -> None:
    """Removes from `folder` what interrupted calls of `write` left behind."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def one_line(error: Exception) -> str:
    """An error's message in one line of bearable length."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:100]} … {line[-90:]}"


def _check_space(folder: Path, wanted: int) -> None:
    # tensorstore would find out as well, but half-way and with a page of tracebacks
    if (free := shutil.disk_usage(folder).free) < wanted:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({free / 1e6:.3g} MB of {wanted / 1e6:.3g} MB)")


def _files(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != path / MANIFEST)
    return {file.relative_to(path).as_posix(): _digest(file.read_bytes()) for file in files}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _quiet_orbax() -> Iterator[ocp.Checkpointer]:
    """A checkpointer that does not log the tracebacks of errors that it raises as well."""
    logger, process = logging.getLogger("absl"), jax.process_index()
    before, logger.disabled = logger.disabled, True
    try:
        # of several processes only the caller's writes and waits: arrays are whole, and the others have none
        alone = ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as orbax:
            yield orbax
    finally:
        logger.disabled = before
