"""Best answers of one risk-averse player: exact, perturbed by entropy, and along the efficient frontier."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.solvers.risk.measures import (
    Objective,
    RiskMeasure,
    Variance,
    covariance,
    mean_payoffs,
    prospect,
)
from jaxmarl.solvers.simplex import masked_softmax, normalise, project_simplex

_LOG_ZERO = -1e30
_FLATTEST = 1e-6  # of curvature, relative to the spread of the gradient: a longer step is a jump to a corner anyway


class Response(NamedTuple):
    """A strategy and how good it is.

    Attributes:
        strategy: `[A]`.
        utility: what it is worth.
        certificate: no strategy is worth more than `utility + certificate` (the Frank-Wolfe gap).
    """

    strategy: Float[Array, " num_actions"]
    utility: Float[Array, ""]
    certificate: Float[Array, ""]


class Frontier(NamedTuple):
    """Best answers at several levels of risk aversion, `[G]` each.

    Attributes:
        strategies: `[G, A]`.
        mean: expected payoff.
        variance: of the payoff over the contingencies.
        certificate: see `Response`.
    """

    strategies: Float[Array, "levels num_actions"]
    mean: Float[Array, " levels"]
    variance: Float[Array, " levels"]
    certificate: Float[Array, " levels"]


def risk_averse_response(
    outcomes: Float[Array, "num_actions contingencies"],
    weights: Float[Array, " contingencies"],
    risk_aversion: Any,
    *,
    measure: RiskMeasure | None = None,
    mask: Bool[Array, " num_actions"] | None = None,
    iterations: int = 100,
) -> Response:
    """The best mixed strategy of a risk-averse player against known odds.

    With variance it is the quadratic program `max x m - aversion x C x` over the simplex, which is solved, like the
    other measures, by accelerated projected gradient ascent with restarts (O'Donoghue and Candes 2015).

    Args:
        outcomes: `[A, B]`, payoff of each own action in each contingency.
        weights: `[B]`, probabilities of the contingencies.
        risk_aversion: >= 0, a scalar, in units of 1 / payoff (see the measures); it may be traced.
        measure: of risk; `Variance()` where None.
        mask: legal actions.
        iterations: gradient steps.

    Raises:
        ValueError: shapes that do not fit, a negative aversion.
    """
    _check(outcomes, weights, risk_aversion)
    require_int("iterations", iterations, 1)
    faced = prospect(outcomes, weights, mask)
    objective = (measure or Variance()).objective(faced, risk_aversion)
    start = faced.mask / faced.mask.sum().astype(outcomes.dtype)
    return certified(objective, ascend(objective, start, faced.mask, iterations), faced.mask)


def logit_risk_averse_response(
    outcomes: Float[Array, "num_actions contingencies"],
    weights: Float[Array, " contingencies"],
    risk_aversion: Any,
    temperature: Any,
    *,
    measure: RiskMeasure | None = None,
    mask: Bool[Array, " num_actions"] | None = None,
    iterations: int = 500,
) -> Float[Array, " num_actions"]:
    """The maximiser of risk-averse utility plus `temperature` times entropy: unique, with full support.

    By mirror ascent, which gains a factor `1 + temperature / relative curvature` a step; without risk aversion one step
    is `softmax(mean / temperature)`. Arguments as of `risk_averse_response`; `temperature` > 0, in units of payoff.
    """
    _check(outcomes, weights, risk_aversion)
    if not isinstance(temperature, jax.core.Tracer):
        require(float(temperature) > 0, "temperature", temperature, "positive")
    require_int("iterations", iterations, 1)
    faced = prospect(outcomes, weights, mask)
    objective = (measure or Variance()).objective(faced, risk_aversion)
    return perturbed_ascend(
        objective, jnp.zeros(outcomes.shape[0], outcomes.dtype), faced.mask, temperature, iterations
    )


def efficient_frontier(
    outcomes: Float[Array, "num_actions contingencies"],
    weights: Float[Array, " contingencies"],
    risk_aversions: Float[Array, " levels"],
    *,
    mask: Bool[Array, " num_actions"] | None = None,
    iterations: int = 200,
) -> Frontier:
    """Mixed strategies with the least variance for their mean, against known odds, from the greedy to the timid.

    Mean and variance fall as the aversion grows. Arguments as of `risk_averse_response`, `risk_aversions` a vector.
    """
    faced = prospect(outcomes, weights, mask)
    means, spread = mean_payoffs(faced), covariance(faced)
    responses = jax.vmap(
        lambda aversion: risk_averse_response(outcomes, weights, aversion, mask=mask, iterations=iterations)
    )(risk_aversions)
    variance = jnp.einsum("ga,ab,gb->g", responses.strategy, spread, responses.strategy, precision="highest")
    mean = jnp.dot(responses.strategy, means, precision="highest")
    return Frontier(responses.strategy, mean, variance, responses.certificate)


def ascend(
    objective: Objective, start: Float[Array, " num_actions"], mask: Bool[Array, " num_actions"], iterations: int
) -> Float[Array, " num_actions"]:
    """Accelerated projected gradient ascent on the simplex of legal actions, restarted where momentum misleads."""
    dtype = start.dtype
    first = objective.gradient(start)
    spread = jnp.max(jnp.where(mask, first, -jnp.inf)) - jnp.min(jnp.where(mask, first, jnp.inf))
    floor = jnp.maximum(_FLATTEST * spread, jnp.finfo(dtype).tiny ** 0.5)
    curvature = jnp.maximum(objective.curvature(), floor)

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        ahead, current, momentum = carry
        gradient = jnp.where(mask, objective.gradient(ahead), 0)
        gradient -= jnp.max(jnp.where(mask, gradient, -jnp.inf))
        following = project_simplex(ahead + gradient / curvature, mask)
        restart = (ahead - following) @ (following - current) > 0
        grown = (1 + jnp.sqrt(1 + 4 * jnp.square(momentum))) / 2
        ahead = following + jnp.where(restart, 0, (momentum - 1) / grown) * (following - current)
        return (ahead, following, jnp.where(restart, 1, grown)), None

    (_, strategy, _), _ = jax.lax.scan(step, (start, start, jnp.ones((), dtype)), None, length=iterations)
    return normalise(strategy, mask)


def perturbed_ascend(
    objective: Objective,
    start_logs: Float[Array, " num_actions"],
    mask: Bool[Array, " num_actions"],
    temperature: Any,
    iterations: int,
) -> Float[Array, " num_actions"]:
    """Mirror ascent on utility plus `temperature` times entropy, from logarithms of probabilities."""
    size = 1 / jnp.maximum(objective.relative_curvature(), _FLATTEST * temperature)
    start_logs = jnp.where(mask, start_logs, _LOG_ZERO)

    def step(logs: Array, _: None) -> tuple[Array, None]:
        gradient = objective.gradient(jnp.where(mask, jnp.exp(logs), 0))
        logs = (logs + size * gradient) / (1 + size * temperature)
        logs = jnp.where(mask, logs, _LOG_ZERO)
        return logs - jax.nn.logsumexp(logs), None

    logs, _ = jax.lax.scan(step, start_logs, None, length=iterations)
    return masked_softmax(logs, mask)


def certified(
    objective: Objective, strategy: Float[Array, " num_actions"], mask: Bool[Array, " num_actions"]
) -> Response:
    """A strategy with its utility and a bound on what a better one could gain: `max_a g_a - x g`, as it is concave."""
    gradient = jnp.where(mask, objective.gradient(strategy), 0)
    best = jnp.max(jnp.where(mask, gradient, -jnp.inf))
    # summed from differences, so that a large mean payoff does not drown it
    gain = jnp.sum(strategy * jnp.where(mask, best - gradient, 0))
    return Response(strategy, objective.value(strategy), gain)


def _check(outcomes: Array, weights: Array, risk_aversion: Any) -> None:
    require(outcomes.ndim == 2, "outcomes", outcomes.shape, "a matrix of own actions by contingencies")
    require(weights.shape == outcomes.shape[1:], "weights", weights.shape, f"a vector of {outcomes.shape[1]}")
    if not isinstance(risk_aversion, jax.core.Tracer):
        require(float(risk_aversion) >= 0, "risk_aversion", risk_aversion, "a number >= 0")
