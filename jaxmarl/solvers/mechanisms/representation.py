"""Learning which features to show, by gradients through the consumers' choices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require_int
from jaxmarl.envs.mechanisms.decongestion_rules import FeatureMarket, soft_welfare


class Representation(NamedTuple):
    """A learned representation.

    Attributes:
        mask: `[d]`, 1 for the features with the highest logits.
        logits: `[d]`.
        trace: `[steps]`, the soft welfare of the samples of each step.
    """

    mask: Float[Array, " d"]
    logits: Float[Array, " d"]
    trace: Float[Array, " num_steps"]


def straight_through_top_k(scores: Float[Array, " d"], k: int, temperature: float | Array) -> Float[Array, " d"]:
    """1 for the k highest scores, 0 for the others, with the slopes of a sigmoid.

    The sigmoid is centred between the last score that counts and the first that does not. Half-shown features would be
    a way out of the choice, so that relaxed masks serve for slopes only.

    Args:
        scores: different ones.
        k: from 1 to d - 1.
        temperature: of the sigmoid.
    """
    ranks = jnp.sum(scores > scores[:, None], axis=1)
    hard = (ranks < k).astype(scores.dtype)
    border = jnp.sum(jnp.where((ranks == k) | (ranks == k - 1), scores, 0.0)) / 2
    soft = jax.nn.sigmoid((scores - border) / temperature)
    return hard + (soft - jax.lax.stop_gradient(soft))


def learn_representation(
    market: FeatureMarket,
    num_shown: int,
    key: Array,
    *,
    num_starts: int = 8,
    num_steps: int = 200,
    num_samples: int = 16,
    learning_rate: float = 0.3,
    choice_temperature: float = 0.1,
    mask_temperature: float = 1.0,
    penalty: float = 0.5,
) -> Representation:
    """Adam on the logits of a Gumbel top-k distribution over masks, to raise `soft_welfare` (pure; jit it).

    Masks are hard in what they are worth and soft in their slopes. Of several runs, which differ in their noise, the
    one counts whose final mask is worth most.

    Args:
        market: known to the platform.
        num_shown: k.
        key: consumed by this call.
        num_starts: runs.
        num_steps: of Adam.
        num_samples: masks drawn a step.
        learning_rate: of Adam.
        choice_temperature: of the consumers' softmax.
        mask_temperature: of the slopes of masks.
        penalty: λ, for each expected consumer too many.
    """
    import optax

    num_features = market.features.shape[1]
    require_int("num_shown", num_shown, 1, num_features - 1)
    require_int("num_starts", num_starts, 1)
    optimiser = optax.adam(learning_rate)

    def loss(logits, gumbel):
        def one(noise):
            mask = straight_through_top_k(logits + noise, num_shown, mask_temperature)
            return soft_welfare(market, mask, choice_temperature, penalty)

        return -jnp.mean(jax.vmap(one)(gumbel))

    def step(carry, gumbel):
        logits, state = carry
        value, slope = jax.value_and_grad(loss)(logits, gumbel)
        change, state = optimiser.update(slope, state)
        return (optax.apply_updates(logits, change), state), -value

    def run(noise):
        start = jnp.zeros(num_features, noise.dtype)
        (logits, _), trace = jax.lax.scan(step, (start, optimiser.init(start)), noise)
        mask = straight_through_top_k(logits, num_shown, mask_temperature)
        return Representation(mask, logits, trace), soft_welfare(market, mask, choice_temperature, penalty)

    shape = (num_starts, num_steps, num_samples, num_features)
    found, worth = jax.vmap(run)(jax.random.gumbel(key, shape, market.features.dtype))
    return jax.tree.map(lambda x: x[jnp.argmax(worth)], found)
