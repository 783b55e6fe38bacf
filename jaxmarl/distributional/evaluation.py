"""Return distributions of a fixed policy: dynamic programming with categorical or quantile laws, and moments.

A policy in a Markov game, joint or one policy a player, makes each player's return such a law too; with an equilibrium
in place of the policy there would be no operator to iterate, as equilibria that are worth the same may differ in law.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.distributional.categorical import Categorical, interpolation, scatter_projection, two_hot
from jaxmarl.distributional.law import TIES, Law
from jaxmarl.distributional.mdp import TabularMDP, mdp_of_game, outcome_weights, transition_matrix
from jaxmarl.distributional.quantile import Quantile, midpoint_levels, to_quantiles, uniform_quantile
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_metrics import Policy, joint_policy


class Evaluation(NamedTuple):
    """Laws of returns with what is known of their error.

    Attributes:
        law: `Categorical` or `Quantile` with batch axis `[S]`.
        sweeps: how many were made.
        change: of the last sweep, in the metric in which sweeps contract (Cramér's distance for categorical laws, the
            largest difference of quantiles else), the largest over states.
        error_bound: on the distance to the operator's fixed point, in that metric; infinite where sweeps are not known
            to contract. The fixed point's own distance to the true laws comes on top: finer grids reduce it.
    """

    law: Any
    sweeps: Int[Array, ""]
    change: Float[Array, ""]
    error_bound: Float[Array, ""]


def categorical_operator(
    mdp: TabularMDP, policy: Float[Array, "num_states num_actions"], atoms: Float[Array, " num_atoms"]
) -> Callable[[Array], Array]:
    """The map from probabilities `[S, K]` to those after a Bellman backup and projection."""
    size = mdp.num_states
    weights = outcome_weights(mdp, policy)
    points = mdp.rewards[..., None] + mdp.discounts()[..., None] * atoms
    low, share = (part.reshape(size, -1) for part in interpolation(points, atoms))
    successors = mdp.successors.reshape(size, -1)

    def sweep(probs: Array) -> Array:
        mass = weights[..., None] * probs[successors]
        after = scatter_projection(mass.reshape(size, -1), low, share, atoms.size)
        return after / jnp.sum(after, -1, keepdims=True)  # rounding must not grow with the number of sweeps

    return sweep


def quantile_operator(
    mdp: TabularMDP, policy: Float[Array, "num_states num_actions"], tie: str = "mid"
) -> Callable[[Array], Array]:
    """The map from N equally likely values a state `[S, N]` to those after a Bellman backup and projection."""
    backup = bellman_operator(mdp, policy)

    def sweep(values: Array) -> Array:
        return to_quantiles(backup(uniform_quantile(values).law()), values.shape[-1], tie).values

    return sweep


def bellman_operator(mdp: TabularMDP, policy: Float[Array, "num_states num_actions"]) -> Callable[[Law], Law]:
    """The distributional Bellman operator without projection: laws of M atoms a state become laws of `A W M` atoms."""
    size = mdp.num_states
    weights = outcome_weights(mdp, policy)
    successors = mdp.successors.reshape(size, -1)
    rewards, discounts = (part.reshape(size, -1, 1) for part in (mdp.rewards, mdp.discounts()))

    def backup(laws: Law) -> Law:
        atoms = rewards + discounts * laws.atoms[successors]
        mass = weights[..., None] * laws.weights[successors]
        return Law(atoms.reshape(size, -1), mass.reshape(size, -1))

    return backup


@partial(jax.jit, static_argnames="max_sweeps")
def evaluate_categorical(
    mdp: TabularMDP,
    policy: Float[Array, "num_states num_actions"],
    atoms: Float[Array, " num_atoms"],
    max_sweeps: int = 1000,
    tolerance: float | Float[Array, ""] = 1e-6,
) -> Evaluation:
    """Categorical dynamic programming: laws on a grid, from a return of 0 on (Bellemare, Dabney and Rowland 2023).

    Args:
        mdp: the process.
        policy: `[S, A]`, probabilities of actions.
        atoms: `[K]`, which should span the returns: what lies outside is moved to the ends.
        max_sweeps: static; with as many sweeps as an episode has steps, and without discount, laws are exact on a
            lattice of atoms that contains all returns.
        tolerance: the change at which to stop.

    Returns:
        Laws `[S, K]`; their means are exact if no mass was clipped.
    """
    require_int("max_sweeps", max_sweeps, 1)
    sweep = categorical_operator(mdp, policy, atoms)
    start = two_hot(jnp.zeros(mdp.num_states, atoms.dtype), atoms)
    gaps = jnp.diff(atoms)

    def distance(probs: Array, before: Array) -> Array:
        difference = jnp.cumsum(probs - before, -1)[..., :-1]
        return jnp.sqrt(jnp.max(jnp.sum(difference**2 * gaps, -1)))

    going_on = jnp.max(jnp.sum(outcome_weights(mdp, policy) * mdp.continues.reshape(mdp.num_states, -1), -1))
    modulus = jnp.sqrt(mdp.discount) * jnp.minimum(going_on, 1)
    probs, sweeps, change = _iterate(sweep, start, distance, max_sweeps, tolerance)
    return Evaluation(Categorical(atoms, probs), sweeps, change, _remaining(change, modulus))


@partial(jax.jit, static_argnames=("num_quantiles", "max_sweeps", "tie"))
def evaluate_quantile(
    mdp: TabularMDP,
    policy: Float[Array, "num_states num_actions"],
    num_quantiles: int,
    max_sweeps: int = 1000,
    tolerance: float | Float[Array, ""] = 1e-6,
    tie: str = "mid",
) -> Evaluation:
    """Quantile dynamic programming from returns of 0 on (Dabney et al. 2018): no range to choose, biased means.

    Args:
        mdp: the process.
        policy: `[S, A]`, probabilities of actions.
        num_quantiles: N, static.
        max_sweeps: static.
        tolerance: the change at which to stop.
        tie: which quantile to take where the cdf is flat at a level, see `to_quantiles`.
    """
    require_int("max_sweeps", max_sweeps, 1)
    require_choice("tie", tie, TIES)
    sweep = quantile_operator(mdp, policy, tie)
    start = jnp.zeros((mdp.num_states, num_quantiles), mdp.rewards.dtype)
    values, sweeps, change = _iterate(
        sweep, start, lambda after, before: jnp.max(jnp.abs(after - before)), max_sweeps, tolerance
    )
    return Evaluation(uniform_quantile(values), sweeps, change, _remaining(change, mdp.discount))


def game_laws_categorical(
    game: MarkovGame,
    policy: Policy,
    atoms: Float[Array, " num_atoms"] | Float[Array, "num_players num_atoms"],
    max_sweeps: int = 1000,
    tolerance: float = 1e-6,
) -> Evaluation:
    """Laws of every player's return under a fixed policy, `[n, S, K]`, by `evaluate_categorical`.

    Args:
        game: without horizon.
        policy: joint `[S, A_1, ..., A_n]`, or one `[S, A_i]` a player.
        atoms: `[K]`, or `[n, K]`, a range for each player.
        max_sweeps: static.
        tolerance: the change at which to stop.
    """
    grids = jnp.broadcast_to(atoms, (game.num_players, jnp.shape(atoms)[-1]))
    return _for_players(
        game, policy, lambda mdp, joint, grid: evaluate_categorical(mdp, joint, grid, max_sweeps, tolerance), grids
    )


def game_laws_quantile(
    game: MarkovGame, policy: Policy, num_quantiles: int, max_sweeps: int = 1000, tolerance: float = 1e-6
) -> Evaluation:
    """Laws of every player's return under a fixed policy, `[n, S, N]`, by `evaluate_quantile`."""
    return _for_players(
        game, policy, lambda mdp, joint, _: evaluate_quantile(mdp, joint, num_quantiles, max_sweeps, tolerance), None
    )


