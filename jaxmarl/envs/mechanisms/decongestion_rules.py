"""Consumers who see some features of items: what they choose, who is served, and what that is worth."""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int


@struct.dataclass
class FeatureMarket:
    """Items of which there is one each, and consumers who want one at most.

    Attributes:
        features: `[m, d]`, of items.
        weights: `[n, d]`, of consumers: an item is worth `weights @ features`.
        prices: `[m]`.
    """

    features: Float[Array, "m d"]
    weights: Float[Array, "n d"]
    prices: Float[Array, " m"]


class Outcome(NamedTuple):
    """What comes of a representation.

    Attributes:
        welfare: expected sum of the values of those who are served.
        congestion: consumers who are not served because others want the same item.
        demand: `[m]`, consumers who choose each item.
    """

    welfare: Float[Array, ""]
    congestion: Float[Array, ""]
    demand: Float[Array, " m"]


def random_market(seed: int, num_items: int, num_consumers: int, num_features: int) -> FeatureMarket:
    """Binary features, weights uniform on the simplex, prices of 0; on the host's arrays.

    Args:
        seed: of all of it.
        num_items: m.
        num_consumers: n.
        num_features: d.
    """
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 2, (num_items, num_features)).astype(float)
    weights = rng.dirichlet(np.ones(num_features), num_consumers)
    numbers: list[Any] = [features, weights, np.zeros(num_items)]
    return FeatureMarket(*numbers)


def perceived_values(market: FeatureMarket, mask: Float[Array, " d"]) -> Float[Array, "n m"]:
    """What items seem worth where features with mask 0 are taken for their means over items (mask in [0, 1])."""
    shown = mask * market.features + (1 - mask) * jnp.mean(market.features, axis=0)
    return jnp.dot(market.weights, shown.T, precision="highest")


def market_outcome(market: FeatureMarket, mask: Float[Array, " d"]) -> Outcome:
    """Each consumer wants the item with the largest perceived value minus price, or none if that is negative.

    Of those who want the same item one is served, drawn at random.
    """
    surplus = perceived_values(market, mask) - market.prices
    best = jnp.argmax(surplus, axis=1)
    wants = (jnp.arange(surplus.shape[1]) == best[:, None]) & (jnp.max(surplus, axis=1, keepdims=True) >= 0)
    demand = jnp.sum(wants, axis=0).astype(surplus.dtype)
    values = jnp.dot(market.weights, market.features.T, precision="highest")
    welfare = jnp.sum(jnp.where(wants, values, 0.0) / jnp.maximum(demand, 1))
    return Outcome(welfare, jnp.sum(jnp.maximum(demand - 1, 0)), demand)


def soft_welfare(
    market: FeatureMarket, mask: Float[Array, " d"], temperature: float | Array, penalty: float | Array
) -> Float[Array, ""]:
    """A differentiable stand-in: softmax choices' values minus `penalty` for each expected consumer too many."""
    surplus = perceived_values(market, mask) - market.prices
    options = jnp.concatenate([surplus, jnp.zeros((surplus.shape[0], 1))], axis=1)
    choice = jax.nn.softmax(options / temperature, axis=1)[:, :-1]
    values = jnp.dot(market.weights, market.features.T, precision="highest")
    return jnp.sum(choice * values) - penalty * jnp.sum(jax.nn.relu(jnp.sum(choice, axis=0) - 1))


def feature_masks(num_features: int, num_shown: int) -> Float[np.ndarray, "masks d"]:
    """All masks that show `num_shown` features."""
    require_int("num_features", num_features, 1, 20)
    require_int("num_shown", num_shown, 0, num_features)
    chosen = list(itertools.combinations(range(num_features), num_shown))
    masks = np.zeros((len(chosen), num_features))
    for mask, shown in zip(masks, chosen, strict=True):
        mask[list(shown)] = 1
    return masks


def validate_market(market: FeatureMarket) -> None:
    """Raises a one-line `ValueError` where a number of the market is not allowed (on the host)."""
    for name in ("features", "weights", "prices"):
        number = np.asarray(getattr(market, name))
        require(bool(np.isfinite(number).all()), name, "an array with infinite or missing numbers", "finite")
