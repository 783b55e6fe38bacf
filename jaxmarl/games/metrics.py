"""How far a strategy profile or a joint distribution is from equilibrium, and what it is worth."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require
from jaxmarl.games.normal_form import NormalFormGame, Strategies


def best_responses(game: NormalFormGame, strategies: Strategies) -> tuple[Int[Array, ""], ...]:
    """Each player's best legal action against the others' strategies; the lowest index among equals."""
    return tuple(jnp.argmax(_legal_payoffs(game, i, strategies)) for i in range(game.num_players))


def deviation_gains(game: NormalFormGame, strategies: Strategies) -> Float[Array, " num_players"]:
    """What each player would gain by its best response: `max_a u_i(a, s_-i) - u_i(s)`, up to rounding >= 0."""
    shapes, vectors = tuple(map(jnp.shape, strategies)), tuple((size,) for size in game.num_actions)
    require(shapes == vectors, "shapes of strategies", shapes, f"{vectors}, a vector for each player")
    strategies = tuple(map(jnp.asarray, strategies))
    gains = []
    for i in range(game.num_players):
        action_payoffs = game.action_payoffs(i, strategies)
        best = jnp.max(jnp.where(game.mask(i), action_payoffs, -jnp.inf))
        gains.append(best - jnp.sum(strategies[i] * action_payoffs))
    return jnp.stack(gains)


def nash_conv(game: NormalFormGame, strategies: Strategies) -> Float[Array, ""]:
    """Sum of all players' deviation gains (Lanctot et al. 2017): 0 exactly at a Nash equilibrium."""
    return jnp.sum(deviation_gains(game, strategies))


def exploitability(game: NormalFormGame, strategies: Strategies) -> Float[Array, ""]:
    """`nash_conv / num_players`, as OpenSpiel reports it."""
    return nash_conv(game, strategies) / game.num_players


def coarse_deviation_gains(game: NormalFormGame, joint: Float[Array, "*num_actions"]) -> Float[Array, " num_players"]:
    """What each player would gain by ignoring the mediator and playing its best fixed action against `joint`."""
    values = game.payoffs_of_joint(joint)
    gains = []
    for i in range(game.num_players):
        others = jnp.sum(joint, axis=i)
        action_payoffs = jnp.tensordot(own_axis_first(game.payoffs[i], i), others.ravel(), 1, precision="highest")
        gains.append(jnp.max(jnp.where(game.mask(i), action_payoffs, -jnp.inf)) - values[i])
    return jnp.stack(gains)


def cce_gap(game: NormalFormGame, joint: Float[Array, "*num_actions"]) -> Float[Array, ""]:
    """Largest coarse deviation gain of any player: <= 0 exactly at a coarse correlated equilibrium.

    Sum `coarse_deviation_gains` for the total used by joint PSRO (Marris et al. 2021).
    """
    return jnp.max(coarse_deviation_gains(game, joint))


def swap_gains(
    game: NormalFormGame, joint: Float[Array, "*num_actions"], player: int
) -> Float[Array, "num_actions num_actions"]:
    """`[A_i, A_i]`: gain of playing b whenever a is recommended, weighted by the probability of a.

    Entries with an illegal action are 0.
    """
    payoffs = own_axis_first(game.payoffs[player], player)
    recommended = own_axis_first(joint, player)
    values = jnp.einsum("ax,bx->ab", recommended, payoffs, precision="highest")
    gains = values - jnp.diagonal(values)[:, None]
    legal = game.mask(player)
    return jnp.where(legal[:, None] & legal[None, :], gains, 0)


def ce_gap(game: NormalFormGame, joint: Float[Array, "*num_actions"]) -> Float[Array, ""]:
    """Largest gain of any player from replacing one recommendation a by one action b (0 at a correlated equilibrium).

    This is the largest violation of the inequalities that define the polytope; `swap_gap` sums over recommendations.
    """
    return jnp.max(jnp.stack([jnp.max(swap_gains(game, joint, i)) for i in range(game.num_players)]))


def swap_gap(game: NormalFormGame, joint: Float[Array, "*num_actions"]) -> Float[Array, ""]:
    """Largest gain of any player from its best swap function `phi(a)`: swap regret per round; >= `ce_gap`."""
    totals = [jnp.sum(jnp.max(swap_gains(game, joint, i), axis=1)) for i in range(game.num_players)]
    return jnp.max(jnp.stack(totals))


def welfare(game: NormalFormGame, joint: Float[Array, "*num_actions"]) -> Float[Array, ""]:
    """Sum of all players' expected payoffs under a distribution over profiles."""
    return jnp.sum(game.payoffs_of_joint(joint))


def optimal_welfare(game: NormalFormGame) -> Float[Array, ""]:
    """Largest sum of payoffs over legal profiles."""
    return jnp.max(jnp.where(game.legal_profiles(), game.payoffs.sum(0), -jnp.inf))


def pure_equilibria(game: NormalFormGame, tolerance: float = 1e-6) -> Bool[Array, "*num_actions"]:
    """`[A_1, ..., A_n]`: the profiles in which nobody gains more than `tolerance` times its payoff range."""
    legal = game.legal_profiles()
    stable = legal
    slack = tolerance * game.payoff_range()
    for i in range(game.num_players):
        payoffs = jnp.where(legal, game.payoffs[i], -jnp.inf)
        stable &= payoffs >= jnp.max(payoffs, axis=i, keepdims=True) - slack[i]
    return stable


def _legal_payoffs(game: NormalFormGame, player: int, strategies: Strategies) -> Float[Array, " num_actions"]:
    return jnp.where(game.mask(player), game.action_payoffs(player, strategies), -jnp.inf)


def own_axis_first(array: Float[Array, "*num_actions"], player: int) -> Float[Array, "num_actions others"]:
    """One row for each action of a player, one column for each profile of the others."""
    return jnp.moveaxis(array, player, 0).reshape(array.shape[player], -1)