def ctd_update(
    laws: Categorical, state: Any, reward: Any, discount: Any, next_state: Any, step_size: Any
) -> Categorical:
    """One step of categorical temporal-difference learning: the law of `state` moves towards the backed-up one.

    Args:
        laws: `[S, K]`.
        state: where the step began.
        reward: received.
        discount: 0 if the episode ended.
        next_state: where the step led.
        step_size: in [0, 1].
    """
    target = Categorical(laws.atoms, laws.probs[next_state]).backup(reward, discount).probs
    moved = (1 - step_size) * laws.probs[state] + step_size * target
    return laws.replace(probs=laws.probs.at[state].set(moved))  # type: ignore[attr-defined]


def qtd_update(laws: Quantile, state: Any, reward: Any, discount: Any, next_state: Any, step_size: Any) -> Quantile:
    """One step of quantile temporal-difference learning: no value moves by more than `step_size`, whatever the reward.

    `θ_i += step_size (τ_i - P(reward + discount θ(next) < θ_i))`, over equally likely values `[S, N]`; arguments are
    those of `ctd_update`. Converges also for rewards without moments (Rowland et al. 2023).
    """
    old = laws.values[state]
    targets = reward + discount * laws.values[next_state]
    below = jnp.mean(targets[None, :] < old[:, None], -1)
    moved = old + step_size * (midpoint_levels(old.size, old.dtype) - below)
    return laws.replace(values=laws.values.at[state].set(moved))  # type: ignore[attr-defined]


def return_moments(
    mdp: TabularMDP, policy: Float[Array, "num_states num_actions"], max_order: int = 2
) -> Float[Array, "max_order num_states"]:
    """`[m - 1, s]`: raw moments `E G^m` of the return from each state, m = 1..max_order, by linear systems.

    In float32 a variance from raw moments is as exact as the squared mean allows; see `return_statistics`.
    """
    require_int("max_order", max_order, 1)
    size = mdp.num_states
    weights = outcome_weights(mdp, policy)
    rewards, discounts = (part.reshape(size, -1) for part in (mdp.rewards, mdp.discounts()))
    successors = mdp.successors.reshape(size, -1)
    moments = [jnp.ones(size, weights.dtype)]
    for order in range(1, max_order + 1):
        known = sum(
            math.comb(order, k) * rewards ** (order - k) * discounts**k * moments[k][successors] for k in range(order)
        )
        matrix = jnp.eye(size) - transition_matrix(weights * discounts**order, successors)
        moments.append(jnp.linalg.solve(matrix, jnp.sum(weights * known, -1)))
    return jnp.stack(moments[1:])


