"""Shapley values: exact, and estimated from a stated number of coalition evaluations.

    exact_shapley(value, 10)                                             # all 2^10 coalitions
    estimate_shapley(value, 40, budget=5000, key=key)                    # exactly what it says, or less

`value` takes boolean masks `[B, n]` and returns `[B]` (`games.coalitional.CoalitionValue`): a formula, a jitted batch
of roll-outs, a call of another program. No estimator adapts to what it has seen, so that all coalitions are drawn at
once, evaluated in batches, and combined; where `value` is a pure JAX function, so is the estimate (jit it, vmap it).
"""

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.evaluation.shapley_sampling import PermutationSampling, StratifiedSampling, SvarmSampling
from jaxmarl.games.coalitional import CoalitionValue, all_coalitions

ShapleyMethod: TypeAlias = Literal["permutation", "svarm", "stratified_svarm"]

_SAMPLINGS: dict[str, Any] = {
    "permutation": PermutationSampling,
    "svarm": SvarmSampling,
    "stratified_svarm": StratifiedSampling,
}


# one program each, where the value is not a JAX function and all else would run op by op
_drawn = jax.jit(lambda sampling, key, count: sampling.masks(key, count), static_argnums=(0, 2))
_combined = jax.jit(lambda sampling, masks, gains, total: sampling.combine(masks, gains, total), static_argnums=0)


class ShapleyEstimate(NamedTuple):
    """Estimated Shapley values.

    Attributes:
        values: `[n]`.
        standard_errors: `[n]`, estimated from the same sample (before any `efficient` shift); NaN where a sample is too
            small to tell.
        num_evals: coalitions evaluated, repetitions counted; at most the budget.
    """

    values: Float[Array, " n"]
    standard_errors: Float[Array, " n"]
    num_evals: int


def exact_shapley(value: CoalitionValue, num_players: int, *, batch_size: int = 4096) -> Float[np.ndarray, " n"]:
    """Shapley values from all 2^n coalitions, summed in float64 on the host.

    Args:
        value: of batches of coalitions; that of the empty one need not be 0.
        num_players: n, at most 20.
        batch_size: coalitions evaluated together.
    """
    require_int("num_players", num_players, 1, 20)
    return shapley_of_table(coalition_table(value, num_players, batch_size=batch_size))


def coalition_table(
    value: CoalitionValue, num_players: int, *, batch_size: int = 4096
) -> Float[np.ndarray, " coalitions"]:
    """Values of all coalitions in the order of `all_coalitions`, float64."""
    masks = all_coalitions(num_players)
    return np.asarray(evaluate_coalitions(value, masks, batch_size), float)


def shapley_of_table(table: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " n"]:
    """Shapley values of the game with these values, in the order of `all_coalitions`; on the host, in float64.

    Each coalition's value enters every player's sum once: with weight `1 / (n C(n-1, s-1))` for its s members and
    `-1 / (n C(n-1, s))` for the others.
    """
    table = np.asarray(table, float)
    num_players = table.size.bit_length() - 1
    require(table.size == 2**num_players and num_players > 0, "table", table.shape, "of 2^n values")
    masks = all_coalitions(num_players)
    sizes = masks.sum(axis=1)
    weights = coalition_weights(num_players)
    joins = np.where(sizes > 0, weights[np.maximum(sizes - 1, 0)], 0.0) * table
    stays = np.where(sizes < num_players, weights[np.minimum(sizes, num_players - 1)], 0.0) * table
    return masks.T.astype(float) @ joins - (~masks).T.astype(float) @ stays


def coalition_weights(num_players: int) -> Float[np.ndarray, " n"]:
    """`s! (n - 1 - s)! / n!` for s from 0 to n - 1: how much the joining of a coalition of size s counts."""
    weights = np.full(num_players, 1.0 / num_players)
    for s in range(1, num_players):
        weights[s] = weights[s - 1] * s / (num_players - s)
    return weights


