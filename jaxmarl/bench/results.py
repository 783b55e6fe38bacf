"""Rows of a benchmark, kept as JSON with the machine they are of, and compared with an earlier file by ratio."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from jaxmarl.bench.harness import IDENTITY, Timing, machine, peak_memory
from jaxmarl.core.checks import require
from jaxmarl.core.files import read_json, replace_file

VERSION = 1
MOST_BYTES = 16 * 2**20  # of a file of results; a long one has 100 kB


@dataclass(frozen=True)
class Row:
    """One measured speed; higher is better.

    Attributes:
        group: environments, solvers, training or peers.
        name: what was measured.
        size: how many at once.
        unit: of `rate`, such as steps/s.
        rate: the median.
        slowest: of the timed calls.
        fastest: of the timed calls.
        compile_seconds: apart from these, or None.
        peak_mib: most memory of the process meanwhile.
        peer: the library that was measured beside ours, or nothing.
        note: what else is to be known, such as the largest gap of the solutions.
    """

    group: str
    name: str
    size: int
    unit: str
    rate: float
    slowest: float
    fastest: float
    compile_seconds: float | None = None
    peak_mib: float | None = None
    peer: str = ""
    note: str = ""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What a row of another file is of, if it is of the same."""
        return self.group, self.name, self.size, self.peer


def make_row(group: str, name: str, size: int, unit: str, timing: Timing, steps: float, **more: Any) -> Row:
    """The row of calls that make `steps` each."""
    rates = timing.rates(steps)
    peak = round(peak_memory() / 2**20, 1)
    speeds = rates["steps_per_second"], rates["slowest"], rates["fastest"]
    return Row(group, name, size, unit, *speeds, timing.compile_seconds, peak, **more)


def save_results(rows: Sequence[Row], path: str | Path) -> Path:
    """Writes rows and the machine as JSON; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"version": VERSION, "machine": machine(), "rows": [asdict(row) for row in rows]}
    return replace_file(path, (json.dumps(record, indent=1) + "\n").encode())


def load_results(path: str | Path) -> tuple[dict[str, Any], list[Row]]:
    """The machine and the rows of a file of `save_results`.

    Raises:
        ValueError: one line, where it is not such a file.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        record = read_json(path, MOST_BYTES)
        require(record["version"] == VERSION, "version", record["version"], f"{VERSION}, which this release reads")
        known = {field.name for field in fields(Row)}
        rows = [Row(**{name: value for name, value in row.items() if name in known}) for row in record["rows"]]
        for row in rows:
            good = isinstance(row.rate, int | float) and math.isfinite(row.rate) and row.rate > 0
            require(good, f"rate of {row.name!r}", row.rate, "a number above 0")
        return dict(record["machine"]), rows
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a file of jaxmarl bench --out: {error}") from error


def load_baseline(path: str | Path) -> list[Row]:
    """Rows of a file that was measured on a machine like this one.

    Raises:
        ValueError: one line: it is of another machine, or no file of results.
    """
    there, rows = load_results(path)
    here = machine()
    for name in IDENTITY:
        same = there.get(name) == here[name]
        require(same, f"baseline's {name}", there.get(name), f"this machine's ({here[name]!r}): measure one here")
    return rows


class Comparison(NamedTuple):
    """A row beside that of the baseline: `ratio` is new over old."""

    row: Row
    before: float
    ratio: float


def compare(rows: Sequence[Row], baseline: str | Path) -> list[Comparison]:
    """Rows that a baseline has as well, with the ratio of their rates, in their order.

    Raises:
        ValueError: the baseline is of another machine, has none of the rows, or is no file of results.
    """
    before = {row.key: row.rate for row in load_baseline(baseline)}
    found = [Comparison(row, before[row.key], row.rate / before[row.key]) for row in rows if row.key in before]
    require(len(found) > 0, "baseline", str(baseline), f"a file with one of the rows {sorted(r.name for r in rows)}")
    return found
