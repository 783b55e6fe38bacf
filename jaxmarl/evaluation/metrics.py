"""How good an agent is against a population: average return, worst loss, their difference, and how sure we are of each.

For an agent π and a population B of K members, with G(π, b) the expected episode return of π against b,

    PopulationReturn(π) = mean_b G(π, b)
    WithinPopExpl(π)    = max_b −G(π, b)                  return of π's worst opponent in a zero-sum game
    AggregateScore(π)   = PopulationReturn(π) − WithinPopExpl(π)

(Lanctot et al., "Population-based Evaluation in Repeated Rock-Paper-Scissors as a Benchmark for Multiagent
Reinforcement Learning", TMLR 2023, arXiv 2303.03196.) Everything here is numpy in float64 on the host: it runs once,
after the matches.

**Bias.** The plain WithinPopExpl is a maximum of noisy means, so it is biased up: an agent whose K opponents all truly
tie with it is charged about `E[max of K standard normals] · σ / √M`, which is 2.19 σ/√M at K = 43 (1.8 for uniform play
in 1000 throws of rock-paper-scissors, σ = 25.8, M = 1000). Compare plain figures at equal M only. The split-half
estimate chooses the worst opponent on half of the matches and measures its loss on the other, so that choice and
measurement share no noise; it is averaged over both directions and several random splits. It is unbiased for the loss
against the opponent that M/2 matches pick: in expectation never above the true maximum, and equal to it where one
opponent is clearly the worst or all tie.

**Intervals** are percentiles of a bootstrap that resamples the matches within each opponent independently and repeats
the whole estimate, choice of the worst opponent included. Splits are of the original matches, so that copies of one
match never sit in both halves. Where several opponents nearly tie, the plain intervals of WithinPopExpl and
AggregateScore do not cover the truth (the resampled maximum is biased once more); the split-half ones do in
simulation, and are too wide rather than too narrow there.

Shape legend: `K` members of the population, `M` matches against each, `R` bootstrap replicates, `S` random splits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from jaxmarl.core.checks import require, require_int
from jaxmarl.evaluation.tables import MemberScore, as_float64, require_finite

Interval = tuple[float, float]

_CHUNK_CELLS = 2**22  # resampled returns held at once: 32 MiB for each of the few arrays of a chunk
_SPLIT_SEED, _BOOTSTRAP_SEED = 0, 1  # independent streams of the caller's one seed


@dataclass(frozen=True)
class PopulationScore:
    """The three figures of one agent, in units of episode return, with an interval where matches were resampled.

    Attributes:
        population_return: mean over the opponents of the mean return.
        within_pop_expl: loss against the worst opponent; negative only for an agent that beats everybody.
        worst_opponent: index of that opponent.
        aggregate_score: `population_return − within_pop_expl`.
        population_return_interval: `(low, high)`, or None where nothing was resampled.
        within_pop_expl_interval: the same of `within_pop_expl`.
        aggregate_score_interval: the same of `aggregate_score`.
    """

    population_return: float
    within_pop_expl: float
    worst_opponent: int
    aggregate_score: float
    population_return_interval: Interval | None = None
    within_pop_expl_interval: Interval | None = None
    aggregate_score_interval: Interval | None = None


@dataclass(frozen=True)
class AgentScore:
    """An agent's figures estimated in two ways from the same matches.

    Attributes:
        plain: the definition applied to the mean returns; biased against the agent, comparable with published tables.
        split_half: the worst opponent chosen on one half of the matches and its loss measured on the other; None if not
            asked.
        num_opponents: `K`.
        num_matches: `M`.
        confidence: probability that an interval is meant to cover.
    """

    plain: PopulationScore
    split_half: PopulationScore | None
    num_opponents: int
    num_matches: int
    confidence: float


@dataclass(frozen=True)
class Rank:
    """Place of an agent added to a population.

    Attributes:
        position: 1 for the best; members that tie with the agent do not push it down.
        size: members and the agent, `K + 1`.
    """

    position: int
    size: int

    @property
    def upper_third(self) -> bool:
        """Whether the agent is in the best third: `position ≤ size / 3`."""
        return 3 * self.position <= self.size


# --- an agent's matches ---------------------------------------------------------------------------------------------


def check_returns(returns: ArrayLike, argument: str = "returns") -> Float64[np.ndarray, "K M"]:
    """The returns as float64 `[K, M]`.

    Raises:
        ValueError: not a finite `[K ≥ 1, M ≥ 2]` array.
    """
    array = as_float64(returns, argument)
    require(array.ndim == 2, argument, array.shape, "an array [num_opponents, num_matches]")
    require(array.shape[0] >= 1, argument, array.shape, "an array with at least 1 opponent")
    require(array.shape[1] >= 2, argument, array.shape, "an array with at least 2 matches against each opponent")
    require_finite(array, argument)
    return array


def mean_and_error(returns: ArrayLike) -> tuple[Float64[np.ndarray, " K"], Float64[np.ndarray, " K"]]:
    """Mean return against each opponent and its standard error, `sd / √M` with the unbiased variance.

    Args:
        returns: episode returns of the agent, `[K, M]`.
    """
    array = check_returns(returns)
    return array.mean(axis=1), array.std(axis=1, ddof=1) / np.sqrt(array.shape[1])


def score_returns(
    returns: ArrayLike,
    *,
    split_half: bool = True,
    num_splits: int = 16,
    num_bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> AgentScore:
    """Scores an agent from its matches against each member of a population.

    See the module's notes on the bias of the plain estimate and on what the intervals cover.

    Args:
        returns: episode returns of the agent, `[K, M]`.
        split_half: whether to add the split-half estimate.
        num_splits: random splits it averages over.
        num_bootstrap: replicates; 0 for no intervals.
        seed: of the splits and the resampling.
        confidence: of the intervals, in (0, 1).

    Returns:
        Both estimates. The split-half `worst_opponent` is the one chosen most often.

    Raises:
        ValueError: returns that are not finite, not `[K, M]` or with fewer than 2 matches; options out of range.
    """
    array = check_returns(returns)
    require_int("num_splits", num_splits, 1)
    require_int("num_bootstrap", num_bootstrap, 0)
    require_int("seed", seed, 0)
    require(0 < confidence < 1, "confidence", confidence, "in (0, 1)")
    masks = _half_masks(array.shape[1], num_splits, seed) if split_half else None

    means = array.mean(axis=1)
    returned, plain_loss = float(means.mean()), float(-means.min())
    replicates = [_replicate(array, weights, masks) for weights in _bootstrap_weights(array.shape, num_bootstrap, seed)]
    columns: list[np.ndarray | None] = [np.concatenate(column) for column in zip(*replicates, strict=True)]
    columns = columns or [None, None, None]
    plain = _with_intervals(returned, plain_loss, int(means.argmin()), columns[0], columns[1], confidence)
    debiased = None
    if masks is not None:
        losses, chosen = _split_half_losses(array, np.ones((1, *array.shape)), masks)
        worst = int(np.bincount(chosen.ravel(), minlength=len(array)).argmax())
        debiased = _with_intervals(returned, float(losses[0]), worst, columns[0], columns[2], confidence)
    return AgentScore(plain, debiased, array.shape[0], array.shape[1], confidence)


def _with_intervals(
    returned: float,
    loss: float,
    worst: int,
    returned_replicates: Float64[np.ndarray, " R"] | None,
    loss_replicates: Float64[np.ndarray, " R"] | None,
    confidence: float,
) -> PopulationScore:
    if returned_replicates is None or loss_replicates is None:
        return PopulationScore(returned, loss, worst, returned - loss)

    def interval(values: Float64[np.ndarray, " R"]) -> Interval:
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    intervals = map(interval, (returned_replicates, loss_replicates, returned_replicates - loss_replicates))
    return PopulationScore(returned, loss, worst, returned - loss, *intervals)


def _bootstrap_weights(shape: tuple[int, int], num_bootstrap: int, seed: int) -> Iterator[Float64[np.ndarray, "R K M"]]:
    """How often each match is drawn in each replicate, in chunks of bounded memory; every `[K]` row sums to `M`."""
    cells, num_matches = shape[0] * shape[1], shape[1]
    rng = np.random.default_rng([seed, _BOOTSTRAP_SEED])
    chunk = max(1, _CHUNK_CELLS // cells)
    for start in range(0, num_bootstrap, chunk):
        size = min(chunk, num_bootstrap - start)
        drawn = rng.integers(num_matches, size=(size * shape[0], num_matches))
        drawn += np.arange(size * shape[0])[:, None] * num_matches
        counts = np.bincount(drawn.ravel(), minlength=size * cells)
        yield counts.reshape(size, *shape).astype(np.float64)


def _replicate(
    returns: Float64[np.ndarray, "K M"],
    weights: Float64[np.ndarray, "R K M"],
    masks: Float64[np.ndarray, "M S"] | None,
) -> tuple[Float64[np.ndarray, " R"], ...]:
    """PopulationReturn, plain and split-half WithinPopExpl of each replicate (the last only with masks)."""
    means = np.einsum("rkm,km->rk", weights, returns) / returns.shape[1]
    plain = means.mean(axis=1), -means.min(axis=1)
    return plain if masks is None else (*plain, _split_half_losses(returns, weights, masks)[0])


def _half_masks(num_matches: int, num_splits: int, seed: int) -> Float64[np.ndarray, "M S"]:
    """1 for the matches in the first half of each random split (the smaller half when `M` is odd)."""
    rng = np.random.default_rng([seed, _SPLIT_SEED])
    first = (np.arange(num_matches) < num_matches // 2).astype(np.float64)
    return rng.permuted(np.tile(first, (num_splits, 1)), axis=1).T


def _split_half_losses(
    returns: Float64[np.ndarray, "K M"], weights: Float64[np.ndarray, "R K M"], masks: Float64[np.ndarray, "M S"]
) -> tuple[Float64[np.ndarray, " R"], Int64[np.ndarray, "R two_S"]]:
    """Loss against the worst opponent, chosen on one half and measured on the other, and the opponents chosen."""
    weighted = weights * returns
    total, count = weighted.sum(axis=-1, keepdims=True), weights.sum(axis=-1, keepdims=True)
    first_total, first_count = weighted @ masks, weights @ masks
    whole = total / count

    def half_mean(half_total: np.ndarray, half_count: np.ndarray) -> np.ndarray:
        # with very few matches a replicate can leave a half empty: the whole replicate stands in
        return np.where(half_count > 0, half_total / np.maximum(half_count, 1), whole)

    first, second = half_mean(first_total, first_count), half_mean(total - first_total, count - first_count)
    choose, measure = np.concatenate([first, second], -1), np.concatenate([second, first], -1)  # [R, K, 2S]
    chosen = choose.argmin(axis=1)
    return -np.take_along_axis(measure, chosen[:, None], axis=1)[:, 0].mean(axis=-1), chosen


# --- agents among members --------------------------------------------------------------------------------------------


def rank(population: Iterable[MemberScore | float], agent: AgentScore | PopulationScore | float) -> Rank:
    """Place of an agent among a population by AggregateScore.

    Members keep the score they have among themselves and the agent has its score against them, as in published tables:
    adding the agent to the population would change everybody's score. An `AgentScore` ranks by its plain estimate,
    which is what members' scores are.

    Args:
        population: the members' scores, `[K]`.
        agent: the agent's.

    Raises:
        ValueError: an empty population or a score that is not finite.
    """
    members = as_float64([m.aggregate_score if isinstance(m, MemberScore) else m for m in population], "population")
    require(members.ndim == 1 and members.size > 0, "population", members.shape, "a list of at least 1 score")
    require_finite(members, "population")
    scored = agent.plain if isinstance(agent, AgentScore) else agent
    value = scored.aggregate_score if isinstance(scored, PopulationScore) else float(scored)
    require(bool(np.isfinite(value)), "agent", value, "finite")
    return Rank(1 + int((members > value).sum()), members.size + 1)
