"""Random wrong and extreme inputs: each is refused in one line, or works without a NaN, a hang or a traceback.

    python scripts/hardening/fuzz.py [--examples 60] [--only fields params commands] [--names NAME ...] [--smoke]

Tries the fields of every registered environment, every number of its params, and every option of the command line with
values of the right and of the wrong type, on the edge and far beyond it (hypothesis, fixed seed). Environments that
accept their fields are asked for params, spaces and one abstract step; params that `validate` accepts are played, and
no observation or reward may be NaN or infinite. Prints how many inputs were tried, refused, accepted, and every
defect; exits with 1 where there is one.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_report import Report
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from jaxmarl.core.files import replace_file

MEMORY = 12 * 2**30  # bytes of address space: an input that asks for more fails instead of taking the machine down
KINDS = ("fields", "params", "commands")


def try_all(
    report: Report, strategy: st.SearchStrategy[Any], attempt: Callable[[Report, Any], None], examples: int
) -> None:
    """Gives `attempt` so many values of a strategy, the same in every run."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        attempt(report, value)

    run()


def fuzz(kinds: list[str], names: list[str] | None, examples: int, progress: Callable[[str], None] = print) -> Report:
    """Tries everything of these kinds."""
    report = Report()
    if "fields" in kinds or "params" in kinds:
        import fuzz_environments

        from jaxmarl.core import list_envs

        for name in names or list_envs():
            started = time.perf_counter()
            for kind, strategy, attempt in fuzz_environments.fuzzers([name]):
                if kind in kinds:
                    report.kind = kind
                    try_all(report, strategy, attempt, examples)
            progress(f"{name}: {time.perf_counter() - started:.1f} s, {len(report.defects)} defects so far")
    if "commands" in kinds:
        import fuzz_commands

        report.kind = "commands"
        for label, strategy, attempt in fuzz_commands.fuzzers(names):
            started = time.perf_counter()
            try_all(report, strategy, attempt, examples)
            progress(f"{label}: {time.perf_counter() - started:.1f} s, {len(report.defects)} defects so far")
    return report


def main() -> None:
    """Fuzzes, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=60, help="inputs tried of each environment and option")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--names", nargs="*", help="some of the environments, or of the commands")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--smoke", action="store_true", help="two environments, few inputs")
    args = parser.parse_args()
    if args.smoke:
        args.examples, args.names, args.only = 10, args.names or ["cournot", "two_step_game"], ["fields", "params"]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    report = fuzz(args.only, args.names, args.examples, lambda line: print(line, file=sys.stderr, flush=True))
    table = Table("inputs", "tried", "refused", "accepted", "defects", title="fuzzing")
    for kind in args.only:
        table.add_row(kind, *(str(report.counts[kind, what]) for what in ("tried", "refused", "accepted", "defects")))
    console = Console(width=120)
    console.print(table)
    for line in report.defects.values():
        console.print(f"- {line}", markup=False, highlight=False)
    args.folder.mkdir(parents=True, exist_ok=True)
    counts = {f"{kind} {what}": count for (kind, what), count in sorted(report.counts.items())}
    record = {"examples": args.examples, "counts": counts, "defects": sorted(report.defects.values())}
    print(f"wrote {replace_file(args.folder / 'fuzz.json', (json.dumps(record, indent=1) + chr(10)).encode())}")
    sys.exit(1 if report.defects else 0)


if __name__ == "__main__":
    main()
