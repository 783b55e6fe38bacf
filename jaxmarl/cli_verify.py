"""`jaxmarl verify`: trains presets again and compares their scores with those on record."""

from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxmarl.cli_listing import listing, require_figure
from jaxmarl.core.checks import require_int

if TYPE_CHECKING:
    from jaxmarl.experiments.presets import Reference


def verify(
    presets: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[PRESET ...]")] = (),
    seeds: int = 3,
    seed: int = 0,
    record: bool = False,
    figure: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = "",
) -> int:
    """Trains presets anew, and exits with 1 where the mean score is not that on record.

    Without PRESET, lists them with what is on record.

    Args:
        presets: which, or `all`.
        seeds: runs of each.
        seed: of the key that they are split from.
        record: write new records (five runs each) in place of comparing.
        figure: draw how those on record were learned to this PNG.
    """
    from jaxmarl.experiments import presets as known

    require_int("seeds", seeds, 1)
    require_figure(figure)
    console, references = Console(), known.load_references()
    names = tuple(known.PRESETS) if presets == ("all",) else presets
    for name in names:
        known.preset(name)  # an unknown name fails now, not after minutes
    if record:
        known.record(names)
        references = known.load_references()
    if figure:
        from jaxmarl.viz.presets import plot_records

        shown = {name: found for name, found in references.items() if name in (names or known.PRESETS)}
        console.print(f"wrote {plot_records(shown, figure)}", highlight=False, soft_wrap=True)
    if record or not names:
        console.print(_on_record(names or tuple(known.PRESETS), references))
        return 0
    table, failed = _compared(names, references, seeds, seed, console)
    console.print(table)
    return int(failed > 0)


def _on_record(names: tuple[str, ...], references: "dict[str, Reference]") -> Table:
    """What presets are, and their scores on record."""
    from jaxmarl.experiments.presets import PRESETS

    rows = []
    for name in names:
        chosen, found = PRESETS[name], references.get(name)
        facts = f"{chosen.score_is}: not on record"
        if found:
            spread = f"{np.mean(found.scores):.4g} ± {np.std(found.scores, ddof=1):.2g}"
            facts = f"{chosen.score_is}: {spread} in {len(found.scores)} runs of {found.seconds:.0f} s together"
        rows.append((name, chosen.about, facts))
    return listing("jaxmarl verify PRESET (scores on record: mean and s.d.)", rows)


def _compared(
    names: tuple[str, ...], references: "dict[str, Reference]", seeds: int, seed: int, console: Console
) -> tuple[Table, int]:
    """New scores beside those on record, and how many differ."""
    from jaxmarl.experiments import presets as known

    table, failed = Table("preset", "on record", "now", "difference let pass", ""), 0
    for name in names:
        chosen = known.preset(name)
        if name not in references:
            raise ValueError(f"no scores of {name} are on record: use --record")
        with console.status(f"{name}: {seeds} runs …"):
            scores = known.run_scores(chosen, seeds, seed)
        allowed, agrees = known.compare(scores.tolist(), references[name], chosen.slack)
        failed += not agrees
        now = f"{scores.mean():.4g} ({scores.min():.4g} to {scores.max():.4g})"
        table.add_row(
            name, f"{np.mean(references[name].scores):.4g}", now, f"{allowed:.2g}", "agrees" if agrees else "DIFFERS"
        )
    return table, failed
