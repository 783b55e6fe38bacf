"""Iterated games of two actions between memory-one strategies: exact values, limits, and zero-determinant strategies.

A memory-one strategy is `p [5]`: the probabilities of the first action ("cooperate") at the start and after the joint
actions CC, CD, DC, DD, a player's own action first. `discount` is the probability of a further round. Values are
normalised, `(1 - γ) Σ γ^t r_t`, hence payoffs a round. Everything is differentiable, and a batch is a `vmap`.
"""

from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require

START, CC, CD, DC, DD = range(5)
EXCHANGED = (START, CC, DC, CD, DD)
"""The same outcomes in the other player's order."""

MEMORY_ONE = MappingProxyType(
    {
        "all_cooperate": (1.0, 1.0, 1.0, 1.0, 1.0),
        "all_defect": (0.0, 0.0, 0.0, 0.0, 0.0),
        "tit_for_tat": (1.0, 1.0, 0.0, 1.0, 0.0),
        "suspicious_tit_for_tat": (0.0, 1.0, 0.0, 1.0, 0.0),
        "generous_tit_for_tat": (1.0, 1.0, 1 / 3, 1.0, 1 / 3),
        "win_stay_lose_shift": (1.0, 1.0, 0.0, 0.0, 1.0),
        "extortion_3": (1.0, 11 / 13, 1 / 2, 7 / 26, 0.0),
        "grim": (1.0, 1.0, 0.0, 0.0, 0.0),
        "random": (0.5, 0.5, 0.5, 0.5, 0.5),
    }
)
"""Named strategies. `extortion_3` is Press and Dyson's (2012), against payoffs 3, 0, 5, 1."""


Strategy = Float[Array, " 5"] | Float[np.ndarray, " 5"]
Payoffs = Float[Array, "2 2 2"] | Float[np.ndarray, "2 2 2"]


def memory_one_chain(p: Strategy, q: Strategy) -> tuple[Float[Array, " 4"], Float[Array, "4 4"]]:
    """The Markov chain of the joint actions CC, CD, DC, DD of two memory-one strategies.

    Args:
        p: of the first player.
        q: of the second, from its own point of view.

    Returns:
        Distribution of the first round, and transition matrix `[from, to]`.
    """
    own, other = jnp.asarray(p), jnp.asarray(q)[jnp.asarray(EXCHANGED)]
    rows = jnp.stack([own * other, own * (1 - other), (1 - own) * other, (1 - own) * (1 - other)], axis=-1)
    return rows[0], rows[1:]


def memory_one_values(
    p: Strategy, q: Strategy, payoffs: Payoffs, discount: float | Float[Array, ""]
) -> Float[Array, " 2"]:
    """Exact discounted payoffs a round of two memory-one strategies.

    Args:
        p: of the first player.
        q: of the second, from its own point of view.
        payoffs: `[player, first's action, second's action]`, action 0 being "cooperate".
        discount: γ in [0, 1); float32 does up to 0.999.

    Returns:
        `(1 - γ) Σ γ^t r_t` of both.
    """
    first, transition = memory_one_chain(p, q)
    # one system of four equations serves both players: discounted visits, not values
    visits = jnp.linalg.solve(jnp.eye(4, dtype=first.dtype) - discount * transition.T, first)
    return (1 - discount) * _flat(payoffs, first.dtype) @ visits


def memory_one_average(p: Strategy, q: Strategy, payoffs: Payoffs) -> Float[Array, " 2"]:
    """Long-run payoffs a round, the limit γ → 1, where the stationary distribution is unique (otherwise not finite).

    Args:
        p: of the first player (its opening does not matter).
        q: of the second, from its own point of view.
        payoffs: `[player, first's action, second's action]`.
    """
    _, transition = memory_one_chain(p, q)
    ones = jnp.ones(4, transition.dtype)
    stationary = jnp.linalg.solve((jnp.eye(4, dtype=ones.dtype) - transition + ones).T, ones)
    return _flat(payoffs, ones.dtype) @ stationary


def zero_determinant(
    payoffs: Float[np.ndarray, "2 2 2"],
    slope: float,
    baseline: float,
    *,
    strength: float = 0.5,
    discount: float = 1.0,
    opening: float = 1.0,
) -> Float[np.ndarray, " 5"]:
    """A strategy with which one's payoff is a line of the opponent's, whatever the opponent does.

    It enforces `own - baseline = slope (opponent's - baseline)`: against every memory-one opponent with a unique
    stationary distribution for `discount = 1` (Press and Dyson 2012), and for discounted values against everybody where
    `discount < 1` and `opening` fits (Hilbe, Traulsen and Sigmund 2015). `baseline` at the payoff of mutual defection
    is extortion, at that of mutual cooperation generosity. On the host.

    Args:
        payoffs: `[player, first's action, second's action]`; the strategy is the first player's.
        slope: χ.
        baseline: κ, where both payoffs meet.
        strength: where φ lies, in (0, 1], between the smallest and the largest for which probabilities stay in [0, 1].
        discount: γ in (0, 1].
        opening: probability of cooperation in the first round.

    Raises:
        ValueError: no strategy of this kind enforces the line.
    """
    require(0 < strength <= 1, "strength", strength, "in (0, 1]")
    require(0 < discount <= 1, "discount", discount, "in (0, 1]")
    require(0 <= opening <= 1, "opening", opening, "in [0, 1]")
    own, other = np.asarray(payoffs, np.float64).reshape(2, 4)
    direction = (own - baseline) - slope * (other - baseline)
    repeat = np.array([1.0, 1.0, 0.0, 0.0])
    # (1 - γ) p_0 + γ p - repeat = φ direction, so φ direction lies between these
    low = (1 - discount) * opening - repeat
    high = low + discount
    moved = np.abs(direction) > 1e-12
    bounds = np.sort([low[moved] / direction[moved], high[moved] / direction[moved]], axis=0)
    smallest, largest = max(0.0, bounds[0].max(initial=0.0)), bounds[1].min(initial=np.inf)
    stays = bool(((low <= 1e-12) & (high >= -1e-12))[~moved].all())
    possible = stays and 0 < largest < np.inf and smallest <= largest
    require(bool(possible), "slope", slope, f"one that can be enforced at baseline {baseline} and discount {discount}")
    scale = smallest + strength * (largest - smallest)
    after = (repeat + scale * direction - (1 - discount) * opening) / discount
    return np.concatenate([[opening], np.clip(after, 0.0, 1.0)])


def _flat(payoffs: Payoffs, dtype: Any) -> Float[Array, "2 4"]:
    return jnp.asarray(payoffs, dtype).reshape(2, 4)
