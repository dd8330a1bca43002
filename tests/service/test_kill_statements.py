"""Death at every step that the applier, sealing and maintenance take, one life each."""

import subprocess
import sys

import pytest

# Coprime to the number of steps of any one operation, so that the shares differ.
STRIDE = 5


@pytest.mark.timeout(120)
@pytest.mark.parametrize("share", [1, 3])
def test_a_death_at_any_step_loses_nothing_and_doubles_nothing(tmp_path, share):
    command = [
        sys.executable,
        "-m",
        "tests.service.dying",
        str(tmp_path),
        str(share),
        str(STRIDE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 100, "the hooks are not on"