def evaluate_coalitions(
    value: CoalitionValue, masks: Bool[Array | np.ndarray, "T n"], batch_size: int | None = None
) -> Float[Array, " T"]:
    """Values of coalitions, `batch_size` of them in a call (all where None); nothing is evaluated twice or padded."""
    require(batch_size is None or batch_size >= 1, "batch_size", batch_size, "at least 1 or None")
    step = batch_size or max(1, len(masks))
    parts = [jnp.asarray(value(jnp.asarray(masks[i : i + step]))) for i in range(0, len(masks), step)]
    return jnp.concatenate(parts) if len(parts) > 1 else parts[0]


def estimate_shapley(
    value: CoalitionValue,
    num_players: int,
    budget: int,
    key: Array,
    method: ShapleyMethod = "stratified_svarm",
    *,
    empty_value: float | None = None,
    efficient: bool = False,
    paired: bool = False,
    batch_size: int | None = None,
) -> ShapleyEstimate:
    """Shapley values from at most `budget` evaluations of `value`.

    - `"permutation"`: marginal contributions along random orders of the players (Castro, Gómez and Tejada 2009), n - 1
      evaluations each.
    - `"svarm"`: two means for each player, of the values of coalitions that it has joined and of those that it has not,
      so that an evaluation serves about half of the players (Kolpaczki et al. 2024).
    - `"stratified_svarm"`: the same by size of the coalition, so that every evaluation serves all players; sizes 0, 1,
      n - 1 and n are evaluated completely. With n <= 3 that is everything, and the answer is exact.

    All evaluations count against the budget, those of the empty and of the grand coalition included.

    Args:
        value: of batches of coalitions.
        num_players: n, at least 2.
        budget: evaluations allowed, static.
        key: consumed by this call.
        method: one of the above.
        empty_value: of the empty coalition, where it is known (0 for most games); evaluated where None.
        efficient: shift all values by one amount so that they add up to what the grand coalition is worth more than the
            empty one (one evaluation more for `"svarm"`).
        paired: draw coalitions of `"stratified_svarm"` in complementary pairs.
        batch_size: coalitions evaluated in one call; all where None.

    Raises:
        ValueError: a budget below what the method needs at least.
    """
    require_int("num_players", num_players, 2)
    require_int("budget", budget, 1)
    require_choice("method", method, get_args(ShapleyMethod))
    require(method == "stratified_svarm" or not paired, "paired", paired, "False but for stratified_svarm")
    sampling = _SAMPLINGS[method](num_players, paired)
    ends = [np.zeros((1, num_players), bool)] if empty_value is None else []
    if sampling.needs_total or efficient:
        ends.append(np.ones((1, num_players), bool))
    least = sampling.least + len(ends)
    require(budget >= least, "budget", budget, f"at least {least} for {method} with {num_players} players")
    drawn = _drawn(sampling, key, budget - len(ends))
    values = evaluate_coalitions(value, jnp.concatenate([*ends, drawn]), batch_size)
    empty = values[0] if empty_value is None else jnp.asarray(empty_value, values.dtype)
    total = values[len(ends) - 1] - empty if sampling.needs_total or efficient else jnp.zeros((), values.dtype)
    estimates, variances = _combined(sampling, drawn, values[len(ends) :] - empty, total)
    if efficient:
        estimates = estimates + (total - jnp.sum(estimates)) / num_players
    return ShapleyEstimate(estimates, jnp.sqrt(variances), len(values))


def mean_squared_errors(
    value: CoalitionValue,
    truth: Float[np.ndarray, " n"],
    budget: int,
    keys: Array,
    method: ShapleyMethod,
    **options,
) -> Float[Array, " runs"]:
    """Squared errors of a method, mean over players, one entry a key; `value` must be a pure JAX function."""

    def run(key):
        found = estimate_shapley(value, len(truth), budget, key, method, **options)
        return jnp.mean((found.values - jnp.asarray(truth, found.values.dtype)) ** 2)

    # a generator of random numbers for many keys at once takes three times as long to compile
    return jax.jit(lambda keys: jax.lax.map(run, keys))(keys)
