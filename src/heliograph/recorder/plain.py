"""Whatever a caller hands in, as values that JSON has.

    {"when": datetime(2025, 5, 21), 5: {1, 2}, "x": object()}
    →  {"when": "2025-05-21T00:00:00", "5": [1, 2], "x": "<object object at …>"}

What is nested deeper than DEPTH_MAX, or in itself, becomes text there. NaN stays NaN. Half of a
surrogate pair becomes `?`.
"""

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

DEPTH_MAX = 32
# Characters of what is told of a value that is none of JSON's.
TEXT_CHARS_MAX = 1024

_HALF = re.compile("[\ud800-\udfff]")
_ENCODE = json.JSONEncoder(sort_keys=True, check_circular=True).encode


def canonical(value: Any) -> str:
    """One JSON text of *value*, the same for equal values whatever the order of their keys."""
    try:
        return _ENCODE(value)
    except (TypeError, ValueError, RecursionError):
        return _ENCODE(of(value))


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether *value* is made of what JSON has, with text for keys, and not too deep."""
    if isinstance(value, str):
        return value.isascii() or _HALF.search(value) is None
    if value is None or isinstance(value, int | float):
        return True
    if depth >= DEPTH_MAX:
        return False
    if type(value) is dict:
        return all(
            type(key) is str and is_plain(key) and is_plain(each, depth + 1)
            for key, each in value.items()
        )
    return type(value) is list and all(is_plain(each, depth + 1) for each in value)


def of(value: Any, depth: int = 0) -> Any:
    """*value*, with everything that JSON lacks as text."""
    if isinstance(value, str):
        return text(value)
    if value is None:
        return value
    if isinstance(value, int | float):
        return value
    if depth >= DEPTH_MAX:
        return f"… {type(value).__name__}"
    if isinstance(value, Mapping):
        return {_key(key): of(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [of(each, depth + 1) for each in value]
    if isinstance(value, AbstractSet):
        return sorted((of(each, depth + 1) for each in value), key=str)
    if isinstance(value, date):
        return value.isoformat()
    return text(str(value)[:TEXT_CHARS_MAX])


def text(value: str) -> str:
    """*value*, with `?` for half of a surrogate pair: no store, and no other program, could take it."""
    if value.isascii() or _HALF.search(value) is None:
        return value
    return value.encode("utf-8", "replace").decode()


def _key(key: Any) -> str:
    return text(key if isinstance(key, str) else str(of(key))[:TEXT_CHARS_MAX])
