"""What fuzzing counts: inputs tried, refused in one line, accepted, and defects."""

import signal
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

SECONDS = 30  # after which an input hangs


class HangError(BaseException):
    """An input took too long; no `except Exception` may swallow it."""


@dataclass
class Report:
    """Counts, and the first defects of each kind.

    Attributes:
        kind: what is counted now.
        counts: (kind, tried | refused | accepted | defects) -> how many.
        defects: a line each, unlike ones only.
    """

    kind: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    defects: dict[tuple[str, str], str] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """One more of this."""
        self.counts[self.kind, what] += 1

    def defect(self, what: str, problem: str) -> None:
        """One more defect; those that say the same are listed once."""
        self.count("defects")
        key = what.split("=")[0], problem[:60]
        self.defects.setdefault(key, f"{what}: {problem}")

    def accepted_use(self, what: str, use: Callable[[], Any]) -> None:
        """Uses what was accepted; whatever it raises is a defect."""
        try:
            limited(use)
        except HangError:
            self.defect(what, f"hangs for {SECONDS} s")
        except Exception as error:
            self.defect(what, described(error))


def examine(report: Report, what: str, attempt: Callable[[], Any], names: Sequence[str]) -> Any:
    """What `attempt` returns if it accepts; a refusal must be a `ValueError` in one line that names one of `names`."""
    report.count("tried")
    try:
        result = limited(attempt)
    except HangError:
        report.defect(what, f"hangs for {SECONDS} s")
    except ValueError as error:
        report.count("refused")
        text = str(error)
        if "\n" in text or len(text) > 600:
            report.defect(what, f"refused in {text.count(chr(10)) + 1} lines, {len(text)} characters: {text[:80]!r}")
        elif not any(name in text for name in names):
            report.defect(what, f"the refusal names none of its arguments: {text[:120]!r}")
    except Exception as error:
        report.defect(what, described(error))
    else:
        report.count("accepted")
        return result
    return None


def described(error: Exception) -> str:
    """Kind, first line and place of an unexpected error."""
    place = next((f for f in reversed(traceback.extract_tb(error.__traceback__)) if "jaxmarl" in f.filename), None)
    line = (str(error).splitlines() or [""])[0][:120]
    where = f" ({place.filename.split('jaxmarl/')[-1]}:{place.lineno})" if place else ""
    return f"{type(error).__name__}: {line}{where}"


def limited(call: Callable[[], Any]) -> Any:
    """The result of a call that must end in time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        return call()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
