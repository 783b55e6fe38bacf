"""Rules of classical Markov games: one move, for a grid of states and profiles in NumPy, or for one traced state.

Tables (`markov_fixtures`) and environments (`jaxmarl.envs.markov`) play by these lines. Axes `*` broadcast.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Array

from jaxmarl.games.zoo._profiles import namespace

AnyArray: TypeAlias = np.ndarray | Array
Cell: TypeAlias = tuple[int, int]

NORTH_SOUTH_EAST_WEST_STAND: tuple[Cell, ...] = ((-1, 0), (1, 0), (0, 1), (0, -1), (0, 0))
"""(row, column) steps of the actions in soccer."""
UP_DOWN_LEFT_RIGHT: tuple[Cell, ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""(row, column) steps of the actions in grid games."""


class SoccerMove(NamedTuple):
    """What one or both players' moves led to.

    Attributes:
        cells: `[*, 2, 2]`, row and column of both players.
        ball: `[*]`, who has it, 0 or 1.
        goal: `[*]`, 1 if the first player scored, -1 if the second did, else 0 (then cells and ball mean nothing).
    """

    cells: Any
    ball: Any
    goal: Any


def soccer_step(
    cells: AnyArray, ball: AnyArray, actions: AnyArray, first: AnyArray, field: Cell, goal_rows: Sequence[int]
) -> SoccerMove:
    """Both players of `soccer` move in turn; the first goal ends it.

    Args:
        cells: `[*, 2, 2]`, row and column of both players.
        ball: `[*]`, who has it.
        actions: `[*, 2]`, indices into `NORTH_SOUTH_EAST_WEST_STAND`.
        first: `[*]`, who moves first, 0 or 1.
        field: rows and columns.
        goal_rows: in which the edges are goals.
    """
    xp = namespace(cells, ball, actions, first)
    one, two = actions[..., 0], actions[..., 1]
    earlier = soccer_move(cells, ball, first, xp.where(first == 0, one, two), field, goal_rows)
    later = soccer_move(earlier.cells, earlier.ball, 1 - first, xp.where(first == 0, two, one), field, goal_rows)
    return SoccerMove(later.cells, later.ball, xp.where(earlier.goal != 0, earlier.goal, later.goal))


def soccer_move(
    cells: AnyArray, ball: AnyArray, mover: AnyArray, action: AnyArray, field: Cell, goal_rows: Sequence[int]
) -> SoccerMove:
    """One player of `soccer` moves; arguments as in `soccer_step`, `mover` and `action` `[*]`."""
    xp = namespace(cells, ball, mover, action)
    is_first = xp.asarray(mover == 0)[..., None]
    own = xp.where(is_first, cells[..., 0, :], cells[..., 1, :])
    other = xp.where(is_first, cells[..., 1, :], cells[..., 0, :])
    target = own + xp.asarray(NORTH_SOUTH_EAST_WEST_STAND)[action]
    row, column = target[..., 0], target[..., 1]

    opposite = xp.where(mover == 0, column == -1, column == field[1])
    scored = (ball == mover) & opposite & _among(row, goal_rows)
    blocked = xp.all(target == other, axis=-1)
    moves = _inside(target, field) & ~blocked
    own = xp.where(moves[..., None], target, own)
    moved = xp.stack([xp.where(is_first, own, other), xp.where(is_first, other, own)], axis=-2)
    return SoccerMove(moved, xp.where(blocked, 1 - mover, ball), xp.where(scored, 1 - 2 * mover, 0))


class GridMove(NamedTuple):
    """What both players' moves in a grid game led to.

    Attributes:
        cells: `[*, 2, 2]`, row and column of both players.
        arrived: bool `[*, 2]`, who is on its goal.
        collided: bool `[*]`, whether both had to stay where they were.
    """

    cells: Any
    arrived: Any
    collided: Any


def grid_game_step(
    cells: AnyArray,
    actions: AnyArray,
    stopped: AnyArray,
    grid: Cell,
    goals: tuple[Cell, Cell],
    barriers: Sequence[Cell],
) -> GridMove:
    """Both players of a `grid_game` move at once.

    Args:
        cells: `[*, 2, 2]`.
        actions: `[*, 2]`, indices into `UP_DOWN_LEFT_RIGHT`.
        stopped: bool `[*, 2]`, whom a barrier stops if it moves up from one of `barriers`.
        grid: rows and columns.
        goals: of both players; where they are one cell, both may be there.
        barriers: cells above which there is one.
    """
    xp = namespace(cells, actions, stopped)
    target = cells + xp.asarray(UP_DOWN_LEFT_RIGHT)[actions]
    at_barrier = xp.zeros(actions.shape, bool)
    for cell in barriers:
        at_barrier = at_barrier | xp.all(cells == xp.asarray(cell), axis=-1)
    moves = _inside(target, grid) & ~(at_barrier & stopped & (actions == 0))
    target = xp.where(moves[..., None], target, cells)

    goal = xp.asarray(goals)
    shared = xp.all(target[..., 0, :] == goal[0], axis=-1) if goals[0] == goals[1] else False
    meet = xp.all(target[..., 0, :] == target[..., 1, :], axis=-1) & ~xp.asarray(shared)
    collided = meet | xp.all(target == cells[..., ::-1, :], axis=(-2, -1))
    target = xp.where(collided[..., None, None], cells, target)
    return GridMove(target, xp.all(target == goal, axis=-1), collided)


class DistancingMove(NamedTuple):
    """What the choices of facilities led to.

    Attributes:
        rewards: `[*, n]`.
        spread: `[*]`, the next state, 1 for "spread".
    """

    rewards: Any
    spread: Any


def distancing_step(spread: AnyArray, actions: AnyArray, weights: AnyArray, penalty: Any) -> DistancingMove:
    """Everybody in the distancing game has chosen a facility.

    Args:
        spread: `[*]`, the state, 0 for "safe", 1 for "spread".
        actions: `[*, n]`, facilities.
        weights: `[F]`, what a facility pays to each player there for each player there.
        penalty: lost by everybody in "spread".
    """
    xp = namespace(spread, actions, weights, penalty)
    here = (actions[..., None] == np.arange(len(weights))).sum(axis=-2)
    own = (actions[..., None] == actions[..., None, :]).sum(axis=-1)
    most, players = here.max(axis=-1), actions.shape[-1]
    following = xp.where(spread == 0, 2 * most > players, 4 * most > players)
    return DistancingMove(xp.asarray(weights)[actions] * own - penalty * xp.asarray(spread)[..., None], following * 1)


def _inside(cell: AnyArray, shape: Cell) -> Any:
    return (cell[..., 0] >= 0) & (cell[..., 0] < shape[0]) & (cell[..., 1] >= 0) & (cell[..., 1] < shape[1])


def _among(values: AnyArray, allowed: Sequence[int]) -> Any:
    found = values != values
    for number in allowed:
        found = found | (values == number)
    return found
