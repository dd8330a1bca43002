"""What JSON cannot carry: files and command lines may say what no request can.

unsendable({"rule_config": {"value": float("inf")}})   # "rule_config.value: inf is no number of JSON"
"""

import math
from typing import Any


def unsendable(value: Any, place: str = "") -> str | None:
    """The first part of *value* that JSON cannot carry, its place before it; None where all can be."""
    what = _why(value)
    if what is not None:
        return f"{place}: {what}" if place else what
    if isinstance(value, dict):
        inner = [(part, f"{place}.{key}".lstrip(".")) for key, part in value.items()]
        inner = [*((key, place) for key in value), *inner]
    elif isinstance(value, list | tuple):
        inner = [(part, f"{place}[{at}]") for at, part in enumerate(value)]
    else:
        return None
    found = (unsendable(part, where) for part, where in inner)
    return next((one for one in found if one is not None), None)


def _why(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number of JSON"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "not valid Unicode"
    elif not isinstance(value, dict | list | tuple | bool | int | float | None):
        return f"a {type(value).__name__} is no value of JSON; write it as text"
    return None
