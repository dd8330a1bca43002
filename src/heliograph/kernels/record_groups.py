"""Records by their ids, and those alike together: plain twin of `record_groups.pyx`.

record    (record_id, timestamp_ns, observed_timestamp_ns, session_id, source_kind, event_type, stage,
          severity, severity_text, body, resource, …)
names     stream, session, type, severity and source, by which records are searched
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

COMPILED = False
PREFIX, DIGITS = "telemetry-", 32
ID, AT, SESSION, SOURCE, TYPE, SEVERITY, RESOURCE = 0, 1, 3, 4, 5, 7, 10

Names = tuple[str, str, str, str, str]
Record = TypeVar("Record", bound=tuple[Any, ...])


class Alike(NamedTuple):
    """Records of the same *names*, by their times *ats* and their *places* among all, in this order."""

    names: Names
    ats: list[int]
    places: list[int]
    records: list[Any]


def by_id(records: Iterable[Record], id_of: Callable[[str], bytes]) -> dict[bytes, Record]:
    """*records* by 16 bytes each, the first of each, in order. These are the hexadecimal digits of
    `telemetry-…`; what *id_of* says of any other id."""
    found: dict[bytes, Record] = {}
    for each in records:
        found.setdefault(digits_of(each[ID]) or id_of(each[ID]), each)
    return found


def digits_of(record_id: str) -> bytes | None:
    """The 16 bytes that an id of ours says, None for any other."""
    digits = record_id[len(PREFIX) :]
    if len(digits) == DIGITS and record_id.startswith(PREFIX):
        try:
            found = bytes.fromhex(digits)
        except ValueError:
            return None
        # Capital letters and spaces are read too, and are another id.
        return found if found.hex() == digits else None
    return None


def alike(records: Iterable[tuple[Any, ...]]) -> list[Alike]:
    """*records* by their names, in the order in which each came first."""
    groups: dict[Names, list[tuple[int, int, Any]]] = {}
    for place, each in enumerate(records):
        groups.setdefault(names_of(each), []).append((each[AT], place, each))
    found = []
    for names, some in groups.items():
        ats, places, held = zip(*sorted(some), strict=True)
        found.append(Alike(names, list(ats), list(places), list(held)))
    return found


def names_of(record: tuple[Any, ...]) -> Names:
    """What *record* is searched by, but for its time: the stream is its pod's uid, where it has one,
    else its session."""
    pod_uid = record[RESOURCE].get("pod_uid")
    session = record[SESSION]
    stream = pod_uid if isinstance(pod_uid, str) and pod_uid else session
    return stream, session, record[TYPE], record[SEVERITY] or "", record[SOURCE]
