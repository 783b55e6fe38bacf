"""What docstrings say, for the pages of the documentation: text, documented attributes, first sentences, links."""

import inspect
import re
import sys
from collections.abc import Iterable
from typing import Any

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Yields")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(?P<names>\*{0,2}\w+(?:, \w+)*):(?: (?P<text>.*))?$")


def text_of(obj: Any) -> str:
    """The docstring without its sections of arguments, attributes and so on."""
    return _SECTION.split(inspect.cleandoc(obj.__doc__ or ""), maxsplit=1)[0].strip()


def entries(obj: Any, section: str) -> dict[str, str]:
    """Name -> text of the docstring's own section `Args` or `Attributes`, in order."""
    parts = _SECTION.split(inspect.cleandoc(obj.__doc__ or ""))
    found: dict[str, str] = {}
    names: list[str] = []
    for line in dict(zip(parts[1::2], parts[2::2], strict=True)).get(section, "").splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = [name.lstrip("*") for name in entry["names"].split(", ")]
            found |= dict.fromkeys(names, entry["text"] or "")
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}".strip() for name in names}
        elif line.strip():
            break
    return found


def attributes(cls: type) -> dict[str, str]:
    """Name -> text of the attributes that a class and its bases document; the class nearest to `cls` has the word."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("jaxmarl"):
            found |= entries(base, "Attributes")
    return found


def first_sentence(obj: Any) -> str:
    """First paragraph of the docstring, on one line."""
    return " ".join(text_of(obj).split("\n\n")[0].split())


def reference(obj: Any, title: str | None = None) -> str:
    """A link to the object's entry in the API pages; plain code where it has none of its own."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", "")
    title = title or name
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    linked = found is obj and (module or "").startswith("jaxmarl") and not name.split(".")[0].startswith("_")
    return f"[`{title}`][{module}.{name}]" if linked else f"`{title}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; bars inside cells are escaped."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
