"""Markov-perfect equilibria of price competition in turns (Maskin and Tirole, Econometrica 1988), on the host.

The mover reacts to the rival's standing price, and its own price then stands for two periods. A strategy is a matrix
`[m, m]` of reactions: row j has the probabilities of the prices set against a rival's price j. Both firms use the same.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxmarl.core.checks import require

Matrix = Float64[np.ndarray, "m m"]


class AlternatingValues(NamedTuple):
    """What a strategy that both firms use is worth.

    Attributes:
        mover: `[m]`, discounted profits of the mover, by the rival's price.
        action: `[m, m]`, the same if it sets price i once against price j, `action[j, i]`.
        deviation_gain: the most that any single deviation gains at any price: 0 in an equilibrium.
        standing: `[m]`, stationary law of the price that the mover faces.
        average_profit: a firm's mean profit a period.
    """

    mover: Float64[np.ndarray, " m"]
    action: Matrix
    deviation_gain: float
    standing: Float64[np.ndarray, " m"]
    average_profit: float


def period_profits(num_prices: int) -> Matrix:
    """`[i, j]`: a firm's profit at price `i / (m - 1)` against `j / (m - 1)`: the cheaper sells `1 - p`, ties share."""
    price = np.arange(num_prices) / (num_prices - 1)
    share = (np.sign(price[None, :] - price[:, None]) + 1) / 2
    return (price * (1 - price))[:, None] * share


def alternating_values(reactions: Matrix, discount: float) -> AlternatingValues:
    """Values of a strategy that both firms use, from one linear system."""
    m = len(reactions)
    profits = period_profits(m)
    # after setting i: the rival reacts, both earn, and it is our turn again
    later = np.sum(reactions * profits, axis=1)
    system = np.eye(m) - discount**2 * reactions @ reactions
    mover = np.linalg.solve(system, np.sum(reactions * (profits.T + discount * later), axis=1))
    action = profits.T + discount * (later + discount * reactions @ mover)
    balance = np.vstack([reactions.T - np.eye(m), np.ones(m)])
    standing = np.linalg.lstsq(balance, np.eye(m + 1)[m], rcond=None)[0]
    total = np.sum(standing[:, None] * reactions * (profits + profits.T))
    return AlternatingValues(mover, action, float(np.max(action.max(1) - mover)), standing, float(total) / 2)


def edgeworth_cycle(discount: float) -> Matrix:
    """The price war on seven prices: undercut by one (two at the top), and at 1 give in or go back to 5, at random.

    Raises:
        ValueError: a discount factor at which this is no equilibrium.
    """
    return _mixed_at_one([5, 0, 1, 2, 3, 4, 4], (0, 5), discount)


def focal_price(discount: float) -> Matrix:
    """The kinked demand curve on seven prices: the monopoly price 3 stands, undercutting it sets off a short war.

    Raises:
        ValueError: a discount factor at which this is no equilibrium.
    """
    return _mixed_at_one([3, 1, 1, 3, 3, 3, 3], (1, 3), discount)


def _mixed_at_one(prices: list[int], mixed: tuple[int, int], discount: float) -> Matrix:
    """Reactions `prices`, but a mixture of two against price 1, such that both are worth the same there (bisection)."""

    def reactions(probability: float) -> Matrix:
        found = np.eye(len(prices))[prices]
        found[1] = 0.0
        found[1, list(mixed)] = probability, 1 - probability
        return found

    def advantage(probability: float) -> float:
        action = alternating_values(reactions(probability), discount).action[1]
        return float(action[mixed[0]] - action[mixed[1]])

    low, high = 0.0, 1.0
    signs = np.sign(advantage(low)), np.sign(advantage(high))
    require(bool(signs[0] * signs[1] < 0), "discount", discount, "such that the mover can be indifferent")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sign(advantage(middle)) == signs[0] else (low, middle)
    found = reactions((low + high) / 2)
    gain = alternating_values(found, discount).deviation_gain
    require(gain < 1e-9, "discount", discount, f"such that nobody deviates (somebody gains {gain:.2g})")
    return found
