"""The report of one agent against one population: what was measured, how it ranks, printed and saved as JSON.

Shape legend: `K` members of the population, `M` matches against each.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from jaxmarl.core.checks import require, require_int
from jaxmarl.core.files import read_json, replace_file
from jaxmarl.evaluation.metrics import (
    AgentScore,
    Interval,
    PopulationScore,
    Rank,
    mean_and_error,
    rank,
    score_returns,
)
from jaxmarl.evaluation.tables import MemberScore, check_names, check_table, score_table

REPORT_FILE = "report.json"
FORMAT = "jaxmarl-population-report"
VERSION = 1

_TWO_SIDED_95 = 1.96  # standard errors from zero beyond which a mean return counts as won or lost


@dataclass(frozen=True, eq=False)
class PopulationReport:
    """An agent's matches against a population, summarised.

    Attributes:
        agent: its name.
        opponents: names of the population, `[K]`.
        mean: the agent's mean return against each, `[K]`.
        standard_error: of those means, `[K]`.
        num_matches: `M`, matches against each.
        score: the agent's figures.
        table: cross-table of the population, row player's mean return, `[K, K]`.
        table_error: its standard errors, or None where unknown.
        facts: time and throughput of the run, by name (JSON values).
        config: what was run, by name (JSON values).
    """

    agent: str
    opponents: tuple[str, ...]
    mean: Float64[np.ndarray, " K"]
    standard_error: Float64[np.ndarray, " K"]
    num_matches: int
    score: AgentScore
    table: Float64[np.ndarray, "K K"]
    table_error: Float64[np.ndarray, "K K"] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        require(isinstance(self.agent, str) and self.agent != "", "agent", self.agent, "a non-empty name")
        size = len(tuple(self.opponents))
        opponents = check_names(self.opponents, size, "opponents")
        require(self.agent not in opponents, "agent", self.agent, "a name that no opponent has")
        require_int("num_matches", self.num_matches, 2)
        require(
            self.score.num_opponents == size, "score", f"{self.score.num_opponents} opponents", f"of {size} opponents"
        )
        cleaned: dict[str, Any] = {"opponents": opponents}
        for name, shape in (("mean", (size,)), ("standard_error", (size,))):
            cleaned[name] = np.asarray(getattr(self, name), np.float64)
            require(cleaned[name].shape == shape, name, cleaned[name].shape, f"an array of shape {shape}")
            require(bool(np.isfinite(cleaned[name]).all()), name, cleaned[name].tolist(), "finite")
        for name in ("table", "table_error"):
            if getattr(self, name) is not None or name == "table":
                cleaned[name] = check_table(getattr(self, name), name)
                require(len(cleaned[name]) == size, name, cleaned[name].shape, f"an array of shape {(size, size)}")
        cleaned |= {name: _as_json(getattr(self, name), name) for name in ("facts", "config")}
        for name, value in cleaned.items():
            object.__setattr__(self, name, value)

    @cached_property
    def members(self) -> list[MemberScore]:
        """Scores of the population's members among themselves, best AggregateScore first."""
        scores = score_table(self.table, self.opponents)
        return sorted(scores, key=lambda member: -member.aggregate_score)

    @cached_property
    def rank(self) -> Rank:
        """Place of the agent's plain AggregateScore among those of the members."""
        return rank(self.members, self.score)

    @property
    def worst_opponent(self) -> str:
        """Name of the opponent with the agent's lowest mean return."""
        return self.opponents[self.score.plain.worst_opponent]

    @property
    def record(self) -> tuple[int, int, int]:
        """Opponents beaten, even with and lost to; even is a mean return within 1.96 standard errors of 0."""
        clear = np.abs(self.mean) > _TWO_SIDED_95 * self.standard_error
        won, lost = int((clear & (self.mean > 0)).sum()), int((clear & (self.mean < 0)).sum())
        return won, len(self.mean) - won - lost, lost

    @property
    def record_text(self) -> str:
        """The record as words, such as `beats 21 of 24 (even with 2, loses to 1)`."""
        won, even, lost = self.record
        rest = [f"even with {even}"] * (even > 0) + [f"loses to {lost}"] * (lost > 0)
        return f"beats {won} of {len(self.mean)}" + (f" ({', '.join(rest)})" if rest else "")

    @property
    def aggregate_text(self) -> str:
        """AggregateScore with the split-half estimate and its interval, such as `153 (split-half 160 [137, 181])`."""
        text, debiased = plain_number(self.score.plain.aggregate_score), self.score.split_half
        if debiased:
            interval = _brackets(debiased.aggregate_score_interval)
            text += f" (split-half {plain_number(debiased.aggregate_score)}{interval and ' '}{interval})"
        return text

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        plain, debiased = self.score.plain, self.score.split_half
        third = "upper third" if self.rank.upper_third else "not in the upper third"
        split = f" (split-half {plain_number(debiased.within_pop_expl)})" if debiased else ""
        worst = f"worst {plain_number(self.mean.min())} against {self.worst_opponent}"
        return (
            f"{self.agent} ranked {self.rank.position} of {self.rank.size} ({third}) by AggregateScore "
            f"{self.aggregate_text}: PopulationReturn {plain_number(plain.population_return)}, "
            f"WithinPopExpl {plain_number(plain.within_pop_expl)}{split}; {self.record_text}, {worst}; "
            f"{self.num_matches} matches an opponent."
        )

    def print(self, console: Console | None = None) -> None:
        """Prints the ranking, the returns against each opponent, the facts and the one-sentence summary."""
        console = console or Console()
        console.print(_ranking_table(self))
        console.print(_returns_table(self, console.width))
        for title, values in (("run", self.facts), ("config", self.config)):
            if values:
                line = "  ".join(f"{name} {_fact(value)}" for name, value in values.items())
                console.print(Text(f"{title}: {line}", style="dim"))
        console.print(Text(self.summary, style="bold"))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; `ranking`, `rank` and `summary` are for readers and derived again on loading."""
        stored = {
            "format": FORMAT,
            "version": VERSION,
            "agent": self.agent,
            "opponents": list(self.opponents),
            "mean": self.mean.tolist(),
            "standard_error": self.standard_error.tolist(),
            "num_matches": self.num_matches,
            "score": asdict(self.score),
            "table": self.table.tolist(),
            "table_error": None if self.table_error is None else self.table_error.tolist(),
            "facts": self.facts,
            "config": self.config,
        }
        derived = {"summary": self.summary, "rank": asdict(self.rank), "ranking": [asdict(m) for m in self.members]}
        return _as_json(stored | derived, "report")

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Writes `report.json` into `folder`, which is made if needed; readers never see half a file.

        Returns:
            The paths written, by kind: `{"report": …}`.
        """
        path = Path(folder) / REPORT_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in self.to_dict().items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"  # a line a field: short, and a difference of two reports can be read
        return {"report": replace_file(path, text.encode("utf-8"))}


