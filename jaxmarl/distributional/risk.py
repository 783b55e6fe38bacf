"""Risk functionals of laws: what a random return is worth to somebody who minds its spread. Larger is better.

Every functional takes a representation of one law or a batch of laws and gives one number each. Levels and aversions
may be traced numbers. They value a *whole* return: used step by step inside a backup they make another objective
(nested risk), and only the mean and, without discounting, `entropic` come to the same either way.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp, ndtr, ndtri
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.distributional.law import Law, ReturnLaw, cumulative, mean, quantiles, variance

_SMALL_AVERSION = 1e-3
_GOLDEN = (5**0.5 - 1) / 2
_REFINEMENTS = 50


def cvar(dist: ReturnLaw, level: Any, tail: str = "lower") -> Float[Array, "*batch"]:
    """Conditional value at risk (expected shortfall): mean of the worst (`"lower"`) or best (`"upper"`) part.

    Args:
        dist: the law or laws; an atom that straddles the level counts with the fitting part of its probability.
        level: probability of the part, in (0, 1]; 1 gives the mean.
        tail: `"lower"` or `"upper"`.
    """
    require_choice("tail", tail, ("lower", "upper"))
    _check_level("level", level)
    atoms, weights = dist.law()
    sums = cumulative(weights)
    before = jnp.concatenate([jnp.zeros_like(sums[..., :1]), sums[..., :-1]], -1)
    if tail == "lower":
        part = jnp.minimum(sums, level) - jnp.minimum(before, level)
    else:
        part = jnp.maximum(sums, 1 - level) - jnp.maximum(before, 1 - level)
    return jnp.sum(part * atoms, -1) / level


def value_at_risk(dist: ReturnLaw, level: float | Float[Array, ""]) -> Float[Array, "*batch"]:
    """The lowest quantile at `level`, in (0, 1]."""
    _check_level("level", level)
    return quantiles(dist, level)


def entropic(dist: ReturnLaw, aversion: Any) -> Float[Array, "*batch"]:
    """Certainty equivalent of exponential utility, `-(1 / a) log E exp(-a X)`.

    Args:
        dist: the law or laws.
        aversion: a, in 1 / return: positive dislikes risk, negative seeks it, 0 gives the mean.
    """
    atoms, weights = dist.law()
    aversion = jnp.asarray(aversion, atoms.dtype)
    average = jnp.sum(atoms * weights, -1)
    centred = atoms - average[..., None]
    small = jnp.abs(aversion) * (atoms[..., -1] - atoms[..., 0]) < _SMALL_AVERSION
    safe = jnp.where(small, 1, aversion)
    exact = -logsumexp(-safe[..., None] * centred, axis=-1, b=weights) / safe
    return average + jnp.where(small, -aversion / 2 * jnp.sum(weights * centred**2, -1), exact)


def entropic_value_at_risk(dist: ReturnLaw, level: Any) -> Float[Array, "*batch"]:
    """`sup_b -(1 / b) log(E exp(-b X) / level)`: the tightest exponential bound below `cvar` (Ahmadi-Javid 2012).

    Args:
        dist: the law or laws.
        level: in (0, 1]; 1 gives the mean, and where the lowest atom has at least this probability it is the answer.
    """
    _check_level("level", level)
    atoms, weights = dist.law()
    level = jnp.asarray(level, atoms.dtype)
    # atoms without probability must not set the lowest value
    lowest = jnp.min(jnp.where(weights > 0, atoms, jnp.inf), -1)
    excess = jnp.where(weights > 0, atoms - lowest[..., None], 0)
    average = jnp.sum(weights * excess, -1)
    tiny = jnp.finfo(atoms.dtype).tiny ** 0.5
    budget = jnp.maximum(-jnp.log(level), tiny)

    def bound(scale: Array) -> Array:  # concave in scale = 1 / b
        safe = jnp.maximum(scale, tiny)
        return -safe * (logsumexp(-excess / safe[..., None], axis=-1, b=weights) + budget)

    def narrow(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        keep = bound(left) > bound(right)
        return jnp.where(keep, low, left), jnp.where(keep, right, high)

    # beyond average / budget the bound lies below its limit at 0, the lowest atom
    ends = (jnp.zeros_like(average), average / budget)
    low, high = jax.lax.fori_loop(0, _REFINEMENTS, narrow, ends)
    best = jnp.maximum(bound((low + high) / 2), 0)
    return lowest + jnp.where(level >= 1, average, best)


def mean_variance(dist: ReturnLaw, aversion: Any) -> Float[Array, "*batch"]:
    """`E X - aversion * Var X`; not monotone: a better law may be worth less."""
    return mean(dist) - aversion * variance(dist)


def mean_deviation(dist: ReturnLaw, aversion: Any) -> Float[Array, "*batch"]:
    """`E X - aversion * (standard deviation of X)`."""
    spread = variance(dist)
    return mean(dist) - aversion * jnp.where(spread > 0, jnp.sqrt(jnp.where(spread > 0, spread, 1)), 0)


def expectile(dist: ReturnLaw, level: Any) -> Float[Array, "*batch"]:
    """The x at which `level * E(X - x)^+ = (1 - level) * E(x - X)^+`, exactly; 1/2 gives the mean.

    Args:
        dist: the law or laws.
        level: in (0, 1).
    """
    if not isinstance(level, jax.Array):
        require(0 < float(level) < 1, "level", level, "in (0, 1)")
    atoms, weights = dist.law()
    below, first = cumulative(weights), jnp.cumsum(atoms * weights, -1)
    # the mean if atoms up to the i-th weigh 1 - level and those above level: the right i has the extreme mean
    above, rest = 1 - below, first[..., -1:] - first
    candidates = (level * rest + (1 - level) * first) / (level * above + (1 - level) * below)
    return jnp.where(level >= 0.5, jnp.max(candidates, -1), jnp.min(candidates, -1))


def expected_utility(dist: ReturnLaw, utility: Callable[[Array], Array]) -> Float[Array, "*batch"]:
    """`E utility(X)` for an elementwise function."""
    atoms, weights = dist.law()
    return jnp.sum(weights * utility(atoms), -1)


class Distortion(NamedTuple):
    """A change of probabilities: the value of a law is `E F^-1(sampling(U))`, U uniform.

    Attributes:
        weighting: g, from [0, 1] onto itself: cumulative weight of the worst part of that probability. Concave g
            dislikes risk.
        sampling: its inverse, applied to uniform levels before quantiles are read (as implicit quantile networks do).
    """

    weighting: Callable[[Array], Array]
    sampling: Callable[[Array], Array]


def distorted_mean(dist: ReturnLaw, distortion: Distortion) -> Float[Array, "*batch"]:
    """`Σ_i x_i (g(F_i) - g(F_{i-1}))` over ordered atoms, g the distortion's weighting."""
    atoms, weights = dist.law()
    sums = distortion.weighting(cumulative(weights))
    before = jnp.concatenate([jnp.zeros_like(sums[..., :1]), sums[..., :-1]], -1)
    return jnp.sum(atoms * (sums - before), -1)


