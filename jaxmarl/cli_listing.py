"""What commands share: listings for 80 columns, and names of figures."""

import inspect
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from jaxmarl.core.checks import require


def require_figure(name: str) -> None:
    """Refuses the name of a figure, if one is asked for, before anything is computed for it."""
    require(not name or name.endswith(".png"), "figure", name, "the name of a .png file")


def sentence(text: str | None) -> str:
    """The first sentence of a docstring."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()).split(". ")[0].removesuffix(".")


def listing(title: str, rows: Iterable[tuple[str, str, str]]) -> Table:
    """What there is, as name, description and facts, in as few lines as 80 columns allow."""
    table = Table("name", "what it is", title=title, box=SIMPLE_HEAD, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for name, about, facts in rows:
        table.add_row(name, Text.assemble(about, (f" · {facts}" if facts else "", "dim")))
    return table
