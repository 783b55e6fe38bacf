"""Environments by name: `register` in the module that defines one, `make` and `list_envs` for users."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from jaxmarl.core.checks import did_you_mean
from jaxmarl.core.environment import AnyEnvironment, AnyParams

_FACTORIES: dict[str, Callable[..., AnyEnvironment]] = {}
F = TypeVar("F", bound=Callable[..., AnyEnvironment])


def register(name: str) -> Callable[[F], F]:
    """Decorator that enters an environment class, or a function that makes one, under `name`.

    A second entry of a name is refused.
    """

    def enter(factory: F) -> F:
        if name in _FACTORIES:
            raise ValueError(f"environment {name!r} is already registered by {_FACTORIES[name].__qualname__}")
        _FACTORIES[name] = factory
        return factory

    return enter


def list_envs() -> list[str]:
    """Names that `make` knows, sorted."""
    return sorted(_FACTORIES)


def env_factory(name: str) -> Callable[..., AnyEnvironment]:
    """What makes the environment `name`; `ValueError` with the nearest name where there is none."""
    if name not in _FACTORIES:
        raise ValueError(
            f"unknown environment {name!r}{did_you_mean(name, _FACTORIES)} (known: {', '.join(list_envs())})"
        )
    return _FACTORIES[name]


def make(name: str, **static: Any) -> tuple[AnyEnvironment, AnyParams]:
    """An environment and its default params, as in `env, params = jaxmarl.make("repeated_rps", num_throws=100)`.

    Args:
        name: one of `list_envs()`.
        **static: fields of the environment (what fixes shapes). Numbers live in `params`: replace them there.

    Raises:
        ValueError: one line, for an unknown name or field, or a field's value that is not allowed.
    """
    factory = env_factory(name)
    allowed = list(inspect.signature(factory).parameters)
    for key in static:
        if key not in allowed:
            fields = ", ".join(allowed) or "none"
            raise ValueError(f"{name} has no field {key!r}{did_you_mean(key, allowed)} (fields: {fields})")
    env = factory(**static)
    return env, env.default_params
