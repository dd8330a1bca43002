"""Many lines, one finding: tracebacks, and torchrun's report of the ranks that failed.

    Traceback (most recent call last):                      traceback {exception, message}
      File "train.py", line 8, in main
        raise ValueError("no data")
    ValueError: no data

    torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
    train.py FAILED                                          process_failed {rank, exitcode, …}
    Root Cause (first observed failure):
    [0]:
      rank      : 3 (local_rank: 3)
      exitcode  : -11 (pid: 222)

Lines of one block come from one source and begin alike (`[rank3]: `, `(WorkerDict pid=7) `; times
may differ), so that ranks that share a stream stay apart. What another exception handled or caused
is one block with it, where it follows at once. Lines of others in between belong to none.

A block ends with the first line that cannot be its own, or when the frame (request) ends in which
its exception was named, or with a frame that arrives SILENT_NS_MAX after its last line. All of this
depends on what was received in which request, which the log keeps, and never on when it is read.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from heliograph.training import clean
from heliograph.training.findings import pieces
from heliograph.training.findings.pieces import State

OPEN_MAX = 1000
LINES_MAX = 5000
# More of a block than this is not kept; its last lines, which name the exception, are.
CHARS_MAX = 16 * 1024
SILENT_NS_MAX = 60 * 1_000_000_000
START = "Traceback (most recent call last)"

_START = re.compile(r"(?:\| )?Traceback \(most recent call last\)")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d(?:[.,]\d+)?"
)
PREFIX_CHARS_MAX = 200

# As `receive.lines` names what prints: pod, namespace, name, node, container, stream.
Source = tuple[str, str, str, str, str, str]
Key = tuple[Source, str]


class Block(msgspec.Struct, frozen=True, array_like=True):
    """One that is not finished. *at_ns* and *said* are of the line that names it, as it came: its
    first, then that of its exception, which is the same finding when it comes alone. *kept* are its
    lines so far, without what they all begin with; *finding* an event that its exception's line
    tells itself."""

    source: Source
    prefix: str
    pod_uid: str
    at_ns: int
    said: str
    arrival_ns: int
    kept: tuple[str, ...]
    state: State
    chars: int = 0
    count: int = 0
    dropped: int = 0
    exception: str = ""
    message: str = ""
    finding: str = ""


class Came(NamedTuple):
    """A line as it came, its time, when its frame arrived, and the event it tells by itself."""

    said: str
    at_ns: int
    arrival_ns: int
    finding: str


class Taken(NamedTuple):
    """What became of a line: what took it (`traceback`, `report`, "" where nothing did), and the
    blocks it finished."""

    into: str
    finished: tuple[Block, ...]


NOTHING = Taken("", ())


class Blocks:
    """Blocks that wait for their end, at most OPEN_MAX.

    counts   `evicted`: blocks that ended early because there were too many
    """

    def __init__(self, held: Iterable[Block] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._open: dict[Key, Block] = {}
        self._by_source: dict[Source, list[Key]] = {}
        self._before: tuple[int, tuple[Block, ...]] = (-1, ())
        self._load(held)

    def __len__(self) -> int:
        return len(self._open)

    def held(self) -> tuple[Block, ...]:
        """What is not finished, oldest first."""
        return tuple(self._open.values())

    def begin(self, seq: int) -> None:
        """The lines of the frame *seq* follow; of the same again, from where it began before."""
        if self._before[0] == seq:
            self._load(self._before[1])
        else:
            self._before = (seq, self.held())

    def wants(self, source: Source, text: str) -> bool:
        """Whether a line may belong to a block or begin one; mostly not."""
        return source in self._by_source or START in text

    def line(
        self,
        source: Source,
        text: str,
        said: str,
        *,
        pod_uid: str,
        at_ns: int,
        arrival_ns: int,
        finding: str,
    ) -> Taken:
        """Take *text*, a cleaned line of one or more lines, *said* as it came; *finding* is the
        event it tells."""
        came = Came(said, at_ns, arrival_ns, finding)
        into = ""
        finished: list[Block] = []
        for line in text.split("\n") if "\n" in text else (text,):
            taken = self._line(source, line, pod_uid, came)
            into = taken.into or into
            finished.extend(taken.finished)
        return Taken(into, tuple(finished))

    def end(self, arrival_ns: int) -> list[Block]:
        """The frame is over: the blocks that are complete, or have been silent for too long."""
        if not self._open:
            return []
        over = [
            (key, block)
            for key, block in self._open.items()
            if block.state == State.NAMED or arrival_ns - block.arrival_ns > SILENT_NS_MAX
        ]
        for key, _ in over:
            self._close(key)
        return [block for _, block in over]

    def _line(self, source: Source, text: str, pod_uid: str, came: Came) -> Taken:
        finished: list[Block] = []
        for key in tuple(self._by_source.get(source, ())):
            block = self._open[key]
            rest = _without(block.prefix, text)
            if rest is None and _is_headed(block) and pieces.is_frame(text):
                # What a logger put before the first line stands before no other.
                rest, block = text, self._renamed(key, block)
            if rest is None:
                continue
            step = pieces.step(block.state, rest)
            if step is None:
                if pieces.ends(block.state, rest):
                    self._close((block.source, block.prefix))
                    finished.append(block)
                continue
            self._grow(block, step, rest, came)
            report = step.state in {State.REPORT, State.CAUSE} or block.state == State.CAUSE
            return Taken("report" if report else "traceback", tuple(finished))
        start = _START.search(text)
        if start is None or start.start() > PREFIX_CHARS_MAX:
            return Taken("", tuple(finished))
        block = Block(
            source,
            _TIME.sub("\0", text[: start.start()]),
            pod_uid,
            came.at_ns,
            came.said,
            came.arrival_ns,
            (START + ":",),
            State.FRAMES,
            count=1,
        )
        finished.extend(self._opened(block))
        return Taken("traceback", tuple(finished))

    def _grow(self, block: Block, step: pieces.Step, rest: str, came: Came) -> None:
        key = block.source, block.prefix
        rest = rest.rstrip()
        keep = block.chars + len(rest) <= CHARS_MAX or step.exception is not None
        named = step.exception is not None
        grown = msgspec.structs.replace(
            block,
            at_ns=came.at_ns if named else block.at_ns,
            said=came.said if named else block.said,
            arrival_ns=came.arrival_ns,
            kept=(*block.kept, rest[:CHARS_MAX]) if keep else block.kept,
            state=step.state if block.count < LINES_MAX else State.NAMED,
            chars=block.chars + (len(rest) + 1 if keep else 0),
            count=block.count + 1,
            dropped=block.dropped + (not keep),
            exception=step.exception if step.exception is not None else block.exception,
            message=step.message if named else block.message,
            finding=came.finding if named and came.finding != "traceback" else block.finding,
        )
        self._open[key] = grown

    def _opened(self, block: Block) -> list[Block]:
        """Open *block*; the one that it takes the place of, or that had to go for it."""
        key = block.source, block.prefix
        gone = []
        if key in self._open:
            gone.append(self._close(key))
        elif len(self._open) >= OPEN_MAX:
            self.counts["evicted"] += 1
            gone.append(self._close(next(iter(self._open))))
        self._put(block)
        return gone

    def _renamed(self, key: Key, block: Block) -> Block:
        self._close(key)
        renamed = msgspec.structs.replace(block, prefix="")
        self._put(renamed)
        return renamed

    def _put(self, block: Block) -> None:
        key = block.source, block.prefix
        if key not in self._open:
            self._by_source.setdefault(block.source, []).append(key)
        self._open[key] = block

    def _close(self, key: Key) -> Block:
        keys = self._by_source[key[0]]
        keys.remove(key)
        if not keys:
            del self._by_source[key[0]]
        return self._open.pop(key)

    def _load(self, held: Iterable[Block]) -> None:
        self._open, self._by_source = {}, {}
        for block in held:
            self._put(block)


def _is_headed(block: Block) -> bool:
    return block.count == 1 and not clean.speaker(block.prefix).label


def _without(prefix: str, text: str) -> str | None:
    """*text* without *prefix*, in which a zero byte stands for a time; None when it has another."""
    if "\0" not in prefix:
        return text[len(prefix) :] if text.startswith(prefix) else None
    at = 0
    for place, part in enumerate(prefix.split("\0")):
        if place:
            time = _TIME.match(text, at)
            if time is None:
                return None
            at = time.end()
        if not text.startswith(part, at):
            return None
        at += len(part)
    return text[at:]
