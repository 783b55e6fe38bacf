"""Extensive-form games from rules: who moves in a state, what they see, and which state a move leads to."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from jaxmarl.core.checks import require
from jaxmarl.games.extensive import CHANCE, TERMINAL, ExtensiveGame, extensive_game

MAX_NODES = 300_000

State: TypeAlias = Any


@dataclass(frozen=True)
class Decision:
    """A player's turn.

    Attributes:
        player: who moves.
        sees: what the player knows then, its own past moves included; equal keys are one information state.
        actions: legal ones, at least 0.
    """

    player: int
    sees: Hashable
    actions: tuple[int, ...]


@dataclass(frozen=True)
class Chance:
    """A turn of chance: `outcomes` (at least 0) and their `probabilities`."""

    outcomes: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class End:
    """The end of the game: every player's payoff."""

    payoffs: tuple[float, ...]


Turn: TypeAlias = Decision | Chance | End


def game_from_rules(
    start: State, turn: Callable[[State], Turn], after: Callable[[State, int], State], max_nodes: int = MAX_NODES
) -> ExtensiveGame:
    """The tree of a game given by its rules, level by level.

    Args:
        start: where the game begins; states are whatever the two functions agree on.
        turn: what happens in a state.
        after: the state that a move, or an outcome of chance, leads to.
        max_nodes: refused beyond.

    Raises:
        ValueError: more than `max_nodes` nodes, or a tree that `extensive_game` refuses.
    """
    states, parent, branch, chance = [start], [-1], [0], [1.0]
    player: list[int] = []
    info_state: list[int] = []
    ends: list[tuple[float, ...]] = []
    numbers: dict[int, dict[Hashable, int]] = {}
    node = 0
    while node < len(states):
        state, now = states[node], turn(states[node])
        moves: tuple[int, ...] = ()
        if isinstance(now, End):
            player.append(TERMINAL)
            info_state.append(0)
            ends.append(now.payoffs)
        elif isinstance(now, Chance):
            moves = now.outcomes
            player.append(CHANCE)
            info_state.append(0)
            chance += now.probabilities
        else:
            moves = now.actions
            player.append(now.player)
            known = numbers.setdefault(now.player, {})
            info_state.append(known.setdefault(now.sees, len(known)))
            chance += [1.0] * len(moves)
        states += [after(state, move) for move in moves]
        parent += [node] * len(moves)
        branch += moves
        require(len(states) <= max_nodes, "rules", f"more than {max_nodes} nodes", "of a smaller game")
        node += 1
    payoffs = np.zeros((len(ends[0]), node))
    payoffs[:, np.asarray(player) == TERMINAL] = np.asarray(ends).T
    return extensive_game(parent, branch, player, info_state, chance, payoffs)
