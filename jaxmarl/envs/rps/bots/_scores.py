"""Windowed scores of many predictors under each rotation of their prediction, from bit histories of how they erred.

The error of a prediction is `d = (opponent - prediction) % 3`; playing it rotated by `i` then scores `E[d, i]`, with
`E = [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]`. Over a window the three scores follow from how often `d` was 1 and 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Int32, UInt32

from jaxmarl.envs.rps.bots.base import beat, highest, lose_to


class Scores(NamedTuple):
    """How often each predictor erred by `d == 1` and by `d == 2`: bits of recent throws, newest lowest, and totals."""

    recent: UInt32[Array, "words 2 predictors"]
    total: Int32[Array, "2 predictors"]


def empty(predictors: int, longest: int) -> Scores:
    """No scores yet; windows may be up to `longest` throws."""
    words = -(-longest // 32)
    return Scores(jnp.zeros((words, 2, predictors), jnp.uint32), jnp.zeros((2, predictors), jnp.int32))


def record(scores: Scores, predictions: Int[Array, " predictors"], opponent: Int32[Array, ""]) -> Scores:
    """The scores with one more throw; before the first, when `opponent` is -1, nothing is recorded."""
    played = opponent >= 0
    wrong = jnp.stack([predictions == (opponent + 2) % 3, predictions == (opponent + 1) % 3]) & played
    carry = jnp.concatenate([wrong[None].astype(jnp.uint32), scores.recent[:-1] >> 31])
    return Scores(scores.recent << 1 | carry, scores.total + wrong)


def windowed(scores: Scores, length: int, n: Int32[Array, ""]) -> Int32[Array, "3 predictors"]:
    """Scores of every rotation and predictor over the last `length` of `n` throws."""
    wrong = jnp.zeros_like(scores.total)
    for word in range(-(-length // 32)):
        mask = (1 << min(length - 32 * word, 32)) - 1
        wrong = wrong + lax.population_count(scores.recent[word] & jnp.uint32(mask)).astype(jnp.int32)
    return _rotations(wrong, jnp.minimum(n, length))


def overall(scores: Scores, n: Int32[Array, ""]) -> Int32[Array, "3 predictors"]:
    """Scores of every rotation and predictor over all `n` throws."""
    return _rotations(scores.total, n)


def _rotations(wrong, seen):
    ones, twos = wrong
    zeros = seen - ones - twos
    return jnp.stack([twos - ones, zeros - twos, ones - zeros])


def leaders(
    tables: Sequence[Int32[Array, "3 predictors"]],
    predictions: Int[Array, " predictors"],
    rank: Int[np.ndarray, "3 predictors"],
) -> tuple[Int32[Array, " tables"], Int32[Array, " tables"]]:
    """The best score of each table, and the rotated prediction that has it.

    Args:
        tables: scores of every rotation and predictor, below 2²⁰.
        predictions: what the predictors say now.
        rank: 0 to 511, all different; of equal scores the one of lowest rank leads.
    """
    moves = jnp.stack([predictions, beat(predictions), lose_to(predictions)]).astype(jnp.int32)
    # one integer holds score, rank and move: its maximum is found faster than the place of a maximum
    low = 4 * (511 - rank.astype(np.int32)) + moves
    keys = jnp.stack([highest(jnp.max((table << 11) + low, axis=0)) for table in tables])
    return keys >> 11, keys & 3
