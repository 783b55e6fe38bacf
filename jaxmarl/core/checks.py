"""One-line refusals: a wrong argument is named, with what it got and what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any


def require(condition: bool, argument: str, got: Any, allowed: str) -> None:
    """Raises a one-line `ValueError` naming `argument`, its value and what is allowed, unless `condition`."""
    if not condition:
        raise ValueError(f"{argument} must be {allowed}, got {got!r}")


def require_int(argument: str, got: Any, low: int, high: int | None = None) -> None:
    """Raises `ValueError` unless `got` is an `int` (not a `bool`) in `[low, high]`."""
    allowed = f"an integer >= {low}" if high is None else f"an integer in [{low}, {high}]"
    is_int = isinstance(got, int) and not isinstance(got, bool)
    require(is_int and got >= low and (high is None or got <= high), argument, got, allowed)


def require_choice(argument: str, got: Any, choices: Iterable[str]) -> None:
    """Raises `ValueError` unless `got` is one of `choices`; the message suggests the nearest one."""
    names = list(choices)
    if got not in names:
        raise ValueError(f"{argument} must be one of {', '.join(names)}; got {got!r}{did_you_mean(got, names)}")


def did_you_mean(got: Any, names: Iterable[str]) -> str:
    """`'; did you mean ...?'` for the name nearest to `got`, or an empty string."""
    near = difflib.get_close_matches(str(got), list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
