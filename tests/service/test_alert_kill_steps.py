"""Death at steps of one life of the alert engine: at every one with HELIOGRAPH_EVERY_STEP=1, else at
every commit and every message, and at some of the statements between."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SHARES = 2
EVERY = os.environ.get("HELIOGRAPH_EVERY_STEP") == "1"
# The deaths are of the process, not of the machine: memory is as good as a disk, and quicker.
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder():
    """A folder in memory where there is one."""
    made = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(600 if EVERY else 120)
@pytest.mark.parametrize("share", range(1, SHARES + 1))
def test_a_death_at_any_step_loses_no_alert(folder, share):
    command = [
        *(sys.executable, "-m", "tests.service.dying_alerts"),
        *(str(folder), str(share), str(SHARES), "statements" if EVERY else "commits"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > (150 if EVERY else 60), "the hooks are not on"
