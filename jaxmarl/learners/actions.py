"""Distributions of actions, one object a kind of action space: what a network's outputs mean as a policy.

PPO's loss needs `sample`, `log_prob` and `entropy` and nothing else, so it is the same for every kind. What is stored
and scored is `raw`, the draw before it is squashed or clipped into the space: nothing has to be inverted.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import Chance, ChanceSpec, Normal, Uniform
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.policy import categorical
from jaxmarl.core.spaces import Box, Discrete, Space

BOUNDS = ("squash", "clip")
SPREADS = ("shared", "state")
LOG_STD_RANGE = (-6.0, 2.0)


class ActionHead(Protocol):
    """How the outputs of a network are a distribution over actions; `[...]` are leading axes."""

    @property
    def num_outputs(self) -> int:
        """Outputs that depend on the observation."""

    @property
    def free(self) -> tuple[float, ...]:
        """Initial values of further outputs that are learned numbers, the same for every observation."""

    @property
    def masked(self) -> bool:
        """Whether actions may be illegal."""

    @property
    def chance(self) -> ChanceSpec:
        """What one draw needs."""

    def sample(self, outputs: Float[Array, "*batch O"], chance: Chance) -> tuple[Array, Array]:
        """An action of the space, and the raw draw behind it."""

    def mode(self, outputs: Float[Array, "*batch O"]) -> Array:
        """The most likely action (of a normal distribution: its mean, squashed or clipped)."""

    def log_prob(self, outputs: Float[Array, "*batch O"], raw: Array) -> Float[Array, "*batch"]:
        """Logarithm of the action's probability or density."""

    def entropy(self, outputs: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """Entropy of the action, in nats."""

    def divergence(self, outputs: Float[Array, "*batch O"], others: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """Kullback-Leibler divergence from the policy of `others`, in nats."""

    def encode(self, action: Array) -> Float[Array, "*batch D"]:
        """Actions of the space as inputs of a network: one-hot, or numbers around 0."""


@dataclass(frozen=True)
class CategoricalActions:
    """Outputs are logits of a softmax.

    Attributes:
        num_outputs: number of actions.
        masked: whether some may be illegal; networks then read masks.
    """

    num_outputs: int
    masked: bool = True

    free = ()
    chance = Uniform()

    def sample(self, outputs: Float[Array, "*batch O"], chance: Chance) -> tuple[Int32[Array, "*batch"], Array]:
        action = categorical(outputs, chance)
        return action, action

    def mode(self, outputs: Float[Array, "*batch O"]) -> Int32[Array, "*batch"]:
        return jnp.argmax(outputs, axis=-1).astype(jnp.int32)

    def log_prob(self, outputs: Float[Array, "*batch O"], raw: Array) -> Float[Array, "*batch"]:
        return distrax.Categorical(outputs).log_prob(raw)

    def entropy(self, outputs: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        return distrax.Categorical(outputs).entropy()

    def divergence(self, outputs: Float[Array, "*batch O"], others: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        return distrax.Categorical(outputs).kl_divergence(distrax.Categorical(others))

    def encode(self, action: Array) -> Float[Array, "*batch A"]:
        return jax.nn.one_hot(action, self.num_outputs)


@dataclass(frozen=True)
class GaussianActions:
    """Outputs are means and logarithms of standard deviations of independent normal numbers, one an entry of an action.

    Squashed, a number x becomes `low + (high - low) (1 + tanh x) / 2` between two bounds, `low + softplus(x)` above one
    (`high - softplus(x)` below one), and stays x without any; densities and entropies are those of the squashed action.
    Clipped, the network's unit is half the width of the box, its zero the centre (bounded boxes) or 0, and densities
    and entropies are those before clipping, as if the environment did it.

    Attributes:
        shape: of the action.
        low: least entry, perhaps minus infinity.
        high: largest entry, perhaps infinity.
        bounds: `"squash"` or `"clip"`.
        spread: `"shared"`, standard deviations are learned numbers; `"state"`, they depend on the observation.
        initial_std: standard deviation of x at the start.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    bounds: str = "squash"
    spread: str = "shared"
    initial_std: float = 0.5

    masked = False

    def __post_init__(self):
        require_choice("bounds", self.bounds, BOUNDS)
        require_choice("spread", self.spread, SPREADS)
        allowed = LOG_STD_RANGE[0] < math.log(max(self.initial_std, 1e-9)) < LOG_STD_RANGE[1]
        require(allowed, "initial_std", self.initial_std, "above 0.0025 and below 7.3")

    @property
    def size(self) -> int:
        """Number of entries of an action."""
        return math.prod(self.shape)

    @property
    def num_outputs(self) -> int:
        return self.size * (2 if self.spread == "state" else 1)

    @property
    def free(self) -> tuple[float, ...]:
        return (math.log(self.initial_std),) * self.size if self.spread == "shared" else ()

    @property
    def chance(self) -> Normal:
        return Normal((self.size,))

    def sample(self, outputs: Float[Array, "*batch O"], chance: Chance) -> tuple[Array, Array]:
        normal = self._normal(outputs)
        raw = normal.loc + normal.scale * chance
        return self._squash(raw)[0].reshape(*raw.shape[:-1], *self.shape), raw

    def mode(self, outputs: Float[Array, "*batch O"]) -> Array:
        mean = self._normal(outputs).loc
        return self._squash(mean)[0].reshape(*mean.shape[:-1], *self.shape)

    def log_prob(self, outputs: Float[Array, "*batch O"], raw: Array) -> Float[Array, "*batch"]:
        return jnp.sum(self._normal(outputs).log_prob(raw) - self._squash(raw)[1], axis=-1)

    def entropy(self, outputs: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """That of the normal, and the expected logarithm of the squashing's slope, by Gauss-Hermite quadrature."""
        normal = self._normal(outputs)
        points, weights = np.polynomial.hermite_e.hermegauss(12)
        nodes = normal.loc[..., None] + normal.scale[..., None] * points.astype(np.float32)
        slope = self._squash(nodes)[1] @ (weights / weights.sum()).astype(np.float32)
        return jnp.sum(normal.entropy() + slope, axis=-1)

    def divergence(self, outputs: Float[Array, "*batch O"], others: Float[Array, "*batch O"]) -> Float[Array, "*batch"]:
        """That of the raw draws, as squashing changes none."""
        return jnp.sum(self._normal(outputs).kl_divergence(self._normal(others)), axis=-1)

    def encode(self, action: Array) -> Float[Array, "*batch D"]:
        """Entries of a bounded box as numbers in [-1, 1], of others as they are."""
        flat = action.reshape(*action.shape[: action.ndim - len(self.shape)], -1)
        if not math.isfinite(self.high - self.low):
            return flat
        return (2 * flat - self.high - self.low) / (self.high - self.low)

    def decode(self, numbers: Float[Array, "*batch D"]) -> Array:
        """The inverse of `encode`, within the box."""
        clipped = replace(self, bounds="clip")
        return clipped._squash(numbers)[0].reshape(*numbers.shape[:-1], *self.shape)

    def _normal(self, outputs: Float[Array, "*batch O"]) -> distrax.Normal:
        mean, log_std = outputs[..., : self.size], outputs[..., self.size :]
        if self.spread == "state":
            log_std = log_std + math.log(self.initial_std)
        return distrax.Normal(mean, jnp.exp(jnp.clip(log_std, *LOG_STD_RANGE)))

    def _squash(self, raw: Array) -> tuple[Array, Array]:
        """Action of each raw number, and the logarithm of the slope."""
        below, above = math.isfinite(self.low), math.isfinite(self.high)
        half = (self.high - self.low) / 2 if below and above else 1.0
        centre = (self.high + self.low) / 2 if below and above else 0.0
        # float32 arithmetic may step over the last bit of a bound
        if self.bounds == "clip" or not (below or above):
            return jnp.clip(centre + half * raw, self.low, self.high), jnp.full_like(raw, math.log(half))
        if below and above:
            squashed, slope = distrax.Tanh().forward_and_log_det(raw)
            return jnp.clip(centre + half * squashed, self.low, self.high), slope + math.log(half)
        softplus, slope = jax.nn.softplus(raw), jax.nn.log_sigmoid(raw)
        return (self.low + softplus if below else self.high - softplus), slope


def action_head(space: Space, bounds: str = "squash", spread: str = "shared", initial_std: float = 0.5) -> ActionHead:
    """The distribution for a space of actions: softmax of a `Discrete`, `GaussianActions` of a `Box` of floats.

    Raises:
        ValueError: a box of integers, or an option that is not allowed.
    """
    if isinstance(space, Discrete):
        return CategoricalActions(space.n)
    is_float = isinstance(space, Box) and jnp.issubdtype(space.dtype, jnp.floating)
    require(is_float, "action_space", space, "Discrete or a Box of floats")
    return GaussianActions(space.shape, float(space.low), float(space.high), bounds, spread, initial_std)
