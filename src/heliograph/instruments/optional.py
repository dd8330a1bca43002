"""The one place where the SDK takes in a library that may not be there.

psutil = load("psutil", "host metrics", "pip install psutil")
"""

import importlib
from typing import Any

from heliograph.core.errors import ConfigError


def load(name: str, what_for: str, how: str) -> Any:
    """The module *name*. Raises ConfigError that says what it is for, and how to get it."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        # OSError: it is there, but the shared library under it is not.
        raise ConfigError(f"{what_for} need {name} ({how}): {error}") from error
