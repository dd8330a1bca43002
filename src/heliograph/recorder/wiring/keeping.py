"""Retention of a data folder: what is too old, what is too much, and how much that is.

Samples leave by whole segment files, records by whole days, so that forgetting costs nothing; from
the floor on nothing older is read, whatever still lies in a file.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from heliograph.core.errors import Unavailable
from heliograph.core.labels import Labels
from heliograph.recorder.store import Expired, Policy
from heliograph.store.records.day import DAY_NS
from heliograph.store.records.folder import RecordFolder
from heliograph.store.segments import name as segment_name
from heliograph.store.segments.file import Damaged, read_index
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import HOUR_NS, RAW, SegmentName
from heliograph.store.segments.store import SegmentStore

# Some three hundred years: no policy, no floor.
FOR_GOOD_NS = 10**19


class RawFile(NamedTuple):
    """A file of samples."""

    name: SegmentName
    rows: int
    size_bytes: int


class Plan(NamedTuple):
    """What retention does: samples before *samples_ns* go for the bound of size, records before
    *records_ns* for that or their age; None, none do. *would_go* is all that goes."""

    samples_ns: int | None
    records_ns: int | None
    would_go: Expired


def retention(policy: Policy) -> Retention:
    """What the segment store keeps: samples as they are, all the time that *policy* says."""
    kept_ns = FOR_GOOD_NS if policy.metrics_ns is None else policy.metrics_ns
    return Retention(raw_ns=kept_ns, minute_ns=kept_ns, hour_ns=kept_ns)


def raw_files(folder: Path) -> list[RawFile]:
    """Files of samples in *folder*, by time; a damaged one has no rows."""
    found = []
    for name in raw_names(folder):
        path = folder / name.text
        try:
            rows = int(read_index(path).row_at[-1])
            found.append(RawFile(name, rows, path.stat().st_size))
        except Damaged:
            found.append(RawFile(name, 0, path.stat().st_size))
        except FileNotFoundError:
            continue
    return sorted(found, key=lambda file: file.name.end_ns)


def raw_names(folder: Path) -> list[SegmentName]:
    """Names of the files of samples in *folder*."""
    names = [segment_name.parse(path.name) for path in folder.glob("raw-*.seg")]
    return [name for name in names if name is not None and name.kind == RAW]


def expired_by_age(files: Sequence[RawFile], policy: Policy, now_ns: int) -> Expired:
    """Samples and bytes of the *files* that *policy* has no use for any more."""
    if policy.metrics_ns is None:
        return Expired()
    floor_ns = segment_name.aligned(now_ns - policy.metrics_ns, HOUR_NS)
    gone = [file for file in files if file.name.end_ns <= floor_ns]
    return Expired(0, sum(file.rows for file in gone), sum(file.size_bytes for file in gone))


def floor_for_size(
    files: Sequence[RawFile], day_bytes: Mapping[int, int], excess_bytes: int
) -> int | None:
    """The instant before which samples and records must go for *excess_bytes* to come free, no more
    than that; None: none need. Of *files* the newest stays; *day_bytes* are the days that may go.
    """
    ends = [(file.name.end_ns, file.size_bytes) for file in files[:-1]]
    ends += [((day + 1) * DAY_NS, size) for day, size in day_bytes.items()]
    floor_ns = None
    for end_ns, size_bytes in sorted(ends):
        if excess_bytes <= 0 and end_ns != floor_ns:
            break
        excess_bytes -= size_bytes
        floor_ns = end_ns
    return floor_ns


def sample_floor(files: Sequence[RawFile], floor_ns: int | None) -> int | None:
    """*floor_ns*, or as far before it as keeps every sample of the *files* that do not end by it."""
    if floor_ns is None:
        return None
    left = [file.name.start_ns for file in files if file.name.end_ns > floor_ns]
    return min([floor_ns, *left])


def plan(
    files: Sequence[RawFile], records: RecordFolder, policy: Policy, now_ns: int, used: int
) -> Plan:
    """What *policy* lets go of *files* and *records*, which are *used* bytes together."""
    gone = expired_by_age(files, policy, now_ns)
    days = records.day_bytes()
    records_ns = None if policy.events_ns is None else now_ns - policy.events_ns
    size_ns = None
    if policy.bytes_max is not None:
        excess = used - policy.bytes_max - gone.size_bytes - bytes_before(days, records_ns)
        size_ns = floor_for_size(files, days, excess)
    if size_ns is not None:
        records_ns = size_ns if records_ns is None else max(size_ns, records_ns)
        over = [file for file in files if file.name.end_ns <= size_ns]
        gone = Expired(
            0,
            max(gone.metrics, sum(file.rows for file in over)),
            max(gone.size_bytes, sum(file.size_bytes for file in over)),
        )
    would_go = Expired(
        expired_events(records, records_ns),
        gone.metrics,
        gone.size_bytes + bytes_before(days, records_ns),
    )
    return Plan(sample_floor(files, size_ns), records_ns, would_go)


def make_room(
    segments: SegmentStore, records: RecordFolder, policy: Policy, now_ns: int
) -> None:
    """Let go of what is beyond its age, as far as that needs no room itself."""
    with suppress(Unavailable):
        segments.maintain(cuts=no_cuts, dirty=())
    if policy.events_ns is not None:
        with suppress(Unavailable):
            records.retain(floor_ns=now_ns - policy.events_ns, bytes_max=2**62)


def bytes_before(day_bytes: Mapping[int, int], floor_ns: int | None) -> int:
    """Bytes of the days that ended by *floor_ns*."""
    if floor_ns is None:
        return 0
    return sum(size for day, size in day_bytes.items() if (day + 1) * DAY_NS <= floor_ns)


def expired_events(records: RecordFolder, floor_ns: int | None) -> int:
    """Records of days that ended by *floor_ns*, as far as the store counts."""
    if floor_ns is None:
        return 0
    day_ns = floor_ns - floor_ns % DAY_NS
    return records.query(end_ns=day_ns, limit=0).total


def no_cuts(_labels: Labels, _start_ns: int, _end_ns: int) -> Sequence[int]:
    """Nobody owns what is recorded."""
    return ()
