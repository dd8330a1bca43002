"""`heliograph` as it is started: output that goes nowhere is an error in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["config", "show"]])
def test_a_full_disk_behind_the_output_is_said_in_words(arguments, unbuffered):
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "heliograph.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
            text=True,
        )
    said = "Error: cannot write: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)
