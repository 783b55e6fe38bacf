"""Checks of arrays that environments and solvers with budgets share."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxmarl.core.checks import require


def require_numbers(argument: str, array: Array, *, positive: bool = False) -> None:
    """Raises `ValueError` unless all entries are finite and non-negative (or positive); tracers are let through."""
    if isinstance(array, jax.core.Tracer) or array.size == 0:
        return
    # Both extremes propagate NaN, and neither needs a second array as large as the first.
    low, high = float(jnp.min(array)), float(jnp.max(array))
    allowed = "finite and positive" if positive else "finite and non-negative"
    require(
        (low > 0 if positive else low >= 0) and high < float("inf"), argument, f"entries from {low} to {high}", allowed
    )


def require_concrete(function: str, *arrays: Any) -> None:
    """Raises `ValueError` inside `jit` or `vmap`."""
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        raise ValueError(f"{function} runs on the host: call it outside jit and vmap, on one market at a time")
