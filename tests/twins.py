"""The plain twin of a kernel, whether or not the kernel itself was compiled."""

import importlib.util
from pathlib import Path

from heliograph import kernels


def plain(name):
    """The module `kernels/NAME.py` as Python, a new one each time."""
    path = Path(kernels.__path__[0]) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"plain_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
