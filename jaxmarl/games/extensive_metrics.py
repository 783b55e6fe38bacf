"""Best responses, gaps, mixtures and the normal form of extensive-form games with perfect recall.

Everything is linear in the weights of sequences (`ExtensiveGame.sequence_weights`): what the others and chance
contribute to each terminal node is one vector `[Z]`, to which a player responds by backward induction over its own
information states.
"""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.games.extensive import ExtensiveGame, Policies, Policy
from jaxmarl.games.normal_form import NormalFormGame

MAX_PURE, MAX_PROFILES = 4096, 1_000_000
_LETTERS = "abcdefghijkl"


def others_reach(game: ExtensiveGame, player: int, policies: Policies) -> Float[Array, " num_terminals"]:
    """`[Z]`, probability with which chance and the others lead to each terminal node.

    Args:
        game: of perfect recall.
        player: whose own moves are left out.
        policies: of all players; the player's own is not read.
    """
    reach = game.chance_reach[game.terminals]
    for other, policy in enumerate(policies):
        if other != player:
            reach = reach * game.terminal_reach(other, policy)
    return reach


def respond_to_reach(
    game: ExtensiveGame, player: int, reach: Float[Array, " num_terminals"]
) -> tuple[Policy, Float[Array, ""]]:
    """A pure best response to what the others do, given by `others_reach`, and its expected payoff.

    The others may be correlated: `reach` of a distribution over their profiles is the mean of the profiles' own.
    Ties, and information states that play does not come to, go to the legal action of the lowest number.

    Returns:
        Policy `[I_i, A_i]` and its value.
    """
    mask, before = game.masks[player], game.sequence_before[player]
    gains = reach * game.payoffs[player, game.terminals]
    # worth of a sequence: payoffs where it is the last own move, and the best values of what may follow it
    direct = jnp.zeros(mask.size + 1, gains.dtype).at[game.sequences[player, game.terminals]].add(gains)

    def choices(worth: Array) -> Array:
        return jnp.where(mask, worth[1:].reshape(mask.shape), -jnp.inf)

    def shorter(_: Any, worth: Array) -> Array:
        return direct.at[before].add(jnp.max(choices(worth), axis=1))

    # round k is right for information states with at most k own moves to come
    worth = jax.lax.fori_loop(0, game.num_moves[player], shorter, direct)
    best = jnp.argmax(choices(worth), axis=1)
    return jax.nn.one_hot(best, mask.shape[1], dtype=gains.dtype), worth[0]


def extensive_best_response(game: ExtensiveGame, player: int, policies: Policies) -> tuple[Policy, Float[Array, ""]]:
    """A pure best response `[I_i, A_i]` to the others' policies, and its expected payoff.

    Args:
        game: of perfect recall.
        player: who responds.
        policies: of all players; the player's own is not read.
    """
    return respond_to_reach(game, player, others_reach(game, player, policies))


def extensive_deviation_gains(game: ExtensiveGame, policies: Policies) -> Float[Array, " num_players"]:
    """`[n]`, what each player would gain by a best response to the others."""
    values = [extensive_best_response(game, player, policies)[1] for player in range(game.num_players)]
    return jnp.maximum(jnp.stack(values) - game.expected_payoffs(policies), 0)


def extensive_nash_conv(game: ExtensiveGame, policies: Policies) -> Float[Array, ""]:
    """NashConv: the sum of `extensive_deviation_gains`; 0 at Nash equilibria and only there."""
    return jnp.sum(extensive_deviation_gains(game, policies))


def policy_of_weights(game: ExtensiveGame, player: int, weights: Float[Array, " num_sequences"]) -> Policy:
    """The policy with these `sequence_weights`; uniform where none of them leads."""
    mask = game.masks[player]
    after = jnp.where(mask, weights[1:].reshape(mask.shape), 0)
    total = jnp.sum(after, axis=1, keepdims=True)
    uniform = mask / jnp.sum(mask, axis=1, keepdims=True)
    return jnp.where(total > 0, after / jnp.where(total > 0, total, 1), uniform)


def mixture_policy(
    game: ExtensiveGame,
    player: int,
    weights: Float[Array, " num_policies"],
    policies: Float[Array, "num_policies num_info_states num_actions"],
) -> Policy:
    """The policy equivalent to drawing one of several policies before the game (Kuhn 1953).

    Each counts at an information state by its weight times the probability of its own moves on the way there, so
    that the mixture and the policy lead to every node with the same probability, whatever the others do.

    Args:
        game: of perfect recall.
        player: whose policies they are.
        weights: `[K]`, a distribution.
        policies: `[K, I_i, A_i]`.
    """
    plans = jax.vmap(lambda policy: game.sequence_weights(player, policy))(policies)
    return policy_of_weights(game, player, jnp.matmul(weights, plans, precision="highest"))


def pure_policies(
    game: ExtensiveGame, player: int, max_pure: int = MAX_PURE
) -> Float[Array, "num_pure num_info_states num_actions"]:
    """All pure policies of a player, of those that never differ in play only the first. On the host.

    Raises:
        ValueError: more than `max_pure` of them before equivalent ones are left out.
    """
    mask = np.asarray(game.masks[player])
    legal = [np.flatnonzero(row) for row in mask]
    count = math.prod(len(actions) for actions in legal)
    require(count <= max_pure, "game", f"{count} pure policies of player {player}", f"one with at most {max_pure}")
    choices = np.array(list(itertools.product(*legal)), int).reshape(count, len(legal))
    tables = jnp.asarray(np.eye(mask.shape[1])[choices], game.payoffs.dtype)
    plans = jax.vmap(lambda policy: game.sequence_weights(player, policy))(tables)
    _, first = np.unique(np.asarray(plans), axis=0, return_index=True)
    return tables[np.sort(first)]


def extensive_normal_form(
    game: ExtensiveGame, max_pure: int = MAX_PURE
) -> tuple[NormalFormGame, tuple[Float[Array, "_ _ _"], ...]]:
    """The reduced normal form of a tiny game: players choose pure policies before it begins. On the host.

    Returns:
        The normal-form game, and the policies `[S_i, I_i, A_i]` that its actions stand for.

    Raises:
        ValueError: too many pure policies (`pure_policies`), or more than a million profiles of them.
    """
    policies = tuple(pure_policies(game, player, max_pure) for player in range(game.num_players))
    profiles = math.prod(len(tables) for tables in policies)
    require(profiles <= MAX_PROFILES, "game", f"{profiles} profiles", f"one with at most {MAX_PROFILES}")
    reach = [terminal_reaches(game, player, tables) for player, tables in enumerate(policies)]
    return NormalFormGame(profile_payoffs(game, reach)), policies


def terminal_reaches(
    game: ExtensiveGame, player: int, policies: Float[Array, "num_policies num_info_states num_actions"]
) -> Float[Array, "num_policies num_terminals"]:
    """`[K, Z]`, `ExtensiveGame.terminal_reach` of each of several policies."""
    return jax.vmap(lambda policy: game.terminal_reach(player, policy))(policies)


def profile_payoffs(
    game: ExtensiveGame, reaches: list[Float[Array, "_ _"]]
) -> Float[Array, "num_players *num_policies"]:
    """`[n, K_1, ..., K_n]`, expected payoffs of all profiles of policies, given their `terminal_reaches`."""
    letters = _LETTERS[: game.num_players]
    equation = f"yz,{','.join(f'{letter}z' for letter in letters)}->y{letters}"
    worth = game.terminal_payoffs * game.chance_reach[game.terminals]
    return jnp.einsum(equation, worth, *reaches, precision="highest")
