"""Liquidity provision when the other dealer's size is unknown: ex-ante payoffs, values, beliefs, a regulator's problem.

Two dealers are large (capacity `K_L`) with probability p each, else small (`K_S`). A strategy says what depth each of
the two types posts, and the smaller of both depths is executed: `min(s_1, s_2) - c s_i`.
"""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array

from jaxmarl.core.checks import require_choice
from jaxmarl.games.zoo._profiles import namespace

SELECTIONS = ("best", "potential")

AnyArray: TypeAlias = np.ndarray | Array
Numbers: TypeAlias = AnyArray | float | int


def type_strategies(small: int, large: int) -> np.ndarray:
    """`[(K_S + 1)(K_L + 1), 2]`: depth of the small and of the large type, the large type's changing first."""
    return np.indices((small + 1, large + 1)).reshape(2, -1).T


def ex_ante_payoffs(large_share: Numbers, cost: Numbers, small: int, large: int) -> Any:
    """`[A, A]`: expected payoff of a strategy (row, as in `type_strategies`) against another, before types are known.

    Args:
        large_share: p, probability that a dealer is large, independently of the other.
        cost: c of a parcel posted.
        small: capacity of a small dealer.
        large: capacity of a large one, at least as much.
    """
    xp = namespace(large_share, cost)
    depths = type_strategies(small, large)
    weights = xp.stack([1 - xp.asarray(large_share), xp.asarray(large_share)])
    executed = np.minimum(depths[:, None, :, None], depths[None, :, None, :])
    met = xp.sum(executed * weights[:, None] * weights, axis=(2, 3))
    return met - cost * xp.sum(depths * weights, axis=1)[:, None]


def depth_values(large_share: Numbers, cost: Numbers, small: int = 1, large: int = 2) -> dict[str, Any]:
    """Values of the equilibria in which all capacity is posted, and of that in which only `K_S` is.

    Returns:
        `"shallow"`, ex ante, where every type posts `K_S`; `"deep"`, where each type posts its capacity, with its
        parts `"deep_small"` and `"deep_large"` once the type is known. The deep profile is an equilibrium where
        `p >= c`, the shallow one where `c <= 1`, and no trade always is.
    """
    extra = large - small
    shallow = small * (1 - cost)
    deep_large = shallow + extra * (large_share - cost)
    deep = shallow + large_share * extra * (large_share - cost)
    return {"shallow": shallow, "deep": deep, "deep_small": shallow, "deep_large": deep_large}


def signalled_belief(prior: Numbers, from_large: Numbers, from_small: Numbers) -> Any:
    """Probability that a dealer is large after its public quote, by Bayes' rule, kept in `[1e-6, 1 - 1e-6]`.

    Args:
        prior: probability before.
        from_large: probability that a large dealer shows this quote.
        from_small: probability that a small one does. Where both are 0 the prior stays.
    """
    xp = namespace(prior, from_large, from_small)
    seen = prior * xp.asarray(from_large) + (1 - prior) * xp.asarray(from_small)
    posterior = xp.where(seen > 0, prior * xp.asarray(from_large) / xp.where(seen > 0, seen, 1), prior)
    return xp.clip(posterior, 1e-6, 1 - 1e-6)


def design_objective(
    large_share: Numbers,
    cost: Numbers,
    *,
    small: int = 1,
    large: int = 2,
    fee_small: Numbers = 0.0,
    fee_large: Numbers = 0.6,
    stability_weight: Numbers = 0.0,
    selection: str = "best",
) -> dict[str, Any]:
    """What a regulator makes of a population of which a share p is large, pairs of which meet at random.

    Args:
        large_share: p.
        cost: c of a parcel posted.
        small: capacity of a small dealer.
        large: capacity of a large one.
        fee_small: what a small dealer costs the public.
        fee_large: what a large dealer does.
        stability_weight: ω of `objective = liquidity - public cost + ω stability`.
        selection: which equilibrium is played: `"best"`, the one of highest value, or `"potential"`, the one of highest
            potential, which needs `p >= 2 c` for depth and `c <= 1/2` for any trade.

    Returns:
        `"liquidity"`, expected parcels executed in a meeting; `"stability"`, minus their variance; `"cost"`;
        `"objective"`.
    """
    require_choice("selection", selection, SELECTIONS)
    xp = namespace(large_share, cost, fee_small, fee_large, stability_weight)
    p, hurdle = xp.asarray(large_share), cost if selection == "best" else 2 * cost
    trades = xp.where(xp.asarray(hurdle) <= 1, 1.0, 0.0)
    deep = trades * xp.where(p >= hurdle, 1.0, 0.0)
    extra, both_large = large - small, p * p
    liquidity = trades * small + deep * both_large * extra
    stability = -deep * extra**2 * both_large * (1 - both_large)
    public = fee_large * p + fee_small * (1 - p)
    objective = liquidity - public + stability_weight * stability
    return {"liquidity": liquidity, "stability": stability, "cost": public, "objective": objective}
