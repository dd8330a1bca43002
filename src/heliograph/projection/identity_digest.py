"""The id of a projected record: a digest of the whole source record.

    telemetry-f5caae0daaf885452a5db0614aee6ddd

`telemetry-` and the first 32 hexadecimal digits of SHA-256 over the record as JSON with sorted keys,
ASCII escapes and `str` of what JSON does not have. Keys that nobody knows count, the order of keys
does not. Sources: spec 003; what its users' ids are, in tables of cases.

Nearly every record is plain (`kernels.canonical`) and its bytes are made in one walk. The others are
written, read and written again: reading turns keys inside lists into text, which sorts otherwise.
A set is written in sorted order, so that its record has one id in every process.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from heliograph.kernels.canonical import canonical
from heliograph.projection.frozen import thaw

_DIGITS = 32


def record_id(record: Mapping[str, Any]) -> str:
    """The id of *record*. Raises what `json` raises for keys of mixed types inside lists."""
    return of_bytes(canonical(record) or json_bytes(record))


def of_bytes(canonical_bytes: bytes) -> str:
    """The id of the record whose canonical JSON is *canonical_bytes*."""
    return f"telemetry-{hashlib.sha256(canonical_bytes).hexdigest()[:_DIGITS]}"


def json_bytes(record: Mapping[str, Any]) -> bytes:
    """Canonical JSON of any *record*, plain or not."""
    once = json.dumps(thaw(record), sort_keys=True, default=_text_of)
    return json.dumps(json.loads(once), sort_keys=True).encode()


def _text_of(value: object) -> str:
    if not isinstance(value, (set, frozenset)) or len(value) < 2:
        return str(value)
    try:
        ordered = sorted(value)
    except TypeError:
        ordered = sorted(value, key=lambda each: (type(each).__name__, repr(each)))
    inside = f"{{{', '.join(map(repr, ordered))}}}"
    kind = type(value)
    return inside if kind is set else f"{kind.__name__}({inside})"
