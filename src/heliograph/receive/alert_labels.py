"""Labels of alerts as posted, checked: what an alert is known by.

{"alertname": "GPUHot", "gpu": "3", "empty": ""}  →  (("alertname", "GPUHot"), ("gpu", "3"))
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.kernels import label_sets

# Names that are known to be good.
NAMES_MAX = 10_000
LABELS_MAX = 128
NAME_BYTES_MAX = 1024
NAME_CHARS_SHOWN = 100
# Of all names and values of one label set.
SIZE_BYTES_MAX = 64 * 1024

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z", re.ASCII)
# By whether names are classic ones.
_GOOD: dict[bool, set[str]] = {False: set(), True: set()}
_anything = msgspec.json.Decoder()
_decoder = msgspec.json.Decoder(dict[str, str | None])


class Identity(NamedTuple):
    """Canonical labels, their fingerprint, and the label `severity` or ""."""

    labels: Labels
    fingerprint: str
    severity: str


def identity(
    pairs: Mapping[str, str | None], field: str, *, classic: bool, small: bool = False
) -> Identity:
    """The identity of *pairs*; empty values and nulls are absent. Raises Refused naming *field*.

    *classic*: names as old Alertmanagers have them; else any name that is not empty. *small*:
    they are known to be less than SIZE_BYTES_MAX.
    """
    if len(pairs) > LABELS_MAX:
        raise Refused(f"{len(pairs)} labels, limit {LABELS_MAX}", field=field, code="too_many")
    good = _GOOD[classic]
    if not good.issuperset(pairs):
        _check_names(pairs, field, good, classic=classic)
    found, packed = label_sets.canonical(pairs)
    if not found:
        raise Refused("at least one label pair required", field=field, code="no_labels")
    if packed is None:
        packed = label.pack(found)
    if not small and len(packed) > SIZE_BYTES_MAX:
        raise Refused(
            f"labels of {len(packed)} bytes, limit {SIZE_BYTES_MAX}",
            field=field,
            code="too_large",
        )
    return Identity(found, label.fingerprint_of(packed), pairs.get("severity") or "")


def at_fault(raw: bytes, field: str) -> str:
    """*field* with the name of the first value in the JSON object *raw* that is no text; *field*
    alone where that cannot be said."""
    try:
        pairs = _anything.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return field
    if not isinstance(pairs, dict):
        return field
    names = (name for name, value in pairs.items() if not isinstance(value, str | None))
    name = next(names, None)
    return field if name is None else f"{field}.{name[:NAME_CHARS_SHOWN]}"


def _check_names(
    pairs: Mapping[str, str | None], field: str, good: set[str], *, classic: bool
) -> None:
    """Raise Refused for a bad name that has a value; good ones are added to *good*."""
    fits = _is_classic if classic else _is_name
    for name, value in pairs.items():
        if fits(name):
            if len(good) < NAMES_MAX:
                good.add(name)
        elif value:
            raise Refused(
                f"invalid label set: invalid name {name[:100]!r}", field=field, code="name"
            )


def _is_classic(name: str) -> bool:
    return _NAME.match(name) is not None and _is_name(name)


def _is_name(name: str) -> bool:
    return len(name) > 0 and len(name.encode()) <= NAME_BYTES_MAX


def decoded(raw: bytes, field: str) -> dict[str, str | None]:
    """The pairs of the JSON object *raw*. Raises Refused naming *field*."""
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        text = str(error).partition(" - at `$")[0]
        raise Refused(text, field=at_fault(raw, field), code="labels") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"not JSON: {error}", field=field, code="json") from error
