"""The script of faults finds a run as it should be, and sees it when one is not."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "hardening"
sys.path.insert(0, str(SCRIPTS))
import chaos  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("chaos")


@pytest.mark.parametrize("fault", [chaos.damage, chaos.file_limit, chaos.clock_jumps])
def test_a_few_faults_of_a_kind_lose_nothing(folder, fault):
    tally = chaos.faulty(2, folder, fault(random.Random(1)), name=fault.__name__)
    assert not tally.problems
    assert tally.survived == tally.faults
    assert tally.lost <= chaos.CHUNK


def test_metrics_that_are_cut_off_stop_nothing(folder, capsys):
    tally = chaos.faulty(1, folder, chaos.cut_metrics(random.Random(1)), rows=False, name="cut")
    assert not tally.problems
    assert "of the first 8 rows" in capsys.readouterr().err


def test_what_is_lost_is_seen(folder):
    def lose_a_row(job, number):
        shutil.copy(folder / "start" / "metrics.jsonl", job)
        lines = (job / "metrics.jsonl").read_text().splitlines(keepends=True)
        (job / "metrics.jsonl").write_text("".join(lines[1:]))
        return ""

    tally = chaos.faulty(1, folder, lose_a_row, name="loss")
    assert tally.survived == 0
    assert tally.problems == ["loss 0: rows differ from those of an unbroken run"]


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path):
    command = [sys.executable, SCRIPTS / "chaos.py", "--kills", "5", "--rounds", "2", "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every run ended bit for bit as an unbroken one" in done.stdout
