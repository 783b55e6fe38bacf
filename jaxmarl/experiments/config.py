"""Typed configurations: to and from plain dictionaries, and changed by `name=value` words of a command line."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from jaxmarl.core.checks import did_you_mean

C = TypeVar("C")


def from_dict(example: C, values: dict[str, Any]) -> C:
    """A config like the dataclass `example` with the values that `dataclasses.asdict` (and JSON) made of it.

    Raises:
        ValueError: a name that the config does not have.
    """
    changes: dict[str, Any] = {}
    for name, value in values.items():
        current = _current(example, name)
        if is_dataclass(current):
            changes[name] = from_dict(current, value)
        else:
            changes[name] = tuple(value) if isinstance(value, list) else value
    return replace(example, **changes)  # type: ignore[type-var]


def override(config: C, words: Iterable[str]) -> C:
    """The config with fields changed by words such as `ppo.learning_rate=3e-4` or `num_updates=50`.

    Raises:
        ValueError: one line, for a word without `=`, an unknown field, or a value of another type.
    """
    for path, text in _split("set", words):
        config = _assign(config, path.split("."), text, path)
    return config


def assignments(option: str, words: Iterable[str]) -> dict[str, Any]:
    """Words such as `cost=0.5`, `mode=sum` or `num_actions=3,4` as Python values by name.

    A value that is no Python literal stays a string.

    Raises:
        ValueError: one line that names `option`, for a word without `=`.
    """
    return {name: _literal(text) for name, text in _split(option, words)}


def _split(option: str, words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, separator, text = word.partition("=")
        if not separator:
            raise ValueError(f"--{option} takes NAME=VALUE, got {word!r}")
        yield name, text


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _assign(config: Any, path: list[str], text: str, full: str) -> Any:
    current = _current(config, path[0])
    if len(path) > 1:
        if not is_dataclass(current):
            raise ValueError(f"{full}: {path[0]} has no fields")
        return replace(config, **{path[0]: _assign(current, path[1:], text, full)})
    if is_dataclass(current):
        names = ", ".join(f"{full}.{field.name}" for field in fields(current))
        raise ValueError(f"{full} is a group of settings; choose one of {names}")
    return replace(config, **{path[0]: _parse(text, current, full)})


def _parse(text: str, current: Any, name: str) -> Any:
    """`text` as a value of the type of `current`."""
    if isinstance(current, str):
        return text
    if isinstance(current, tuple):
        items = tuple(item for item in text.split(",") if item)
        if not items:  # would be no value, which a config may take for all of them
            raise ValueError(f"{name} takes values separated by commas, got {text!r}")
        return items
    value = _literal(text)
    if isinstance(current, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(current):
        raise ValueError(f"{name} must be of type {type(current).__name__} (now {current!r}), got {text!r}")
    return value


def _current(config: Any, name: str) -> Any:
    names = [field.name for field in fields(config)]
    if name not in names:
        raise ValueError(f"unknown setting {name!r}{did_you_mean(name, names)} (known: {', '.join(names)})")
    return getattr(config, name)
