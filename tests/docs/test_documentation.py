"""The documentation's code runs as it stands, and its tables list all there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxmarl.core.registry
import jaxmarl.games.zoo.registry
import jaxmarl.solvers.registry
from jaxmarl.core import list_envs, make
from jaxmarl.games import list_games
from jaxmarl.solvers import list_solvers

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "scripts" / "docs"))  # where mkdocs looks for what its hook imports
import docs_docstrings  # noqa: E402
import docs_environments  # noqa: E402
import docs_hook  # noqa: E402
import docs_registries  # noqa: E402

PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
WITH_CODE = [page for page in PAGES if "```python" in (DOCS / page).read_text()]
SLOW = {  # more than a few seconds to compile
    "environments/bandits.md",
    "environments/dispatch.md",
    "environments/driving.md",
    "environments/gridworlds.md",
    "environments/marketplaces.md",
    "environments/markov.md",
    "how_to_add.md",
    "learners.md",
    "quick_start.md",
    "solvers/correlated.md",
    "solvers/dynamics.md",
    "solvers/exact.md",
    "solvers/markov.md",
    "solvers/psro.md",
    "solvers/risk.md",
    "training.md",
}
# what a page says of its names, beyond running
CLAIMS = {
    "distributional.md": lambda names: np.testing.assert_allclose(names["mean"](names["laws"]), 1 / 0.55, rtol=1e-3),
    "environments/bandits.md": lambda names: _equal(float(names["metrics"]["off_equilibrium"]), 0.0),
    "environments/driving.md": lambda names: _equal(names["crashes"][1] < names["crashes"][0] / 2, True),
    "environments/liquidity.md": lambda names: np.testing.assert_allclose(
        names["reward"], names["known"]["nash_profit"], rtol=1e-4
    ),
    "environments/pricing.md": lambda names: np.testing.assert_allclose(
        names["reward"], names["known"]["nash"].profits, rtol=1e-4
    ),
    "games.md": lambda names: _equal(
        float(names["extensive_nash_conv"](names["tree"], names["behaviour"])) < 1e-6, True
    ),
    "how_to_add.md": lambda names: _equal(
        float(jax.nn.softmax(names["learner"].params(names["state"]))[1]) > 0.95, True
    ),
    "learners.md": lambda names: np.testing.assert_allclose(names["metrics"]["reward"][-1], 1 / 9, rtol=0.2),
    "solvers/correlated.md": lambda names: np.testing.assert_allclose(names["best"].payoffs.sum(), 10.5),
    "solvers/markov.md": lambda names: _equal(float(names["optimum"].gap) < 1e-2, True),
    "training.md": lambda names: _equal(
        (names["result"].updates, names["updates"], names["episodes"].returns.shape), (8, 8, (10, 2))
    ),
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


def _equal(found, expected) -> None:
    assert found == expected


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page for page in WITH_CODE]
)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(page)
    if page in CLAIMS:
        CLAIMS[page](names)


def test_lists_above_name_pages_with_code():
    assert set(CLAIMS) | SLOW <= set(WITH_CODE)


def test_every_environment_has_a_section_on_the_page_of_its_family():
    pages = {page.stem: docs_hook.environments_on(page.read_text()) for page in (DOCS / "environments").glob("*.md")}
    assert sorted(name for names in pages.values() for name in names) == list_envs()
    for family, names in pages.items():
        assert {docs_environments.family_of(name) for name in names} == {family}
        assert ("overview", [family]) in docs_hook.markers((DOCS / "environments" / f"{family}.md").read_text())
    listed = docs_hook.markers((DOCS / "environments.md").read_text())
    assert {arguments[0] for kind, arguments in listed if kind == "overview"} == set(pages)


def test_section_says_what_the_code_says():
    text = docs_environments.section("cournot")
    assert "Firms choose quantities" in text
    assert "2 agents; one step; symmetric; deterministic; rewards have gradients in `cost`" in text
    assert "| observation of an agent | `[2]` | float32 | 0 … 1 |" in text
    assert "| action of an agent |  | float32 | 0 … 1 |" in text
    assert "| reward | `[2]` | float32 |  |" in text
    assert '| `info["price"]` |  | float32 |  |' in text
    assert "| `num_levels` | `None` | number of choices, or None for continuous ones. |" in text
    assert "| `intercept` | `1` | A, the price of the first unit. |" in text
    assert "Known answers, `env.benchmarks(params)`: `cournot` and `cartel`" in text


def test_every_field_and_number_has_a_meaning():
    for name in list_envs():
        factory = docs_environments.env_factory(name)
        undocumented = [field for field, _, text in docs_environments._fields(factory) if not text]
        undocumented += [row[0] for row in docs_environments._numbers(make(name)[1]) if not row[2]]
        assert not undocumented, f"{name}: {undocumented}"


def test_every_solver_game_and_script_is_listed():
    pages = [(DOCS / "solvers.md").read_text(), *(page.read_text() for page in (DOCS / "solvers").glob("*.md"))]
    index, *families = pages
    listed = docs_hook.filled(index)
    chosen = [arguments for page in families for kind, arguments in docs_hook.markers(page) if kind == "solvers"]
    details = "".join(docs_registries.solvers(*modules) for modules in chosen)
    for name in list_solvers():
        assert f"`{name}`" in listed
        assert f"`{name}`" in details, f"{name} is on no page of a family of solvers"
    zoo = docs_registries.games()
    assert all(f"`{name}`" in zoo for name in list_games())
    for folder in ("examples", "scripts/reproduce", "scripts/bench"):
        text = docs_registries.scripts(folder)
        assert all(f"{{ #{path.stem} }}" in text for path in (ROOT / folder).glob("*.py"))


def test_every_package_is_on_one_page_of_the_api():
    pages = [docs_hook.markers(page.read_text()) for page in (DOCS / "api").glob("*.md")]
    shown = [
        each for page in pages for kind, names in page if kind == "api" for each in docs_registries.packages_of(*names)
    ]
    presets_and_bots = ("-jaxmarl.experiments", "-jaxmarl.envs.rps.bots")
    assert sorted([*shown, "jaxmarl"]) == sorted(docs_registries.packages_of("jaxmarl", *presets_and_bots))
    assert "::: jaxmarl.core.environment" in docs_registries.api("jaxmarl.core")


def test_an_unknown_marker_is_refused():
    with pytest.raises(ValueError, match="unknown kind of generated text 'sectoin'"):
        docs_hook.filled("<!-- generated: sectoin soccer -->")


def test_entries_of_a_docstring_are_read():
    class Documented:
        """A first line.

        Text.

        Attributes:
            low, high: of an
                interval.
            size: 3 [m].
        """

    assert docs_docstrings.entries(Documented, "Attributes") == {
        "low": "of an interval.",
        "high": "of an interval.",
        "size": "3 [m].",
    }
    assert docs_docstrings.text_of(Documented) == "A first line.\n\nText."


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path):
    assert len(path.read_text().splitlines()) <= 60
    subprocess.run([sys.executable, path], check=True, cwd=tmp_path, timeout=600)


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, timeout=900
    )
    assert built.returncode == 0, built.stderr
    assert not built.stderr.strip()
    soccer = (tmp_path / "site" / "environments" / "markov.html").read_text()
    assert 'id="soccer"' in soccer
    assert "generated:" not in soccer
