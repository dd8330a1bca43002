"""Names of segment files, which are the store's catalogue, and the spans that they may have.

    raw-0.1767225600000000000.1767232800000000000.81.97.12.seg
    kind-level.start_ns.end_ns.first_seq.last_seq.serial.seg      times half open, seq inclusive
    sealed.97        all frames up to 97 are in segments          (empty file; the highest counts)
    floor.17672256…  raw before this instant may have been deleted  (the same)

kind    `raw` samples, `1m` or `1h` roll-up rows
level   0 as sealed, 1 one window merged, 2 one day merged
serial  unique in the folder; of two roll-ups of one span the higher replaced the lower
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
WINDOW_NS = 2 * HOUR_NS
DAY_NS = 24 * HOUR_NS

RAW = "raw"
ROW_NS = {"1m": MINUTE_NS, "1h": HOUR_NS}

SEALED = "sealed"
FLOOR = "floor"

_SEGMENT = re.compile(
    r"(raw|1m|1h)-([012])\.(-?\d{1,20})\.(-?\d{1,20})\.(\d{1,20})\.(\d{1,20})\.(\d{1,20})\.seg"
)
_MARK = re.compile(r"(sealed|floor)\.(-?\d{1,20})")


class SegmentName(NamedTuple):
    """What the name of a segment file says; the fields are those of the module's example."""

    kind: str
    level: int
    start_ns: int
    end_ns: int
    first_seq: int
    last_seq: int
    serial: int

    @property
    def text(self) -> str:
        """The file name."""
        kind, *numbers = self
        return f"{kind}-{'.'.join(map(str, numbers))}.seg"

    @property
    def is_far(self) -> bool:
        """Whether it spans more than a day: samples from a future that is not near."""
        return self.end_ns - self.start_ns > DAY_NS

    def overlaps(self, start_ns: int, end_ns: int) -> bool:
        """Whether its span shares an instant with [start_ns, end_ns)."""
        return self.start_ns < end_ns and start_ns < self.end_ns

    def within(self, start_ns: int, end_ns: int) -> bool:
        """Whether all of its span lies in [start_ns, end_ns)."""
        return start_ns <= self.start_ns and self.end_ns <= end_ns

    def windows(self) -> Iterable[int]:
        """Starts of the 2 h windows of its span."""
        return range(aligned(self.start_ns, WINDOW_NS), self.end_ns, WINDOW_NS)

    def windows_in(self, start_ns: int, end_ns: int) -> Iterable[int]:
        """Starts of those of its windows that overlap [start_ns, end_ns)."""
        first_ns = aligned(max(self.start_ns, start_ns), WINDOW_NS)
        return range(first_ns, min(self.end_ns, end_ns), WINDOW_NS)


def parse(text: str) -> SegmentName | None:
    """What the file name *text* says, or None when it is not the name of a segment."""
    match = _SEGMENT.fullmatch(text)
    if match is None:
        return None
    kind, *numbers = match.groups()
    name = SegmentName(kind, *map(int, numbers))
    return name if name.start_ns < name.end_ns and name.first_seq <= name.last_seq else None


def parse_mark(text: str) -> tuple[str, int] | None:
    """(SEALED or FLOOR, number) of the file name *text*, or None when it is no mark."""
    match = _MARK.fullmatch(text)
    return (match[1], int(match[2])) if match else None


def aligned(at_ns: int, width_ns: int) -> int:
    """The start of the *width_ns* that *at_ns* is in, counted from the epoch."""
    return at_ns - at_ns % width_ns
