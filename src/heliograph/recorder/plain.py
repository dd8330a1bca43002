"""Whatever a caller hands in, as values that JSON has.

    {"when": datetime(2025, 5, 21), 5: {1, 2}, "x": object()}
    →  {"when": "2025-05-21T00:00:00", "5": [1, 2], "x": "<object object at …>"}

What is nested deeper than DEPTH_MAX, or in itself, becomes text there. NaN stays NaN.
"""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

DEPTH_MAX = 32
# Characters of what is told of a value that is none of JSON's.
TEXT_CHARS_MAX = 1024

_ENCODE = json.JSONEncoder(sort_keys=True, check_circular=True).encode


def canonical(value: Any) -> str:
    """One JSON text of *value*, the same for equal values whatever the order of their keys."""
    try:
        return _ENCODE(value)
    except (TypeError, ValueError, RecursionError):
        return _ENCODE(of(value))


def is_plain(value: Any) -> bool:
    """Whether *value* is made of what JSON has, with text for keys."""
    if value is None or isinstance(value, str | int | float):
        return True
    if type(value) is dict:
        return all(type(key) is str and is_plain(each) for key, each in value.items())
    return type(value) is list and all(map(is_plain, value))


def of(value: Any, depth: int = 0) -> Any:
    """*value*, with everything that JSON lacks as text."""
    if value is None or isinstance(value, str | bool):
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
    return str(value)[:TEXT_CHARS_MAX]


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(of(key))[:TEXT_CHARS_MAX]
