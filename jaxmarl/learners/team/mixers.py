"""Mixers: how the values of a team's agents make the value of the team.

All rise in every agent's value, so that what is best for each agent alone is best for the team.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

StateOf = Callable[[Array], Array]
"""Observations of all agents `[..., N, *obs_shape]` to the global state `[..., S]`."""


def side_by_side(num_axes: int) -> StateOf:
    """The global state that any environment has: all observations, concatenated.

    Args:
        num_axes: of one agent's observation.
    """

    def state_of(obs: Array) -> Array:
        return obs.reshape(*obs.shape[: obs.ndim - num_axes - 1], -1).astype(jnp.float32)

    return state_of


class SumMixer(nn.Module):
    """The sum (Sunehag et al. 2018, "VDN")."""

    def __call__(self, values: Float[Array, "*batch N"], state: Array) -> Float[Array, "*batch 1"]:
        """The team's value; the state does not matter."""
        return jnp.sum(values, axis=-1, keepdims=True)


class MonotonicMixer(nn.Module):
    """One hidden layer of non-negative weights, which are functions of the state (Rashid et al. 2018, "QMIX").

    `w2(s) · elu(W1(s) q + b1(s)) + b2(s)`. W1 and w2 are absolute values of networks with one hidden layer, b1 is
    linear, b2 has one hidden layer, of `embed` units.

    Attributes:
        embed: hidden units.
        hypernet: width of the networks of W1 and w2.
    """

    embed: int = 32
    hypernet: int = 64

    @nn.compact
    def __call__(self, values: Float[Array, "*batch N"], state: Float[Array, "*batch S"]) -> Float[Array, "*batch 1"]:
        """The team's value; leading axes of `values` and `state` broadcast."""
        num, width, embed = values.shape[-1], self.hypernet, self.embed
        # first layers of the three networks and b1, in one product
        wide = nn.Dense(2 * width + 2 * embed, name="state")(state)
        to_first, to_second, to_bias, bias = jnp.split(wide, [width, 2 * width, 2 * width + embed], axis=-1)
        first = jnp.abs(nn.Dense(num * embed, name="first")(nn.relu(to_first)))
        second = jnp.abs(nn.Dense(embed, name="second")(nn.relu(to_second)))
        hidden = nn.elu(jnp.einsum("...n,...ne->...e", values, first.reshape(*first.shape[:-1], num, embed)) + bias)
        return jnp.sum(hidden * second, -1, keepdims=True) + nn.Dense(1, name="bias")(nn.relu(to_bias))


def make_mixer(name: str, embed: int, hypernet: int) -> Any:
    """The mixer of a `TeamConfig`, or None where values stay the agents' own."""
    if name == "none":
        return None
    return SumMixer() if name == "sum" else MonotonicMixer(embed, hypernet)
