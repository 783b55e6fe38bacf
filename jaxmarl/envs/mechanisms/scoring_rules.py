"""Proper scoring rules: what a report of probabilities is paid once the outcome is known, best where it is true."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

ScoringRule = Callable[[Float[Array, " W"], Int[Array, ""]], Float[Array, ""]]


def quadratic_score(report: Float[Array, " W"], outcome: Int[Array, ""]) -> Float[Array, ""]:
    """`1 - |report - outcome|² / 2` (Brier 1950), in [0, 1]; of two outcomes `1 - (1 - p_outcome)²`."""
    return 1 - jnp.sum((report - (jnp.arange(report.size) == outcome)) ** 2) / 2


def log_score(report: Float[Array, " W"], outcome: Int[Array, ""]) -> Float[Array, ""]:
    """`log p_outcome` (Good 1952), at most 0."""
    return jnp.log(report[outcome])


def spherical_score(report: Float[Array, " W"], outcome: Int[Array, ""]) -> Float[Array, ""]:
    """`p_outcome / |report|`, in [0, 1]."""
    return report[outcome] / jnp.sqrt(jnp.sum(report**2))


def expected_score(rule: ScoringRule, report: Float[Array, " W"], belief: Float[Array, " W"]) -> Float[Array, ""]:
    """What a report earns on average by the reporter's own belief."""
    return jnp.sum(belief * jnp.stack([rule(report, jnp.asarray(w)) for w in range(belief.size)]))


def quadratic_pay(cost: float, accuracy: float) -> float:
    """The scale `a` at which `a quadratic_score` just pays for a signal about two equally likely outcomes.

    Without the signal the best report is ½ and scores 3/4; with one that is right with probability q, the report q
    scores `1 - q (1 - q)`: more by `(q - 1/2)²`.
    """
    return cost / (accuracy - 0.5) ** 2
