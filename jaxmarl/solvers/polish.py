"""Newton's method on the indifference equations of a nearby support: from a good profile to an exact equilibrium."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxmarl.games.metrics import nash_conv
from jaxmarl.games.normal_form import NormalFormGame, Strategies
from jaxmarl.solvers.simplex import normalise

THRESHOLDS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5)
_STEPS = 6


def polish(game: NormalFormGame, strategies: Strategies) -> Strategies:
    """The profile with the smallest NashConv among `strategies` and its polishings at several supports.

    Never worse than what it was given.

    Args:
        game: one game, any number of players, with payoffs of order 1 (`game.normalised()`).
        strategies: per player `[A_i]`.

    Returns:
        per player `[A_i]`.
    """

    def gradients(profile: Strategies) -> Strategies:
        return tuple(game.action_payoffs(i, profile) for i in range(game.num_players))

    return polish_indifference(game, strategies, gradients, lambda profile: nash_conv(game, profile))


def polish_indifference(
    game: NormalFormGame,
    strategies: Strategies,
    gradients: Callable[[Strategies], Strategies],
    gap: Callable[[Strategies], Float[Array, ""]],
) -> Strategies:
    """The profile with the smallest `gap` among `strategies` and its polishings at several supports.

    For each of a few thresholds, the actions played with more probability are the support, and Newton's method makes
    the players' gradients equal on it: expected payoffs, or those of any utility that is concave in the own strategy.

    Args:
        game: whose masks count.
        strategies: per player `[A_i]`.
        gradients: of each player's utility in its own strategy, `[A_i]`, at a profile.
        gap: what is to be small.

    Returns:
        per player `[A_i]`.
    """
    splits = np.cumsum(game.num_actions)[:-1]

    def flat_gradients(flat: Array) -> Array:
        return jnp.concatenate(gradients(tuple(jnp.split(flat, splits))))

    owner = np.repeat(np.arange(game.num_players), game.num_actions)
    flat = jnp.concatenate(strategies)
    supports = flat > jnp.asarray(THRESHOLDS, flat.dtype)[:, None]
    solved = jax.vmap(lambda support: indifferent_point(flat_gradients, owner, support, flat))(supports)
    candidates = jnp.concatenate([flat[None], solved])
    profiles = tuple(
        jax.vmap(normalise, (0, None))(jnp.maximum(block, 0), game.mask(i))
        for i, block in enumerate(jnp.split(candidates, splits, axis=1))
    )
    best = jnp.argmin(jax.vmap(gap)(profiles))
    return jax.tree.map(lambda leaf: leaf[best], profiles)


def indifferent_point(
    payoffs: Callable[[Array], Array],
    owner: np.ndarray,
    support: Bool[Array, " actions"],
    start: Float[Array, " actions"],
) -> Float[Array, " actions"]:
    """Weights near `start` that make every owner's supported actions pay the same; some may come out negative.

    Args:
        payoffs: payoff of every action of all owners, by the weights of all actions.
        owner: which player each action belongs to, `0..n-1`.
        support: where a weight may be other than 0.
        start: weights.

    Returns:
        weights after six Newton steps; `start` where they are not finite.
    """
    num_owners, size = int(owner.max()) + 1, len(owner)
    membership = jnp.asarray(owner[:, None] == np.arange(num_owners), start.dtype)

    def equations(point: Array) -> Array:
        weights, values = point[:size], point[size:]
        indifference = jnp.where(support, payoffs(weights) - membership @ values, weights)
        return jnp.concatenate([indifference, weights @ membership - 1])

    # A trace of regularisation, for supports on which there is no unique solution.
    ridge = jnp.finfo(start.dtype).eps * 10 * jnp.eye(size + num_owners, dtype=start.dtype)

    def newton(point: Array, _: None) -> tuple[Array, None]:
        return point - jnp.linalg.solve(jax.jacfwd(equations)(point) + ridge, equations(point)), None

    weights = jnp.where(support, start, 0)
    values = (weights * payoffs(weights)) @ membership
    point, _ = jax.lax.scan(newton, jnp.concatenate([weights, values]), None, length=_STEPS)
    return jnp.where(jnp.all(jnp.isfinite(point)), point[:size], start)
