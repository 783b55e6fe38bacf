"""What a mixed strategy is worth to a player who dislikes risk: mean payoff less variance, downside or entropic risk.

The risk is what the *others'* random play does to the own expected payoff: own randomisation is averaged out first.
With `variance`, that makes the utility concave in the own strategy, so that equilibria exist (Slumbers et al. 2023);
the variance of realised payoffs, own randomisation included, would not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_int


class Prospect(NamedTuple):
    """What one player faces.

    Attributes:
        outcomes: `[A, B]`, payoff of each own action in each of the B contingencies; 0 for illegal actions.
        weights: `[B]`, probabilities of the contingencies.
        mask: `[A]`, legal actions.
        penalty: `[A]`, taken from the mean payoff of each action, in units of payoff.
    """

    outcomes: Float[Array, "num_actions contingencies"]
    weights: Float[Array, " contingencies"]
    mask: Bool[Array, " num_actions"]
    penalty: Float[Array, " num_actions"]


class Objective(NamedTuple):
    """A concave utility of mixed strategies `[A]`, as functions.

    Attributes:
        value: strategy -> utility.
        gradient: strategy -> `[A]`; what is said of illegal actions has no meaning.
        curvature: bounds the change of the gradient by that of the strategy, both in Euclidean length.
        relative_curvature: the same relative to negative entropy, for mirror steps: the largest entry of the Hessian.
    """

    value: Callable[[Float[Array, " num_actions"]], Float[Array, ""]]
    gradient: Callable[[Float[Array, " num_actions"]], Float[Array, " num_actions"]]
    curvature: Callable[[], Float[Array, ""]]
    relative_curvature: Callable[[], Float[Array, ""]]


@runtime_checkable
class RiskMeasure(Protocol):
    """Turns what a player faces into its utility. Implementations are frozen and hashable."""

    def objective(self, prospect: Prospect, aversion: Any) -> Objective:
        """The utility at risk aversion `aversion` >= 0, a scalar; at 0 the mean payoff less the penalty."""
        ...


def prospect(
    outcomes: Float[Array, "num_actions contingencies"],
    weights: Float[Array, " contingencies"],
    mask: Bool[Array, " num_actions"] | None = None,
    penalty: Float[Array, " num_actions"] | None = None,
) -> Prospect:
    """A `Prospect` with every action legal and without penalty, unless told otherwise."""
    legal = jnp.ones(outcomes.shape[0], bool) if mask is None else mask
    taken = jnp.zeros(outcomes.shape[0], outcomes.dtype) if penalty is None else jnp.where(legal, penalty, 0)
    return Prospect(jnp.where(legal[:, None], outcomes, 0), weights, legal, taken)


def mean_payoffs(faced: Prospect) -> Float[Array, " num_actions"]:
    """`m`: mean payoff of each action, without the penalty."""
    return jnp.dot(faced.outcomes, faced.weights, precision="highest")


def covariance(faced: Prospect) -> Float[Array, "num_actions num_actions"]:
    """`C`: covariance of the payoffs of any two actions over the contingencies; 0 where one is illegal.

    From centred payoffs: the difference of moments would cancel to nothing in float32.
    """
    centred = _centred(faced)
    return jnp.dot(centred * faced.weights, centred.T, precision="highest")


@dataclass(frozen=True)
class Variance:
    """`mean - aversion * variance` of the payoff over the contingencies (Markowitz 1952); aversion is in 1 / payoff."""

    def objective(self, prospect: Prospect, aversion: Any) -> Objective:
        means, spread = mean_payoffs(prospect) - prospect.penalty, covariance(prospect)

        def gradient(strategy: Array) -> Array:
            return means - 2 * aversion * jnp.dot(spread, strategy, precision="highest")

        def value(strategy: Array) -> Array:
            risk = strategy @ jnp.dot(spread, strategy, precision="highest")
            return strategy @ means - aversion * risk

        largest = jnp.max(jnp.abs(spread))
        return Objective(value, gradient, lambda: 2 * aversion * spectral_bound(spread), lambda: 2 * aversion * largest)


@dataclass(frozen=True)
class LowerPartialMoment:
    """`mean - aversion * E[max(target - payoff, 0)^order]`: only what falls short of the target counts (Fishburn 1977).

    Attributes:
        target: in units of payoff.
        order: 1 or 2. The first is not smooth: the corner is rounded, which adds at most `aversion * width * log 2`.
        width: of the rounded corner, in units of payoff, for order 1.
    """

    target: float = 0.0
    order: int = 2
    width: float = 0.01

    def __post_init__(self) -> None:
        require_int("order", self.order, 1, 2)
        require(self.width > 0, "width", self.width, "positive")

    def objective(self, prospect: Prospect, aversion: Any) -> Objective:
        means = mean_payoffs(prospect) - prospect.penalty
        shortfalls = jnp.where(prospect.mask[:, None], self.target - prospect.outcomes, 0)

        def moment(strategy: Array) -> Array:
            short = jnp.dot(strategy, shortfalls, precision="highest")
            if self.order == 1:
                return prospect.weights @ (self.width * jax.nn.softplus(short / self.width))
            return prospect.weights @ jnp.square(jnp.maximum(short, 0))

        def value(strategy: Array) -> Array:
            return strategy @ means - aversion * moment(strategy)

        second = jnp.dot(shortfalls * prospect.weights, shortfalls.T, precision="highest")
        steepest = 2.0 if self.order == 2 else 0.25 / self.width
        return Objective(
            value,
            jax.grad(value),
            lambda: steepest * aversion * spectral_bound(second),
            lambda: steepest * aversion * jnp.max(jnp.abs(second)),
        )


@dataclass(frozen=True)
class EntropicRisk:
    """`-(1 / t) log E[exp(-t payoff)]` with `t = 2 aversion`: the certainty equivalent of constant risk aversion.

    To second order in the aversion it is `mean - aversion * variance`.
    """

    def objective(self, prospect: Prospect, aversion: Any) -> Objective:
        theta = 2 * jnp.asarray(aversion, prospect.outcomes.dtype)
        positive = jnp.where(theta > 0, theta, 1)
        possible = prospect.weights > 0

        def value(strategy: Array) -> Array:
            payoffs = jnp.dot(strategy, prospect.outcomes, precision="highest")
            least = jnp.min(jnp.where(possible, payoffs, jnp.inf))
            above = jnp.where(possible, payoffs - least, 0)
            # exp(x) - 1 keeps small aversions exact, where the logarithm of a mean near 1 has no digits left
            certain = least - jnp.log1p(prospect.weights @ jnp.expm1(-positive * above)) / positive
            return jnp.where(theta > 0, certain, prospect.weights @ payoffs) - strategy @ prospect.penalty

        def gradient(strategy: Array) -> Array:
            tilted = tilted_weights(prospect, strategy, theta)
            return jnp.dot(prospect.outcomes, tilted, precision="highest") - prospect.penalty

        squares = jnp.where(possible, jnp.square(_centred(prospect)), 0)
        return Objective(
            value, gradient, lambda: theta * jnp.max(jnp.sum(squares, 0)), lambda: theta * jnp.max(squares)
        )


def tilted_weights(
    faced: Prospect, strategy: Float[Array, " num_actions"], theta: Any
) -> Float[Array, " contingencies"]:
    """Probabilities proportional to `weights * exp(-theta * payoff of the strategy)`: the adversary's within reach."""
    payoffs = jnp.dot(strategy, faced.outcomes, precision="highest")
    possible = faced.weights > 0
    logs = jnp.log(jnp.where(possible, faced.weights, 1)) - theta * payoffs
    return jax.nn.softmax(jnp.where(possible, logs, -jnp.inf))


def spectral_bound(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """An upper bound on the largest eigenvalue of a positive semi-definite matrix, within a factor `n^(1 / 32)`.

    The Frobenius norm of the 16th power. Power iteration from a fixed vector may start orthogonal to what it looks for:
    the covariances of games in which all strategies are exchangeable have the vector of ones in their kernel.
    """
    norm = jnp.sqrt(jnp.sum(jnp.square(matrix / _largest(matrix)))) * _largest(matrix)
    power = matrix / jnp.where(norm > 0, norm, 1)
    for _ in range(4):
        power = jnp.dot(power, power, precision="highest")
    return norm * jnp.sum(jnp.square(power)) ** (1 / 32)


def _largest(matrix: Array) -> Float[Array, ""]:
    largest = jnp.max(jnp.abs(matrix))
    return jnp.where(largest > 0, largest, 1)


def _centred(faced: Prospect) -> Float[Array, "num_actions contingencies"]:
    return jnp.where(faced.mask[:, None], faced.outcomes - mean_payoffs(faced)[:, None], 0)
