"""Lines that wait for their end: joined in memory, kept in state together with the applier's cursor.

What is in state is always as of that cursor, so that a replay joins each piece to what was there
before it, and a line comes out the same however often its pieces are read.

A row's text is what printed the line, as a JSON array of the six names of a `Source`, a newline and
the beginning; its key is `sha256` and their hash, for a key that is long is kept in part only. Rows
of before have the names in the key, and are written anew with the first change.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from heliograph.core.clock import Clock
from heliograph.receive.lines import Line, PartialLines, Source, source
from heliograph.store.state import partials
from heliograph.store.state.partials import Partial

# A beginning of a line to which nothing was added for this long will get no end.
SILENT_S_MAX = 3600.0
# A shipper that got no answer sends again within this time.
AGAIN_S_MAX = 120.0
# Between the parts of a key; no name contains it.
SEPARATOR = "\x1f"
_HASHED = "sha256"
# Of a name in a row, at most: a row has an end. Those of Kubernetes have 253 at most.
NAME_CHARS_MAX = 1000


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
        # First, so that there never are too many, and the table lets none go.
        for start in range(0, len(self.ended), size):
            partials.delete(tx, self.ended[start : start + size])
        for start in range(0, len(self.begun), size):
            partials.put(tx, self.begun[start : start + size])


class Lost(NamedTuple):
    """Lines of which something was lost: *cut* were longer than a line may be, of *evicted* the
    beginning was given up for room."""

    cut: int
    evicted: int


class Unfinished:
    """The joining of lines, and what of it is not in state yet. For the applier's thread.

    touched   pieces of lines seen since `settle`: at most so many rows are to be written
    """

    def __init__(self, stored: Iterable[Partial], clock: Clock) -> None:
        self._clock = clock
        rows = [(row, _line_of(row)) for row in stored]
        self._joining = PartialLines((line for _, line in rows), limit=partials.PARTIALS_MAX)
        self._stored = {
            source(line): line for row, line in rows if row[:3] == _key(source(line))
        }
        self._of_before = [row[:3] for row, line in rows if row[:3] != _key(source(line))]
        self._lost = Lost(0, 0)
        # By the monotonic clock, so that no jump of the wall clock gives up what is awaited, and
        # by arrival, so that lines of last week may be imported.
        self._since_s = {source(line): clock.monotonic_s() for _, line in rows}
        self._joined: tuple[int, list[Whole]] = (0, [])
        self._touched_s = clock.monotonic_s()
        self.touched = 0

    def idle(self, seq: int, at_ns: Iterable[int] | None = None) -> bool:
        """Whether the frame *seq*, of lines of the times *at_ns* (any, where that is not known), finds
        no beginning that waits, none that came to its end lately, and was not asked for before."""
        if self._clock.monotonic_s() - self._touched_s > AGAIN_S_MAX:
            self._joining.ended.forget()
        waits = len(self._joining) or self._joining.ended.may_come_again(at_ns)
        return not waits and self._joined[0] != seq

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
            if not alone:
                self.touched += 1
                self._touched_s = self._clock.monotonic_s()
            found.extend(Whole(one, place if alone else None) for one in joined)
        return found

    def give_up(self) -> int:
        """Forget the beginnings that got nothing for SILENT_S_MAX; how many."""
        silent_s = self._clock.monotonic_s() - SILENT_S_MAX
        old = [name for name, since_s in self._since_s.items() if since_s < silent_s]
        return len(self._joining.give_up(old)) if old else 0

    def lost(self) -> Lost:
        """What was lost since this was asked last."""
        now, before = Lost(self._joining.cut, self._joining.evicted), self._lost
        self._lost = now
        return Lost(now.cut - before.cut, now.evicted - before.evicted)

    def changes(self) -> Changes:
        """What state does not know yet."""
        now = self._now()
        begun = [
            _partial_of(line) for name, line in now.items() if line != self._stored.get(name)
        ]
        ended = [_key(name) for name in self._stored if name not in now]
        return Changes(begun, [*self._of_before, *ended])

    def settle(self) -> None:
        """State knows everything now."""
        now, now_s = self._now(), self._clock.monotonic_s()
        self._since_s = {
            name: self._since_s[name] if line == self._stored.get(name) else now_s
            for name, line in now.items()
        }
        self._stored, self._of_before, self.touched = now, [], 0

    def _now(self) -> dict[Source, Line]:
        if not self.touched and len(self._joining) == len(self._stored):
            return self._stored
        return {source(line): line for line in self._joining.unfinished()}


def _key(name: Source) -> tuple[str, str, str]:
    # In ASCII, whatever the names are.
    hashed = hashlib.sha256(json.dumps(name).encode()).hexdigest()
    return f"{_HASHED}{SEPARATOR}{hashed}", "", ""


def _partial_of(line: Line) -> Partial:
    name = source(line)
    told = json.dumps([one[:NAME_CHARS_MAX] for one in name])
    return Partial(*_key(name), f"{told}\n{line.text}", line.at_ns)


def _line_of(row: Partial) -> Line:
    who = row.pod_uid.split(SEPARATOR)
    if who[0] == _HASHED and len(who) == 2:
        told, _, text = row.text.partition("\n")
        pod_uid, namespace, pod_name, node, container, stream = json.loads(told)
        return Line(
            *(row.at_ns, pod_uid, namespace, pod_name, node, container, stream, text),
            partial=True,
        )
    pod_uid, namespace, pod_name, node = who if len(who) == 4 else (row.pod_uid, "", "", "")
    return Line(
        row.at_ns,
        pod_uid,
        namespace,
        pod_name,
        node,
        row.container,
        row.stream,
        row.text,
        partial=True,
    )
