"""What bargaining theory says two parties should settle on: shares of alternating offers, and points of a frontier.

References: Ståhl 1972 (finite horizon), Rubinstein 1982 (infinite), Nash 1950, Kalai and Smorodinsky 1975.
"""

import numpy as np
from jaxtyping import Bool, Float, Num

from jaxmarl.core.checks import require, require_int


def rubinstein_share(own_discount: float, other_discount: float) -> float:
    """What the first to offer keeps of a pie of 1, without deadline: `(1 - δ_2) / (1 - δ_1 δ_2)`; accepted at once.

    Args:
        own_discount: δ_1 of the one who offers first, in [0, 1].
        other_discount: δ_2; not both may be 1.
    """
    _check_discounts(own_discount, other_discount)
    require(own_discount * other_discount < 1, "own_discount", own_discount, "below 1 where other_discount is 1")
    return (1 - other_discount) / (1 - own_discount * other_discount)


def deadline_shares(own_discount: float, other_discount: float, num_offers: int) -> Float[np.ndarray, " T"]:
    """What whoever makes offer 0, 1, …, T - 1 keeps of a pie of 1 when there are T offers in all, taken in turns.

    The last offer keeps everything; before it, the one who offers leaves the other just what waiting is worth to it.

    Args:
        own_discount: of the one who makes the first offer, in [0, 1].
        other_discount: of the other.
        num_offers: T.
    """
    _check_discounts(own_discount, other_discount)
    require_int("num_offers", num_offers, 1)
    shares = np.ones(num_offers)
    for t in range(num_offers - 2, -1, -1):
        shares[t] = 1 - (other_discount if t % 2 == 0 else own_discount) * shares[t + 1]
    return shares


def pareto_frontier(payoffs: Num[np.ndarray, "A 2"]) -> Bool[np.ndarray, " A"]:
    """Which of a list of outcomes no other one beats: at least as good for both, and better for one."""
    payoffs = np.asarray(payoffs, float)
    as_good = (payoffs[:, None] >= payoffs[None]).all(axis=2)
    better = (payoffs[:, None] > payoffs[None]).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0))


def nash_bargain(payoffs: Num[np.ndarray, "A 2"], disagreement: tuple[float, float] = (0.0, 0.0)) -> int:
    """Row of the largest product of gains over disagreement among outcomes that hurt nobody; -1 where there is none.

    Ties go to the larger sum, then to the first row.
    """
    gains = np.asarray(payoffs, float) - np.asarray(disagreement)
    return _best(gains, gains.prod(axis=1))


def kalai_smorodinsky_bargain(payoffs: Num[np.ndarray, "A 2"], disagreement: tuple[float, float] = (0.0, 0.0)) -> int:
    """Row of the largest least gain, each side's measured by its best among outcomes that hurt nobody; -1 for none."""
    gains = np.asarray(payoffs, float) - np.asarray(disagreement)
    fair = (gains >= 0).all(axis=1)
    if not fair.any():
        return -1
    ideal = gains[fair].max(axis=0)
    return _best(gains, (gains / np.where(ideal > 0, ideal, 1.0)).min(axis=1))


def subgame_perfect_outcome(
    payoffs: Num[np.ndarray, "A 2"], discounts: tuple[float, float], num_offers: int
) -> Float[np.ndarray, "T 2"]:
    """What each side gets when offer t is to be made, of T offers in turns over a list of outcomes, both knowing all.

    By backward induction: the side that offers (0 first) picks what is best for itself among the outcomes that the
    other would rather accept than wait; who is indifferent accepts. Without agreement both get 0. Values are counted
    from offer t on; each rejected offer discounts them once.

    Args:
        payoffs: of each outcome to both, not negative.
        discounts: of both, in [0, 1].
        num_offers: T.
    """
    _check_discounts(*discounts)
    require_int("num_offers", num_offers, 1)
    payoffs, factors = np.asarray(payoffs, float), np.asarray(discounts, float)
    values = np.zeros((num_offers + 1, 2))
    for t in range(num_offers - 1, -1, -1):
        mover, other = t % 2, 1 - t % 2
        waiting = factors * values[t + 1]
        accepted = payoffs[payoffs[:, other] >= waiting[other] - 1e-9]
        # among equals for oneself, the one that is better for the other
        order = np.lexsort((accepted[:, other], accepted[:, mover]))
        best = accepted[order[-1]] if len(accepted) else waiting
        values[t] = best if best[mover] >= waiting[mover] else waiting
    return values[:-1]


def _best(gains: np.ndarray, scores: np.ndarray) -> int:
    fair = (gains >= 0).all(axis=1)
    order = np.lexsort((-np.arange(len(gains)), gains.sum(axis=1), np.where(fair, scores, -np.inf)))
    return int(order[-1]) if fair.any() else -1


def _check_discounts(own: float, other: float) -> None:
    require(bool(0 <= own <= 1), "own_discount", own, "in [0, 1]")
    require(bool(0 <= other <= 1), "other_discount", other, "in [0, 1]")
