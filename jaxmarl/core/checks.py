"""One-line refusals: a wrong argument is named, with what it got and what is allowed."""

import difflib
import functools
import types
import typing
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

LONGEST = 300  # characters of a refused value that are shown
MOST = 2**31 - 1  # of an integer field: what int32 counts and indices can hold


def require(condition: bool, argument: str, got: Any, allowed: str) -> None:
    """Raises a one-line `ValueError` naming `argument`, its value and what is allowed, unless `condition`."""
    if not condition:
        shown = repr(got)
        shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} … {shown[-LONGEST // 4 :]}"
        raise ValueError(f"{argument} must be {allowed}, got {shown}")


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
    """`'; did you mean ...?'` for the name nearest to `got`, else the first that contains it, or an empty string."""
    known, text = list(names), str(got)
    near = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    near = near or [name for name in known if len(text) > 2 and text in name]
    return f"; did you mean {near[0]!r}?" if near else ""


def require_field_types(value: Any) -> None:
    """Raises `ValueError` unless the fields of a dataclass are of the plain types that its annotations say.

    Looked at are numbers, strings, truth values, None and tuples of them; integers must fit into int32 and floats must
    not be NaN. Fields annotated otherwise are left to the class.
    """
    cls: Any = type(value)
    for name, hint in _field_types(cls).items():
        _require_type(name, getattr(value, name), hint)


def require_argument_types(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """The same of arguments by name that a function is to be given."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # of names that are imported for type checkers only
        return
    for name, got in arguments.items():
        if name in hints:
            _require_type(name, got, hints[name])


def _require_type(name: str, got: Any, hint: Any) -> None:
    if not _fits(got, hint):
        allowed = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
        require(False, name, got, f"of type {allowed}" + (" (within int32)" if "int" in allowed else ""))


def with_field_types(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """A dataclass's `__post_init__`, which looks at the types of fields where it passes or fails without explaining."""

    @functools.wraps(check)
    def checked(self: Any) -> None:
        try:
            check(self)
        except (ArithmeticError, AttributeError, LookupError, TypeError):
            require_field_types(self)
            raise
        except MemoryError as error:
            cls: Any = type(self)
            asked = {name: got for name in _field_types(cls) if isinstance(got := getattr(self, name), int)}
            raise ValueError(f"{cls.__name__} with {asked} needs more memory than there is") from error
        require_field_types(self)

    return checked


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {name: hints[name] for name in getattr(cls, "__dataclass_fields__", {}) if name in hints}


def _fits(got: Any, hint: Any) -> bool:
    """Whether a value is of a type, where the type is a plain one."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(got, each) for each in arguments)
    if origin is tuple:
        if not isinstance(got, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_fits(each, arguments[0]) for each in got)
        return len(got) == len(arguments) and all(map(_fits, got, arguments))
    if hint is int:
        return isinstance(got, int) and not isinstance(got, bool) and -MOST <= got <= MOST
    if hint is float:
        return isinstance(got, Real) and not isinstance(got, bool) and bool(got == got)
    if hint in (bool, str):
        return isinstance(got, hint)
    return got is None if hint in (None, types.NoneType) else True
