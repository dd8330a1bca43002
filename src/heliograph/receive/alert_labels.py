"""Labels of alerts, decoded once: equal bytes of a sender are equal labels.

A firing alert comes again every few seconds with the very same bytes of `labels`, so those bytes
lead to the canonical labels and their fingerprint without being decoded again.

    {"alertname": "GPUHot", "gpu": "3", "empty": ""}  →  (("alertname", "GPUHot"), ("gpu", "3"))
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels

# Label sets held by their bytes, some 1.3 kB each: for alerts whose annotations change with every
# post. Beyond it the older half is forgotten.
CACHE_MAX = 10_000
# Names that are known to be good.
NAMES_MAX = 10_000
LABELS_MAX = 128
NAME_BYTES_MAX = 1024
# Of all names and values of one label set.
SIZE_BYTES_MAX = 64 * 1024

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z", re.ASCII)
# By whether names are classic ones.
_GOOD: dict[bool, set[str]] = {False: set(), True: set()}
_decoder = msgspec.json.Decoder(dict[str, str | None])


class Identity(NamedTuple):
    """Canonical labels, their fingerprint, and the label `severity` or ""."""

    labels: Labels
    fingerprint: str
    severity: str


class Identities:
    """Label sets by the bytes they came as, at most *cache_max*. Used by one thread.

    *classic*: names as old Alertmanagers have them; else any name that is not empty.
    """

    def __init__(self, *, classic: bool, cache_max: int = CACHE_MAX) -> None:
        self._classic = classic
        self._cache_max = cache_max
        self._known: dict[bytes, Identity] = {}

    def of(self, raw: bytes, field: str) -> Identity:
        """The identity of the JSON object *raw*, posted as *field*. Raises Refused naming it."""
        known = self._known.get(raw)
        if known is None:
            known = identity(_decoded(raw, field), field, classic=self._classic)
            if len(self._known) >= self._cache_max:
                for old in list(self._known)[: self._cache_max // 2 + 1]:
                    del self._known[old]
            self._known[raw] = known
        return known


def identity(pairs: Mapping[str, str | None], field: str, *, classic: bool) -> Identity:
    """The identity of *pairs*; empty values and nulls are absent. Raises Refused naming *field*."""
    if len(pairs) > LABELS_MAX:
        raise Refused(f"{len(pairs)} labels, limit {LABELS_MAX}", field=field, code="too_many")
    good = _GOOD[classic]
    if not good.issuperset(pairs):
        _check_names(pairs, field, good, classic=classic)
    # Senders write them in order, mostly, and names are unique: values are not compared.
    given = pairs if all(pairs.values()) else {n: value for n, value in pairs.items() if value}
    found: Labels = tuple(sorted(given.items()))  # type: ignore[arg-type]  # no None is left
    if not found:
        raise Refused("at least one label pair required", field=field, code="no_labels")
    packed = label.pack(found)
    if len(packed) > SIZE_BYTES_MAX:
        raise Refused(
            f"labels of {len(packed)} bytes, limit {SIZE_BYTES_MAX}",
            field=field,
            code="too_large",
        )
    return Identity(found, label.fingerprint_of(packed), pairs.get("severity") or "")


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


def _decoded(raw: bytes, field: str) -> dict[str, str | None]:
    try:
        return _decoder.decode(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        at = path.removesuffix("`").removeprefix("[...]")
        raise Refused(f"{text}{at and f' ({at})'}", field=field, code="labels") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"not JSON: {error}", field=field, code="json") from error