def cvar_distortion(level: Any) -> Distortion:
    """`g(u) = min(u / level, 1)`, sampling by `level * u`: `cvar` of the lower tail."""
    _check_level("level", level)
    return Distortion(lambda u: jnp.minimum(u / level, 1), lambda u: level * u)


def wang(shift: Any) -> Distortion:
    """Sampling by `Φ(Φ^-1(u) + shift)` (Wang 2000): a negative shift dislikes risk."""

    def moved(by: Any) -> Callable[[Array], Array]:
        def distort(u: Array) -> Array:
            inside = (u > 0) & (u < 1)
            return jnp.where(inside, ndtr(ndtri(jnp.clip(u, 1e-7, 1 - 1e-7)) + by), u)

        return distort

    return Distortion(moved(-shift), moved(shift))


def power(exponent: Any) -> Distortion:
    """Sampling by `u^(1 / (1 + |e|))` for e >= 0, which seeks risk, and by its mirror image for e < 0."""
    size = 1 + jnp.abs(jnp.asarray(exponent, jnp.result_type(float)))

    def raised(to: Array) -> Callable[[Array], Array]:
        return lambda u: jnp.where(jnp.asarray(exponent) >= 0, u**to, 1 - (1 - u) ** to)

    return Distortion(raised(size), raised(1 / size))