class ReturnStatistics(NamedTuple):
    """Of the return from each state, `[S]`: mean, variance, and skewness (0 where the return is certain)."""

    mean: Float[Array, " num_states"]
    variance: Float[Array, " num_states"]
    skewness: Float[Array, " num_states"]


def return_statistics(mdp: TabularMDP, policy: Float[Array, "num_states num_actions"]) -> ReturnStatistics:
    """Mean, variance and skewness of the return by linear systems, exact and without a grid."""
    first, second, third = return_moments(mdp, policy, 3)
    variance = jnp.maximum(second - first**2, 0)
    central = third - 3 * first * second + 2 * first**3
    random = variance > 0
    return ReturnStatistics(first, variance, jnp.where(random, central / jnp.where(random, variance, 1) ** 1.5, 0))


def return_covariance(game: MarkovGame, policy: Policy) -> Float[Array, "num_players num_players num_states"]:
    """`[i, j, s]`: covariance of the returns of players i and j from state s under a fixed policy.

    Raises:
        ValueError: a game with a horizon.
    """
    mdp, players = mdp_of_game(game), game.num_players
    size = game.num_states
    weights = outcome_weights(mdp, joint_policy(game, policy).reshape(size, -1))
    successors, discounts = mdp.successors.reshape(size, -1), mdp.discounts().reshape(size, -1)
    rewards = mdp.rewards.reshape(players, size, -1)

    def solve(discount: Array, right: Array) -> Array:
        matrix = jnp.eye(size) - transition_matrix(weights * discount, successors)
        return jnp.linalg.solve(matrix, right.reshape(-1, size).T).T.reshape(right.shape)

    values = solve(discounts, jnp.sum(weights * rewards, -1))
    following = discounts * values[:, successors]
    crossed = rewards[:, None] * rewards + rewards[:, None] * following + following[:, None] * rewards
    return solve(discounts**2, jnp.sum(weights * crossed, -1)) - values[:, None] * values


def entropic_values(
    mdp: TabularMDP, policy: Float[Array, "num_states num_actions"], aversion: Any
) -> Float[Array, " num_states"]:
    """Certainty equivalents `-(1 / a) log E exp(-a G)` of undiscounted returns, in closed form.

    Args:
        mdp: an episodic process; its discount is not read.
        policy: `[S, A]`.
        aversion: a, not 0, in 1 / return.

    Returns:
        `[S]`; `-inf` everywhere (`+inf` for a < 0) where some expectation is infinite: beyond a critical aversion,
        at which the transitions weighted by `exp(-a reward)` among the states have spectral radius 1.
    """
    size = mdp.num_states
    tilted = outcome_weights(mdp, policy) * jnp.exp(-aversion * mdp.rewards).reshape(size, -1)
    goes_on = mdp.continues.reshape(size, -1)
    matrix = jnp.eye(size) - transition_matrix(jnp.where(goes_on, tilted, 0), mdp.successors.reshape(size, -1))
    expected = jnp.linalg.solve(matrix, jnp.sum(jnp.where(goes_on, 0, tilted), -1))
    finite = jnp.all(expected > 0)  # the solution is positive exactly below the critical aversion
    values = -jnp.log(jnp.where(finite, expected, 1)) / aversion
    return jnp.where(finite, values, -jnp.sign(aversion) * jnp.inf)


def _for_players(
    game: MarkovGame, policy: Policy, evaluate: Callable[..., Evaluation], grids: Array | None
) -> Evaluation:
    mdp = mdp_of_game(game)
    joint = joint_policy(game, policy).reshape(game.num_states, -1)

    def one(rewards: Array, grid: Array | None) -> Evaluation:
        return evaluate(mdp.replace(rewards=rewards), joint, grid)  # type: ignore[attr-defined]

    return jax.vmap(one)(mdp.rewards, grids)


def _iterate(
    sweep: Callable[[Array], Array],
    start: Array,
    distance: Callable[[Array, Array], Array],
    max_sweeps: int,
    tolerance: Any,
) -> tuple[Array, Array, Array]:
    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, sweeps, change = carry
        return (sweeps < max_sweeps) & (change > tolerance)

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        before, sweeps, _ = carry
        after = sweep(before)
        return after, sweeps + 1, distance(after, before)

    endless = jnp.asarray(jnp.inf, start.dtype)
    return jax.lax.while_loop(unfinished, body, (start, jnp.zeros((), jnp.int32), endless))


def _remaining(change: Array, modulus: Array) -> Array:
    contracts = modulus < 1
    bound = change * modulus / jnp.where(contracts, 1 - modulus, 1)
    return jnp.where(contracts, bound, jnp.where(change == 0, 0, jnp.inf))
