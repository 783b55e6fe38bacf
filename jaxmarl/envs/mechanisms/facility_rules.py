"""Where to build on a street: rules from reported positions to locations, what they are worth, and the best locations.

Agents stand at positions in [0, 1]; the utility of an agent at x from a facility at y is `1 - |y - x|`. A rule gives a
lottery over locations, most of them a sure one. A rule is strategyproof where nobody gains by reporting another
position; on a line the strategyproof ones that treat agents alike choose an order statistic of the reports and constant
phantoms (Moulin 1980). References: Procaccia and Tennenholtz 2009 (medians, lotteries, ratios of costs).
"""

import itertools
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_choice, require_int

Separable: TypeAlias = Literal["welfare", "egalitarian", "nash"]

_TINY = 1e-12  # below this a utility counts as none in a logarithm
_HALVINGS = 50


class Lottery(NamedTuple):
    """A lottery over locations.

    Attributes:
        locations: `[L]`, in [0, 1].
        weights: `[L]`, adding to 1.
    """

    locations: Float[Array, " L"]
    weights: Float[Array, " L"]


def order_statistic(reports: Float[Array, " N"], k: int) -> Float[Array, ""]:
    """The k-th lowest report, k from 0, by comparison of all pairs (no sorting; ties are broken by number)."""
    agents = np.arange(reports.shape[0])
    before = (reports[None] < reports[:, None]) | ((reports[None] == reports[:, None]) & (agents < agents[:, None]))
    return jnp.sum(jnp.where(jnp.sum(before, axis=1) == k, reports, 0.0))


def nash_location(positions: Float[Array, " N"]) -> Float[Array, ""]:
    """The location of the largest product of utilities, by bisection on the slope of its logarithm (concave)."""

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        slope = jnp.sum(jnp.sign(positions - middle) / jnp.maximum(1 - jnp.abs(middle - positions), _TINY))
        return jnp.where(slope > 0, middle, low), jnp.where(slope > 0, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (jnp.min(positions), jnp.max(positions)))
    return (low + high) / 2


def _midpoint(reports):
    return (jnp.min(reports) + jnp.max(reports)) / 2


def _sure(location: Callable) -> Callable[[Array], Lottery]:
    def rule(reports):
        y = location(reports)
        return Lottery(y[None], jnp.ones(1, y.dtype))

    return rule


def _left_right_middle(reports):
    locations = jnp.stack([jnp.min(reports), jnp.max(reports), _midpoint(reports)])
    return Lottery(locations, jnp.asarray([0.25, 0.25, 0.5], locations.dtype))


