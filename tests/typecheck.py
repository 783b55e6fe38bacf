"""The type checker of `jaxtyping`'s import hook, as the tests use it."""

from beartype import beartype


def functions_only(function):
    """`beartype`, except on dataclasses' `__init__`: jax builds them with stacked, abstract and placeholder leaves."""
    return function if function.__name__ == "__init__" else beartype(function)
