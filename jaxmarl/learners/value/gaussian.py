"""Returns as normal laws, learned by clipped and weighted likelihood (Duan et al. 2023, "DSAC-T")."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.law import Law
from jaxmarl.distributional.quantile import Quantile, midpoint_levels, uniform_quantile
from jaxmarl.learners.value.heads import ReturnHead

_SLACK = 0.1  # keeps gradients of small deviations bounded, as published


@dataclass(frozen=True)
class GaussianHead(ReturnHead):
    """Mean and logarithm of the standard deviation of a normal law, `[..., 2]`.

    The mean follows the target's mean, the deviation the squared distance of the target's atoms from the mean, where
    atoms further than `clip` mean deviations count as so far; both gradients are divided by variances and multiplied
    by the mean variance of the batch. Of two critics the lower mean counts, and the lower deviation.

    Attributes:
        num_quantiles: midpoints by which the law is read.
        clip: in standard deviations.
    """

    num_quantiles: int = 32
    clip: float = 3.0

    def __post_init__(self):
        require_int("num_quantiles", self.num_quantiles, 2)
        require(self.clip > 0, "clip", self.clip, "positive")

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, 2)

    def law(self, outputs, obs) -> Quantile:
        levels = midpoint_levels(self.num_quantiles, outputs.dtype)
        return uniform_quantile(outputs[..., :1] + jnp.exp(outputs[..., 1:]) * ndtri(levels))

    def target(self, outputs, reward, discount):
        spread = jnp.log(jnp.maximum(discount * jnp.exp(outputs[..., 1]), 1e-8))
        return jnp.stack([reward + discount * outputs[..., 0], spread], -1)

    def loss(self, outputs, target):
        law = self.law(target, None)
        return self.against(outputs, Law(law.values, jnp.broadcast_to(law.weights, law.values.shape)))

    def against(self, outputs: Array, law: Law) -> Float[Array, "*batch"]:
        """A number whose gradient is the published one; not itself a likelihood."""
        fixed = jax.lax.stop_gradient
        mean, deviation = outputs[..., 0], jnp.exp(outputs[..., 1])
        middle, spread = fixed(mean), fixed(deviation)
        aim = jnp.sum(law.weights * law.atoms, -1)
        bound = self.clip * jnp.mean(spread)
        off = jnp.clip(law.atoms - middle[..., None], -bound, bound)
        excess = jnp.sum(law.weights * off**2, -1) - spread**2
        pull = fixed((aim - middle) / (spread**2 + _SLACK)) * mean + fixed(excess / (spread**3 + _SLACK)) * deviation
        return -(jnp.mean(spread**2) + _SLACK) * pull
