"""Tables of what the registries and folders hold: solvers, games, bots, public members, scripts, modules."""

import ast
import importlib
from pathlib import Path
from typing import Any

from docs_docstrings import first_sentence, reference, table

from jaxmarl.envs.rps import BOTS
from jaxmarl.games import game_entry, list_games
from jaxmarl.solvers import list_solvers, solver_entry

ROOT = Path(__file__).parents[2]
GAPS = {"nash_conv": "NashConv", "ce_gap": "CE gap", "cce_gap": "CCE gap"}
GAMES = {"any": "any", "two_player": "two players", "zero_sum": "two players, zero-sum", "symmetric": "symmetric"}


def solvers(*modules: str) -> str:
    """Registered solvers (of these modules, if any are named) and what they promise."""
    rows = []
    for name in list_solvers():
        entry = solver_entry(name)
        module = entry.solve.__module__
        if modules and not any(f"{module}.".startswith(f"jaxmarl.solvers.{each}.") for each in modules):
            continue
        promise = "—" if entry.tolerance is None else f"{entry.tolerance:g} of the range"
        where = "host" if entry.on_host else "jit, vmap"
        cells = [GAMES[entry.games], GAPS[entry.gap_kind], promise, where, entry.summary]
        rows.append([reference(entry.solve, name), *cells])
    return table(["solver", "games", "gap", "promise", "runs", "what it finds"], rows)


def games() -> str:
    """The zoo of normal-form games."""
    rows = []
    for name in list_games():
        entry = game_entry(name)
        facts = [
            fact.replace("_", "-") for fact in ("zero_sum", "symmetric", "potential", "random") if getattr(entry, fact)
        ]
        settings = ", ".join(f"{key}={value!r}" for key, value in entry.params.items())
        rows.append(
            [reference(entry.build, name), f"`{settings}`" if settings else "", ", ".join(facts), entry.summary]
        )
    return table(["game", "settings", "declared", "what it is"], rows)


def bots() -> str:
    """The tournament bots."""
    return table(["bot", "how it plays"], ([f"`{name}`", " ".join(bot.summary.split())] for name, bot in BOTS.items()))


def members(module: str, *names: str) -> str:
    """Public functions and classes of a module (all of them, or those named), a sentence each."""
    home = importlib.import_module(module)
    rows = []
    for name in names or getattr(home, "__all__", _own(home)):
        member: Any = getattr(home, name)
        if callable(member) and member.__doc__:
            rows.append([reference(member, name), first_sentence(member)])
    return table(["name", "what it is"], rows)


def _own(module: Any) -> list[str]:
    """Public functions and classes that a module without `__all__` defines."""
    return [name for name, member in vars(module).items() if name[0] != "_" and _home(member) == module.__name__]


def _home(member: Any) -> str:
    return getattr(member, "__module__", "") if callable(member) else ""


def scripts(folder: str) -> str:
    """The scripts of a folder: title, commands, what is shown, and the figure where the documentation has one."""
    parts = []
    for path in sorted((ROOT / folder).glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, f"{path} has no docstring"
        title, *paragraphs = text.split("\n\n")
        commands = [part for part in paragraphs if part.startswith("    ")]
        prose = [part for part in paragraphs if not part.startswith("    ")]
        block = "\n".join(line.strip() for part in commands for line in part.splitlines())
        parts += [f"### {' '.join(title.split())} {{ #{path.stem} }}", f"```bash\n{block}\n```", *prose]
        if (ROOT / "docs" / "images" / f"{path.stem}.png").exists():
            parts.append(f"![{path.stem.replace('_', ' ')}](images/{path.stem}.png)")
    return "\n\n".join(parts) + "\n"


def file(path: str) -> str:
    """A file of the repository, which has its home elsewhere."""
    return (ROOT / path).read_text()


def packages_of(*names: str) -> list[str]:
    """The named packages with all that are in them, but for those named with a minus in front, and all in these."""
    left_out = [name[1:] for name in names if name.startswith("-")]
    found = []
    for name in names:
        folders = [] if name.startswith("-") else sorted(ROOT.joinpath(*name.split(".")).rglob("__init__.py"))
        found += [".".join(each.parent.relative_to(ROOT).parts) for each in folders]
    return [each for each in found if not any(f"{each}.".startswith(f"{name}.") for name in left_out)]


def api(*names: str) -> str:
    """Entries of `mkdocstrings` for every module of these packages (see `packages_of`) that is not private."""
    parts = []
    for package in packages_of(*names):
        modules = sorted(path.stem for path in ROOT.joinpath(*package.split(".")).glob("[!_]*.py"))
        parts += [f"::: {package}\n    options:\n      members: false"]
        parts += [f"::: {package}.{module}" for module in modules]
    return "\n\n".join(parts) + "\n"
