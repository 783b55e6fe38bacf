"""Cross-tables of populations: reading, checking, extending, and the scores of their members.

Conventions are those of the published table (`metrics` has the definitions): `table[i, j]` is the mean return of row
player `i` against column player `j`, and a member's WithinPopExpl is minus the smallest entry of its **row**.
"""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from jaxmarl.core.checks import require
from jaxmarl.core.files import read_text


@dataclass(frozen=True)
class MemberScore:
    """One row of the ranking of a population, read off its cross-table.

    Attributes:
        name: the member.
        population_return: mean of its row, self-match included.
        within_pop_expl: minus the smallest entry of its row.
        worst_opponent: name of the column of that entry.
        aggregate_score: `population_return − within_pop_expl`.
        best_against: the member with the highest return against this one, read from its column.
        best_against_return: that return.
    """

    name: str
    population_return: float
    within_pop_expl: float
    worst_opponent: str
    aggregate_score: float
    best_against: str
    best_against_return: float


def load_table(path: str | Path) -> tuple[Float64[np.ndarray, "K K"], tuple[str, ...]]:
    """Reads a cross-table written as one `('row', 'col', value)` a line; blank lines are skipped.

    Returns:
        The table of the row player's mean return and the members' names, both in sorted order of the names.

    Raises:
        ValueError: a line that is not such a triple, a repeated or a missing pair; one line, naming the file and the
            line.
    """
    path, cells = Path(path), dict[tuple[str, str], float]()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        row, column, value = _parse_cell(line, f"{path}:{number}")
        if (row, column) in cells:
            raise ValueError(f"{path}:{number}: the pair ({row!r}, {column!r}) is already given")
        cells[row, column] = value
    if not cells:
        raise ValueError(f"{path}: no ('row', 'col', value) line")
    names = sorted({name for pair in cells for name in pair})
    missing = next(((row, column) for row in names for column in names if (row, column) not in cells), None)
    if missing:
        raise ValueError(f"{path}: no line for the pair {missing!r}; {len(names)} names need {len(names) ** 2} lines")
    return np.array([[cells[row, column] for column in names] for row in names]), tuple(names)


def _parse_cell(line: str, place: str) -> tuple[str, str, float]:
    try:
        cell = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        cell = None
    shaped = isinstance(cell, tuple) and len(cell) == 3
    named = shaped and all(isinstance(name, str) and name for name in cell[:2])
    valued = shaped and type(cell[2]) in (int, float) and np.isfinite(cell[2])
    if not (named and valued):
        raise ValueError(f"{place}: expected ('row', 'col', finite value), got {line.strip()[:80]!r}")
    return cell[0], cell[1], float(cell[2])


def check_table(table: ArrayLike, argument: str = "table") -> Float64[np.ndarray, "K K"]:
    """The cross-table as float64 `[K, K]`.

    Raises:
        ValueError: not square, empty or not finite.
    """
    array = as_float64(table, argument)
    square = array.ndim == 2 and array.shape[0] == array.shape[1] >= 1
    require(square, argument, array.shape, "a square array [num_members, num_members]")
    require_finite(array, argument)
    return array


def score_table(table: ArrayLike, names: Sequence[str]) -> list[MemberScore]:
    """Scores every member of a population against the population, itself included.

    WithinPopExpl is read from the member's own row, `−min_j T[i, j]`, not from its column, `max_j T[j, i]`. The two
    agree in an exact zero-sum table; in the released table of the 43 rock-paper-scissors bots, whose mirrored cells
    were estimated from separate matches, the row is what reproduces the published WithinPopExpl, AggregateScore and
    worst opponent of all 43 bots to 3 decimals (the column differs for most, and names another bot for 5), while the
    column gives the published "best bot against it" with its return.

    Args:
        table: the row player's mean return against the column player, `[K, K]`.
        names: of the members, in the table's order.

    Returns:
        One row a member, in the table's order. Of equal entries the first counts.

    Raises:
        ValueError: a table that is not square or not finite, or names that do not fit it.
    """
    array = check_table(table)
    names = check_names(names, len(array))
    returned, loss = array.mean(axis=1), -array.min(axis=1)
    worst, best = array.argmin(axis=1), array.argmax(axis=0)
    return [
        MemberScore(
            name=name,
            population_return=float(returned[i]),
            within_pop_expl=float(loss[i]),
            worst_opponent=names[worst[i]],
            aggregate_score=float(returned[i] - loss[i]),
            best_against=names[best[i]],
            best_against_return=float(array[best[i], i]),
        )
        for i, name in enumerate(names)
    ]


def check_names(names: Iterable[str], size: int, argument: str = "names") -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        ValueError: not `size` different non-empty strings.
    """
    listed = (names,) if isinstance(names, str) else tuple(names)
    good = all(isinstance(name, str) and name for name in listed) and len(set(listed)) == len(listed) == size
    require(good, argument, listed, f"{size} different non-empty names")
    return tuple(str(name) for name in listed)


def antisymmetrise(table: ArrayLike) -> Float64[np.ndarray, "K K"]:
    """`(T − Tᵀ) / 2`: a zero-sum table from one whose mirrored cells were estimated separately."""
    array = check_table(table)
    return (array - array.T) / 2


def extend_table(table: ArrayLike, agent_returns: ArrayLike) -> Float64[np.ndarray, "K1 K1"]:
    """Adds an agent to the cross-table of a zero-sum population, as the last row and column.

    Args:
        table: the members' table, `[K, K]`.
        agent_returns: the agent's mean return against each member, `[K]`.

    Returns:
        `[K + 1, K + 1]`: the agent's column is minus its row, and it ties with itself.

    Raises:
        ValueError: shapes that do not fit or entries that are not finite.
    """
    array, row = check_table(table), as_float64(agent_returns, "agent_returns")
    require(row.shape == (len(array),), "agent_returns", row.shape, f"an array of shape {(len(array),)}")
    require_finite(row, "agent_returns")
    extended = np.zeros((len(array) + 1, len(array) + 1))
    extended[:-1, :-1], extended[-1, :-1], extended[:-1, -1] = array, row, -row
    return extended


def as_float64(values: Any, argument: str) -> np.ndarray:
    """The values as float64, or a `ValueError` naming the argument."""
    try:
        array = np.asarray(values)
    except ValueError:  # numpy's own refusal of ragged lists names neither the argument nor what is allowed
        array = np.asarray(None)
    require(array.dtype.kind in "iuf", argument, type(values).__name__, "an array of real numbers")
    return array.astype(np.float64)


def require_finite(array: np.ndarray, argument: str) -> None:
    """Refuses NaN and infinities with the place of the first."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = ", ".join(str(i) for i in bad[0])
        raise ValueError(
            f"{argument} must be finite, got {array[tuple(bad[0])]} at [{place}] ({len(bad)} such entries)"
        )
