"""The cross-table of the tournament bots: played, saved, drawn, and compared with a released one."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float64
from rich.table import Table

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.files import replace_file
from jaxmarl.envs.rps import BOTS, RepeatedRPS, bot_players
from jaxmarl.evaluation.cross_play import cross_play
from jaxmarl.evaluation.tables import MemberScore, load_table, score_table

TABLE_FILE, FIGURE_FILE = "cross_table.json", "cross_table.png"
SHIPPED = Path(__file__).parent.parent / "envs" / "rps" / "cross_table.json"


@dataclass(frozen=True, eq=False)
class CrossTable:
    """Mean returns of bots against bots.

    Attributes:
        names: of the bots, `[K]`.
        mean: of the row player's return, `[K, K]`.
        standard_error: of those means, `[K, K]`.
        num_matches: of each ordered pair.
    """

    names: tuple[str, ...]
    mean: Float64[np.ndarray, "K K"]
    standard_error: Float64[np.ndarray, "K K"]
    num_matches: int

    @property
    def scores(self) -> list[MemberScore]:
        """Scores of the bots, best AggregateScore first."""
        return sorted(score_table(self.mean, self.names), key=lambda member: -member.aggregate_score)

    def of(self, names: Sequence[str]) -> "CrossTable":
        """The table of some of its bots, in the order of `names`."""
        index = [self.names.index(name) for name in names]
        cells = np.ix_(index, index)
        return CrossTable(tuple(names), self.mean[cells], self.standard_error[cells], self.num_matches)

    def save(self, path: Path) -> Path:
        """Writes the table as JSON, a row a line, to 3 decimals."""
        rows = {name: [round(float(x), 3) for x in row] for name, row in zip(self.names, self.mean, strict=True)}
        errors = {
            name: [round(float(x), 3) for x in row] for name, row in zip(self.names, self.standard_error, strict=True)
        }
        lines = [f'"num_matches": {self.num_matches}', f'"names": {json.dumps(self.names)}']
        for key, table in (("mean", rows), ("standard_error", errors)):
            body = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in table.items())
            lines.append(f'"{key}": {{\n  {body}\n }}')
        return replace_file(path, ("{\n " + ",\n ".join(lines) + "\n}\n").encode())


def load_cross_table(path: Path = SHIPPED) -> CrossTable:
    """Reads what `CrossTable.save` wrote; by default the table that comes with the project."""
    data = json.loads(path.read_text())
    mean, error = (np.array([data[key][name] for name in data["names"]]) for key in ("mean", "standard_error"))
    return CrossTable(tuple(data["names"]), mean, error, data["num_matches"])


def play_cross_table(
    num_matches: int,
    *,
    seed: int = 0,
    bots: Sequence[str] = (),
    matches_per_call: int = 1,
    on_progress: Callable[[int], None] = lambda finished: None,
) -> CrossTable:
    """Plays every ordered pair of bots `num_matches` times, 1000 throws each.

    Args:
        num_matches: of each ordered pair, at least 2.
        seed: of the matches.
        bots: names (default: all).
        matches_per_call: matches of a pair that run together; few is fastest on a CPU, whose caches then hold them.
        on_progress: told the number of finished matches a pair.
    """
    require_int("num_matches", num_matches, 2)
    names = tuple(bots) or tuple(BOTS)
    env = RepeatedRPS()
    result = cross_play(
        env,
        bot_players(env, names),
        jax.random.key(seed),
        num_matches,
        matches_per_call=matches_per_call,
        on_progress=on_progress,
    )
    return CrossTable(names, result.payoffs[..., 0], result.standard_errors[..., 0], num_matches)


def ranking(table: CrossTable) -> Table:
    """The bots by AggregateScore, for the terminal."""
    columns = ("", "bot", "Population\nReturn", "WithinPop\nExpl", "worst\nopponent", "Aggregate\nScore")
    out = Table(*columns, title=f"{len(table.names)} bots, {table.num_matches} matches a pair")
    for place, m in enumerate(table.scores, start=1):
        returned, loss, aggregate = (f"{x:.1f}" for x in (m.population_return, m.within_pop_expl, m.aggregate_score))
        out.add_row(str(place), m.name, returned, loss, m.worst_opponent, aggregate)
    return out


def draw(table: CrossTable, path: Path) -> Path:
    """The heat map of the table, the best bots first."""
    from jaxmarl.viz.table import plot_table

    order = table.of([member.name for member in table.scores])
    title = f"Who beats whom: {len(table.names)} bots by AggregateScore, {table.num_matches} matches a pair"
    return plot_table(order.mean, order.names, path, title)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A table beside a released one, cell by cell.

    Attributes:
        names: of the bots.
        z: difference of the cells in standard errors of the difference, `[K, K]` (0 where both are exact and equal).
        population_return_z: the same of the rows' means, `[K]`.
    """

    names: tuple[str, ...]
    z: Float64[np.ndarray, "K K"]
    population_return_z: Float64[np.ndarray, " K"]

    def within(self, errors: float) -> float:
        """Share of the cells within so many standard errors."""
        return float((np.abs(self.z) <= errors).mean())

    @property
    def summary(self) -> str:
        """The comparison in a sentence."""
        worst = np.unravel_index(np.abs(self.z).argmax(), self.z.shape)
        pair = f"{self.names[worst[0]]} against {self.names[worst[1]]}"
        rows = np.abs(self.population_return_z)
        return (
            f"{100 * self.within(4):.2f} % of the cells within 4 standard errors of the released table (worst {pair}: "
            f"{np.abs(self.z).max():.1f}); PopulationReturn of {int((rows <= 3).sum())} of {len(rows)} bots within 3 "
            f"(worst {self.names[int(rows.argmax())]}: {rows.max():.1f})"
        )


def compare(table: CrossTable, path: Path, released_matches: int = 1000) -> Comparison:
    """Compares with a released table of lines `('row', 'column', mean)`, whose cells have `released_matches` matches.

    The released cells' standard errors are not published; they are taken from our spread in the same cell.
    """
    released, names = load_table(path)
    missing = sorted(set(table.names) - set(names))
    require(not missing, "path", str(path), f"a table with the bots {', '.join(missing)}")
    index = [list(names).index(name) for name in table.names]
    difference = table.mean - released[np.ix_(index, index)]
    variance = table.standard_error**2 * (1 + table.num_matches / released_matches)
    exact = variance == 0
    # the released means have three decimals
    z = np.where(
        exact, np.where(np.abs(difference) < 1e-3, 0.0, np.inf), difference / np.sqrt(np.where(exact, 1, variance))
    )
    size = len(table.names)
    rows = difference.mean(axis=1) / np.sqrt(np.maximum(variance.sum(axis=1), 1e-12)) * size
    return Comparison(table.names, z, rows)
