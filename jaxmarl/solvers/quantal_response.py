"""Logit quantal response equilibria, and the Nash equilibrium they lead to, for any number of players."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require
from jaxmarl.games.metrics import nash_conv
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.logit_path import trace_logit_path
from jaxmarl.solvers.polish import polish
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.simplex import masked_softmax
from jaxmarl.solvers.solution import Solution, nash_solution

StackedStrategies: TypeAlias = tuple[Float[Array, "precisions _"], ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LogitPath:
    """Logit equilibria along the principal branch.

    Attributes:
        precisions: `[P]`.
        strategies: per player `[P, A_i]`.
        residuals: `[P]`, how far each is from its logit response (`logit_residual`): the certificate.
        gaps: `[P]`, NashConv.
        steps: `[P]`, continuation steps since the precision before.
    """

    precisions: Float[Array, " precisions"]
    strategies: StackedStrategies
    residuals: Float[Array, " precisions"]
    gaps: Float[Array, " precisions"]
    steps: Int[Array, " precisions"]


def logit_response(game: NormalFormGame, strategies: Strategies, precision: Any) -> Strategies:
    """Every player's `softmax(precision * u_i(., s_-i))` over its legal actions."""
    return tuple(
        masked_softmax(precision * game.action_payoffs(i, strategies), game.mask(i)) for i in range(game.num_players)
    )


def logit_residual(game: NormalFormGame, strategies: Strategies, precision: Any) -> Float[Array, ""]:
    """Largest difference of a probability from its logit response: 0 exactly at a logit equilibrium."""
    responses = logit_response(game, strategies, precision)
    return jnp.max(jnp.concatenate([jnp.abs(s - r) for s, r in zip(strategies, responses, strict=True)]))


def logit_equilibrium_path(game: NormalFormGame, precisions: Any) -> LogitPath:
    """Logit quantal response equilibria at increasing precisions, on the branch that starts at uniform play.

    `s_i = softmax(precision * u_i(., s_-i))` for all i (McKelvey and Palfrey 1995), traced inside `jit` by
    pseudo-arclength continuation (Turocy 2005), so that the branch may turn back before it reaches a precision. Damped
    iteration of the response cycles at high precision; this does not.

    Args:
        game: one game, any number of players; `vmap` for batches.
        precisions: `[P]`, increasing, >= 0, per unit of payoff.

    Returns:
        the path. A residual that is not small marks a precision that was not reached.

    Raises:
        ValueError: precisions that do not increase or are negative (outside `jit` only).
    """
    precisions = jnp.asarray(precisions, game.payoffs.dtype)
    require(precisions.ndim == 1 and precisions.size > 0, "precisions", precisions.shape, "a vector")
    if not isinstance(precisions, jax.core.Tracer):
        values = np.asarray(precisions)
        increasing = bool(np.all(np.diff(values) >= 0)) and bool(values[0] >= 0)
        require(increasing and bool(np.isfinite(values).all()), "precisions", values.tolist(), "increasing and >= 0")
    # In units of the largest range, whatever the payoffs' scale.
    scale = jnp.max(game.payoff_range())
    scale = jnp.where(scale > 0, scale, 1)
    low = jnp.min(jnp.where(game.legal_profiles(), game.payoffs, jnp.inf), tuple(range(1, game.payoffs.ndim)))
    moved = (game.payoffs - low.reshape((-1,) + (1,) * game.num_players)) / scale
    scaled = NormalFormGame(jnp.where(game.legal_profiles(), moved, 0), game.masks)
    strategies, steps = _path(scaled, precisions * scale)
    residuals = jax.vmap(lambda profile, precision: logit_residual(scaled, profile, precision))
    return LogitPath(
        precisions=precisions,
        strategies=strategies,
        residuals=residuals(strategies, precisions * scale),
        gaps=jax.vmap(lambda profile: nash_conv(game, profile))(strategies),
        steps=steps,
    )


