"""Code that is run with the compiled cells and with their plain twin, in a process of its own.

assert run("compiled", CODE) == run("plain", CODE)
"""

import os
import subprocess
import sys

from heliograph.kernels import cells

KERNELS = ["plain", *(["compiled"] if cells.COMPILED else [])]

# The twin is the `.py` beside the extension, which the import system would not choose.
SHADOW = """
import importlib.util, pathlib, sys
import heliograph.kernels as kernels
path = pathlib.Path(kernels.__path__[0]) / "cells.py"
spec = importlib.util.spec_from_file_location("heliograph.kernels.cells", path)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = kernels.cells = module
spec.loader.exec_module(module)
assert not module.COMPILED
"""


def run(kernel, code, *arguments, timeout_s=60):
    """What *code* prints with the cells of *kernel*; an error in it is an AssertionError."""
    text = (SHADOW if kernel == "plain" else "") + code
    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for noise in ("Exception ignored", "sys.excepthook", "RuntimeError"):
        assert noise not in done.stderr, done.stderr
    return done.stdout
