"""Death at steps that the applier, sealing and maintenance take, one life each: at every one with
HELIOGRAPH_EVERY_STEP=1, else at two of every four, that stand together."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

EVERY = os.environ.get("HELIOGRAPH_EVERY_STEP") == "1"
SHARES = 4
# The deaths are of the process, not of the machine: memory is as good as a disk, and quicker.
MEMORY = Path("/dev/shm")


@pytest.fixture
def folder():
    """A folder in memory where there is one."""
    made = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("share", range(1, SHARES + 1 if EVERY else 3))
def test_a_death_at_any_step_loses_nothing_and_doubles_nothing(folder, share):
    command = [
        sys.executable,
        "-m",
        "tests.service.dying",
        str(folder),
        str(share),
        str(SHARES),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 100, "the hooks are not on"
