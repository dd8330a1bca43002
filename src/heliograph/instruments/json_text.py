"""JSON that every parser takes, of documents with numbers that JSON does not have.

    text({"loss": nan}, pretty=False) == '{"loss": "NaN"}'

NaN and the infinities are the strings "NaN", "+Inf" and "-Inf", as in every JSON we write.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any


def text(document: Any, *, pretty: bool) -> str:
    """*document* as strict JSON, two spaces deep where *pretty*."""
    return json.dumps(finite(document), indent=2 if pretty else None, allow_nan=False)


def finite(value: Any) -> Any:
    """*value* with strings for the numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return "NaN"
        return "+Inf" if value > 0 else "-Inf"
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [finite(inner) for inner in value]
    return value
