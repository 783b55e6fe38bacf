"""What one sees while a run goes on."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text


class Display:
    """A progress bar with agent steps a second, the time left and the last metrics; a block that draws it."""

    def __init__(self, name: str, updates: int, num_updates: int, *, show: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            # a wide window: chunks are few and long
            TimeRemainingColumn(),
            console=Console(stderr=True),
            speed_estimate_period=600.0,
        )
        self._task = self._progress.add_task(escape(name), total=num_updates, completed=updates, speed="compiling")
        self._metrics = Text()
        console = self._progress.console
        self._live = Live(Group(self._progress, self._metrics), console=console, refresh_per_second=4) if show else None

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
            if not self._live.console.is_terminal:
                self._live.console.line()

    def start(self) -> None:
        """Starts the clock: what went before was compilation."""
        self._progress.reset(self._task, completed=int(self._progress.tasks[0].completed), speed="")

    def update(self, updates: int, steps_per_second: float, metrics: Mapping[str, Any]) -> None:
        """Moves the bar to `updates` and shows the last metrics, the mean of those that have axes."""
        self._progress.update(self._task, completed=updates, speed=f"{human(steps_per_second)} steps/s")
        self._metrics.plain = "  ".join(f"{name} {np.mean(value):.4g}" for name, value in metrics.items())


def human(number: float) -> str:
    """A number at three digits with its prefix: `1.23M`."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g}{prefix}"
    return f"{number:.3g}"
