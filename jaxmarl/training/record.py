"""`run.json`: what a run is (seed, config) and where and how fast it went."""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxmarl.core.files import read_json, replace_file
from jaxmarl.training.devices import describe_mesh
from jaxmarl.training.errors import RunError, say, writing

RUN_FILE, METRICS_FILE, CHECKPOINTS = "run.json", "metrics.jsonl", "checkpoints"
IDENTITY = ("seed", "config", "steps_per_update")


def write_json(path: Path, data: Any) -> None:
    """Writes a JSON file that is there in full or not at all.

    Raises:
        RunError: it cannot be written.
    """
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    with writing(path):
        replace_file(path, text.encode())


def claim_folder(run_dir: Path, record: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """Makes sure that `run_dir` can be written, and that it holds nothing or, to resume, a run like `record`.

    Returns:
        The `run.json` of the run to resume, or None for a new one.

    Raises:
        RunError: it cannot be written, or it holds a run where none or another was expected.
    """
    if not run_dir.parent.is_dir():
        raise RunError(f"cannot write {run_dir}: {run_dir.parent} is not an existing folder")
    with writing(run_dir):
        run_dir.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=run_dir):
            pass
    if not any((run_dir / name).exists() for name in (RUN_FILE, METRICS_FILE, CHECKPOINTS)):
        return None
    if not resume:
        raise RunError(f"{run_dir} already holds a run: resume it (resume=True, or --resume), or choose another folder")
    stored = read_record(run_dir)
    for name in IDENTITY:
        if stored.get(name) != record[name]:
            change = _change(name, stored.get(name), record[name])
            raise RunError(f"{run_dir} holds another run: {change}; use the same to resume it, or another folder")
    return stored


def read_record(run_dir: Path) -> dict[str, Any]:
    """The `run.json` of a run.

    Raises:
        RunError: it is missing or is not JSON.
    """
    path = run_dir / RUN_FILE
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"cannot read {path}, which tells seed and config: {error}") from error


def session_facts(updates_per_chunk: int, mesh: Mesh | None = None) -> dict[str, Any]:
    """What the last bits of the numbers depend on, and the git commit of the working directory."""
    versions = {name: importlib.metadata.version(name) for name in ("jaxmarl", "jax", "jaxlib")}
    device = jax.devices()[0]
    return {
        "versions": versions | {"python": platform.python_version()},
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "mesh": None if mesh is None else f"{describe_mesh(mesh)}, {jax.process_count()} processes",
        "updates_per_chunk": updates_per_chunk,
        "git_commit": _git_commit(),
    }


def note_changes(stored: dict[str, Any], session: dict[str, Any]) -> None:
    """Says in one line what differs from the last session of a run in ways that may change the last bits."""
    last = (stored.get("sessions") or [session])[-1]
    changed = [name for name in ("versions", "device", "mesh", "updates_per_chunk") if last.get(name) != session[name]]
    if changed:
        say(
            "note: the last bits may differ from those of an unbroken run: "
            + "; ".join(_change(name, last.get(name), session[name]) for name in changed)
        )


def plain(value: Any, name: str = "config") -> Any:
    """`value` as JSON can hold it: dataclasses and mappings as objects, arrays as lists, `inf` and `nan` as words.

    Raises:
        ValueError: something in it has no such form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name), f"{name}.{field.name}") for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return plain(value.tolist(), name)
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{name} must be made of numbers, strings, lists and mappings, got {value!r}")


def _change(name: str, old: Any, new: Any) -> str:
    """The first difference of two JSON values, such as `config.lr was 0.1, now 0.2`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if old.get(key) != new.get(key) or (key in old) != (key in new):
                return _change(f"{name}.{key}", old.get(key), new.get(key))
    return f"{name} was {json.dumps(old)}, now {json.dumps(new)}"


def _git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