def _path(
    game: NormalFormGame, precisions: Float[Array, " precisions"]
) -> tuple[StackedStrategies, Int[Array, " precisions"]]:
    """The path of a game with payoffs of order 1."""
    players, splits = range(game.num_players), np.cumsum(game.num_actions)[:-1]

    def strategies(logits: Array) -> Strategies:
        return tuple(masked_softmax(own, game.mask(i)) for i, own in enumerate(jnp.split(logits, splits)))

    def response(logits: Array) -> Array:
        profile = strategies(logits)
        return jnp.concatenate([centred(game.action_payoffs(i, profile), game.mask(i)) for i in players])

    mask = jnp.concatenate([game.mask(i) for i in players])
    logits, steps = trace_logit_path(response, lambda z: jnp.concatenate(strategies(z)), mask, precisions)
    return jax.vmap(strategies)(logits), steps


def centred(payoffs: Float[Array, " n"], mask: Array) -> Float[Array, " n"]:
    """Payoffs minus their mean over legal actions; 0 for illegal ones."""
    return jnp.where(mask, payoffs - jnp.sum(jnp.where(mask, payoffs, 0)) / mask.sum(), 0)


@register_solver("quantal_response", games="any")
def quantal_response(game: NormalFormGame, *, precision: float | Float[Array, ""] = 1.0) -> Solution:
    """The logit quantal response equilibrium at one precision, on the principal branch, for any number of players.

    See `logit_equilibrium_path`. It is not a Nash equilibrium: its certificate is `trace["residual"]`, and `gap` says
    how far from Nash it is.

    Args:
        game: one game; `vmap` for batches.
        precision: >= 0, per unit of payoff: 0 is uniform play, large values approach a Nash equilibrium.

    Returns:
        the equilibrium; `trace["residual"]` (see `logit_residual`) is near 0 if it was reached.
    """
    path = logit_equilibrium_path(game, jnp.asarray(precision, game.payoffs.dtype)[None])
    strategies = jax.tree.map(lambda leaf: leaf[0], path.strategies)
    return nash_solution(game, strategies, path.steps[0], {"residual": path.residuals})


@register_solver("logit_limit", games="any")
def logit_limit(game: NormalFormGame, *, max_precision: float = 1e4) -> Solution:
    """The Nash equilibrium that the principal branch of logit equilibria leads to, for any number of players.

    Follows the branch to a large precision and then makes the remaining support exactly indifferent by Newton's method
    (`polish`). In a generic game the branch ends at one equilibrium (McKelvey and Palfrey 1995, theorem 3).

    Args:
        game: one game; `vmap` for batches.
        max_precision: where to leave the branch, with each player's payoffs scaled to [0, 1].

    Returns:
        the equilibrium; `trace["residual"]` is that of the logit equilibrium it was polished from.
    """
    scaled = game.normalised()
    precisions = jnp.asarray(max_precision, scaled.payoffs.dtype)[None]
    strategies, steps = _path(scaled, precisions)
    reached = jax.tree.map(lambda leaf: leaf[0], strategies)
    residual = logit_residual(scaled, reached, precisions[0])
    return nash_solution(game, polish(scaled, reached), steps[0], {"residual": residual[None]})


def sequential_logit_responses(
    game: NormalFormGame, precision: float | Float[Array, ""], iterations: int = 1000
) -> Solution:
    """Players revise one after the other, each by its exact logit response to the others as they are.

    In a game of common payoffs `u` every revision raises `E[u] + (1 / precision) sum_i H(x_i)`, so that play converges
    to a logit equilibrium: the exact limit of heterogeneous-agent soft actor-critic (Liu et al. 2024, theorem 2),
    whose temperature is `1 / precision`. Which one depends on the order of the players, here their own.

    Args:
        game: one game; `vmap` for batches.
        precision: positive, per unit of payoff.
        iterations: rounds in which every player revises once, from uniform play.

    Returns:
        the last profile; `trace["residual"]` and `trace["payoff"]`, of the first player, after every round.
    """

    def revise(strategies: Strategies, _: None) -> tuple[Strategies, tuple[Array, Array]]:
        for i in range(game.num_players):
            response = masked_softmax(precision * game.action_payoffs(i, strategies), game.mask(i))
            strategies = (*strategies[:i], response, *strategies[i + 1 :])
        return strategies, (logit_residual(game, strategies, precision), game.expected_payoffs(strategies)[0])

    strategies, (residual, payoff) = jax.lax.scan(revise, game.uniform_strategies(), length=iterations)
    return nash_solution(game, strategies, jnp.asarray(iterations), {"residual": residual, "payoff": payoff})
