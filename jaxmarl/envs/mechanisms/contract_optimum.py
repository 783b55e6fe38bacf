"""Optimal contracts by linear programs on the host, in float64, with a certificate."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxmarl.core.checks import require
from jaxmarl.envs.mechanisms.contract_rules import HiddenAction

_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class OptimalContract(NamedTuple):
    """The best contract, and the cheapest one for each action.

    Attributes:
        action: the one that the best contract induces.
        contract: `[m]`, payment for each outcome.
        utility: of the principal.
        gap: the largest violation, over actions, of what makes a contract optimal: that the agent gains nothing by
            another action, that the dual prices are feasible, and that payment and dual bound agree.
        payments: `[n]`, least expected payment that induces each action; infinite where none does.
        contracts: `[n, m]`, contracts that attain it; NaN where there is none.
        utilities: `[n]`, of the principal; minus infinity where there is none.
    """

    action: int
    contract: Float[np.ndarray, " m"]
    utility: float
    gap: float
    payments: Float[np.ndarray, " n"]
    contracts: Float[np.ndarray, "n m"]
    utilities: Float[np.ndarray, " n"]


def optimal_contract(problem: HiddenAction, *, cap: float | None = None, margin: float = 0.0) -> OptimalContract:
    """The contract that is best for the principal when the agent may not be charged (limited liability).

    For each action a, the least `F_a p` over `p >= 0` (and `p <= cap`) such that the agent gains at least `margin` by a
    over any other action; then the best a. Without a margin the agent is exactly indifferent at the optimum, so that
    rounding decides what it does: simulate the contract with a margin (1e-4, say), and report both utilities.

    Args:
        problem: of n actions and m outcomes, not batched.
        cap: largest payment.
        margin: in units of utility.

    Raises:
        ValueError: a negative margin or cap, or no action can be induced.
    """
    require(cap is None or cap >= 0, "cap", cap, "at least 0 or None")
    require(margin >= 0, "margin", margin, "at least 0")
    laws, costs, rewards = (np.asarray(x, float) for x in (problem.laws, problem.costs, problem.rewards))
    num_actions, num_outcomes = laws.shape
    payments, gap = np.full(num_actions, np.inf), 0.0
    contracts = np.full((num_actions, num_outcomes), np.nan)
    for a in range(num_actions):
        found = cheapest_contract(laws, costs, a, cap, margin)
        if found is not None:
            contracts[a], payments[a], gap = found[0], laws[a] @ found[0], max(gap, found[1])
    utilities = np.where(np.isfinite(payments), laws @ rewards - payments, -np.inf)
    best = int(np.argmax(utilities))
    require(bool(np.isfinite(utilities[best])), "margin", margin, "small enough that some action can be induced")
    return OptimalContract(best, contracts[best], float(utilities[best]), gap, payments, contracts, utilities)


def cheapest_contract(
    laws: Float[np.ndarray, "n m"], costs: Float[np.ndarray, " n"], action: int, cap: float | None, margin: float
) -> tuple[Float[np.ndarray, " m"], float] | None:
    """The contract that induces `action` at least expected pay and the gap of its certificate; None if none does."""
    from scipy.optimize import linprog

    others = np.arange(len(costs)) != action
    advantage, needed = laws[action] - laws[others], costs[action] - costs[others] + margin
    found = linprog(laws[action], -advantage, -needed, bounds=(0, cap), method="highs", options=_EXACT)
    if found.x is None:
        return None
    contract, prices = np.clip(found.x, 0, cap), -found.ineqlin.marginals
    reduced = laws[action] - prices @ advantage
    bound = prices @ needed
    if cap is not None:  # the price of the cap is whatever makes the dual feasible
        bound, reduced = bound - cap * np.maximum(-reduced, 0).sum(), np.maximum(reduced, 0)
    failures = [needed - advantage @ contract, -reduced, -prices, [abs(laws[action] @ contract - bound)]]
    return contract, float(max(0.0, *(np.max(x, initial=0.0) for x in failures)))
