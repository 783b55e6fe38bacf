"""Classical Markov games as tables: Littman's soccer, the grid games of Hu and Wellman, the distancing game.

`jaxmarl.envs.markov` has them as environments, which play by the same rules (`markov_rules`).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.games.markov import MarkovGame
from jaxmarl.games.markov_kernels import SuccessorKernel
from jaxmarl.games.markov_rules import Cell, distancing_step, grid_game_step, soccer_step

GRID, GRID_STARTS = (3, 3), ((2, 0), (2, 2))
"""Shape of the grid games, and where the players start."""
GRID_GOALS: dict[str, tuple[Cell, Cell]] = {"opposite": ((0, 2), (0, 0)), "common": ((0, 1), (0, 1))}
"""Goals of the grid games' players."""
DISTANCING_WEIGHTS, DISTANCING_PENALTY = (1.0, 2.0, 4.0, 6.0), 100.0
"""What the facilities of the distancing game pay, and what is lost in its second state."""


def soccer(
    discount: Any = 0.9,
    *,
    num_rows: int = 4,
    num_columns: int = 5,
    goal_rows: tuple[int, ...] = (1, 2),
    starts: tuple[Cell, Cell] = ((1, 3), (2, 1)),
) -> MarkovGame:
    """The soccer game of Littman (1994): zero-sum, 760 states on the 4 x 5 field, no pure solution.

    Both players choose among north, south, east, west and stand; their moves are made one after the other in an order
    drawn by a fair coin. A mover into the other's cell stays where it is, and the ball goes to (or stays with) the one
    that stood there. The first player scores by carrying the ball off the left edge in a goal row, the second off the
    right edge: 1 for the scorer, -1 for the other, and the game ends. Other moves off the field do nothing.

    Args:
        discount: Littman's 0.9 stands for a tenth of the games ending in a draw at each step.
        num_rows: of the field.
        num_columns: of the field.
        goal_rows: in which the edges are goals.
        starts: cells of the two players; who has the ball at first is drawn by a fair coin.

    Returns:
        The game. States are `(cell of the first, cell of the second, who has the ball)`, in lexicographic order of
        cells in rows: `soccer_states` lists them.
    """
    states, field = soccer_states(num_rows, num_columns), (num_rows, num_columns)
    cells = np.array([state[:2] for state in states])[:, None, None, None]
    ball = np.array([state[2] for state in states])[:, None, None, None]
    move = soccer_step(cells, ball, _profiles(5)[:, :, None], np.arange(2), field, goal_rows)
    goals = move.goal.mean(-1)
    row, column = np.moveaxis(move.cells, -1, 0)
    index = np.full((num_rows, num_columns, num_rows, num_columns, 2), -1)
    index[tuple(np.array([(*one, *two, has) for one, two, has in states]).T)] = np.arange(len(states))
    following = index[row[..., 0], column[..., 0], row[..., 1], column[..., 1], move.ball]
    starting = [states.index((*starts, has)) for has in (0, 1)]
    return _table([goals, -goals], following, (move.goal == 0) / 2, starting, discount)


def soccer_states(num_rows: int = 4, num_columns: int = 5) -> list[tuple[Cell, Cell, int]]:
    """The states of `soccer` in order: cells `(row, column)` of both players, and who has the ball (0 or 1)."""
    require_int("num_rows", num_rows, 1)
    require_int("num_columns", num_columns, 2)
    return [(first, second, ball) for first, second in _two_cells((num_rows, num_columns)) for ball in (0, 1)]


