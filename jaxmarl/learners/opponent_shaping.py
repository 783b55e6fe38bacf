"""What one's own actions do to the action values, and so to the policy, of an opponent that learns by them.

Aghajohari et al., "LOQA: Learning with opponent Q-learning awareness" (ICLR 2024, arXiv 2405.01035).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32


def differentiable_action_values(
    log_prob: Float[Array, "T *batch"],
    reward: Float[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    discount: float,
    trace: float,
    final_value: Float[Array, "*batch"] | float = 0.0,
    return_trace: float = 1.0,
) -> Float[Array, "T *batch"]:
    """What the opponent's action at each step turned out to be worth to it, differentiable in one's later actions.

    The value is `r_t + γ R_{t+1}`, with `R` the return from then on; the gradient is
    `γ Σ_{k>t} (γλ)^(k-t-1) (R_k - V_k) ∇ log π(a_k)`, by loaded DiCE (Farquhar et al. 2019).

    Args:
        log_prob: of one's own actions.
        reward: the opponent's.
        value: V, what the opponent expects at each step: a baseline.
        discount: γ.
        trace: λ.
        final_value: what follows the last step. Where V goes on beyond a time limit, R has to: a return that stops
            there is so far from the values of other actions that their softmax has no gradient left.
        return_trace: λ of the returns R: 1 for sums of discounted rewards (as in the paper), 0 for `r_t + γ V_{t+1}`.
    """
    final = jnp.broadcast_to(jnp.asarray(final_value, reward.dtype), reward.shape[1:])[None]
    value = jax.lax.stop_gradient(value)
    surprise = reward + discount * jnp.concatenate([value[1:], final]) - value
    surplus = jax.lax.stop_gradient(discounted_sums(surprise, discount * return_trace))
    returns = value + surplus
    total = jnp.cumsum(log_prob, axis=0)
    before = total - log_prob
    score = magic_box(total) - magic_box(before)  # 0, with the gradient of log_prob
    loaded = returns + discounted_sums(surplus * score, discount * trace)
    return reward + discount * jnp.concatenate([loaded[1:], final])


def opponent_log_prob(
    q: Float[Array, "T *batch A"],
    action: Int32[Array, "T *batch"],
    value: Float[Array, "T *batch"],
    temperature: float,
) -> Float[Array, "T *batch"]:
    """Log probability of the opponent's actions under `softmax(Q / τ)`, differentiable in `value` only.

    Args:
        q: its action values, of which those of `action` are replaced by `value`.
        action: its actions.
        value: from `differentiable_action_values`.
        temperature: τ.
    """
    taken = jax.nn.one_hot(action, q.shape[-1], dtype=bool)
    logits = jnp.where(taken, value[..., None], jax.lax.stop_gradient(q)) / temperature
    return value / temperature - jax.nn.logsumexp(logits, axis=-1)


def discounted_sums(x: Float[Array, "T *batch"], rate: float) -> Float[Array, "T *batch"]:
    """`Σ_{k>=t} rate^(k-t) x_k` at every step, as one matrix product."""
    lag = np.arange(len(x)) - np.arange(len(x))[:, None]
    weights = np.where(lag >= 0, float(rate) ** np.maximum(lag, 0), 0.0)
    return jnp.tensordot(jnp.asarray(weights, x.dtype), x, axes=1)


def magic_box(x: Array) -> Array:
    """1, with the gradient of `x`."""
    return jnp.exp(x - jax.lax.stop_gradient(x))
