"""How anything is timed here: compiling apart, a warm-up, the median of several calls, memory, and the machine."""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxmarl.core.checks import require_int
from jaxmarl.core.files import replace_file

REPEATS = 5
# what a number depends on; versions are told as well, but a new one may be what one wants to measure
IDENTITY = ("processor", "cores", "device")


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls after a warm-up.

    Attributes:
        seconds: of each call.
        compile_seconds: tracing and compiling, or None where there was nothing to compile.
    """

    seconds: tuple[float, ...]
    compile_seconds: float | None = None

    @property
    def median(self) -> float:
        """Seconds of the median call."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Seconds of the fastest call."""
        return min(self.seconds)

    def rates(self, steps: float) -> dict[str, float]:
        """Steps a second where a call makes `steps`: the median, its range, and compile seconds."""
        return {
            "steps_per_second": steps / self.median,
            "slowest": steps / max(self.seconds),
            "fastest": steps / min(self.seconds),
            "compile_seconds": self.compile_seconds or 0.0,
        }


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """`function` compiled by JAX for these arguments, and the seconds of tracing and compiling."""
    import jax

    started = time.perf_counter()
    ready = jax.jit(function).lower(*arguments).compile()
    return ready, time.perf_counter() - started


def timed(
    call: Callable[[], Any], repeats: int = REPEATS, *, warm_up: bool = True, compile_seconds: float | None = None
) -> Timing:
    """Times `repeats` calls, each to the end of what it started on the device.

    Args:
        call: without arguments; whatever arrays it returns are waited for.
        repeats: at least 1.
        warm_up: whether a first call is not counted.
        compile_seconds: passed on.
    """
    import jax

    require_int("repeats", repeats, 1)
    if warm_up:
        jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - started)
    return Timing(tuple(seconds), compile_seconds)


def chained(function: Callable[[Any], Any], argument: Any, repeats: int = REPEATS) -> Timing:
    """Compiles `function` and times calls of it, the output of each being the input of the next."""
    ready, seconds = compiled(function, argument)
    last = [argument]

    def call() -> Any:
        last[0] = ready(last[0])
        return last[0]

    return timed(call, repeats, compile_seconds=seconds)


def machine() -> dict[str, Any]:
    """What the numbers depend on: processor, cores that may be used, device, memory, versions; the load just now."""
    import jax
    import jaxlib
    import numpy as np

    device = jax.devices()[0]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": num_cores(),
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "numpy": np.__version__,
        },
        "load": None if load is None else round(load, 1),
    }


def device_line() -> str:
    """Device, cores and jax's version in a few words, for the title of a table."""
    import jax

    return f"{jax.devices()[0].device_kind}, {num_cores()} cores, jax {jax.__version__}"


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak_memory() -> None:
    """Starts the peak anew, where the system can (Linux); elsewhere it is of the whole process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most bytes of memory that the process held since `reset_peak_memory`, those on an accelerator included."""
    import jax

    on_device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    return _peak_resident() + int(on_device)


def _peak_resident() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def parser(doc: str | None, repeats: int = REPEATS) -> argparse.ArgumentParser:
    """The options that all scripts share, under the first line of their docstring."""
    made = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    made.add_argument("--repeats", type=int, default=repeats, help="timed calls after a warm-up; the median counts")
    made.add_argument("--out", type=Path, help="write the figures to this JSON file")
    made.add_argument("--core", type=int, help="pin the process to this core, for figures per core")
    return made


def start(arguments: argparse.Namespace) -> str:
    """Pins the process where asked to, and compiles without a cache on disk; returns `device_line()`."""
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    return device_line()


def write(path: Path | None, record: dict[str, Any]) -> None:
    """Writes a record and the machine it is of as JSON, if there is a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"device": device_line(), "machine": machine(), **record}, indent=1)
        replace_file(path, (text + "\n").encode())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