def prospect_weighting(curvature: float = 0.71) -> Distortion:
    """Sampling by `u^c / (u^c + (1 - u)^c)^(1/c)` (Tversky and Kahneman 1992, as Dabney et al. 2018 use it, "CPW").

    It is the *sampling* map; taking the formula for the weighting gives another functional.

    Raises:
        ValueError: a curvature where the formula does not increase (below 0.28), or above 1.
    """
    require(0.28 <= curvature <= 1, "curvature", curvature, "in [0.28, 1]")

    def sampling(u: Array) -> Array:
        raised, rest = u**curvature, (1 - u) ** curvature
        return raised / (raised + rest) ** (1 / curvature)

    return Distortion(_inverse(sampling), sampling)


def averaged_uniforms(count: int = 3) -> Distortion:
    """Levels distributed as the mean of `count` uniform numbers ("Norm" of Dabney et al. 2018): both tails weigh less.

    Raises:
        ValueError: a count outside [1, 8] (the alternating sum of the Irwin-Hall cdf loses digits beyond).
    """
    require_int("count", count, 1, 8)

    def weighting(u: Array) -> Array:
        total, factor = jnp.zeros_like(u), 1.0  # factor: (-1)^j binomial(count, j) / count!
        for j in range(1, count + 1):
            factor /= j
        for j in range(count + 1):
            total = total + factor * jnp.maximum(count * u - j, 0) ** count
            factor *= -(count - j) / (j + 1)
        return jnp.clip(total, 0, 1)

    return Distortion(weighting, _inverse(weighting))


def exponential_spectrum(steepness: float) -> Distortion:
    """Spectral risk with `g(u) = (1 - exp(-k u)) / (1 - exp(-k))` (Acerbi 2002): positive k dislikes risk.

    Raises:
        ValueError: a steepness of 0, where the functional is the mean.
    """
    require(steepness != 0, "steepness", steepness, "not 0")
    return Distortion(
        lambda u: jnp.expm1(-steepness * u) / jnp.expm1(-steepness),
        lambda u: -jnp.log1p(u * jnp.expm1(-steepness)) / steepness,
    )


def spectral(dist: ReturnLaw, spectrum: Callable[[Array], Array], num_points: int = 64) -> Float[Array, "*batch"]:
    """`∫ φ(u) F^-1(u) du` for any weight φ >= 0 on (0, 1) that integrates to 1 (Acerbi 2002).

    φ is integrated over each atom's stretch of levels by the midpoint rule; a `Distortion` is exact where its
    antiderivative is known.

    Args:
        dist: the law or laws.
        spectrum: φ, elementwise; falling φ dislikes risk.
        num_points: of the rule, for each atom.
    """
    require_int("num_points", num_points, 1)
    atoms, weights = dist.law()
    sums = cumulative(weights)
    fractions = (jnp.arange(num_points) + 0.5) / num_points
    levels = sums[..., None] - weights[..., None] * (1 - fractions)
    return jnp.sum(atoms * weights * jnp.mean(spectrum(levels), -1), -1)


def reflected(dist: ReturnLaw) -> Law:
    """Law of `-X`."""
    atoms, weights = dist.law()
    return Law(-atoms[..., ::-1], weights[..., ::-1])


def _inverse(increasing: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Inverse of an increasing map of [0, 1] onto itself, by bisection."""

    def inverse(u: Array) -> Array:
        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            above = increasing(middle) > u
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        low, high = jax.lax.fori_loop(0, _REFINEMENTS, halve, (jnp.zeros_like(u), jnp.ones_like(u)))
        return jnp.where((u <= 0) | (u >= 1), u, (low + high) / 2)

    return inverse


def _check_level(name: str, level: Any) -> None:
    if not isinstance(level, jax.Array):
        require(0 < float(level) <= 1, name, level, "in (0, 1]")
