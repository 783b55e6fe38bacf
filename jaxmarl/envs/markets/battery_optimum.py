"""What a battery could have earned, risk objectives over days, and days of prices from files; numpy on the host."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxmarl.core.checks import require, require_choice, require_int

if TYPE_CHECKING:
    from jaxmarl.envs.markets.battery import BatteryParams

MEASURES = ("var", "cvar")


def perfect_foresight(prices: Sequence[float] | np.ndarray, params: "BatteryParams", num_levels: int = 100) -> float:
    """Largest profit of a day whose prices are known, by dynamic programming over levels of charge and cycles left.

    Charge moves between levels `E / num_levels` apart and cycles are counted in the same unit, so that every path is
    feasible and nothing is interpolated: the result is at most the optimum and grows to it with the number of levels.

    Args:
        prices: one a step.
        params: of the battery.
        num_levels: of charge; the start is rounded to one of them.

    Raises:
        ValueError: prices that are not finite numbers in one row.
    """
    prices = np.asarray(prices, np.float64)
    require(prices.ndim == 1 and bool(np.isfinite(prices).all()), "prices", prices.shape, "finite, of shape [T]")
    moves = ChargeMoves.of(params, num_levels, len(prices))
    value = moves.nothing_left()
    for price in prices[::-1]:
        value, _ = moves.best(value, price)
    return float(value[moves.start])


class ChargeMoves(NamedTuple):
    """Moves of a battery between levels of charge, and what they earn.

    Attributes:
        unit: MWh between levels.
        most_in: levels up in one step at full power.
        most_out: levels down.
        budget: levels that may be taken out in the day, or None without a limit.
        way: efficiency of each way.
        wear: cost of a MWh discharged.
        num_levels: of a full battery; there are one more with the empty one.
        start: index `(budget, charge)` at the start of the day.
    """

    unit: float
    most_in: int
    most_out: int
    budget: int | None
    way: float
    wear: float
    num_levels: int
    start: tuple[int, int]

    @classmethod
    def of(cls, params: "BatteryParams", num_levels: int, num_steps: int) -> "ChargeMoves":
        """Those of a battery: full power is rounded down to whole levels, a limit that cannot bind is dropped."""
        require_int("num_levels", num_levels, 1)
        way, energy = math.sqrt(float(params.efficiency)), float(params.power) * float(params.step_hours)
        unit, cycles = float(params.capacity) / num_levels, float(params.max_cycles)
        most_in, most_out = (min(int(x / unit + 1e-9), num_levels) for x in (energy * way, energy / way))
        limited = cycles * num_levels < num_steps * most_out
        budget = int(cycles * num_levels + 1e-9) if limited else None
        most_out = min(most_out, budget) if budget is not None else most_out
        start = (budget or 0, round(float(params.initial_charge) * num_levels))
        return cls(unit, most_in, most_out, budget, way, float(params.wear), num_levels, start)

    def nothing_left(self) -> np.ndarray:
        """Values after the day, `[budget + 1, levels + 1]`."""
        return np.zeros(((self.budget or 0) + 1, self.num_levels + 1))

    def best(self, value: np.ndarray, price: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Largest earnings of a step plus `value [..., budget, charge]` after it, and the level to move by.

        `price` is one number, or `[..., 1, 1]`. Ties go to the smallest move.
        """
        best, move = value.copy(), np.zeros(value.shape, np.int8 if self.num_levels < 128 else np.int32)
        for step in range(1, self.most_in + 1):
            found = value[..., step:] - price * step * self.unit / self.way
            _improve(best[..., :-step], move[..., :-step], found, step)
        for step in range(1, self.most_out + 1):
            left = value if self.budget is None else value[..., : value.shape[-2] - step, :]
            rows = 0 if self.budget is None else step
            found = left[..., :-step] + (price - self.wear) * step * self.unit * self.way
            _improve(best[..., rows:, step:], move[..., rows:, step:], found, -step)
        return best, move


def _improve(best: np.ndarray, move: np.ndarray, found: np.ndarray, step: int) -> None:
    better = found > best
    best[better], move[better] = found[better], step


def risk_objective(
    profits: Sequence[float] | np.ndarray, weight: float, level: float = 0.1, measure: str = "var"
) -> float:
    """`(1 - w) · mean + w · risk`, where risk is the quantile of profits at `level`, or the mean of what is below it.

    Args:
        profits: of independent days.
        weight: w in [0, 1]; 0 for the mean.
        level: α in (0, 1).
        measure: `"var"` (the quantile) or `"cvar"` (the mean of the worst share α).

    Raises:
        ValueError: arguments out of range, or no profits.
    """
    require_choice("measure", measure, MEASURES)
    require(0 <= weight <= 1, "weight", weight, "in [0, 1]")
    require(0 < level < 1, "level", level, "in (0, 1)")
    ordered = np.sort(np.asarray(profits, np.float64))
    require(ordered.ndim == 1 and ordered.size > 0, "profits", ordered.shape, "a non-empty row")
    share = level * ordered.size
    whole = int(share)
    tail = (ordered[:whole].sum() + (share - whole) * ordered[min(whole, ordered.size - 1)]) / share
    risk = float(np.quantile(ordered, level)) if measure == "var" else float(tail)
    return float((1 - weight) * ordered.mean() + weight * risk)


def load_prices(path: str | Path, num_steps: int, column: str = "price") -> Float64[np.ndarray, "D T"]:
    """Days of prices from a CSV file with a header: one row a step, in order of time, whole days.

    Args:
        path: of the file, as transmission system operators publish them (comma or semicolon between fields).
        num_steps: T, rows of a day.
        column: which one holds the price in €/MWh.

    Raises:
        ValueError: no such column, a field that is not a finite number (with its line), or no whole number of days.
    """
    require_int("num_steps", num_steps, 1)
    with Path(path).open(newline="", encoding="utf-8-sig") as lines:
        header = lines.readline()
        separator = ";" if header.count(";") > header.count(",") else ","
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
        require_choice("column", column, names)
        place, prices = names.index(column), []
        for number, row in enumerate(csv.reader(lines, delimiter=separator), start=2):
            if row:
                prices.append(_price(row, place, f"{path}, line {number}, {column}"))
    days, rest = divmod(len(prices), num_steps)
    require(days > 0 and rest == 0, "rows", len(prices), f"a positive multiple of num_steps {num_steps}")
    return np.array(prices, np.float64).reshape(days, num_steps)


def _price(row: list[str], place: int, where: str) -> float:
    text = row[place].strip() if place < len(row) else ""
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    require(math.isfinite(price), where, text, "a finite number")
    return price
