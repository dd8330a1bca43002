"""Items of a JSON body, each standing or falling alone: one, a list, `{"events": […]}`, or lines.

    for item in of_body(raw, wrap="events", never=("timestamp_ns",)):
        document(item, bytes_max=1 << 20)     a dict, or WrongItemError: reason, detail

Programs write NaN and text that is no Unicode; both are read.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from heliograph.receive import json_body, log_entry

# Of an item is refused alone what is deeper: whoever reads it recurses.
DEPTH_MAX = 64
# Where the wrapping key stands in a body that wraps a list; and of such a body, read loosely, the size.
WRAP_BYTES_MAX = 4096
COMMAS_MAX = 1_000_000

_RAW_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_LINES = msgspec.json.Decoder(msgspec.Raw)
_ANY = msgspec.json.Decoder()


class WrongItemError(Exception):
    """One item is not taken.

    reason   fixed short word: `syntax`, `too_deep`, `too_large`, `not_object`, or the receiver's own
    field    the part at fault as the sender wrote it, "" for the item itself
    """

    def __init__(self, reason: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field


def of_body(
    raw: bytes, *, wrap: str, never: Collection[str] = ()
) -> Iterator[bytes | msgspec.Raw]:
    """The items of a body, each perhaps JSON. An object whose *wrap* is a list is that list, unless
    it has a key of *never*, which an item alone has."""
    if raw.lstrip()[:1] == b"[":
        yield from _listed(raw)
        return
    try:
        parts = _RAW_LINES.decode_lines(raw)
    except (msgspec.DecodeError, RecursionError):
        parts = []
    if len(parts) == 1 and (listed := _wrapped(bytes(parts[0]), wrap, never)) is not None:
        yield from _listed(listed)
    elif parts:
        yield from parts
    else:
        yield from _loosely(raw, wrap, never)


def document(item: bytes | msgspec.Raw, *, bytes_max: int) -> dict[str, Any]:
    """The object that *item* is. Raises WrongItemError."""
    raw = bytes(item)
    if len(raw) > bytes_max:
        raise WrongItemError("too_large", f"{len(raw)} bytes, limit {bytes_max}")
    value = _value(raw)
    if not isinstance(value, dict):
        raise WrongItemError("not_object", f"expected an object, got {raw[:60]!r}")
    if raw.count(b"{") + raw.count(b"[") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise WrongItemError("too_deep", f"nested deeper than {DEPTH_MAX}")
    return value


def _value(raw: bytes) -> Any:
    try:
        return _ANY.decode(raw)
    except RecursionError as error:
        raise WrongItemError("too_deep", "nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return json.loads(raw.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise WrongItemError("too_deep", "nested too deeply") from error
    except ValueError as error:
        raise WrongItemError("syntax", f"not JSON: {raw[:60]!r}") from error


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _loosely(raw: bytes, wrap: str, never: Collection[str]) -> Iterator[bytes]:
    """The items of a body that is no strict JSON throughout: NaN is none."""
    head = raw[:WRAP_BYTES_MAX]
    if (
        raw.lstrip()[:1] == b"{"
        and f'"{wrap}"'.encode() in head
        and raw.count(b",") <= COMMAS_MAX
    ):
        whole = log_entry.loose(raw)
        within = whole.get(wrap) if isinstance(whole, dict) else None
        if isinstance(within, list) and not any(key in whole for key in never):
            yield from (json.dumps(one).encode() for one in within)
            return
    yield from json_body.elements(raw)


def _listed(raw: bytes) -> Iterator[bytes | msgspec.Raw]:
    try:
        yield from _RAW_ARRAY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        yield from json_body.elements(raw)


def _wrapped(raw: bytes, wrap: str, never: Collection[str]) -> bytes | None:
    """The list within `{"events": […]}`; None where *raw* is something else."""
    try:
        within = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return None
    listed = bytes(within.get(wrap, b""))
    if any(key in within for key in never):
        return None
    return listed if listed.lstrip()[:1] == b"[" else None
