"""Compaction of raw files: 2 h merged, then a day merged; and the near part of far files split off."""

from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.file import SegmentWriter
from heliograph.store.segments.name import DAY_NS, HOUR_NS, MINUTE_NS, WINDOW_NS, SegmentName
from heliograph.store.segments.rolling import Written
from heliograph.store.segments.write import (
    NEAR_FUTURE_NS,
    Sorted,
    add_rows,
    chunks,
    day_of,
    joined_raw,
    partitioned,
    write,
)

# A window is merged when it has so many files, or when it is over and has more than one.
WINDOW_FILES_MAX = 6
WINDOW_OVER_AFTER_NS = 15 * MINUTE_NS
DAY_OVER_AFTER_NS = HOUR_NS
# Files beside a day that is merged already, before it is merged again.
DAY_FILES_MAX = 8
FAR_FILES_MAX = 4


def compacted(catalogue: Catalogue, now_ns: int) -> Written:
    """Do what compaction is due at *now_ns*. Raises OSError.

    Nothing before the raw floor is touched: where raw may have gone, a file's last frame says
    whether its samples are in the roll-ups, and a merged file could not say it.
    """
    done = _near_split(catalogue, now_ns)
    for span, names in _windows_due(catalogue, now_ns):
        done = done.plus(_merged(catalogue, 1, span, names))
    for span, names in _days_due(catalogue, now_ns):
        done = done.plus(_merged(catalogue, 2, span, names))
    return done


def _windows_due(
    catalogue: Catalogue, now_ns: int
) -> list[tuple[tuple[int, int], list[SegmentName]]]:
    view = catalogue.view
    groups: dict[tuple[int, int], list[SegmentName]] = {}
    for name in view.raw():
        if name.end_ns - name.start_ns == WINDOW_NS and name.end_ns > view.raw_floor_ns:
            groups.setdefault((name.start_ns, name.end_ns), []).append(name)
    return [
        (span, names)
        for span, names in sorted(groups.items())
        if len(names) >= WINDOW_FILES_MAX
        or (len(names) > 1 and span[1] + WINDOW_OVER_AFTER_NS <= now_ns)
    ]


def _days_due(
    catalogue: Catalogue, now_ns: int
) -> list[tuple[tuple[int, int], list[SegmentName]]]:
    view = catalogue.view
    groups: dict[tuple[int, int], list[SegmentName]] = {}
    for name in view.raw():
        if not name.is_far:
            groups.setdefault(day_of(name.start_ns), []).append(name)
    due = []
    for span, names in sorted(groups.items()):
        over = span[1] + DAY_OVER_AFTER_NS <= now_ns and span[0] >= view.raw_floor_ns
        once = any(name.level == 2 for name in names)
        if over and len(names) > 1 and (not once or len(names) > DAY_FILES_MAX):
            due.append((span, names))
    return due


def _merged(
    catalogue: Catalogue, level: int, span: tuple[int, int], names: list[SegmentName]
) -> Written:
    seqs = min(n.first_seq for n in names), max(n.last_seq for n in names)
    name = catalogue.new_name(names[0].kind, level, span, seqs)
    rows = 0
    with catalogue.adding(names) as added, SegmentWriter(catalogue.folder, name) as writer:
        for chunk in chunks(catalogue, names, *span):
            sid, columns = joined_raw(chunk)
            add_rows(writer, chunk.packed, sid, columns)
            rows += len(sid)
        size = writer.finish()
        added.append((name, size))
    return Written(1, rows, size)


def _near_split(catalogue: Catalogue, now_ns: int) -> Written:
    """Give what was far and has come near files of its own, and keep far files few."""
    far = [name for name in catalogue.view.raw() if name.is_far]
    if not far:
        return Written()
    near = min(name.start_ns for name in far) <= now_ns + NEAR_FUTURE_NS - DAY_NS // 2
    if not near and sum(name.level == 0 for name in far) < FAR_FILES_MAX:
        return Written()
    seqs = min(n.first_seq for n in far), max(n.last_seq for n in far)
    rows = 0
    span = min(n.start_ns for n in far), max(n.end_ns for n in far)
    with catalogue.adding(far) as added:
        for chunk in chunks(catalogue, far, *span):
            sid, columns = joined_raw(chunk)
            for part_span, part in partitioned(Sorted(chunk.packed, sid, columns), now_ns):
                name = catalogue.new_name("raw", 1, part_span, seqs)
                added.append((name, write(catalogue, name, part)))
                rows += len(part.sid)
    return Written(len(added), rows, sum(size for _, size in added))
