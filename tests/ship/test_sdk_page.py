"""docs/sdk.md: its examples run, its tables say what is so."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import heliograph.ship
from heliograph.ship import shipper, spool
from heliograph.ship.counts import Counts
from heliograph.ship.post import TIMEOUT_S
from tests.ship.receiver import Receiver

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()
PREAMBLE = "import pathlib, sys\nfolder = pathlib.Path(sys.argv[1])\n"
END = (
    "\nfrom heliograph.ship.shipper import _close_all\n_close_all()\nprint('read to the end')\n"
)


def test_the_examples_run_one_after_the_other(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    with Receiver() as receiver:
        program = PREAMBLE + "\n".join(blocks) + END
        program = program.replace("http://heliograph:8989", receiver.url)
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"HELIOGRAPH_SPOOL_DIR": str(tmp_path / "spool"), "RANK": "3"},
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout.endswith("read to the end\n")
        found = receiver.samples(own=True)

    # Read once at the end, and before that where the machine is slow.
    assert {labels["rank"] for labels, _, _ in found["steps_total"]} == {"3"}
    assert found["training_steps_total"][-1][2] == 3.0
    assert found["jobs_total"][-1][2] == 1.0
    assert (tmp_path / "metrics.prom").exists()


def test_the_table_of_arguments_is_whole_and_true():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    arguments = inspect.signature(heliograph.ship.to).parameters
    named = set(arguments) - {"url", "collector", "source", "own_metrics"}

    assert set(rows) & set(arguments) == named
    assert rows["every_s"] == f"{shipper.EVERY_S:g}"
    assert rows["exit_s"] == f"{shipper.EXIT_S:g}"
    assert rows["timeout_s"] == f"{TIMEOUT_S:g}"
    assert rows["spool_bytes_max"] == f"{spool.BYTES_MAX >> 20} MiB"


def test_every_metric_of_the_shipper_is_documented():
    families = Counts().families(bytes_waiting=0, frames=0, bytes_max=1)
    ends = [family.name.removeprefix("heliograph_ship") for family in families]

    assert [end for end in ends if end not in PAGE] == []
    outcomes = {
        value for family in families for point in family.points for _, value in point.labels
    }
    assert [outcome for outcome in outcomes if f"`{outcome}`" not in PAGE] == []


def test_code_of_a_user_passes_a_strict_type_checker():
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(Path(__file__).with_name("user_code_ship.py"))],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
