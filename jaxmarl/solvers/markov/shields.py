"""Shields: action masks that keep a system safe whatever else happens, computed agent by agent.

Each agent has a finite game of its own against everything it does not control: it chooses an action, its surroundings
respond, and some states must never be reached. The states from which the surroundings can force that are an attractor,
a least fixed point; outside it some action always avoids it, and the shield allows exactly those. What an agent
guarantees by its shield, the shields of later ones may assume, so that the product of small shields enforces an
invariant of the whole (assume-guarantee reasoning; Alshiekh et al. 2018 for shields).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxmarl.core.checks import require


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LocalSafetyGame:
    """One agent against its surroundings.

    Attributes:
        successors: int `[S, A, E]`, the state after the agent's action and the response of its surroundings.
        unsafe: `[S]`, states that must not be reached.
        possible: `[S, A, E]`, responses that may happen; what is assumed of others is left out here. At least one in
            every state and for every action.
    """

    successors: Int[Array, "S A E"]
    unsafe: Bool[Array, " S"]
    possible: Bool[Array, "S A E"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shield:
    """What an agent may do.

    Attributes:
        winning: `[S]`, states from which it can stay safe for ever.
        mask: `[S, A]`, actions after which it surely is in such a state; in states that are lost, all actions.
    """

    winning: Bool[Array, " S"]
    mask: Bool[Array, "S A"]


Assumption: TypeAlias = Callable[[tuple[Shield, ...]], LocalSafetyGame]
"""The game of an agent, given the shields of those before it, whose guarantees it may assume."""


def safety_game(successors: Any, unsafe: Any, possible: Any = None) -> LocalSafetyGame:
    """A checked `LocalSafetyGame`; every response is possible where `possible` is None.

    Raises:
        ValueError: shapes that do not fit, successors that are no states, a state and action without response.
    """
    table, bad = np.asarray(successors), np.asarray(unsafe, bool)
    require(table.ndim == 3, "successors", table.shape, "of shape [S, A, E]")
    require(bad.shape == table.shape[:1], "unsafe", bad.shape, f"a vector of {table.shape[0]} states")
    inside = bool(table.min() >= 0 and table.max() < len(table))
    require(inside, "successors", f"{table.min()} to {table.max()}", f"states in [0, {len(table)})")
    allowed = np.ones(table.shape, bool) if possible is None else np.asarray(possible, bool)
    require(allowed.shape == table.shape, "possible", allowed.shape, f"of the shape of successors, {table.shape}")
    stuck = int(np.sum(~allowed.any(2)))
    require(stuck == 0, "possible", f"{stuck} pairs without a response", "true somewhere for every state and action")
    return LocalSafetyGame(jnp.asarray(table, jnp.int32), jnp.asarray(bad), jnp.asarray(allowed))


def attractor(game: LocalSafetyGame) -> Bool[Array, " S"]:
    """States from which the surroundings can force an unsafe state, unsafe ones included: the least fixed point.

    A state is lost if every action has a possible response that leads to a lost one. Sweeps of all states at once until
    nothing changes, at most S of them.
    """

    def sweep(state: tuple[Array, Array]) -> tuple[Array, Array]:
        lost, _ = state
        grown = lost | jnp.all(_risky(game, lost), axis=1)
        return grown, jnp.any(grown != lost)

    return jax.lax.while_loop(lambda state: state[1], sweep, (game.unsafe, jnp.ones((), bool)))[0]


def safety_shield(game: LocalSafetyGame) -> Shield:
    """The most permissive shield: it forbids what may lead into the attractor, and nothing else."""
    lost = attractor(game)
    return Shield(~lost, lost[:, None] | ~_risky(game, lost))


_jitted_shield = jax.jit(safety_shield)


def compositional_shields(games: Sequence[Assumption]) -> tuple[Shield, ...]:
    """Shields of a chain of agents, each synthesised under what those before it guarantee.

    Args:
        games: one function an agent, in the order of the chain: `(shields so far) -> LocalSafetyGame`.

    Returns:
        One shield an agent. Started in winning states, shielded agents satisfy all their specifications together: the
        first needs nobody, and each next one only what those before it do.
    """
    shields: tuple[Shield, ...] = ()
    for game in games:
        shields = (*shields, _jitted_shield(game(shields)))
    return shields


def shield_masks(shields: Sequence[Shield], states: Int[Array, " N"]) -> Bool[Array, "N A"]:
    """Every agent's allowed actions, by its local state."""
    return jnp.stack([shield.mask[state] for shield, state in zip(shields, states, strict=True)])


def _risky(game: LocalSafetyGame, lost: Bool[Array, " S"]) -> Bool[Array, "S A"]:
    return jnp.any(lost[game.successors] & game.possible, axis=2)
