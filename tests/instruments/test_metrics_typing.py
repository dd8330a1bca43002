"""The public API of metrics type-checks, and what is wrong does not."""

import subprocess
import sys
from pathlib import Path

import pytest

USER_CODE = Path(__file__).parent / "user_code_metrics.py"
ROOT = Path(__file__).parents[2]

WRONG = """
from heliograph.instruments.metrics import Counter, Gauge
Counter("c").increment("5")
Counter(5)
Gauge("g").labels(a="1").observe(1.0)
Counter("c").set(1.0)
"""


def mypy(path):
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_user_code_is_clean():
    pytest.importorskip("mypy")
    done = mypy(USER_CODE)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_mistakes_are_found(tmp_path):
    pytest.importorskip("mypy")
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    found = [line.partition(".py:")[2][:1] for line in mypy(path).stdout.splitlines()]
    assert [line for line in found if line.isdigit()] == ["3", "4", "5", "6"]
