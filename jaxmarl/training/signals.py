"""SIGINT and SIGTERM as a polite request to stop."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from jaxmarl.training.errors import say
from jaxmarl.training.processes import greatest


class StopSignal:
    """Within the block, the first SIGINT or SIGTERM only sets `requested`; a SIGINT after that interrupts at once.

    Handlers can only be set by the main thread: in any other, the block changes nothing. The previous handlers come
    back at its end.

    Attributes:
        requested: name of the signal that asked to stop, or None.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._announced = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python, which cannot be put back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def agreed(self) -> bool:
        """Whether a signal came to any process; every one must call it, and all get the same answer."""
        number = greatest(signal.Signals[self.requested].value if self.requested else 0)
        if number:
            self.requested = self.requested or signal.Signals(number).name
        return number > 0

    def announce(self) -> None:
        """Says once, if a signal came, what happens now."""
        if self.requested and not self._announced:
            self._announced = True
            say(f"{self.requested}: stopping after the running chunk of updates (Ctrl-C to stop at once)")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        # only this: whatever is printing when the signal comes must not be entered again
        self.requested = self.requested or signal.Signals(number).name
