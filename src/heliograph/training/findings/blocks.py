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
may differ), so that ranks that share a stream stay apart. Lines of others in between belong to none.

An exception that came of another, which was printed before it, is a finding of its own: it has the
other's text before its own, and says what it follows. So is each member of a group of exceptions,
which follows that. So each is told once, by its own last line, wherever a request cuts them apart.

A block ends with the first line that cannot be its own, or when the frame (request) ends in which
its exception was named, or with a frame that arrives SILENT_NS_MAX after its last line. For as long a
traceback that has ended is known, for what may follow. All of this depends on what was received in
which request, which the log keeps, and never on when it is read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from heliograph.training import clean
from heliograph.training.findings import pieces
from heliograph.training.findings.block import Block, Came, Key, Source, grown
from heliograph.training.findings.pieces import State

OPEN_MAX = 1000
# Tracebacks that were told, and which another may follow.
ENDED_MAX = 250
SILENT_NS_MAX = 60 * 1_000_000_000
START = "Traceback (most recent call last)"
# What stands in each sentence that chains one exception to another, and in each rule of a group.
CHAINS = (b"above exception", b"+----------------")

# What may stand before START: of a group, of a group whose own lines did not come, of no group.
_GROUP = "  + Exception Group "
_BEFORE = (_GROUP, "Exception Group ", "")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d(?:[.,]\d+)?"
)
PREFIX_CHARS_MAX = 200


class Taken(NamedTuple):
    """What became of a line: what took it (`traceback`, `report`, "" where nothing did), and the
    blocks it finished."""

    into: str
    finished: tuple[Block, ...]


NOTHING = Taken("", ())


class _Shelf:
    """Blocks by source and prefix, oldest first."""

    def __init__(self) -> None:
        self.blocks: dict[Key, Block] = {}
        self.by_source: dict[Source, list[Key]] = {}

    def put(self, block: Block) -> None:
        """Keep *block*, in the place of one of the same source and prefix."""
        key = block.source, block.prefix
        if key not in self.blocks:
            self.by_source.setdefault(block.source, []).append(key)
        self.blocks[key] = block

    def take(self, key: Key) -> Block:
        """The block of *key*, which is kept no longer."""
        keys = self.by_source[key[0]]
        keys.remove(key)
        if not keys:
            del self.by_source[key[0]]
        return self.blocks.pop(key)

    def of(self, source: Source) -> Sequence[Key]:
        """The keys of *source*, as of now."""
        return tuple(self.by_source.get(source, ()))


