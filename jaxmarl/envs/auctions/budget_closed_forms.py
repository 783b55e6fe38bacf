"""Repeated auctions with budgets and uniform values, in closed form: second-price pacing and first-price pacing."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.envs.auctions.arguments import require_concrete

PacingRule: TypeAlias = Literal["independent", "coordinated", "hybrid"]
PACING_RULES: tuple[PacingRule, ...] = get_args(PacingRule)


def symmetric_uniform_pacing(budget: float, members: int, rule: PacingRule = "independent") -> tuple[float, float]:
    """The pace and the utility of each of `members` alike, all values and the outside bid uniform on [0, 1].

    Paced at `β`, a member spends `β² K / ((K + 1)(K + 2))` an auction if all bid, `β² / (2 (K + 2))` if only one does,
    and wins the value `β / (K + 2)` either way. The hybrid rule coincides with the coordinated one.

    Args:
        budget: of each member, per auction.
        members: `K`, at least 1.
        rule: of `pacing_dynamics`.

    Returns:
        `β`, 1 if the budget does not bind, and the utility per auction.
    """
    require(budget > 0, "budget", budget, "a positive number")
    require_int("members", members, 1)
    require_choice("rule", rule, PACING_RULES)
    alone = members / ((members + 1) * (members + 2))
    cost = alone if rule == "independent" else 1 / (2 * (members + 2))
    beta = min((budget / cost) ** 0.5, 1.0)
    return beta, beta / (members + 2) - cost * beta**2


@dataclass(frozen=True)
class ContinuumFPPE:
    """The equilibrium of a continuum market and the limits of the central limit theorem; NumPy, in float64.

    Attributes:
        multipliers, spend: per buyer.
        revenue, nash_welfare: of the market.
        hessian: `[buyers, buyers]`, of the dual objective at the multipliers.
        covariance: `[buyers, buyers]`, of `sqrt(T) (β̂ - β)` as the number `T` of sampled items grows.
        revenue_variance, nash_variance: the same for the revenue and the logarithmic Nash welfare.
    """

    multipliers: np.ndarray
    spend: np.ndarray
    revenue: float
    nash_welfare: float
    hessian: np.ndarray
    covariance: np.ndarray
    revenue_variance: float
    nash_variance: float


def uniform_pair_fppe(budgets: Float[Array, " 2"]) -> ContinuumFPPE:
    """The equilibrium of two buyers with values uniform on [0, 1], for `budgets[0] >= budgets[1]`.

    For `c <= a` the price is `E max(a v_1, c v_2) = a / 2 + c² / (6 a)` in the mean. Both buyers pace if
    `a = 2 b_1 + b_2 < 1`; otherwise `a = 1`; and `c = sqrt(3 b_2 a)`, or 1 if that is less. The limits follow Liao and
    Kroer (2023), Theorem 2, with the moments of the winning values integrated by hand.

    Raises:
        ValueError: budgets that are not positive and descending, or on the border of pacing, where no limit is normal.
    """
    require_concrete("uniform_pair_fppe", budgets)
    first, second = (float(budget) for budget in np.asarray(budgets, np.float64))
    require(0 < second <= first < np.inf, "budgets", (first, second), "two positive numbers, the larger one first")
    a = min(2 * first + second, 1.0)
    c = min(np.sqrt(3 * second * a), 1.0)
    beta, money = np.array([a, c]), np.array([first, second])
    won = np.array([1 / 2 - c**2 / (6 * a**2), c / (3 * a)])  # the mean value that each buyer wins
    spend, paced = beta * won, beta < 1
    border = np.isclose(np.where(paced, 0, spend), money)
    require(not border.any(), "budgets", (first, second), "such that a buyer who bids her values has money left")
    curvature = np.array([[c**2 / (3 * a**3), -c / (3 * a**2)], [-c / (3 * a**2), 1 / (3 * a)]])
    hessian = curvature + np.diag(money / beta**2)
    inverse = np.zeros((2, 2))
    at = np.flatnonzero(paced)
    inverse[np.ix_(at, at)] = np.linalg.inv(hessian[np.ix_(at, at)])
    squares = np.array([1 / 3 - (c / a) ** 3 / 12, c / (4 * a)])
    moments = np.diag(squares) - np.outer(won, won)
    # The price is the winner's bid: a linear function of the values won, like all that follows.
    to_revenue, to_welfare = beta - inverse @ won, inverse @ (money / beta)
    return ContinuumFPPE(
        multipliers=beta,
        spend=spend,
        revenue=float(spend.sum()),
        nash_welfare=float(money @ np.log(money / beta)),
        hessian=hessian,
        covariance=inverse @ moments @ inverse,
        revenue_variance=float(to_revenue @ moments @ to_revenue),
        nash_variance=float(to_welfare @ moments @ to_welfare),
    )


def uniform_values(key: Array, num_items: int) -> Float[Array, "items 2"]:
    """Sampled items of that market: `[num_items, 2]` values."""
    return jax.random.uniform(key, (num_items, 2))
