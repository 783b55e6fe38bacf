"""Checks of market arrays that several solvers of this package share."""

from jaxtyping import Array

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.arguments import require_numbers


def require_market(values: Array, budgets: Array) -> None:
    """Raises `ValueError` unless `values` is `[items, buyers]` with one positive budget a buyer."""
    require(values.ndim == 2 and values.size > 0, "values", values.shape, "an array [items, buyers], not empty")
    require(budgets.shape == values.shape[1:], "budgets", budgets.shape, f"one a buyer, {values.shape[1:]}")
    require_numbers("values", values)
    require_numbers("budgets", budgets, positive=True)


def require_share(argument: str, got: float) -> None:
    """Raises `ValueError` unless `got` lies strictly between 0 and 1."""
    require(0 < got < 1, argument, got, "a number strictly between 0 and 1")