class Blocks:
    """Blocks that wait for their end, at most OPEN_MAX, and tracebacks that have ended, at most
    ENDED_MAX.

    counts   `evicted`: blocks that ended early because there were too many, or that nothing can be
             chained to any more
    """

    def __init__(self, held: Iterable[Block] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._open, self._ended = _Shelf(), _Shelf()
        self._before: tuple[int, tuple[Block, ...]] = (-1, ())
        self._load(held)

    def __len__(self) -> int:
        return len(self._open.blocks) + len(self._ended.blocks)

    def held(self) -> tuple[Block, ...]:
        """What is not finished, and what may be followed, each oldest first."""
        return (*self._open.blocks.values(), *self._ended.blocks.values())

    def idle(self, texts: bytes) -> bool:
        """Whether none of the lines *texts* can belong to a block, or begin one."""
        return (
            not self._open.blocks
            and START.encode() not in texts
            and not (self._ended.blocks and any(word in texts for word in CHAINS))
        )

    def begin(self, seq: int) -> None:
        """The lines of the frame *seq* follow; of the same again, from where it began before."""
        if self._before[0] == seq:
            self._load(self._before[1])
        else:
            self._before = (seq, self.held())

    def wants(self, source: Source, text: str) -> bool:
        """Whether a line may belong to a block or begin one; mostly not."""
        return (
            source in self._open.by_source or source in self._ended.by_source or START in text
        )

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
        if not len(self):
            return []
        for key, block in tuple(self._ended.blocks.items()):
            if arrival_ns - block.arrival_ns > SILENT_NS_MAX:
                self._ended.take(key)
        finished = []
        for key, block in tuple(self._open.blocks.items()):
            silent = arrival_ns - block.arrival_ns > SILENT_NS_MAX
            if block.state != State.NAMED and not silent:
                continue
            self._open.take(key)
            if not block.told:
                finished.append(block)
            if block.state == State.NAMED and not silent:
                self._end(block)
        return finished

    def _end(self, block: Block) -> None:
        """*block* was told; another may follow, unless it is a report."""
        if not block.exception or block.exception.endswith(pieces.FAILED):
            return
        if len(self._ended.blocks) >= ENDED_MAX:
            self.counts["evicted"] += 1
            self._ended.take(next(iter(self._ended.blocks)))
        self._ended.put(msgspec.structs.replace(block, told=True))

    def _line(self, source: Source, text: str, pod_uid: str, came: Came) -> Taken:
        finished: list[Block] = []
        for key in self._open.of(source):
            block = self._open.blocks[key]
            rest = _without(block.prefix, text)
            if rest is None and _is_headed(block) and pieces.is_frame(text):
                # What a logger put before the first line stands before no other.
                rest, block = text, self._renamed(key, block)
            if rest is None:
                continue
            step = pieces.step(block.state, rest, block.depth)
            if step is None:
                if pieces.ends(block.state, rest, block.depth):
                    self._open.take((block.source, block.prefix))
                    if not block.told:
                        finished.append(block)
                continue
            if step.turns and not block.told:
                finished.append(block)
            self._open.put(grown(block, step, rest, came))
            report = step.state in {State.REPORT, State.CAUSE} or block.state == State.CAUSE
            return Taken("report" if report else "traceback", tuple(finished))
        if self._follows(source, text, came):
            return Taken("traceback", tuple(finished))
        at = text.find(START)
        if not 0 <= at <= PREFIX_CHARS_MAX:
            return Taken("", tuple(finished))
        before = next(words for words in _BEFORE if text.endswith(words, 0, at))
        block = Block(
            source,
            _TIME.sub("\0", text[: at - len(before)]),
            pod_uid,
            came.at_ns,
            came.said,
            came.arrival_ns,
            (before + START + ":",),
            State.FRAMES,
            count=1,
            depth=int(before is _GROUP),
        )
        finished.extend(self._opened(block))
        return Taken("traceback", tuple(finished))

    def _follows(self, source: Source, text: str, came: Came) -> bool:
        """Whether *text* goes on with a traceback that has ended; what cannot makes an end of it."""
        for key in self._ended.of(source):
            block = self._ended.blocks[key]
            rest = _without(block.prefix, text)
            if rest is None:
                continue
            step = pieces.step(State.NAMED, rest, block.depth)
            silent = came.arrival_ns - block.arrival_ns > SILENT_NS_MAX
            if step is None or silent:
                if silent or pieces.ends(State.NAMED, rest, block.depth):
                    self._ended.take(key)
                continue
            now = grown(block, step, rest, came)
            if step.turns:
                self._ended.take(key)
                self._open.put(now)
            else:
                self._ended.put(now)
            return True
        return False

    def _opened(self, block: Block) -> list[Block]:
        """Open *block*; the one that it takes the place of, or that had to go for it."""
        key = block.source, block.prefix
        gone = []
        if key in self._open.blocks:
            gone.append(self._open.take(key))
        elif len(self._open.blocks) >= OPEN_MAX:
            self.counts["evicted"] += 1
            gone.append(self._open.take(next(iter(self._open.blocks))))
        self._open.put(block)
        return [one for one in gone if not one.told]

    def _renamed(self, key: Key, block: Block) -> Block:
        self._open.take(key)
        renamed = msgspec.structs.replace(block, prefix="")
        self._open.put(renamed)
        return renamed

    def _load(self, held: Iterable[Block]) -> None:
        self._open, self._ended = _Shelf(), _Shelf()
        for block in held:
            ended = block.told and block.state == State.NAMED
            (self._ended if ended else self._open).put(block)


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
