"""The fuzzer finds nothing in a few environments and commands, and finds what is wrong where something is."""

import dataclasses
import sys
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "hardening"))
import fuzz
import fuzz_commands
import fuzz_environments
from fuzz_report import Report, examine


def quietly(line):
    """No progress."""


@pytest.mark.parametrize("name", ["cournot", "sequential_pricing"])
def test_an_environment_stands_random_fields_and_params(name):
    report = fuzz.fuzz(["fields", "params"], [name], 20, quietly)
    assert list(report.defects.values()) == []
    for kind in ("fields", "params"):
        tried, refused, accepted = (report.counts[kind, what] for what in ("tried", "refused", "accepted"))
        assert tried == refused + accepted >= 15
        assert refused > 0


@pytest.mark.parametrize("command", ["envs", "evaluate", "no command", "bench"])
def test_a_command_stands_random_options(command):
    report = fuzz.fuzz(["commands"], [command], 15, quietly)
    assert list(report.defects.values()) == []
    assert report.counts["commands", "refused"] > 0


@pytest.mark.slow
def test_all_commands_stand_random_options():
    assert list(fuzz.fuzz(["commands"], None, 25, quietly).defects.values()) == []


def fails(error):
    raise error


def test_what_is_wrong_is_found():
    report = Report("fields")
    examine(report, "a", lambda: fails(TypeError("not two\nlines")), ["a"])
    examine(report, "b", lambda: fails(ValueError("b must\nbe one line")), ["b"])
    examine(report, "c", lambda: fails(ValueError("something is wrong")), ["c"])
    assert examine(report, "d", lambda: 5, ["d"]) == 5
    examine(report, "e", lambda: fails(ValueError("e must be positive, got 0")), ["e"])
    assert dict(report.counts) == {
        ("fields", "tried"): 5,
        ("fields", "defects"): 3,
        ("fields", "refused"): 3,
        ("fields", "accepted"): 1,
    }
    assert [line[0] for line in report.defects.values()] == ["a", "b", "c"]


def test_nan_in_play_is_found(monkeypatch):
    fuzzer = fuzz_environments.ParamsFuzzer("cournot")
    params = dataclasses.replace(fuzzer.params, intercept=fuzzer.params.intercept * float("nan"))
    report = Report("params")
    monkeypatch.setattr(type(fuzzer.env), "validate", lambda self, params: None)
    fuzzer.attempt(report, ".intercept", params)
    (line,) = report.defects.values()
    assert "is NaN" in line


def test_a_traceback_of_a_command_is_found(monkeypatch):
    monkeypatch.setattr(fuzz_commands, "main", lambda words: fails(KeyError("no")))
    report = Report("commands")
    fuzz_commands.attempt(report, ["envs"])
    assert "KeyError" in next(iter(report.defects.values()))