def make_report(
    agent: str,
    opponents: Sequence[str],
    returns: ArrayLike,
    table: ArrayLike,
    table_error: ArrayLike | None = None,
    *,
    facts: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    num_bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PopulationReport:
    """Scores an agent's matches and collects them into a report.

    Args:
        agent: the agent's name.
        opponents: names of the population, `[K]`.
        returns: the agent's episode returns, `[K, M]`.
        table: the population's cross-table, row player's mean return, `[K, K]`.
        table_error: its standard errors, `[K, K]`.
        facts: time and throughput of the run.
        config: what was run.
        num_bootstrap: replicates of the intervals.
        seed: of splits and resampling.
        confidence: of the intervals.

    Raises:
        ValueError: arrays that are not finite or do not fit the names; values in `facts` or `config` that JSON cannot
            hold.
    """
    score = score_returns(returns, num_bootstrap=num_bootstrap, seed=seed, confidence=confidence)
    mean, error = mean_and_error(returns)
    return PopulationReport(
        agent=agent,
        opponents=tuple(opponents),
        mean=mean,
        standard_error=error,
        num_matches=score.num_matches,
        score=score,
        table=np.asarray(table),
        table_error=None if table_error is None else np.asarray(table_error),
        facts=dict(facts or {}),
        config=dict(config or {}),
    )


def load_report(path: str | Path) -> PopulationReport:
    """Reads a report that `PopulationReport.save` wrote.

    Args:
        path: the file, or the folder that holds `report.json`.

    Raises:
        ValueError: not such a file; one line, naming it.
    """
    path = Path(path)
    path = path / REPORT_FILE if path.is_dir() else path
    try:
        data = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{path}: not a {FORMAT} of version {VERSION}")
    try:
        return PopulationReport(
            agent=data["agent"],
            opponents=tuple(data["opponents"]),
            mean=np.asarray(data["mean"]),
            standard_error=np.asarray(data["standard_error"]),
            num_matches=data["num_matches"],
            score=_load_score(data["score"]),
            table=np.asarray(data["table"]),
            table_error=None if data["table_error"] is None else np.asarray(data["table_error"]),
            facts=data["facts"],
            config=data["config"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged report ({type(error).__name__}: {error})") from None


def _load_score(data: dict[str, Any]) -> AgentScore:
    def estimate(values: dict[str, Any]) -> PopulationScore:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return PopulationScore(**fields)

    debiased = None if data["split_half"] is None else estimate(data["split_half"])
    return AgentScore(**{**data, "plain": estimate(data["plain"]), "split_half": debiased})


def _as_json(value: Any, argument: str) -> Any:
    """The value after a round trip through strict JSON, numpy scalars and arrays as numbers and lists."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=_unpack))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} must hold finite JSON values only: {error}") from None


def _unpack(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"got a {type(value).__name__}")


# --- printing -------------------------------------------------------------------------------------------------------


def plain_number(value: float) -> str:
    """A return with as many decimals as it deserves: `-12`, `3.6`, `0.04`."""
    size = abs(value)
    return f"{value:.0f}" if size >= 9.95 else f"{value:.1f}" if size >= 0.095 else f"{value:.2g}"


def _brackets(interval: Interval | None) -> str:
    return f"[{plain_number(interval[0])}, {plain_number(interval[1])}]" if interval else ""


def _score_rows(label: str, score: PopulationScore, report: PopulationReport) -> list[list[str]]:
    """A row of the estimates and, where something was resampled, one of their intervals."""
    opponent = report.opponents[score.worst_opponent]
    values = (score.population_return, score.within_pop_expl, score.aggregate_score)
    returned, loss, aggregate = (f"{value:.1f}" for value in values)
    rows = [[label, returned, loss, opponent, aggregate]]
    if score.aggregate_score_interval:
        intervals = (score.population_return_interval, score.within_pop_expl_interval, score.aggregate_score_interval)
        returned, loss, aggregate = map(_brackets, intervals)
        rows.append([f"  {100 * report.score.confidence:g} % interval", returned, loss, "", aggregate])
    return rows


def _ranking_table(report: PopulationReport) -> RenderableType:
    """Members and agent by AggregateScore; the agent in colour, with its intervals and split-half estimate beneath."""
    table = Table(title=f"{report.agent} in a population of {len(report.opponents)}", box=box.SIMPLE_HEAD)
    table.caption = "units of episode return; intervals resample matches (bootstrap)"
    for title in ("rank", "name", "Population\nReturn", "WithinPop\nExpl", "worst\nopponent", "Aggregate\nScore"):
        table.add_column(title, justify="left" if title in ("name", "worst\nopponent") else "right", no_wrap=True)

    def add_agent(position: int) -> None:
        rows = _score_rows(report.agent, report.score.plain, report)
        if report.score.split_half:
            rows += _score_rows("split-half", report.score.split_half, report)
        for index, cells in enumerate(rows):
            place = str(position) if index == 0 else ""
            table.add_row(place, *map(Text, cells), style="bold cyan" if index == 0 else "cyan")

    for number, m in enumerate(report.members, start=1):
        if number == report.rank.position:
            add_agent(number)
        shift = number >= report.rank.position
        scores = f"{m.population_return:.1f}", f"{m.within_pop_expl:.1f}", f"{m.aggregate_score:.1f}"
        table.add_row(str(number + shift), Text(m.name), *scores[:2], Text(m.worst_opponent), scores[2])
    if report.rank.position == report.rank.size:
        add_agent(report.rank.size)
    return table


def _returns_table(report: PopulationReport, width: int) -> RenderableType:
    """Mean return ± standard error against each opponent, best first, in as many columns as fit."""
    order = np.argsort(-report.mean, kind="stable")
    names = max(map(len, report.opponents))
    groups = max(1, min(4, (width - 4) // (names + 24)))
    per_group = math.ceil(len(order) / groups)
    table = Table(title="mean return ± standard error", box=None, padding=(0, 1), show_header=False)
    for _ in range(groups):
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="left", no_wrap=True, style="dim")
    for row in range(per_group):
        cells: list[Text] = []
        for index in order[row::per_group]:
            value = report.mean[index]
            colour = "green" if value > 0 else "red" if value < 0 else ""
            cells += [Text(report.opponents[index]), Text(f"{value:+.1f}", style=colour)]
            cells.append(Text(f"± {report.standard_error[index]:.1f}"))
        table.add_row(*cells)
    return table


def _fact(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