STRATEGYPROOF: dict[str, Callable[[Array], Lottery]] = {
    "median": _sure(lambda x: order_statistic(x, (x.shape[0] - 1) // 2)),
    "leftmost": _sure(jnp.min),
    "rightmost": _sure(jnp.max),
    "dictator": _sure(lambda x: x[0]),
    "half": _sure(lambda x: jnp.full((), 0.5, x.dtype)),
    "mid_or_nearest": _sure(lambda x: jnp.clip(0.5, jnp.min(x), jnp.max(x))),
    "left_right_middle": _left_right_middle,
}
"""Rules under which the truth is best: the left median, the extremes, agent 0's report, ½, the point between the
extremes that is nearest to ½, and the lottery of ¼, ¼, ½ over the extremes and their midpoint."""

MANIPULABLE: dict[str, Callable[[Array], Lottery]] = {
    "mean": _sure(jnp.mean),
    "midpoint": _sure(_midpoint),
    "nash": _sure(nash_location),
}
"""Rules that some profile tempts somebody to lie to: the mean, the midpoint of extremes, the largest Nash product."""

RULES = STRATEGYPROOF | MANIPULABLE


def location_utilities(locations: Float[Array, "*batch"], positions: Float[Array, " N"]) -> Float[Array, "*batch N"]:
    """`1 - |y - x|` of each agent at each location."""
    return 1 - jnp.abs(locations[..., None] - positions)


def expected_utilities(lottery: Lottery, positions: Float[Array, " N"]) -> Float[Array, " N"]:
    """Utility of each agent, on average over the lottery."""
    return lottery.weights @ location_utilities(lottery.locations, positions)


def geometric_mean(utilities: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """N-th root of the Nash product; 0 where somebody has nothing."""
    positive = utilities > 0
    logs = jnp.log(jnp.where(positive, utilities, 1.0))
    return jnp.where(jnp.all(positive, axis=-1), jnp.exp(jnp.mean(logs, axis=-1)), 0.0)


def gini(utilities: Float[Array, "*batch N"]) -> Float[Array, "*batch"]:
    """Mean difference of all pairs, divided by twice the mean; 0 where all have nothing."""
    mean = jnp.mean(utilities, axis=-1)
    differences = jnp.abs(utilities[..., :, None] - utilities[..., None, :])
    return jnp.where(mean > 0, jnp.mean(differences, axis=(-2, -1)) / (2 * jnp.where(mean > 0, mean, 1.0)), 0.0)


def most_equal_location(positions: Float[Array, " N"]) -> Float[Array, ""]:
    """The location of the lowest Gini coefficient, exactly.

    Between positions and midpoints of pairs neither the signs of `y - x` nor the order of utilities changes, so the
    coefficient is a ratio of linear functions of y there, and hence lowest at one of these points or at an end.
    """
    pairs = (positions[:, None] + positions) / 2  # the diagonal are the positions themselves
    candidates = jnp.concatenate([pairs.reshape(-1), jnp.asarray([0.0, 1.0], positions.dtype)])
    return candidates[jnp.argmin(gini(location_utilities(candidates, positions)))]


def optimal_locations(positions: Float[Array, " N"]) -> dict[str, Float[Array, ""]]:
    """The best location for each objective: `welfare` (the left median), `egalitarian`, `nash`, `gini`."""
    return {
        "welfare": order_statistic(positions, (positions.shape[0] - 1) // 2),
        "egalitarian": _midpoint(positions),
        "nash": nash_location(positions),
        "gini": most_equal_location(positions),
    }


class Facilities(NamedTuple):
    """The best places for several facilities.

    Attributes:
        locations: `[k]`, from left to right.
        value: sum of utilities (`welfare`), the least (`egalitarian`) or the sum of their logarithms (`nash`).
    """

    locations: Float[np.ndarray, " k"]
    value: float


def optimal_facilities(positions: Float[np.ndarray, " N"], num_facilities: int, objective: str) -> Facilities:
    """The best places for k facilities when each agent uses the nearest one (on the host, in float64).

    Agents of one facility are neighbours, so the first i agents are served best by k facilities where some j of them
    are served by k - 1 and the others by one: a table of N k entries and N² groups.

    Args:
        positions: in [0, 1], in any order.
        num_facilities: k, at most N.
        objective: `"welfare"`, `"egalitarian"` or `"nash"`.

    Raises:
        ValueError: a position outside [0, 1], k not in [1, N], or an unknown objective.
    """
    x = np.sort(np.asarray(positions, float))
    require(x.ndim == 1 and bool(((x >= 0) & (x <= 1)).all()), "positions", x.tolist(), "a vector in [0, 1]")
    require_int("num_facilities", num_facilities, 1, len(x))
    require_choice("objective", objective, get_args(Separable))
    n, join = len(x), min if objective == "egalitarian" else (lambda a, b: a + b)
    groups = {(i, j): _one_facility(x[i:j], objective) for i, j in itertools.combinations(range(n + 1), 2)}
    best = {(0, 0): Facilities(np.empty(0), np.inf if objective == "egalitarian" else 0.0)}
    for k, end in itertools.product(range(1, num_facilities + 1), range(1, n + 1)):
        for start in range(k - 1, end):
            if (k - 1, start) not in best:
                continue
            before, last = best[k - 1, start], groups[start, end]
            value = join(before.value, last.value)
            if (k, end) not in best or value > best[k, end].value:
                best[k, end] = Facilities(np.concatenate([before.locations, last.locations]), value)
    return best[num_facilities, n]


def _one_facility(x: np.ndarray, objective: str) -> Facilities:
    """The best place for one facility of sorted agents."""
    if objective == "welfare":
        y = x[(len(x) - 1) // 2]
    elif objective == "egalitarian":
        y = (x[0] + x[-1]) / 2
    else:
        low, high = x[0], x[-1]
        for _ in range(_HALVINGS):
            y = (low + high) / 2
            slope = np.sum(np.sign(x - y) / np.maximum(1 - np.abs(y - x), _TINY))
            low, high = (y, high) if slope > 0 else (low, y)
        y = (low + high) / 2
    utilities = 1 - np.abs(y - x)
    value = {"welfare": utilities.sum(), "egalitarian": utilities.min()}
    return Facilities(np.array([y]), float(value.get(objective, np.log(np.maximum(utilities, _TINY)).sum())))
