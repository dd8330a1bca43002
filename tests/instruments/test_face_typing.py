"""The public API passes a strict type checker in the code of its users."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WRONG = {
    'TelemetryCollector(collection_interval="soon")': "arg-type",
    "TelemetryCollector().register_counter(5)": "arg-type",
    'TelemetryCollector().register_counter("a").set(5)': "attr-defined",
    'TelemetryCollector().add_hook("x", 5)': "arg-type",
    'heliograph.gauge("loss").set("hot")': "arg-type",
    "heliograph.gadget": "attr-defined",
}


def checked(*files):
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, files)],
        cwd=HERE.parent.parent, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    return [line.partition(" ")[2] for line in done.stdout.splitlines() if "note:" not in line]


def test_code_of_a_user_passes_and_wrong_code_does_not(tmp_path):
    wrong = tmp_path / "wrong.py"
    lines = [
        "import heliograph",
        "from heliograph.instruments import TelemetryCollector",
        *WRONG,
    ]
    wrong.write_text("\n".join(lines))
    found = checked(HERE / "user_code_collector.py", wrong)

    assert [line.rpartition("[")[2].rstrip("]") for line in found] == list(WRONG.values())
