"""Which coalitions estimators of Shapley values evaluate, and how they combine what they find (see `shapley`)."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.games.coalitional import all_coalitions

Estimates = tuple[Float[Array, " n"], Float[Array, " n"]]
"""Estimated values, and estimated variances of the estimates."""


def ranks_of(units: Float[Array, "T n"]) -> Int[Array, "T n"]:
    """The rank of each number in its row, by comparing all pairs: sorting is slow to compile and to run."""
    left, right = units[:, :, None], units[:, None, :]
    earlier = np.tri(units.shape[1], k=-1, dtype=bool)  # of two equal numbers the first counts as smaller
    return jnp.sum((right < left) | ((right == left) & earlier), axis=2)


@dataclass(frozen=True)
class PermutationSampling:
    """Marginal contributions along random orders.

    Attributes:
        num_players: n.
        paired: not used.
    """

    num_players: int
    paired: bool = False

    needs_total = True

    @property
    def least(self) -> int:
        """Evaluations of one order; the empty and the grand coalition are not drawn."""
        return self.num_players - 1

    def masks(self, key: Array, count: int) -> Bool[Array, "T n"]:
        """The first 1, ..., n - 1 players of as many orders as `count` evaluations allow."""
        n = self.num_players
        orders = count // (n - 1)
        ranks = ranks_of(jax.random.uniform(key, (orders, n)))
        return (ranks[:, None, :] < jnp.arange(1, n)[:, None]).reshape(-1, n)

    def combine(self, masks: Array, gains: Float[Array, " T"], total: Float[Array, ""]) -> Estimates:
        n = self.num_players
        inside = masks.reshape(-1, n - 1, n)
        ranks = n - 1 - jnp.sum(inside, axis=1)
        path = gains.reshape(-1, n - 1)
        ends = jnp.zeros((len(path), 1), gains.dtype), jnp.broadcast_to(total, (len(path), 1))
        steps = jnp.diff(jnp.concatenate([ends[0], path, ends[1]], axis=1), axis=1)
        marginal = jnp.take_along_axis(steps, ranks, axis=1)
        return jnp.mean(marginal, axis=0), _variance_of_mean(marginal)


@dataclass(frozen=True)
class SvarmSampling:
    """A mean over coalitions that a player has joined, minus one over coalitions that it has not.

    Attributes:
        num_players: n.
        paired: not used.
    """

    num_players: int
    paired: bool = False

    needs_total = False

    @property
    def least(self) -> int:
        """One coalition with and one without each player."""
        return 2 * self.num_players

    def masks(self, key: Array, count: int) -> Bool[Array, "T n"]:
        """Warm-up (with each player, without each player), then coalitions of both laws, which share the rest."""
        n = self.num_players
        units = jax.random.uniform(key, (count, n + 1))
        row = np.arange(count)
        warm, without = row < 2 * n, (row >= n) & ((row < 2 * n) | (row >= self._split(count)))
        # sizes 1, ..., n with probability proportional to 1 / s; the other law is that of the complement
        law = np.cumsum(1 / np.arange(1, n + 1))
        drawn = 1 + jnp.sum(units[:, :1] >= law[:-1] / law[-1], axis=1)
        others = jnp.minimum(units[:, 0] * n, n - 1).astype(jnp.int32)
        sizes = jnp.where(warm, others + ~without, jnp.where(without, n - drawn, drawn))
        own = np.zeros((count, n))
        own[: 2 * n] = np.tile(np.eye(n), (2, 1)) * np.where(without[: 2 * n], 2, -2)[:, None]  # last or first of all
        return ranks_of(units[:, 1:] + own.astype(np.float32)) < sizes[:, None]

    def _split(self, count: int) -> int:
        """The row from which on coalitions are drawn by the law of those that have not been joined."""
        return 2 * self.num_players + (count - 2 * self.num_players + 1) // 2

    def combine(self, masks: Array, gains: Float[Array, " T"], total: Float[Array, ""]) -> Estimates:
        n, split = self.num_players, self._split(len(gains))
        own, none = jnp.eye(n, dtype=bool), jnp.zeros((n, n), bool)
        used = jnp.concatenate([own, none, masks[2 * n : split], jnp.zeros((len(gains) - split, n), bool)])
        unused = jnp.concatenate([none, own, jnp.zeros((split - 2 * n, n), bool), ~masks[split:]])
        means, variances = zip(*(_masked_mean(which, gains) for which in (used, unused)), strict=True)
        return means[0] - means[1], variances[0] + variances[1]


@dataclass(frozen=True)
class StratifiedSampling:
    """Means by player and size of the coalition, of those with the player and of those without.

    Attributes:
        num_players: n.
        paired: whether drawn coalitions come with their complements.
    """

    num_players: int
    paired: bool = False

    needs_total = True

    @property
    def least(self) -> int:
        """All coalitions of sizes 1 and n - 1."""
        return len(self._complete)

    @property
    def _complete(self) -> Bool[np.ndarray, "rows n"]:
        sizes = all_coalitions(self.num_players).sum(axis=1) if self.num_players <= 3 else None
        if sizes is not None:
            return all_coalitions(self.num_players)[(sizes > 0) & (sizes < self.num_players)]
        single = np.eye(self.num_players, dtype=bool)
        return np.concatenate([single, ~single])

    def size_law(self) -> Float[np.ndarray, " n"]:
        """Probability of each size 0, ..., n - 1 of a drawn coalition (sizes 2, ..., n - 2), of the published variance
        bound: proportional to 1 / s up to the middle, the same from the other end.
        """
        n = self.num_players
        law = np.zeros(n)
        sizes = np.arange(2, (n + 1) // 2)
        inverse = 1 / (2 * sizes * (np.sum(1 / sizes) or 1.0))
        if n % 2 == 0:
            middle = 1 / (n * math.log(n)) if n > 4 else 1.0
            law[n // 2] = middle
            inverse = inverse * (1 - middle)
        law[sizes] = inverse
        law[n - sizes] = inverse
        return law

    def masks(self, key: Array, count: int) -> Bool[Array, "T n"]:
        n, complete = self.num_players, jnp.asarray(self._complete)
        spare = count - len(complete) if n > 3 else 0
        if self.paired:
            spare -= spare % 2
        if spare == 0:
            return complete
        draws = spare // 2 if self.paired else spare
        units, law = jax.random.uniform(key, (draws, n + 1)), np.cumsum(self.size_law())
        # scaled and clipped, so that rounding leaves no draw beyond the last size
        sizes = jnp.clip(jnp.sum(units[:, :1] * law[-1] >= law, axis=1), 2, n - 2)
        drawn = ranks_of(units[:, 1:]) < sizes[:, None]
        return jnp.concatenate([complete, drawn, ~drawn] if self.paired else [complete, drawn])

    def combine(self, masks: Array, gains: Float[Array, " T"], total: Float[Array, ""]) -> Estimates:
        n = self.num_players
        sizes = jnp.sum(masks, axis=1)
        centre = jnp.mean(gains)  # taken off and added again, which keeps second moments accurate
        by_size = (sizes[:, None] == jnp.arange(n)).astype(gains.dtype)
        estimate, variance = jnp.zeros(n, gains.dtype), jnp.zeros(n, gains.dtype)
        for sign, which, end in ((1, masks, total), (-1, ~masks, jnp.zeros_like(total))):
            inside = which.astype(gains.dtype).T
            counts = _dot(inside, by_size)
            sums = _dot(inside, by_size * (gains - centre)[:, None])
            squares = _dot(inside, by_size * ((gains - centre) ** 2)[:, None])
            filled = counts > 0
            means = jnp.where(filled, sums / jnp.maximum(counts, 1) + centre, 0.0)
            # with the player: sizes 1, ..., n - 1 and the grand coalition; without it: the empty one and 1, ..., n - 1
            estimate += sign * (jnp.sum(means, axis=1) + end) / (jnp.sum(filled, axis=1) + 1)
            variance += _stratified_variance(counts, sums, squares, n)
        return estimate, variance


def _stratified_variance(counts: Array, sums: Array, squares: Array, num_players: int) -> Float[Array, " n"]:
    """Of the mean over strata; those drawn less than twice are given the player's mean variance of the others.

    Sizes 1 and n - 1 are complete, so that they have none.
    """
    sampled = np.isin(np.arange(num_players), np.arange(2, num_players - 1))
    spread = jnp.maximum(squares - sums**2 / jnp.maximum(counts, 1), 0.0) / jnp.maximum(counts - 1, 1)
    known = sampled & (counts > 1)
    typical = jnp.sum(jnp.where(known, spread, 0.0), axis=1) / jnp.sum(known, axis=1)
    each = jnp.where(known, spread, typical[:, None]) / jnp.maximum(counts, 1)
    total = jnp.sum(jnp.where(sampled, each, 0.0), axis=1) / num_players**2
    return jnp.where(sampled.any(), total, 0.0)


def _masked_mean(which: Bool[Array, "T n"], gains: Float[Array, " T"]) -> Estimates:
    """Mean of the gains of each column's rows, and the variance of that mean."""
    centre = jnp.mean(gains)
    weights = which.astype(gains.dtype).T
    counts, sums = jnp.sum(weights, axis=1), _dot(weights, gains - centre)
    squares = _dot(weights, (gains - centre) ** 2)
    spread = jnp.maximum(squares - sums**2 / counts, 0.0) / jnp.where(counts > 1, counts - 1, jnp.nan)
    return sums / counts + centre, spread / counts


def _variance_of_mean(rows: Float[Array, "T n"]) -> Float[Array, " n"]:
    if len(rows) < 2:
        return jnp.full(rows.shape[1], jnp.nan, rows.dtype)
    return jnp.var(rows, axis=0, ddof=1) / len(rows)


def _dot(left: Array, right: Array) -> Array:
    return jnp.dot(left, right, precision="highest")
