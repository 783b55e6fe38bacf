"""Cooperative games: functions from coalitions to values, on batches of boolean masks."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_int

Numbers: TypeAlias = Sequence[float | int]

CoalitionValue: TypeAlias = Callable[[Bool[Array, "B n"]], Float[Array, " B"]]
"""Values of a batch of coalitions; row b of the mask says which of the n players are in coalition b."""


def all_coalitions(num_players: int) -> Bool[np.ndarray, "coalitions n"]:
    """Every coalition: player i is in coalition k where bit i of k is set."""
    require_int("num_players", num_players, 1, 24)
    return (np.arange(2**num_players)[:, None] >> np.arange(num_players) & 1).astype(bool)


def coalition_number(masks: Bool[Array, "*batch n"]) -> Int[Array, "*batch"]:
    """The row of `all_coalitions` of each coalition."""
    return jnp.sum(masks * (1 << np.arange(masks.shape[-1])), axis=-1, dtype=jnp.int32)


def table_game(table: Float[Array | np.ndarray, " coalitions"]) -> CoalitionValue:
    """The game whose values are the rows of a table in the order of `all_coalitions`."""
    values = jnp.asarray(table, float)
    return lambda masks: values[coalition_number(masks)]


def airport_game(costs: Numbers) -> CoalitionValue:
    """A runway serves its dearest user: `max` of the members' costs (Littlechild and Owen 1973)."""
    costs = tuple(costs)
    require(min(costs, default=-1) >= 0, "costs", costs, "a sequence of numbers of at least 0")
    return lambda masks: jnp.max(jnp.where(masks, jnp.asarray(costs, float), 0.0), axis=-1)


def airport_shapley(costs: Numbers) -> Float[np.ndarray, " n"]:
    """Shapley values of the airport game: each stretch of the runway is shared by those who need it."""
    order = np.argsort(costs, kind="stable")
    steps = np.diff(np.asarray(costs, float)[order], prepend=0.0)
    shares = np.cumsum(steps / np.arange(len(order), 0, -1))
    return shares[np.argsort(order)]


def voting_game(quota: float | int, weights: Numbers) -> CoalitionValue:
    """1 where the members' weights reach the quota."""
    weights = tuple(weights)
    require(0 < quota <= sum(weights), "quota", quota, "positive and at most the sum of weights")
    return lambda masks: (jnp.sum(masks * jnp.asarray(weights, float), axis=-1) >= quota).astype(float)


def glove_game(num_left: int, num_right: int) -> CoalitionValue:
    """Pairs among the members' gloves; the first `num_left` players own a left one, the others a right one."""
    require_int("num_left", num_left, 0)
    require_int("num_right", num_right, 0)

    def value(masks):
        left, right = masks[..., :num_left], masks[..., num_left : num_left + num_right]
        return jnp.minimum(jnp.sum(left, axis=-1), jnp.sum(right, axis=-1)).astype(float)

    return value


def unanimity_game(needed: Bool[np.ndarray, "K n"], coefficients: Float[np.ndarray, " K"]) -> CoalitionValue:
    """A sum of unanimity games: coefficient k is earned where all players of row k are members."""
    require(bool(np.any(needed, axis=1).all()), "needed", np.asarray(needed).tolist(), "rows with a member each")

    def value(masks):
        missing = jnp.dot((~masks).astype(float), jnp.asarray(needed, float).T)
        return jnp.dot((missing < 0.5).astype(float), jnp.asarray(coefficients, float), precision="highest")

    return value


def unanimity_shapley(
    needed: Bool[np.ndarray, "K n"], coefficients: Float[np.ndarray, " K"]
) -> Float[np.ndarray, " n"]:
    """Shapley values of a sum of unanimity games, for any number of players: equal shares of what one is needed for."""
    shares = np.asarray(coefficients, float) / np.sum(needed, axis=1)
    return shares @ np.asarray(needed, float)
