"""Retention of a data folder: what is too old, what is too much, and how much that is.

Samples leave by whole segment files, records by whole days, so that forgetting costs nothing; from
the floor on nothing older is read, whatever still lies in a file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from heliograph.core.labels import Labels
from heliograph.recorder.store import Expired, Policy
from heliograph.store.records.day import DAY_NS
from heliograph.store.records.protocol import RecordStore
from heliograph.store.segments import name as segment_name
from heliograph.store.segments.file import Damaged, read_index
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import HOUR_NS, RAW, SegmentName

# Some three hundred years: no policy, no floor.
FOR_GOOD_NS = 10**19


class RawFile(NamedTuple):
    """A file of samples."""

    name: SegmentName
    rows: int
    size_bytes: int


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


def floor_for_size(files: Sequence[RawFile], excess_bytes: int) -> int | None:
    """The instant before which samples must go for *excess_bytes* to come free; None: none need.

    The newest file stays.
    """
    floor_ns = None
    for file in files[:-1]:
        if excess_bytes <= 0:
            break
        excess_bytes -= file.size_bytes
        floor_ns = file.name.end_ns
    return floor_ns


def would_go(
    files: Sequence[RawFile], gone: Expired, size_floor_ns: int | None, events: int
) -> Expired:
    """What age (*gone*) and size together would remove."""
    if size_floor_ns is None:
        return gone._replace(events=events)
    over = [file for file in files if file.name.end_ns <= size_floor_ns]
    return Expired(
        events, sum(file.rows for file in over), sum(file.size_bytes for file in over)
    )


def expired_events(records: RecordStore, floor_ns: int | None) -> int:
    """Records of days that ended by *floor_ns*, as far as the store counts."""
    if floor_ns is None:
        return 0
    day_ns = floor_ns - floor_ns % DAY_NS
    return records.query(end_ns=day_ns, limit=0).total


def no_cuts(_labels: Labels, _start_ns: int, _end_ns: int) -> Sequence[int]:
    """Nobody owns what is recorded."""
    return ()
