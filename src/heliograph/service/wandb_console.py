"""Console lines of a wandb run: which are new, which are written over one that came, and which are
known.

Clients number the lines of both streams as one file, in an order that is each version's own: what
is printed to two streams within moments has other numbers online, by `wandb sync`, and in the file
that `heliograph import` reads; some count blank lines and some do not. So a line is known by its
place among the lines of its own stream that are not blank, which is the same in all of them:

    number   client's line     place            by `sync` of 0.18
    0        oh                stdout 0          0
    1        ERROR alas        stderr 0          2
    2                          -                 -
    3        well              stdout 1          1

What is remembered of a stream, in the run's document under `console`:

    kept    lines that came, whoever sent them; `texts` are sums of the last of these
    count   lines that the client which sends now sent; `at` are the numbers of the last of these

and of its numbers `end`, one past the highest, and `blank`, the last of lines without a text. A
run that is resumed goes on behind what it printed before, but its client begins a file of its own:
`sessions` are when each began, and how many lines of each stream stood there already; `last_ns` is
when the last line of all was printed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from heliograph.receive.wandb_stream import ConsoleLine, Read

# Lines from the end of a stream that a client may still write over: bars of progress.
WRITTEN_OVER_MAX = 32
STREAMS = ("stdout", "stderr")
# Of a run that was resumed more often the first are forgotten: their files are taken for known.
SESSIONS_MAX = 50
# A client notes a line a moment before it sends it.
_MOMENT_NS = 10**9
_KEY_CHARS_MAX = 2048
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Place(NamedTuple):
    """A line that says something not known yet.

    place   among the lines of its stream, from 0
    new     False where it is written over one that came
    """

    line: ConsoleLine
    place: int
    new: bool

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What makes it one line, whichever way it came."""
        return "console", self.line.stream, self.place, _key(self.line.text)


@dataclass
class _Stream:
    kept: int = 0
    texts: list[int] = field(default_factory=list)
    count: int = 0
    at: list[int] = field(default_factory=list)


class Console:
    """What is remembered of the lines of one run, from its document to its document."""

    def __init__(self, said: Mapping[str, Any], console_lines: int) -> None:
        told = said.get("console") or {}
        # A run of before this was remembered has `console_lines` of whichever stream.
        known = 0 if told else console_lines
        self._end: int = told.get("end", known)
        self._blank: list[int] = told.get("blank", [])
        self._sessions: list[list[int]] = told.get("sessions", [])
        self._last_ns: int = told.get("last_ns", 0)
        self._resumed = bool(said.get("resumed"))
        self._streams = {name: _Stream(known, count=known) for name in STREAMS}
        for name in STREAMS if told else ():
            kept, texts, count, at = told[name]
            # The document is others' as well, and stays as it is.
            self._streams[name] = _Stream(kept, [*texts], count, [*at])

    @property
    def kept(self) -> int:
        """Lines that came, of both streams, blank ones not counted."""
        return sum(stream.kept for stream in self._streams.values())

    def document(self) -> dict[str, Any]:
        """What to remember."""
        streams = {
            name: [of.kept, of.texts, of.count, of.at] for name, of in self._streams.items()
        }
        told = {"sessions": self._sessions, "last_ns": self._last_ns}
        return {"end": self._end, "blank": self._blank, **told, **streams}

    def placed(self, lines: Sequence[ConsoleLine], read: Read | None = None) -> Iterator[Place]:
        """Those of *lines*, of one body in their order, that are new or were written over. Where they
        are *read* from a file, that says where they stand; else their numbers do."""
        printed = [line for line in lines if line.text.strip()]
        places = self._told(printed, read) if read else self._counted(lines, printed)
        for line, place in places:
            stream = self._streams[line.stream]
            text = _sum(line)
            back = stream.kept - place
            if back <= 0:
                # Where lines are missing there is nothing to compare with.
                stream.texts = [*(stream.texts if back == 0 else ()), text][-WRITTEN_OVER_MAX:]
                stream.kept = place + 1
                yield Place(line, place, new=True)
            elif back <= len(stream.texts) and stream.texts[-back] != text:
                stream.texts[-back] = text
                yield Place(line, place, new=False)
        self._last_ns = max(self._last_ns, *(line.at_ns or 0 for line in printed), 0)

    def _told(
        self, printed: Sequence[ConsoleLine], read: Read
    ) -> Iterator[tuple[ConsoleLine, int]]:
        if read.began_ns > self._last_ns:
            self._begin_session(read.began_ns)
        began = [one for one in self._sessions if one[0] <= read.began_ns + _MOMENT_NS]
        _, stdout, stderr = began[-1] if began else (0, 0, 0)
        counts = {"stdout": stdout + read.stdout, "stderr": stderr + read.stderr}
        for line in printed:
            place = counts[line.stream]
            counts[line.stream] = place + 1
            yield line, place

    def _begin_session(self, at_ns: int) -> None:
        before = [self._streams[name].kept for name in STREAMS]
        if any(before):
            self._sessions = sorted([*self._sessions, [at_ns, *before]])[-SESSIONS_MAX:]

    def _counted(
        self, lines: Sequence[ConsoleLine], printed: Sequence[ConsoleLine]
    ) -> Iterator[tuple[ConsoleLine, int]]:
        if not lines:
            return
        if self._resumed and lines[0].number >= self._end and lines[0].at_ns is not None:
            self._begin_session(lines[0].at_ns)
        self._continue(lines)
        end, blank = self._end, self._blank
        self._end = max(end, lines[-1].number + 1)
        filled = {line.number for line in printed}
        blanks = [*blank, *(line.number for line in lines if line.number >= end)]
        self._blank = [number for number in blanks if number not in filled][-WRITTEN_OVER_MAX:]
        for line in printed:
            stream = self._streams[line.stream]
            at = stream.at
            if line.number in at:
                yield line, stream.count - len(at) + at.index(line.number)
            elif line.number >= end or line.number in blank:
                stream.at = [*at, line.number][-WRITTEN_OVER_MAX:]
                stream.count += 1
                yield line, stream.count - 1

    def _continue(self, lines: Sequence[ConsoleLine]) -> None:
        """Be where *lines* begin."""
        first = lines[0].number
        again = first == 0 and not self._over(lines)
        if again or first > self._end:
            # A client that begins from the start, or goes on behind what we know that it sent.
            self._end, self._blank = first, []
            for stream in self._streams.values():
                stream.count, stream.at = 0 if again else stream.kept, []

    def _over(self, lines: Sequence[ConsoleLine]) -> bool:
        """Whether *lines* are the first ones of the client that sends now, written over by it."""
        if lines[-1].number + 1 >= self._end:
            return False
        changed = False
        for line in lines:
            stream = self._streams[line.stream]
            if line.text.strip():
                if line.number not in stream.at:
                    return False
                place = stream.count - len(stream.at) + stream.at.index(line.number)
                back = stream.kept - place
                changed |= 0 < back <= len(stream.texts) and stream.texts[-back] != _sum(line)
        return changed


def _sum(line: ConsoleLine) -> int:
    return crc32(_key(line.text).encode("utf-8", "replace"))


def _key(text: str) -> str:
    """The part of *text* in which all clients agree."""
    return _COLOUR.sub("", text).rstrip()[:_KEY_CHARS_MAX]
