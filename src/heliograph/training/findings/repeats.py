"""Findings that come again with every step or every moment, of which not each is a record.

    nan_loss at 1200, 1201, … 1209         told: where it began, and that it stays
    nan_loss at 1210 … 1300                not told
    nan_loss at 1301, ten minutes on       told: it is still so

What may go on without end: a loss that is no number, memory and links that correct errors. Of one
speaker and one subject the first TOLD_MAX are told, then one in EVERY_NS; after a rest of EVERY_NS
all begins anew. Nothing is lost by that: the values are rows, and what is left out is counted.
"""

from collections.abc import Iterable

import msgspec

from heliograph.training.findings.event import Event
from heliograph.training.findings.remembered import Remembered

TOLD_MAX = 10
EVERY_NS = 10 * 60 * 1_000_000_000
SUBJECTS_MAX = 20_000


class Repeat(msgspec.Struct, frozen=True, array_like=True):
    """One subject of one speaker: how many were told since it began, the time of the last one that
    was, and of the last one that came."""

    speaker: str
    what: str
    told: int
    told_ns: int
    seen_ns: int


class Repeats(Remembered[Repeat]):
    """What was told of what repeats.

    counts    `repeated` too: findings that were left out
    """

    def __init__(self, held: Iterable[Repeat] = ()) -> None:
        super().__init__({(one.speaker, one.what): one for one in held}, SUBJECTS_MAX)

    def tells(self, speaker: str, event: Event, at_ns: int) -> bool:
        """Whether *event* of *speaker* at *at_ns* is to be told."""
        what = _what(event)
        if what is None:
            return True
        subject = speaker, what
        was = self.get(subject)
        if was is None or at_ns - was.seen_ns >= EVERY_NS:
            now = Repeat(speaker, what, 1, at_ns, at_ns)
        elif was.told < TOLD_MAX or at_ns - was.told_ns >= EVERY_NS:
            seen_ns = max(at_ns, was.seen_ns)
            now = Repeat(speaker, what, was.told + 1, max(at_ns, was.told_ns), seen_ns)
        else:
            now = Repeat(speaker, what, was.told, was.told_ns, max(at_ns, was.seen_ns))
        told = was is None or now.told != was.told or now.told_ns != was.told_ns
        self.set(subject, now)
        if not told:
            self.counts["repeated"] += 1
        return told


def goes_on(event: Event) -> bool:
    """Whether *event* may come again and again by itself."""
    return _what(event) is not None


def _what(event: Event) -> str | None:
    """What *event* says again each time; None for what does not go on by itself."""
    said = event.attributes
    if event.event_type == "nan_loss":
        return f"nan_loss {said.get('field')} {said.get('rank', '')}"
    if said.get("corrected") is True:
        return f"{event.event_type} {said.get('pci') or said.get('device')} {said.get('block', '')}"
    return None
