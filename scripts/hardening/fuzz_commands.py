"""Random options of every command: a result, a usage error, or a refusal in one line; never a traceback."""

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
from fuzz_report import Report, described, limited
from hypothesis import strategies as st

from jaxmarl.bench import environments
from jaxmarl.cli import main
from jaxmarl.experiments import rrps

# no two of them make a long job: numbers that are accepted are small
WORDS = [
    "",
    " ",
    "x",
    "0",
    "1",
    "2",
    "-1",
    "0.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "true",
    "None",
    "[]",
    "()",
    "\N{SNOWMAN}",
]
WORDS += [
    "9" * 30,
    "a=b",
    "=",
    "==",
    "../..",
    "/",
    "/dev/null",
    "no/such/folder/file.json",
    "nothing.npz",
    "x" * 300,
    "\x1b[2J",
]
WORD = st.sampled_from(WORDS)
GOOD = st.sampled_from(["1", "2", "3", "soccer", "prisoners_dilemma", "out.json", "out.png", "uniform"])
VALUE = st.one_of(WORD, GOOD, GOOD, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5))
SETTING = st.tuples(st.sampled_from(["num_updates", "ppo.hidden", "ppo", "bots", "x", ""]), VALUE).map("=".join)
# command: words that come first, its options (those that take a value), further words
COMMANDS: dict[str, tuple[list[str], dict[str, st.SearchStrategy[str]]]] = {
    "envs": (["envs"], {"": VALUE}),
    "train": (
        ["train", "rrps", "--preset", "smoke"],
        {
            "--preset": VALUE,
            "--run": VALUE,
            "--seed": VALUE,
            "--set": SETTING,
            "--devices": VALUE,
            "--num-processes": VALUE,
            "--process-id": VALUE,
            "--resume": st.just(""),
            "--no-such": VALUE,
        },
    ),
    "evaluate": (["evaluate", "rrps"], {"": VALUE, "--matches": VALUE, "--seed": VALUE, "--compare": VALUE}),
    "solve": (
        ["solve", "matching_pennies", "--solver", "pure_nash"],
        {
            "--solver": VALUE,
            "--game": st.tuples(st.sampled_from(["x", "hi", "scale", ""]), VALUE).map("=".join),
            "--set": st.tuples(st.sampled_from(["tolerance", "x", ""]), VALUE).map("=".join),
            "--out": VALUE,
            "--figure": VALUE,
        },
    ),
    "solve a game": (["solve"], {"": VALUE, "--solver": VALUE}),
    "solve auction": (
        ["solve", "auction", "--levels", "4", "--set", "max_iterations=2"],
        {
            f"--{name}": VALUE
            for name in ("format", "bidders", "prior", "high", "exponent", "reserve", "fee", "risk", "ties", "levels")
        }
        | {"--max-bid": VALUE, "--method": VALUE, "--seed": VALUE, "--out": VALUE},
    ),
    "play": (
        ["play", "grid_game", "--frames", "1"],
        {
            "--policy": VALUE,
            "--out": VALUE,
            "--frames": VALUE,
            "--fps": VALUE,
            "--seed": VALUE,
            "--set": st.tuples(st.sampled_from(["max_steps", "layout", "x"]), VALUE).map("=".join),
            "--params": st.tuples(st.sampled_from(["goal", "x", ""]), VALUE).map("=".join),
        },
    ),
    "psro": (
        ["psro", "matching_pennies", "--iterations", "1"],
        {
            "--meta": VALUE,
            "--game": SETTING,
            "--iterations": VALUE,
            "--oracle": VALUE,
            "--seed": VALUE,
            "--set": SETTING,
        },
    ),
    "bench": (
        ["bench", "environments", "--names", "two_step_game", "--sizes", "1"],
        {"--names": VALUE, "--sizes": VALUE, "--repeats": VALUE, "--out": VALUE, "--baseline": VALUE, "--slack": VALUE},
    ),
    "no command": ([], {"": VALUE}),
}
INTERRUPTED = 130  # as `_shapes` says
ONE_LINE = re.compile(r"jaxmarl: [^\n]*\n")


def arguments(command: str) -> st.SearchStrategy[list[str]]:
    """The command with one or two options given other values."""
    words, options = COMMANDS[command]
    one = st.sampled_from(sorted(options)).flatmap(
        lambda name: options[name].map(lambda value: [word for word in (name, value) if word or not name])
    )
    return st.one_of(one.map(lambda pair: [pair]), st.lists(one, min_size=2, max_size=2)).map(
        lambda drawn: words + [word for pair in drawn for word in pair]
    )


def attempt(report: Report, given: list[str]) -> None:
    """Runs a command line; files it writes go to a folder that is removed."""
    report.count("tried")
    shown, out, err = f"jaxmarl {' '.join(map(repr, given))}", io.StringIO(), io.StringIO()
    code: Any = 0
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                mock.patch.object(rrps, "train", _shapes),
            ):
                limited(lambda: main(given))
        except SystemExit as stopped:
            code = stopped.code
        except Exception as error:
            report.defect(shown, described(error))
            return
        except BaseException as error:
            report.defect(shown, type(error).__name__)
            return
        finally:
            os.chdir(before)
    report.count("accepted" if code in (0, None, INTERRUPTED) else "refused")
    said = err.getvalue()
    usage = "usage:" in said or "--help" in said  # of tyro, in a frame
    if code not in (0, None, 1, 2, INTERRUPTED) or "Traceback" in said:
        report.defect(shown, f"exit code {code}, says {said[:100]!r}")
    elif code == 2 and not usage and not ONE_LINE.fullmatch(said):
        report.defect(shown, f"a refusal of other than one line: {said[:160]!r}")


@contextlib.contextmanager
def _short_jobs() -> Iterator[None]:
    """Training makes its learner and traces an update, benchmarks measure nothing: what would only take time."""
    with mock.patch.object(rrps, "train", _shapes), mock.patch.object(environments, "measure", return_value=[]):
        yield


def _shapes(config: Any, folder: Path, **options: Any) -> Any:
    """In place of training: the learner is made, and an update traced."""
    learner = rrps.make_learner(config.resolved())
    jax.eval_shape(learner.update, jax.eval_shape(learner.init, jax.random.key(options.get("seed", 0))))
    return mock.Mock(interrupted=True)  # so that nothing is evaluated


def fuzzers(names: list[str] | None = None) -> list[tuple[str, st.SearchStrategy[Any], Callable[[Report, Any], None]]]:
    """What is tried of each command: a label, a strategy, and what to do with its values."""
    return [(name, arguments(name), attempt) for name in names or COMMANDS]
