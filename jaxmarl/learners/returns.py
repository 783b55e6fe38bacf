"""Advantage estimates."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gae(
    reward: Float[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    next_value: Float[Array, "T *batch"],
    terminated: Bool[Array, "T *batch"],
    truncated: Bool[Array, "T *batch"],
    discount: float,
    trace: float,
) -> Float[Array, "T *batch"]:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16), with both kinds of episode end.

    Args:
        reward: of each step.
        value: estimate at the observation before each step.
        next_value: estimate at the observation after it, in the same episode (the final one where the episode ended).
        terminated: the game ended: nothing follows.
        truncated: a time limit ended the episode: `next_value` still follows, but no later step does.
        discount: γ.
        trace: λ.

    Returns:
        Advantages; add `value` for λ-returns.
    """
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value
    carry_on = discount * trace * (1.0 - (terminated | truncated))

    def step(advantage, inputs):
        delta_t, carry_t = inputs
        advantage = delta_t + carry_t * advantage
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros_like(value[0]), (delta, carry_on), reverse=True, unroll=8)[1]
