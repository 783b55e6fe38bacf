"""Who gets what in a small pacing equilibrium: tied items are shared out by a linear program on the host."""

from dataclasses import dataclass

import jax
import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, eye, hstack, vstack

from jaxmarl.core.checks import require
from jaxmarl.envs.auctions.arguments import require_concrete
from jaxmarl.solvers.auctions._arguments import require_market
from jaxmarl.solvers.auctions.fppe import FPPE, duality_gap, fppe


@dataclass(frozen=True)
class AllocatedFPPE:
    """An equilibrium in float64 with an explicit allocation; NumPy arrays.

    Attributes:
        equilibrium: multipliers and prices; `spend` and `duality_gap` are those of `allocation`.
        allocation: `[items, buyers]`, shares of each item; only highest bidders hold any.
        budget_error: the largest breach of `spend <= budget`, or of equality where a buyer paces.
    """

    equilibrium: FPPE
    allocation: np.ndarray
    budget_error: float


def fppe_with_allocation(values: jax.Array, budgets: jax.Array, *, tie_tolerance: float = 1e-8) -> AllocatedFPPE:
    """The equilibrium of a small market to machine precision, with the allocation that supports it.

    Finite markets nearly always have ties: an item whose highest paced bids are equal is split so that every pacing
    buyer spends her budget (Conitzer et al. 2022). The multipliers are found in float64; the shares of tied items then
    minimise the total breach of the budget conditions.

    Args:
        values: `[items, buyers]`, non-negative; all pairs that tie become variables of the program.
        budgets: `[buyers]`, positive.
        tie_tolerance: bids within this share of the highest count as tied.

    Raises:
        ValueError: inside `jit` or `vmap`; a market that `fppe` refuses.
    """
    require_concrete("fppe_with_allocation", values, budgets)
    require_market(values, budgets)
    require(0 <= tie_tolerance < 1, "tie_tolerance", tie_tolerance, "a number in [0, 1)")
    with jax.enable_x64(True):
        wide = jax.numpy.asarray(np.asarray(values, np.float64))
        money = jax.numpy.asarray(np.asarray(budgets, np.float64))
        found = fppe(wide, money)
        allocation, error = _share_ties(
            np.asarray(wide), np.asarray(money), np.asarray(found.multipliers), tie_tolerance
        )
        gap = duality_gap(wide, money, found.multipliers, jax.numpy.asarray(allocation))
    spend = np.asarray(found.prices) @ allocation / len(allocation)
    equilibrium = FPPE(**{**jax.tree.map(np.asarray, vars(found)), "spend": spend, "duality_gap": np.asarray(gap)})
    return AllocatedFPPE(equilibrium, allocation, error)


def _share_ties(
    values: np.ndarray, budgets: np.ndarray, multipliers: np.ndarray, tolerance: float
) -> tuple[np.ndarray, float]:
    """Shares of the tied items with the least breach of the budgets, and the largest breach."""
    items, buyers = values.shape
    bids = values * multipliers
    prices = bids.max(axis=1)
    at_item, at_buyer = np.nonzero((bids >= (1 - tolerance) * prices[:, None]) & (prices > 0)[:, None])
    columns = np.arange(len(at_item))
    sold = csr_matrix((np.ones(len(columns)), (at_item, columns)), (items, len(columns)))
    share_of_budget = prices[at_item] / items / budgets[at_buyer]
    spend = csr_matrix((share_of_budget, (at_buyer, columns)), (buyers, len(columns)))
    # Variables: shares, then over- and underspending of each buyer relative to her budget.
    matrix = vstack(
        [hstack([sold, csr_matrix((items, 2 * buyers))]), hstack([spend, -eye(buyers), eye(buyers)])], format="csr"
    )
    right = np.concatenate([(prices > 0).astype(float), np.ones(buyers)])
    # A buyer who bids her values may leave money unspent.
    cost = np.concatenate([np.zeros(len(columns)), np.ones(buyers), (multipliers < 1 - tolerance).astype(float)])
    result = linprog(cost, A_eq=matrix, b_eq=right, bounds=(0, None), method="highs")
    if not result.success:
        raise RuntimeError(f"HiGHS found no allocation: {result.message}")
    allocation = np.zeros_like(values)
    allocation[at_item, at_buyer] = result.x[: len(columns)]
    slack = result.x[len(columns) :] * cost[len(columns) :] * np.concatenate([budgets, budgets])
    return allocation, float(slack.max())
