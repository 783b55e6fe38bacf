"""Lotteries over public projects: what each voter can claim, a proportional rule, and rounding that keeps the budget.

Ballots are approvals, `[n, m]`; a voter's utility is the number of projects built that it approves. References: Peters,
Pierczyński and Skowron 2021 (equal shares); Gandhi et al. 2006 (dependent rounding); Aziz et al. 2024 (lotteries).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

Approvals = Bool[np.ndarray, "n m"]
Costs = Num[np.ndarray, " m"]

_ROUNDING = 1e-9


def best_own_sets(costs: Costs, approvals: Approvals, budget: float) -> Bool[np.ndarray, "n m"]:
    """The set that each voter would build alone: what it approves, the cheapest first, while the budget lasts."""
    order = np.argsort(costs, kind="stable")
    spent = np.cumsum(np.where(approvals[:, order], np.asarray(costs)[order], 0), axis=1)
    chosen = np.zeros_like(approvals)
    chosen[:, order] = approvals[:, order] & (spent <= budget + _ROUNDING)
    return chosen


def fair_shares(
    costs: Costs, approvals: Approvals, budget: float, *, unanimous: bool = False
) -> Float[np.ndarray, " n"]:
    """Expected utility that each voter can claim: 1/n of the most it could have.

    With `unanimous`, `|S| / n` of it for each of a group S of voters with the same ballot.
    """
    same = (approvals[:, None] == approvals[None]).all(axis=2).sum(axis=1) if unanimous else 1
    return same * best_own_sets(costs, approvals, budget).sum(axis=1) / len(approvals)


def random_dictatorship(costs: Costs, approvals: Approvals, budget: float) -> Float[np.ndarray, " m"]:
    """Chance of each project when a voter drawn at random builds what it likes; gives everybody both fair shares."""
    return best_own_sets(costs, approvals, budget).mean(axis=0)


def equal_shares(costs: Costs, approvals: Approvals, budget: float) -> Bool[np.ndarray, " m"]:
    """The method of equal shares: voters hold `budget / n` each; again and again the project is bought that costs each
    of its supporters least, those who have less paying all they have, until supporters can afford none.

    Ties go to the first project.
    """
    purse = np.full(len(approvals), budget / len(approvals))
    chosen = np.zeros(len(costs), bool)
    for _ in range(len(costs)):
        prices = [np.inf if chosen[p] else _price(float(costs[p]), purse[approvals[:, p]]) for p in range(len(costs))]
        best = int(np.argmin(prices))
        if not np.isfinite(prices[best]):
            break
        chosen[best] = True
        purse = purse - np.where(approvals[:, best], np.minimum(purse, prices[best]), 0.0)
    return chosen


def _price(cost: float, purses: np.ndarray) -> float:
    """The least most that a supporter pays for a project of this cost; infinite if together they cannot."""
    if purses.sum() < cost - _ROUNDING:
        return np.inf
    rest, purses = cost, np.sort(purses)
    for paid, purse in enumerate(purses):
        if purse * (len(purses) - paid) >= rest - _ROUNDING:
            return rest / (len(purses) - paid)
        rest -= purse
    return float(purses[-1])


def is_represented(costs: Costs, approvals: Approvals, budget: float, chosen: Bool[np.ndarray, " m"]) -> bool:
    """Justified representation: no project has supporters without any approved project who could pay for it together,
    `budget / n` each.
    """
    left_out = ~(approvals & chosen).any(axis=1)
    means = (approvals & left_out[:, None]).sum(axis=0) * budget / len(approvals)
    return not bool(((means >= np.asarray(costs) - _ROUNDING) & (means > 0)).any())


def dependent_rounding(
    marginals: Float[Array, " m"], costs: Float[Array, " m"], units: Float[Array, " m"]
) -> Bool[Array, " m"]:
    """A set of projects in which each has its chance, and whose cost is within one project's of the expected one.

    Two projects with chances strictly between 0 and 1 exchange money, one way or the other, until one of them is
    settled; which way is drawn so that no chance changes on average. At most one is drawn alone in the end.

    Args:
        marginals: chances, in [0, 1].
        costs: positive.
        units: uniform numbers in [0, 1).
    """

    def settle(carry, drawn):
        result, held = carry
        project, unit = drawn
        a, b = result[held], result[project]
        fractional_a, fractional_b = (a > 0) & (a < 1), (b > 0) & (b < 1)
        cost_a, cost_b = costs[held], costs[project]
        up = jnp.minimum((1 - a) * cost_a, b * cost_b)  # money that may move to the one held
        down = jnp.minimum(a * cost_a, (1 - b) * cost_b)
        both = fractional_a & fractional_b
        rises = unit * jnp.where(both, up + down, 1.0) < down
        # the one that reaches its end does so exactly
        full, empty = (1 - a) * cost_a <= b * cost_b, a * cost_a <= (1 - b) * cost_b
        risen = (jnp.where(full, 1.0, a + up / cost_a), jnp.where(full, b - up / cost_b, 0.0))
        fallen = (jnp.where(empty, 0.0, a - down / cost_a), jnp.where(empty, b + down / cost_b, 1.0))
        new_a, new_b = (jnp.where(rises, x, y) for x, y in zip(risen, fallen, strict=True))
        apart = held != project
        result = result.at[held].set(jnp.where(both & apart, new_a, a))
        result = result.at[project].set(jnp.where(both & apart, new_b, result[project]))
        left = result[held]
        return (result, jnp.where((left > 0) & (left < 1), held, project)), None

    projects = jnp.arange(marginals.shape[0])
    (result, _), _ = jax.lax.scan(settle, (marginals, jnp.zeros((), projects.dtype)), (projects, units))
    return units[0] < result  # the first number has settled nothing yet; all but one of the results are 0 or 1
