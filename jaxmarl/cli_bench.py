"""`jaxmarl bench`: speeds on this machine, kept as JSON and guarded against an earlier file."""

import importlib
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.core.checks import require, require_choice, require_int

GROUPS = ("environments", "solvers", "training", "peers")


def bench(
    group: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="{" + ",".join(GROUPS) + "}")] = "environments",
    names: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = (),
    sizes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = (),
    repeats: int = 5,
    out: Annotated[str, tyro.conf.arg(metavar="FILE.json")] = "",
    baseline: Annotated[str, tyro.conf.arg(metavar="FILE.json")] = "",
    slack: float = 1.5,
) -> int:
    """Measures speeds: medians of calls after a warm-up, compilation and memory apart.

    With --baseline, compares with a file of --out that was made on this machine, and exits with 1 where anything is
    slower by more than --slack.

    Args:
        group: environments (random play), solvers (batches of random games), training (learners) or peers (other
            libraries that are installed, on the same tasks).
        names: which of them, or all (default: a few typical ones).
        sizes: how many at once, in turn (default: by group).
        repeats: timed calls, at least 5; the median counts.
        out: write rows and machine to this JSON file.
        baseline: a file of --out from this machine to compare with.
        slack: how many times slower than the baseline is let pass.
    """
    require_choice("group", group, GROUPS)
    require_int("repeats", repeats, 5)
    for size in sizes:
        require_int("sizes", size, 1, 2**24)
    require(1 <= slack < float("inf"), "slack", slack, "a number of at least 1")
    for option, path in (("out", out), ("baseline", baseline)):
        require(not path or path.endswith(".json"), option, path, "the name of a .json file")
    module = importlib.import_module(f"jaxmarl.bench.{group}")
    chosen = _names(group, names, module.DEFAULT_NAMES)
    import jax

    from jaxmarl.bench.harness import device_line
    from jaxmarl.bench.results import compare, load_baseline, save_results

    jax.config.update("jax_enable_compilation_cache", False)
    if baseline:
        load_baseline(baseline)  # what is to be refused is refused before anything is measured
    console, rows = Console(), []
    options: dict[str, Any] = {"repeats": repeats} | ({"sizes": sizes} if sizes else {})
    for name in chosen:
        with console.status(f"{name} …"):
            rows += module.measure((name,), **options)
    console.print(_table(rows, f"{group}; {device_line()}"))
    if out:
        console.print(f"wrote {save_results(rows, out)}", highlight=False)
    if not baseline:
        return 0
    found = compare(rows, baseline)
    console.print(_ratios(found, slack))
    return int(any(each.ratio < 1 / slack for each in found))


def _names(group: str, names: tuple[str, ...], typical: tuple[str, ...]) -> tuple[str, ...]:
    """The names asked for, each of them known."""
    known: list[str] | tuple[str, ...] = typical
    if group == "environments":
        import jaxmarl.envs  # noqa: F401
        from jaxmarl.core.registry import list_envs

        known = list_envs()
    elif group == "solvers":
        from jaxmarl.solvers import list_solvers

        known = list_solvers()
    for name in names:
        require_choice("names", name, [*known, "all"])
    return tuple(known) if "all" in names else names or typical


def _table(rows: list[Any], title: str) -> Table:
    units = {row.unit for row in rows}
    speed = units.pop() if len(units) == 1 else "a second"
    table = Table("what", "number", speed, "range", "compile", "MiB", "", title=title)
    for column in table.columns[1:6]:
        column.justify = "right"
    for column in table.columns[:6]:
        column.no_wrap = True
    best = {row.name: max((r.rate for r in rows if r.name == row.name and not r.peer), default=0.0) for row in rows}
    for row in rows:
        spread = f"{_short(row.slowest)}-{_short(row.fastest)}"
        compiled = "" if row.compile_seconds is None else f"{row.compile_seconds:.1f} s"
        beside = f"ours {best[row.name] / row.rate:.3g} x" if row.peer else row.note or (row.unit if units else "")
        name = f"  {row.peer}" if row.peer else row.name
        table.add_row(name, str(row.size), _short(row.rate), spread, compiled, f"{row.peak_mib:.0f}", beside)
    return table


def _ratios(found: list[Any], slack: float) -> Table:
    table = Table("what", "number", "before", "now", "ratio", "", title=f"against the baseline (slack {slack:g})")
    for each in found:
        row, verdict = each.row, ""
        if each.ratio < 1 / slack:
            verdict = "[bold]SLOWER[/bold]"
        name = f"{row.name} {row.peer}".strip()
        table.add_row(name, str(row.size), _short(each.before), _short(row.rate), f"{each.ratio:.2f}", verdict)
    return table


def _short(rate: float) -> str:
    """A rate at three digits: 1.23M."""
    from jaxmarl.training.display import human

    return human(rate)
