"""Whether what a sender calls labels can be the identity of a series.

    [(b"__name__", b"up"), (b"job", b"node")]  →  (("__name__", "up"), ("job", "node"))

Order is free, names are any UTF-8 (dots, spaces and all), an empty value is an absent label and
never gets here. Everything else is a `Fault` with a reason of a fixed few, for counters.
Source: Prometheus remote write specification 2.0, labels; UTF-8 names since Prometheus 3.
"""

from itertools import pairwise
from typing import NamedTuple

import msgspec

from heliograph.core import labels as label

_NAME = label.NAME.encode()


class LabelLimits(msgspec.Struct, frozen=True):
    """Bounds of the labels of one series; a series beyond is rejected alone.

    labels               that have a value
    label_name_bytes     UTF-8
    label_value_bytes    UTF-8
    """

    labels: int = 64
    label_name_bytes: int = 256
    label_value_bytes: int = 4096


class Fault(NamedTuple):
    """Why the labels of a series cannot be kept.

    reason   no_labels, no_name, empty_label_name, duplicate_label, invalid_utf8, too_many_labels,
             label_name_bytes, label_value_bytes; and what else a receiver rejects series for
    """

    reason: str
    detail: str


def identity(pairs: list[tuple[bytes, bytes]], limits: LabelLimits) -> bytes | Fault:
    """What `core.labels.pack` makes of *pairs*: (name, value) as sent, none of an empty value."""
    if not pairs:
        return Fault("no_labels", "a series without labels")
    if len(pairs) > limits.labels:
        return Fault("too_many_labels", f"more than {limits.labels} labels")
    for name, value in pairs:
        if len(name) > limits.label_name_bytes:
            most = limits.label_name_bytes
            return Fault("label_name_bytes", f"a label name of {len(name)} bytes, limit {most}")
        if len(value) > limits.label_value_bytes:
            most = limits.label_value_bytes
            detail = f"label {_text(name)!r} of {len(value)} bytes, limit {most}"
            return Fault("label_value_bytes", detail)
    if not _is_utf8(pairs):
        return Fault("invalid_utf8", f"a label of {_shown(pairs)} is not UTF-8")
    return _packed(sorted(pairs))


def _packed(pairs: list[tuple[bytes, bytes]]) -> bytes | Fault:
    """Sorted *pairs* packed, if they are an identity."""
    values = dict(pairs)
    if len(values) < len(pairs):
        name = next(a for (a, _), (b, _) in pairwise(pairs) if a == b)
        return Fault(
            "duplicate_label", f"label {_text(name)!r} of {_shown(pairs)} occurs twice"
        )
    if b"" in values:
        return Fault("empty_label_name", f"a label of {_shown(pairs)} has no name")
    if _NAME not in values:
        return Fault("no_name", f"no {label.NAME} in {_shown(pairs)}")
    return label.pack_utf8(pairs)


def _is_utf8(pairs: list[tuple[bytes, bytes]]) -> bool:
    # Joined by a byte that is a character of its own: one check of all is a check of each.
    try:
        b"\n".join([text for pair in pairs for text in pair]).decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(pairs: list[tuple[bytes, bytes]]) -> str:
    """The beginning of *pairs*, enough for a human to find the series."""
    shown = ", ".join(f"{_text(name[:40])}={_text(value[:40])}" for name, value in pairs[:4])
    return f"{{{shown}}}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
