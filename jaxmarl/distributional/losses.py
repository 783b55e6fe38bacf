"""Losses for learned return distributions, and for values under exponential utility.

Representations are the last axis, batch axes lead, and nothing is averaged over a batch. Targets carry no gradient.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, Key

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.categorical import Categorical
from jaxmarl.distributional.metrics import Kernel, energy_kernel, mmd_squared
from jaxmarl.distributional.quantile import uniform_quantile

_SERIES_BELOW = 0.3


def categorical_loss(
    logits: Float[Array, "*batch num_atoms"], target: Float[Array, "*batch num_atoms"]
) -> Float[Array, "*batch"]:
    """Cross-entropy `-Σ_i target_i log softmax(logits)_i`; its gradient in the logits is `softmax - target`."""
    return -jnp.sum(jax.lax.stop_gradient(target) * jax.nn.log_softmax(logits), -1)


def categorical_q_target(
    next_logits: Float[Array, "*batch num_actions num_atoms"],
    reward: Any,
    discount: Any,
    atoms: Float[Array, " num_atoms"],
    selector: Float[Array, "*batch num_actions"] | None = None,
) -> Float[Array, "*batch num_atoms"]:
    """Target of C51: the law of the best next action, shifted, shrunk and projected (Bellemare et al. 2017).

    Args:
        next_logits: `[..., A, K]` of the target network in the next state.
        reward: `[...]` or a scalar.
        discount: `[...]` or a scalar, 0 where the episode terminated.
        atoms: `[K]`.
        selector: `[..., A]`, by which the action is chosen, lowest index among equals: values of the online network
            for a double update, a risk functional for a risk-sensitive one. None: means of `next_logits`.
    """
    probs = jax.nn.softmax(next_logits)
    scores = jnp.sum(probs * atoms, -1) if selector is None else selector
    best = jnp.argmax(scores, -1)
    chosen = jnp.take_along_axis(probs, best[..., None, None], -2)[..., 0, :]
    return Categorical(atoms, chosen).backup(reward, discount).probs


def quantile_huber_loss(
    values: Float[Array, "*batch num_quantiles"],
    levels: Float[Array, "*levels num_quantiles"],
    targets: Float[Array, "*batch num_targets"],
    kappa: float | int = 1.0,
    *,
    scaled: bool = True,
    target_weights: Float[Array, "*weights num_targets"] | None = None,
) -> Float[Array, "*batch"]:
    """Quantile regression with Huber's rounding (Dabney et al. 2018): QR-DQN at midpoints, IQN at sampled levels.

    `Σ_i Σ_j w_j |τ_i - 1{u_ij < 0}| H(u_ij) / κ` with `u_ij = target_j - value_i`: a sum over what is predicted, a
    mean over targets.

    Args:
        values: `[..., N]`, predicted quantiles.
        levels: `[N]` or `[..., N]`: `midpoint_levels`, or those that `sample_levels` drew.
        targets: `[..., N']`, atoms of the target law.
        kappa: where the loss turns from square to linear, in units of return; 0 is the plain pinball loss.
        scaled: whether the loss is divided by κ, as in the paper; other libraries do not.
        target_weights: `[..., N']`, probabilities of the targets; None: all the same.

    Raises:
        ValueError: a negative kappa.
    """
    require(kappa >= 0, "kappa", kappa, "at least 0")
    errors = jax.lax.stop_gradient(targets)[..., None, :] - values[..., :, None]
    size = jnp.abs(errors)
    if kappa > 0:
        near = jnp.minimum(size, kappa)  # quicker than a choice of two formulas, most of all its gradient
        size = near * (size - near / 2) / (kappa if scaled else 1)
    losses = jnp.abs(levels[..., :, None] - (errors < 0)) * size
    if target_weights is None:
        return jnp.sum(jnp.mean(losses, -1), -1)
    return jnp.sum(losses * jax.lax.stop_gradient(target_weights)[..., None, :], (-2, -1))


def sample_levels(
    key: Key[Array, ""], shape: tuple[int, ...], sampling: Callable[[Array], Array] | None = None
) -> Float[Array, "*shape"]:
    """Uniform quantile levels for an implicit quantile network, bent by a `Distortion.sampling` for risk."""
    levels = jax.random.uniform(key, shape)
    return levels if sampling is None else sampling(levels)


def cosine_embedding(levels: Float[Array, "*shape"], num_frequencies: int = 64) -> Float[Array, "*shape frequencies"]:
    """`cos(π i τ)`, i = 0 to n - 1: how an implicit quantile network reads a level."""
    require_int("num_frequencies", num_frequencies, 1)
    return jnp.cos(jnp.pi * jnp.arange(num_frequencies) * levels[..., None])


def fraction_loss(
    fractions: Float[Array, "*batch num_inner"],
    at_fractions: Float[Array, "*batch num_inner"],
    at_midpoints: Float[Array, "*batch num_quantiles"],
) -> Float[Array, "*batch"]:
    """A loss whose gradient in the inner fractions is that of W1 (Yang et al. 2019, "FQF").

    Args:
        fractions: `[..., N - 1]`, the inner levels `τ_1 < ... < τ_{N-1}` between 0 and 1.
        at_fractions: `[..., N - 1]`, quantiles at them.
        at_midpoints: `[..., N]`, quantiles at the middles of the N stretches.
    """
    gradient = 2 * at_fractions - at_midpoints[..., 1:] - at_midpoints[..., :-1]
    return jnp.sum(jax.lax.stop_gradient(gradient) * fractions, -1)


def expectile_loss(
    values: Float[Array, "*batch num_values"],
    levels: Float[Array, "*levels num_values"],
    targets: Float[Array, "*batch num_targets"],
) -> Float[Array, "*batch"]:
    """Expectile regression `Σ_i mean_j |τ_i - 1{u_ij < 0}| u_ij^2` (Rowland et al. 2019).

    Targets must be samples or atoms of a law. Bootstrapped *expectiles* taken for samples shrink the spread with every
    backup: impute a law with those expectiles first.
    """
    errors = jax.lax.stop_gradient(targets)[..., None, :] - values[..., :, None]
    return jnp.sum(jnp.mean(jnp.abs(levels[..., :, None] - (errors < 0)) * errors**2, -1), -1)


def mmd_loss(
    particles: Float[Array, "*batch num_particles"],
    targets: Float[Array, "*batch num_targets"],
    kernel: Kernel = energy_kernel,
) -> Float[Array, "*batch"]:
    """Squared maximum mean discrepancy of equally likely particles (Nguyen-Tang et al. 2021, "MMD-DQN")."""
    return mmd_squared(uniform_quantile(particles), uniform_quantile(jax.lax.stop_gradient(targets)), kernel)


def hl_gauss_targets(
    values: Float[Array, "*batch"], edges: Float[Array, " num_edges"], ratio: float = 0.75
) -> Float[Array, "*batch num_bins"]:
    """A number as a normal law around it, by bins: the "HL-Gauss" targets of Farebrother et al. (2024).

    Means of targets near the ends are drawn inwards: let the range exceed the values by three standard deviations.

    Args:
        values: `[...]`, clipped to the range.
        edges: `[K + 1]`, equally spaced ends of the bins.
        ratio: standard deviation in widths of a bin; 0.75 spreads the mass over about six.

    Returns:
        `[..., K]`, for `categorical_loss`; a value is read back as the mean of `bin_centres(edges)`.

    Raises:
        ValueError: a ratio that is not positive.
    """
    require(ratio > 0, "ratio", ratio, "positive")
    deviation = ratio * (edges[1] - edges[0])
    inside = jnp.clip(values, edges[0], edges[-1])[..., None]
    below = ndtr((edges - inside) / deviation)
    return jnp.diff(below, axis=-1) / (below[..., -1:] - below[..., :1])


def bin_centres(edges: Float[Array, " num_edges"]) -> Float[Array, " num_bins"]:
    """Middles of bins with these ends."""
    return (edges[1:] + edges[:-1]) / 2


def itakura_saito_loss(prediction: Any, target: Any, aversion: Any, limit: float = 10.0) -> Float[Array, "*batch"]:
    """`(exp(-a δ) + a δ - 1) / a^2`, δ = target - prediction (Udovichenko et al. 2025).

    Strictly convex in the prediction, and least in expectation where the prediction is the certainty equivalent
    `-(1 / a) log E exp(-a target)`. It depends on the difference alone, and tends to `δ^2 / 2` as a tends to 0.

    Args:
        prediction: `[...]`.
        target: `[...]`, for example reward plus next value; undiscounted, or the objective is a nested one.
        aversion: a, in 1 / return; negative seeks risk, 0 is the square loss.
        limit: the exponential goes on as its tangent where `-a δ` exceeds it; the gradient is then at most
            `exp(limit) / a`.
    """
    difference = jax.lax.stop_gradient(jnp.asarray(target)) - prediction
    exponent = -aversion * difference
    return difference**2 * _curvature(exponent, limit)


def _curvature(u: Array, limit: float) -> Array:
    """`(exp(u) - 1 - u) / u^2`, by its series near 0; linear continuation of the exponential beyond `limit`."""
    small = jnp.abs(u) < _SERIES_BELOW
    series = jnp.zeros_like(u)
    for term in range(9, 2, -1):  # 1/2 (1 + u/3 (1 + u/4 (...)))
        series = (1 + series) * u / term
    far = u > limit
    apart = jnp.where(small | far, 1, u)
    tangent = jnp.exp(jnp.asarray(limit, u.dtype)) * (1 + u - limit) - 1 - u
    steep = jnp.where(far, tangent, jnp.expm1(apart) - apart) / jnp.where(small, 1, u) ** 2
    return jnp.where(small, (1 + series) / 2, steep)


def exponential_loss(prediction: Any, target: Any, aversion: Any) -> Float[Array, "*batch"]:
    """`(exp(-a prediction) - exp(-a target))^2 / (2 a^2)`: the square loss of exponentiated values, a baseline.

    It has the minimiser of `itakura_saito_loss`, but its gradient carries `exp(-2 a prediction)`: it explodes at low
    values and vanishes at high ones.
    """
    fixed = jax.lax.stop_gradient(jnp.asarray(target))
    return ((jnp.exp(-aversion * prediction) - jnp.exp(-aversion * fixed)) / aversion) ** 2 / 2