def grid_game(which: str = "opposite", discount: Any = 0.99) -> MarkovGame:
    """The 3 x 3 grid games of Hu and Wellman (2003): two players walk from the bottom corners to their goals.

    Both choose among up, down, left and right at once; a move off the grid does nothing. Moves into one cell, into a
    cell where the other stays, or past each other are collisions: both stay and lose 1. Reaching the own goal pays 100
    and ends the game for both.

    Args:
        which: `"opposite"` (their first game): the goals are the top corner on the other side. `"common"` (their
            second): both goals are the middle of the top row, where both may arrive at once, and moving up from either
            bottom corner succeeds half the time.
        discount: 0.99 in the paper.

    Returns:
        The game of 57 or 56 states, in the order of `grid_game_states`.
    """
    states = grid_game_states(which)
    barriers = GRID_STARTS if which == "common" else ()
    cells = np.array(states)[:, None, None, None]
    stopped = np.array(list(itertools.product((False, True), repeat=2)))
    actions = np.broadcast_to(_profiles(4)[:, :, None], (4, 4, 4, 2))
    move = grid_game_step(cells, actions, stopped, GRID, GRID_GOALS[which], barriers)
    rewards = 100.0 * move.arrived - move.collided[..., None]
    goes_on = ~move.arrived.any(-1)
    row, column = np.moveaxis(move.cells, -1, 0)
    index = np.zeros((*GRID, *GRID), int)
    index[tuple(np.array(states).reshape(-1, 4).T)] = np.arange(len(states))
    following = index[row[..., 0], column[..., 0], row[..., 1], column[..., 1]]
    return _table(np.moveaxis(rewards.mean(3), -1, 0), following, goes_on / 4, [states.index(GRID_STARTS)], discount)


def grid_game_states(which: str = "opposite") -> list[tuple[Cell, Cell]]:
    """The states of `grid_game` in order: cells `(row, column)` of both players, none of them on its goal."""
    require_choice("which", which, GRID_GOALS)
    goals = GRID_GOALS[which]
    return [cells for cells in _two_cells(GRID) if cells[0] != goals[0] and cells[1] != goals[1]]


def distancing_game(num_players: int = 4, discount: Any = 0.99) -> MarkovGame:
    """The distancing game of Leonardos et al. (2022), a Markov potential game with 4 facilities and 2 states.

    Of `k` players at facility f each gets `w_f k` with `w = (1, 2, 4, 6)`, and 100 less in the second state ("spread").
    More than half of the players at one facility lead from the first state ("safe") to the second; at most a quarter
    at each lead back. The table has `2 * 4^n` rows; the paper plays it with 8 players.
    """
    require_int("num_players", num_players, 2, 10)
    profiles = np.array(list(itertools.product(range(4), repeat=num_players)))
    move = distancing_step(np.arange(2)[:, None], profiles, np.array(DISTANCING_WEIGHTS), DISTANCING_PENALTY)
    shape = (2, *[4] * num_players)
    rewards = np.moveaxis(move.rewards, -1, 0).reshape(num_players, *shape)
    following = move.spread.reshape(*shape, 1)
    return _table(rewards, following, np.ones(following.shape), [0, 1], discount)


def _two_cells(shape: Cell) -> list[tuple[Cell, Cell]]:
    return list(itertools.permutations(itertools.product(range(shape[0]), range(shape[1])), 2))


def _profiles(num_actions: int) -> np.ndarray:
    # [A, A, 2]: all pairs of actions
    return np.stack(np.meshgrid(np.arange(num_actions), np.arange(num_actions), indexing="ij"), axis=-1)


def _table(
    rewards: Any, following: np.ndarray, chances: np.ndarray, starts: Sequence[int], discount: Any
) -> MarkovGame:
    # Successors [S, A_1, ..., K] and their chances; what happens with chance 0 may be anything.
    chances = np.broadcast_to(chances, following.shape)
    kernel = SuccessorKernel(jnp.asarray(np.where(chances > 0, following, 0)), jnp.asarray(chances, float))
    initial = np.zeros(following.shape[0])
    np.add.at(initial, list(starts), 1 / len(starts))
    return MarkovGame(jnp.asarray(rewards, float), kernel, jnp.asarray(initial), jnp.asarray(discount))
