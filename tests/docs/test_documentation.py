"""The documentation's code runs as it stands, and its tables list all there is."""

import re
import sys
import tempfile
from functools import cache
from pathlib import Path

import jax
import pytest

import jaxmarl.core.registry
import jaxmarl.games.zoo.registry
import jaxmarl.solvers.registry
from jaxmarl.core import list_envs, make
from jaxmarl.games import list_games
from jaxmarl.solvers import list_solvers

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
import docs_docstrings  # noqa: E402
import docs_environments  # noqa: E402
import docs_hook  # noqa: E402
import docs_registries  # noqa: E402

PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if "```python" in (DOCS / page).read_text()]
SLOW = {
    "environments/bandits.md",
    "environments/marketplaces.md",
}
REGISTRIES = (
    jaxmarl.core.registry._FACTORIES,
    jaxmarl.solvers.registry._SOLVERS,
    jaxmarl.games.zoo.registry._GAMES,
)


def blocks(page: str) -> list[str]:
    """Python of a page, in order."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(page: str) -> dict:
    """The names of a page whose blocks ran one after the other."""
    names: dict = {"__name__": "documentation"}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _registries_stay():
    """What a page registers is forgotten after its test."""
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in WITH_CODE]
)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page)
