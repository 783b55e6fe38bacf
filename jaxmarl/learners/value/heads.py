"""Heads: how outputs of a network are laws of the return of each action, and what it costs to be wrong.

A head is all that distinguishes one deep value learner from another. Its outputs are a pytree whose leaves are
`[..., A, ...]`: batch, actions, then whatever it needs.
"""

import abc
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxmarl.core.checks import require, require_int
from jaxmarl.distributional.categorical import Categorical, two_hot, uniform_atoms
from jaxmarl.distributional.law import Law, ReturnLaw
from jaxmarl.distributional.losses import bin_centres, categorical_loss, hl_gauss_targets, quantile_huber_loss
from jaxmarl.distributional.quantile import Quantile, midpoint_levels, uniform_quantile
from jaxmarl.learners.value.replay import Transition


@dataclass(frozen=True)
class ReturnHead(abc.ABC):
    """What a learner of values adds to the loop that all of them share.

    Attributes:
        dueling: whether outputs are a common part plus each action's difference from the mean (Wang et al. 2016).
    """

    dueling: bool = field(default=False, kw_only=True)

    rates: ClassVar[dict[str, float]] = {}
    """Factors of the learning rate of named submodules."""

    @abc.abstractmethod
    def outputs(self, features: Float[Array, "*batch F"], num_actions: int, key: Array | None) -> PyTree:
        """Outputs of all actions; called within a compact flax module, so that it may make layers.

        Args:
            features: of the encoder.
            num_actions: A.
            key: for heads that draw; None asks for outputs without chance, to act by.
        """

    @abc.abstractmethod
    def law(self, outputs: PyTree, obs: Array) -> ReturnLaw:
        """Laws `[..., A]` by which actions are chosen."""

    @abc.abstractmethod
    def target(self, outputs: PyTree, reward: Float[Array, "*batch"], discount: Float[Array, "*batch"]) -> PyTree:
        """What to regress on: `reward + discount * G`, given the outputs `[...]` of the next action."""

    @abc.abstractmethod
    def loss(self, outputs: PyTree, target: PyTree) -> Float[Array, "*batch"]:
        """Loss of the outputs `[...]` of the action taken."""

    def against(self, outputs: PyTree, law: Law) -> Float[Array, "*batch"]:
        """Loss of outputs `[...]` against laws `[..., M]` in any order of atoms: for critics of a stochastic policy."""
        raise NotImplementedError(f"{type(self).__name__} has no loss against a mixture of laws")

    def see(self, obs: Array) -> Array:
        """What the encoder reads of an observation; all of it, as it is."""
        return obs

    def prepare(self, batch: Transition, key: Array) -> Transition:
        """A batch as the losses see it, for heads that relabel or decompose experience; leaves it as it is."""
        return batch

    def dense(self, features: Float[Array, "*batch F"], num_actions: int, size: int) -> Float[Array, "*batch A K"]:
        """A last layer of `size` outputs an action."""

        def layer(rows: int, name: str) -> Array:
            return nn.Dense(rows * size, name=name)(features).reshape(*features.shape[:-1], rows, size)

        advantage = layer(num_actions, "outputs")
        if not self.dueling:
            return advantage
        return layer(1, "common") + advantage - jnp.mean(advantage, -2, keepdims=True)


def chosen(outputs: PyTree, action: Int[Array, "*batch"]) -> PyTree:
    """Outputs `[..., A, ...]` of one action each, `[..., ...]`."""

    def take(x: Array) -> Array:
        index = action.reshape(*action.shape, *(1 for _ in range(x.ndim - action.ndim)))
        return jnp.take_along_axis(x, index, axis=action.ndim).squeeze(action.ndim)

    return jax.tree.map(take, outputs)


def certain(values: Float[Array, "*batch"]) -> Law:
    """Laws of returns known for certain: what learners of means alone say."""
    return Law(values[..., None], jnp.ones_like(values)[..., None])


