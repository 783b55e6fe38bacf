"""Rewards for a step of market making, of any market: functions of what a step did to an inventory and to prices.

Source: J. Sadighian, "Deep Reinforcement Learning in Cryptocurrency Market Making" (2019) and its public toolkit.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, "*shape"]


def positional_pnl(inventory: Number, mid_change: Number, realised: Number) -> Number:
    """Gain of the inventory held before the step, and what was realised in it: `inventory · Δm + realised`.

    Args:
        inventory: before the step.
        mid_change: of the mid price.
        realised: gains of positions closed in the step, net of fees.
    """
    return inventory * mid_change + realised


def trade_completion(realised: Number, fee: Float[Array, ""] | float) -> Number:
    """1 where a step realises more than twice the fee, -1 where it loses more than the fee, else what it realises.

    Args:
        realised: gains of positions closed in the step, net of fees.
        fee: of a market order, in the same unit; the thresholds.
    """
    return jnp.where(realised > 2 * fee, 1.0, jnp.where(realised < -fee, -1.0, realised))
