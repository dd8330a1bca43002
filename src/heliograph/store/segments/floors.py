"""Floors: what has to be rolled up, how far the floors may rise, and what retention may delete.

    hour floor ≤ minute floor ≤ raw floor ≤ now        none ever falls
    …  1h rows   |    1m rows    |  raw

The raw floor passes a window only when its roll-ups count every sample of it, sealed or not.
`gone` trails the raw floor by whole windows: before it raw files may have been deleted, so roll-ups
there are only ever added to.
"""

from itertools import takewhile
from typing import NamedTuple

from heliograph.store.segments.name import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    ROW_NS,
    WINDOW_NS,
    SegmentName,
    aligned,
)
from heliograph.store.segments.view import Floors, View

# Windows are rolled up this long before their raw samples may leave, once and in good time.
AHEAD_NS = DAY_NS


class Retention(NamedTuple):
    """How long each kind of data is kept, by event time; nanoseconds."""

    raw_ns: int = 7 * DAY_NS
    minute_ns: int = 30 * DAY_NS
    hour_ns: int = 400 * DAY_NS


def raw_target_ns(retention: Retention, now_ns: int) -> int:
    """Where the raw floor should be."""
    return aligned(now_ns - retention.raw_ns, MINUTE_NS)


def hour_target_ns(retention: Retention, now_ns: int) -> int:
    """Where the hour floor should be."""
    longest_ns = max(retention)
    return aligned(now_ns - longest_ns, HOUR_NS)


def due(view: View, retention: Retention, now_ns: int) -> list[int]:
    """Windows whose roll-ups lack samples and whose raw is there and may leave soon; ascending."""
    target_ns = raw_target_ns(retention, now_ns)
    until_ns = target_ns + min(AHEAD_NS, retention.raw_ns)
    from_ns = max(view.gone_ns, hour_target_ns(retention, now_ns))
    return [
        window
        for window in lacking(view, from_ns, max(until_ns, target_ns))
        if window < target_ns or window + WINDOW_NS <= until_ns
    ]


def lacking(view: View, start_ns: int, end_ns: int, kind: str | None = None) -> list[int]:
    """Windows overlapping [start_ns, end_ns) with raw that a roll-up (of *kind*) does not count."""
    covered = {one: view.coverage(one) for one in ROW_NS if kind in {None, one}}
    found = set()
    for name in view.raw():
        for window in name.windows_in(start_ns, end_ns):
            for one, seqs in covered.items():
                wanted = one == "1h" or window + WINDOW_NS > view.minute_floor_ns
                if wanted and seqs.get(window, -1) < name.last_seq:
                    found.add(window)
    return sorted(found)


def left_minute_ns(view: View) -> int:
    """The minute floor that the files tell of: past the oldest windows that have 1h rows alone.

    Their 1m rows went by a retention that was shorter, or a clock that was ahead. A gap further on
    is damage, and no reason to read the rest more coarsely.
    """
    minutes = view.coverage("1m")
    alone = takewhile(lambda window: window not in minutes, sorted(view.coverage("1h")))
    return max([view.minute_floor_ns, *(window + WINDOW_NS for window in alone)])


def risen(view: View, retention: Retention, now_ns: int) -> Floors:
    """The floors of *view* as high as its roll-ups allow."""
    old_ns = max(view.raw_floor_ns, hour_target_ns(retention, now_ns))
    raw_ns = _raw_floor(view, old_ns, raw_target_ns(retention, now_ns))
    minute_ns = min(aligned(now_ns - retention.minute_ns, HOUR_NS), aligned(raw_ns, HOUR_NS))
    minute_ns = max(view.minute_floor_ns, minute_ns)
    hour_ns = min(hour_target_ns(retention, now_ns), minute_ns)
    return Floors(raw_ns, minute_ns, max(view.hour_floor_ns, hour_ns))


def _raw_floor(view: View, old_ns: int, target_ns: int) -> int:
    if target_ns <= old_ns:
        return old_ns
    floor_ns = target_ns
    waiting = lacking(view, old_ns, target_ns)
    if waiting:
        floor_ns = min(floor_ns, waiting[0])
    return max(old_ns, aligned(_first_in_heads(view, old_ns, floor_ns), MINUTE_NS))


def _first_in_heads(view: View, start_ns: int, end_ns: int) -> int:
    """The first instant in [start_ns, end_ns) of which a head has a sample, else *end_ns*."""
    first_ns = end_ns
    for head in view.heads:
        if head.low_ns is not None and head.low_ns < first_ns:
            inside = [b.at_ns[b.at_ns >= start_ns] for b in head.batches()]
            first_ns = min([first_ns, *(int(at_ns.min()) for at_ns in inside if len(at_ns))])
    return first_ns


def gone_target_ns(view: View) -> int:
    """The latest window start before the raw floor that no raw file reaches across.

    And that no sample waits before, in a file or in the head: as long as the raw files beside it
    are there, a sample that was sent twice is counted once.
    """
    gone_ns = aligned(view.raw_floor_ns, WINDOW_NS)
    gone_ns = min([gone_ns, *lacking(view, max(view.gone_ns, view.hour_floor_ns), gone_ns)])
    gone_ns = aligned(_first_in_heads(view, view.gone_ns, gone_ns), WINDOW_NS)
    for name in sorted(view.raw(), key=lambda name: name.start_ns, reverse=True):
        if name.start_ns < gone_ns < name.end_ns:
            gone_ns = name.start_ns
    return max(view.gone_ns, gone_ns)


def expired(view: View) -> list[SegmentName]:
    """Files that no reader sees any more and no roll-up needs."""
    found = [name for name in view.of_kind("1h") if name.end_ns <= view.hour_floor_ns]
    found += [name for name in view.of_kind("1m") if name.end_ns <= view.minute_floor_ns]
    open_windows = set(lacking(view, view.hour_floor_ns, view.gone_ns))
    for name in view.raw():
        if name.end_ns <= view.gone_ns and open_windows.isdisjoint(name.windows()):
            found.append(name)
    return found
