"""Values learned in another scale and by parts of the reward (van Seijen et al. 2019; Fatemi and Tavakoli 2022)."""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.learners.value.heads import ReturnHead, certain


class ValueMap(Protocol):
    """An increasing function of values that are not negative, and its inverse."""

    def forward(self, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """From values to the scale in which they are learned."""

    def inverse(self, mapped: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Back to values."""


@dataclass(frozen=True)
class IdentityMap:
    """Values as they are."""

    def forward(self, value):
        return value

    def inverse(self, mapped):
        return mapped


@dataclass(frozen=True)
class LogMap:
    """`c log(max(x, least)) + d`: relative differences of values become absolute ones.

    Attributes:
        scale: c.
        shift: d.
        least: values below count as it.
    """

    scale: float = 0.5
    shift: float = 0.0
    least: float = 0.01687

    def __post_init__(self):
        require(self.scale > 0, "scale", self.scale, "positive")
        require(self.least > 0, "least", self.least, "positive")

    def forward(self, value):
        return self.scale * jnp.log(jnp.maximum(value, self.least)) + self.shift

    def inverse(self, mapped):
        return jnp.exp((mapped - self.shift) / self.scale)


@dataclass(frozen=True)
class LogLinearMap:
    """`LogMap` up to the value where it crosses 0, and its tangent from there.

    Attributes:
        scale: c.
        shift: d.
        least: values below count as it.
    """

    scale: float = 0.5
    shift: float = 0.0
    least: float = 0.01687

    def __post_init__(self):
        require(self.scale > 0, "scale", self.scale, "positive")
        require(0 < self.least < self.crossing, "least", self.least, f"between 0 and {self.crossing:g}")

    @property
    def crossing(self) -> float:
        """The value that is mapped to 0."""
        return math.exp(-self.shift / self.scale)

    def forward(self, value):
        logarithm = self.scale * jnp.log(jnp.clip(value, self.least, self.crossing)) + self.shift
        return jnp.where(value <= self.crossing, logarithm, self.scale * (value / self.crossing - 1))

    def inverse(self, mapped):
        below = jnp.exp((jnp.minimum(mapped, 0) - self.shift) / self.scale)
        return jnp.where(mapped <= 0, below, (mapped + self.scale) * self.crossing / self.scale)


CHANNELS = ("polar", "decades")


def reward_channels(reward: Float[Array, "*batch"], channels: str, num_decades: int = 4) -> Float[Array, "*batch J"]:
    """Parts of rewards, none negative, that `channel_weights` add up again.

    Args:
        reward: `[...]`.
        channels: `"polar"`, gains and losses; `"decades"`, both cut further into sizes up to 1, 10, 100 ...; each slice
            is scaled to [0, 1], and what exceeds the last is lost.
        num_decades: slices of each sign.
    """
    require_choice("channels", channels, CHANNELS)
    signs = jnp.stack([jnp.maximum(reward, 0), jnp.maximum(-reward, 0)], -1)
    if channels == "polar":
        return signs
    ends = jnp.array([0.0, *(10.0**k for k in range(num_decades))], reward.dtype)
    slices = jnp.clip((signs[..., None] - ends[:-1]) / jnp.diff(ends), 0, 1)
    return slices.reshape(*reward.shape, -1)


def channel_weights(channels: str, num_decades: int = 4) -> Float[Array, " J"]:
    """What a unit of each channel is worth, with its sign."""
    require_choice("channels", channels, CHANNELS)
    sizes = jnp.ones(1) if channels == "polar" else jnp.diff(jnp.array([0.0, *(10.0**k for k in range(num_decades))]))
    return jnp.concatenate([sizes, -sizes])


def mapped_target(mapping: ValueMap, mapped: Array, target: Array, step: float) -> Array:
    """What a mapped value is drawn to: the value itself moves by `step` towards its target, and is then mapped.

    Averaging over random targets in the scale of values, before mapping, removes the bias of averaging logarithms.
    """
    value = mapping.inverse(mapped)
    return mapping.forward(value + step * (target - value))


@dataclass(frozen=True)
class MappedHead(ReturnHead):
    """Expected returns of each part of the reward, in another scale ("orchestrated value mapping").

    Attributes:
        mapping: the scale.
        channels: how rewards are parted, see `reward_channels`.
        num_decades: slices of each sign, of `"decades"`.
        step: by which values move before they are mapped.
        most: values of a part are clipped to [0, most].
    """

    mapping: ValueMap = LogLinearMap()
    channels: str = "polar"
    num_decades: int = 4
    step: float = 0.1
    most: float = 100.0

    def __post_init__(self):
        require_choice("channels", self.channels, CHANNELS)
        require_int("num_decades", self.num_decades, 1)
        require(0 < self.step <= 1, "step", self.step, "in (0, 1]")
        require(self.most > 0, "most", self.most, "positive")

    @property
    def weights(self) -> Float[Array, " J"]:
        """What a unit of each part is worth."""
        return channel_weights(self.channels, self.num_decades)

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, self.weights.size)

    def law(self, outputs, obs):
        return certain(self.mapping.inverse(outputs) @ self.weights)

    def target(self, outputs, reward, discount):
        parts = reward_channels(reward, self.channels, self.num_decades)
        return jnp.clip(parts + discount[..., None] * self.mapping.inverse(outputs), 0.0, self.most)

    def loss(self, outputs, target):
        aim = mapped_target(self.mapping, jax.lax.stop_gradient(outputs), target, self.step)
        return jnp.sum(optax.huber_loss(outputs, aim), -1)