@dataclass(frozen=True)
class MeanHead(ReturnHead):
    """Expected returns, by the square or the Huber loss of the error (Mnih et al. 2015, "DQN").

    Attributes:
        delta: where the loss turns from square to linear. Beyond it what is learned is near the median: rare ends of
            an episode that cost more than it are ignored, and values grow without bound. Scale rewards to it.
    """

    delta: float = math.inf

    def __post_init__(self):
        require(self.delta > 0, "delta", self.delta, "positive")

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, 1)[..., 0]

    def law(self, outputs, obs):
        return certain(outputs)

    def target(self, outputs, reward, discount):
        return reward + discount * outputs

    def loss(self, outputs, target):
        if math.isinf(self.delta):
            return optax.l2_loss(outputs, target)
        return optax.huber_loss(outputs, target, delta=self.delta)


@dataclass(frozen=True)
class CategoricalHead(ReturnHead):
    """Probabilities of fixed atoms, by cross-entropy with the projected target (Bellemare et al. 2017, "C51").

    Attributes:
        low: lowest atom; returns beyond are clipped, which biases their mean.
        high: highest atom.
        num_atoms: K.
    """

    low: float = -10.0
    high: float = 10.0
    num_atoms: int = 51

    def __post_init__(self):
        require_int("num_atoms", self.num_atoms, 2)
        require(self.low < self.high, "low, high", (self.low, self.high), "in order")

    @property
    def atoms(self) -> Float[Array, " K"]:
        """`[K]`."""
        return uniform_atoms(self.low, self.high, self.num_atoms)

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, self.num_atoms)

    def law(self, outputs, obs):
        return Categorical(self.atoms, jax.nn.softmax(outputs))

    def target(self, outputs, reward, discount):
        return self.law(outputs, None).backup(reward, discount).probs

    def loss(self, outputs, target):
        return categorical_loss(outputs, target)


@dataclass(frozen=True)
class QuantileHead(ReturnHead):
    """Quantiles at fixed levels, by quantile regression (Dabney et al. 2018, "QR-DQN").

    Attributes:
        num_quantiles: N.
        kappa: where the loss turns from square to linear; 0 is the pinball loss.
    """

    num_quantiles: int = 51
    kappa: float = 1.0

    def __post_init__(self):
        require_int("num_quantiles", self.num_quantiles, 1)
        require(self.kappa >= 0, "kappa", self.kappa, "at least 0")

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, self.num_quantiles)

    def law(self, outputs, obs) -> Quantile:
        return uniform_quantile(outputs)

    def target(self, outputs, reward, discount):
        return uniform_quantile(outputs).backup(reward, discount).values

    def loss(self, outputs, target):
        levels = midpoint_levels(self.num_quantiles, outputs.dtype)
        return quantile_huber_loss(outputs, levels, target, self.kappa)

    def against(self, outputs, law):
        levels = midpoint_levels(self.num_quantiles, outputs.dtype)
        return quantile_huber_loss(outputs, levels, law.atoms, self.kappa, target_weights=law.weights)


@dataclass(frozen=True)
class HistogramHead(ReturnHead):
    """Expected returns by classification (Farebrother et al. 2024): targets are numbers, spread over bins.

    The probabilities are no law of the return: what is learned is its mean.

    Attributes:
        low: lower end of the bins; leave three standard deviations of a target below the least value.
        high: upper end.
        num_bins: K.
        ratio: standard deviation of a target in widths of a bin (HL-Gauss); 0 divides a target between the two
            nearest centres ("two-hot").
    """

    low: float = -10.0
    high: float = 10.0
    num_bins: int = 51
    ratio: float = 0.75

    def __post_init__(self):
        require_int("num_bins", self.num_bins, 2)
        require(self.low < self.high, "low, high", (self.low, self.high), "in order")
        require(self.ratio >= 0, "ratio", self.ratio, "at least 0")

    @property
    def edges(self) -> Float[Array, " K1"]:
        """Ends of the bins, `[K + 1]`."""
        return uniform_atoms(self.low, self.high, self.num_bins + 1)

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, self.num_bins)

    def values(self, outputs: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """Means of the bins' centres."""
        return jax.nn.softmax(outputs) @ bin_centres(self.edges)

    def law(self, outputs, obs):
        return certain(self.values(outputs))

    def target(self, outputs, reward, discount):
        return reward + discount * self.values(outputs)

    def loss(self, outputs, target):
        probs: Any = hl_gauss_targets(target, self.edges, self.ratio) if self.ratio else None
        return categorical_loss(outputs, two_hot(target, bin_centres(self.edges)) if probs is None else probs)
