"""Lines that wait for their end: joined in memory, kept in state together with the applier's cursor.

What is in state is always as of that cursor, so that a replay joins each piece to what was there
before it, and a line comes out the same however often its pieces are read.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from heliograph.core.clock import Clock
from heliograph.receive.lines import Line, PartialLines, Source, source
from heliograph.store.state import partials
from heliograph.store.state.partials import Partial

# A beginning of a line to which nothing was added for this long will get no end.
SILENT_S_MAX = 3600.0
# Between the parts of a line's origin in the table of unfinished lines; no name contains it.
WHO_SEPARATOR = "\x1f"


class Whole(NamedTuple):
    """A line that came to its end; *place* is where it stood in its frame when it came in one
    piece, so that what ingest has parsed still holds."""

    line: Line
    place: int | None


class Changes(NamedTuple):
    """What the table must learn: beginnings to keep, and keys of those that came to their end."""

    begun: Sequence[Partial]
    ended: Sequence[tuple[str, str, str]]

    def write(self, tx: Connection) -> None:
        """Make the table so."""
        size = partials.BATCH_MAX
        for start in range(0, len(self.begun), size):
            partials.put(tx, self.begun[start : start + size])
        for start in range(0, len(self.ended), size):
            partials.delete(tx, self.ended[start : start + size])


class Unfinished:
    """The joining of lines, and what of it is not in state yet. For the applier's thread.

    touched   pieces of lines seen since `settle`: at most so many rows are to be written
    """

    def __init__(self, stored: Iterable[Partial], clock: Clock) -> None:
        self._clock = clock
        self._joining = PartialLines(map(_line_of, stored), limit=partials.PARTIALS_MAX)
        self._stored = {source(line): line for line in self._joining.unfinished()}
        # By the monotonic clock, so that no jump of the wall clock gives up what is awaited, and
        # by arrival, so that lines of last week may be imported.
        self._since_s = dict.fromkeys(self._stored, clock.monotonic_s())
        self._joined: tuple[int, list[Whole]] = (0, [])
        self.touched = 0

    def idle(self, seq: int) -> bool:
        """Whether the frame *seq* finds no beginning that waits, and was not asked for before."""
        return not len(self._joining) and self._joined[0] != seq

    def whole(self, seq: int, decoded: Callable[[], Sequence[Line]]) -> list[Whole]:
        """The whole lines that the frame *seq*, of the lines *decoded*, comes to; asked again for
        the same frame, the same."""
        if self._joined[0] != seq:
            self._joined = (seq, self._join(decoded()))
        return self._joined[1]

    def _join(self, lines: Sequence[Line]) -> list[Whole]:
        found: list[Whole] = []
        for place, line in enumerate(lines):
            joined = self._joining.join(line)
            alone = len(joined) == 1 and joined[0] is line
            self.touched += not alone
            found.extend(Whole(one, place if alone else None) for one in joined)
        return found

    def give_up(self) -> int:
        """Forget the beginnings that got nothing for SILENT_S_MAX; how many."""
        silent_s = self._clock.monotonic_s() - SILENT_S_MAX
        old = [name for name, since_s in self._since_s.items() if since_s < silent_s]
        return len(self._joining.give_up(old)) if old else 0

    def changes(self) -> Changes:
        """What state does not know yet."""
        now = self._now()
        begun = [
            _partial_of(line) for name, line in now.items() if line != self._stored.get(name)
        ]
        ended = [_key(name) for name in self._stored if name not in now]
        return Changes(begun, ended)

    def settle(self) -> None:
        """State knows everything now."""
        now, now_s = self._now(), self._clock.monotonic_s()
        self._since_s = {
            name: self._since_s[name] if line == self._stored.get(name) else now_s
            for name, line in now.items()
        }
        self._stored, self.touched = now, 0

    def _now(self) -> dict[Source, Line]:
        if not self.touched and len(self._joining) == len(self._stored):
            return self._stored
        return {source(line): line for line in self._joining.unfinished()}


def _key(name: Source) -> tuple[str, str, str]:
    *who, container, stream = name
    return WHO_SEPARATOR.join(who), container, stream


def _partial_of(line: Line) -> Partial:
    return Partial(*_key(source(line)), line.text, line.at_ns)


def _line_of(partial: Partial) -> Line:
    who = partial.pod_uid.split(WHO_SEPARATOR)
    pod_uid, namespace, pod_name, node = who if len(who) == 4 else (partial.pod_uid, "", "", "")
    return Line(
        partial.at_ns,
        pod_uid,
        namespace,
        pod_name,
        node,
        partial.container,
        partial.stream,
        partial.text,
        partial=True,
    )
