"""Heads whose quantile levels are inputs or are learned: implicit quantile networks and parameterised fractions."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.losses import cosine_embedding, fraction_loss, quantile_huber_loss, sample_levels
from jaxmarl.distributional.quantile import Quantile, midpoint_levels, uniform_quantile
from jaxmarl.learners.value.heads import ReturnHead


class QuantileReader(nn.Module):
    """Quantiles of each action at given levels (Dabney et al. 2018, "IQN").

    Attributes:
        num_actions: A.
        num_frequencies: of the levels' cosine embedding.
    """

    num_actions: int
    num_frequencies: int = 64

    @nn.compact
    def __call__(
        self, features: Float[Array, "*batch F"], levels: Float[Array, "*batch M"]
    ) -> Float[Array, "*batch A M"]:
        """Quantiles at `levels`, which are `[M]` or one set an observation."""
        width = features.shape[-1]
        read = nn.relu(nn.Dense(width, name="levels")(cosine_embedding(levels, self.num_frequencies)))
        joined = nn.relu(nn.Dense(width, name="joined")(features[..., None, :] * read))
        return jnp.swapaxes(nn.Dense(self.num_actions, name="outputs")(joined), -1, -2)


class LevelQuantiles(NamedTuple):
    """Values and the levels whose quantiles they are, `[..., A, M]` both."""

    values: Float[Array, "*batch M"]
    levels: Float[Array, "*batch M"]


@dataclass(frozen=True)
class ImplicitQuantileHead(ReturnHead):
    """Quantiles at any level, learned at random ones (Dabney et al. 2018, "IQN").

    Actions are chosen by quantiles at fixed midpoints, so that any functional of laws applies and acting draws nothing.

    Attributes:
        num_levels: levels drawn for predictions and for targets.
        num_points: midpoints to act by.
        kappa: where the loss turns from square to linear.
        num_frequencies: of the levels' cosine embedding.
    """

    num_levels: int = 8
    num_points: int = 32
    kappa: float = 1.0
    num_frequencies: int = 64

    def __post_init__(self):
        for name in ("num_levels", "num_points", "num_frequencies"):
            require_int(name, getattr(self, name), 1)
        require(self.kappa >= 0, "kappa", self.kappa, "at least 0")
        require(not self.dueling, "dueling", self.dueling, "False for implicit quantiles")

    def outputs(self, features, num_actions, key) -> LevelQuantiles:
        if key is None:
            levels = jnp.broadcast_to(midpoint_levels(self.num_points), (*features.shape[:-1], self.num_points))
        else:
            levels = sample_levels(key, (*features.shape[:-1], self.num_levels))
        values = QuantileReader(num_actions, self.num_frequencies, name="reader")(features, levels)
        return LevelQuantiles(values, jnp.broadcast_to(levels[..., None, :], values.shape))

    def law(self, outputs, obs) -> Quantile:
        return uniform_quantile(outputs.values)

    def target(self, outputs, reward, discount):
        return self.law(outputs, None).backup(reward, discount).values

    def loss(self, outputs, target):
        return quantile_huber_loss(outputs.values, outputs.levels, target, self.kappa)


class FractionQuantiles(NamedTuple):
    """Outputs of `FractionHead`.

    Attributes:
        values: `[..., A, N]`, quantiles at the middles of the stretches.
        widths: `[..., A, N]`, probabilities of the stretches, the same for all actions.
        at_fractions: `[..., A, N - 1]`, quantiles at the ends between stretches.
    """

    values: Float[Array, "*batch N"]
    widths: Float[Array, "*batch N"]
    at_fractions: Float[Array, "*batch inner"]


@dataclass(frozen=True)
class FractionHead(ReturnHead):
    """Quantiles at levels that a second network proposes (Yang et al. 2019, "FQF").

    Attributes:
        num_quantiles: N.
        kappa: where the loss turns from square to linear.
        entropy_weight: of a bonus for stretches of like probability.
        num_frequencies: of the levels' cosine embedding.
    """

    num_quantiles: int = 16
    kappa: float = 1.0
    entropy_weight: float = 1e-3
    num_frequencies: int = 64

    rates: ClassVar[dict[str, float]] = {"fractions": 0.01}

    def __post_init__(self):
        require_int("num_quantiles", self.num_quantiles, 2)
        require_int("num_frequencies", self.num_frequencies, 1)
        require(self.kappa >= 0, "kappa", self.kappa, "at least 0")
        require(self.entropy_weight >= 0, "entropy_weight", self.entropy_weight, "at least 0")
        require(not self.dueling, "dueling", self.dueling, "False for implicit quantiles")

    def outputs(self, features, num_actions, key) -> FractionQuantiles:
        # fractions learn from their own loss alone, and teach the encoder nothing
        proposal = nn.Dense(self.num_quantiles, kernel_init=nn.initializers.normal(0.01), name="fractions")
        widths = jax.nn.softmax(proposal(jax.lax.stop_gradient(features)))
        ends = jax.lax.stop_gradient(jnp.cumsum(widths, -1))
        middles = ends - jax.lax.stop_gradient(widths) / 2
        reader = QuantileReader(num_actions, self.num_frequencies, name="reader")
        values, inner = reader(features, middles), jax.lax.stop_gradient(reader(features, ends[..., :-1]))
        return FractionQuantiles(values, jnp.broadcast_to(widths[..., None, :], values.shape), inner)

    def law(self, outputs, obs) -> Quantile:
        return Quantile(outputs.values, jax.lax.stop_gradient(outputs.widths))

    def target(self, outputs, reward, discount) -> Any:
        return self.law(outputs, None).backup(reward, discount)

    def loss(self, outputs, target):
        law = self.law(outputs, None)
        regression = quantile_huber_loss(
            law.values, law.levels, target.values, self.kappa, target_weights=target.weights
        )
        fractions = jnp.cumsum(outputs.widths, -1)[..., :-1]
        proposal = fraction_loss(fractions, outputs.at_fractions, jax.lax.stop_gradient(law.values))
        entropy = -jnp.sum(outputs.widths * jnp.log(jnp.maximum(outputs.widths, 1e-8)), -1)
        return regression + proposal - self.entropy_weight * entropy
