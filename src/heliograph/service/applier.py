"""The applier: reads the log in order and makes it true in the stores, each frame once.

For one stretch of frames, in this order:
    samples  → the head of the sample store         (memory; sealed later, which the store notes)
    lines    → joined, parsed: rows and records
    rows     → samples, which go back into the log  (idempotent: equal samples are one)
    records  → the record store                     (idempotent by id)
    state: rows; and in the last transaction of these, or one more: unfinished lines, hits of
           patterns, rules, cursor `effects`
A crash between any two of these replays the stretch, and every write is idempotent, so nothing is
lost and nothing happens twice. A store that is unavailable is waited for. A frame that fails twice
is set aside in a file and counted.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection

from heliograph.alert.model import Post
from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Unavailable
from heliograph.core.record import Record
from heliograph.core.samples import SampleBatch, concatenate
from heliograph.core.training import TrainingRow
from heliograph.service.derived import Derived
from heliograph.service.effects import KeepLines
from heliograph.service.findings import Findings
from heliograph.service.ingest import STOPPING
from heliograph.service.keeping import Keeping
from heliograph.service.line_reading import LineReading, Owned
from heliograph.service.log_patterns import PatternBook
from heliograph.service.meters import Meters
from heliograph.service.rule_feed import RuleFeed
from heliograph.service.supervisor import Supervisor
from heliograph.service.unfinished import Unfinished
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.frame import Kind
from heliograph.store.log.log import Log
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state import cursors, findings, partials
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.training import steps
from heliograph.wire import records as wire_records

log = logging.getLogger(__name__)

T = TypeVar("T")

# Of a stretch: the more comes together, the cheaper it is to store.
READ_BYTES_MAX = 12 * 1024 * 1024
IDLE_WAIT_S = 0.25
RETRY_S = 0.5
# How often state is told of frames that left nothing in it, which is most of them: samples.
TELL_EVERY_S = 1.0
# Pieces of lines after which a stretch ends: each is a row of its last transaction (20 ms).
PIECES_PER_STRETCH = 200

EFFECTS = "effects"
NO_SAMPLES = concatenate([])


class SampleSink(Protocol):
    """Where sample frames go: the head of the embedded store, or nowhere when all is forwarded."""

    @property
    def position(self) -> int:
        """Frames up to here are kept durably, and need not come again."""
        ...

    def append(self, batch: SampleBatch, seq: int) -> None:
        """Take *batch*, which stands at *seq* in the log."""
        ...

    def settle(self, *, closing: bool = False) -> None:
        """Make durable what is due, all of it when *closing*; called between stretches."""
        ...


class RuleApplying(NamedTuple):
    """Rules over what streams in: their evaluation, and the engine that takes what they say; *take*
    returns when it is kept."""

    feed: RuleFeed
    take: Callable[[Sequence[Post]], None]


class Stores(NamedTuple):
    """Where the applier writes."""

    log: Log
    state: State
    samples: SampleSink | None
    records: RecordStore


# The records that a stretch of frames comes to, each with the frame that told it, and its arrival.
_Told = list[tuple[Record, int, int]]


class Applier:
    """One thread. *attributed* is told every sample batch, to count whose it is; *owned* says whose
    lines are, *derived* takes what rows give, *patterns* are the site's own for lines. *waits_for*:
    why a store takes nothing now.
    """

    def __init__(
        self,
        stores: Stores,
        supervisor: Supervisor,
        meters: Meters,
        clock: Clock,
        *,
        aside: Path,
        keep_lines: KeepLines,
        attributed: Callable[[SampleBatch], None],
        owned: Owned,
        derived: Derived,
        patterns: PatternBook,
        rules: RuleApplying,
    ) -> None:
        self._stores = stores
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._aside = aside
        self._attributed = attributed
        self._derived = derived
        self._patterns = patterns
        self._rules = rules
        # Of these frames some may have been applied before a crash, but for their cursor.
        self._replayed_seq = stores.log.end
        self._keeping = Keeping(
            stores.state,
            stores.records,
            meters,
            insist=self._insist,
            workload_of=owned.workload_of,
        )
        self.set_aside = 0
        self.waits_for: str | None = None
        held = stores.state.read(cursors.get_all)
        self._effects_seq = self._told_seq = held.get(EFFECTS, 0)
        self._tell_due_s = 0.0
        samples_seq = 2**63 if stores.samples is None else max(0, stores.samples.position)
        self._unfinished = Unfinished(stores.state.read(partials.load_all), clock)
        self._findings = Findings(stores.state.read(findings.load_all))
        self._lines = LineReading(
            owned,
            self._unfinished,
            patterns,
            meters,
            findings=self._findings,
            keep_lines=keep_lines,
            rules=rules.feed,
        )
        self.handover = self._lines.handover
        self.tally = self._lines.tally
        self.position = min(self._effects_seq, samples_seq)
        # The last frame that holds what was made of frames up to `position`.
        self._derived_seq = 0
        self._reader = stores.log.reader(self.position)
        self._moved = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to apply."""
        self._thread = self._supervisor.thread("applier", self._run)

    def wait_for(self, seq: int, timeout_s: float) -> bool:
        """Wait until the frame *seq* is applied, and what was made of it; whether it is."""
        due_s = self._clock.monotonic_s() + timeout_s
        with self._moved:
            if not self._moved.wait_for(lambda: self.position >= seq, timeout_s):
                return False
            # As of now: under load there is always more to come, which nobody asked for.
            made = self._derived_seq
            left_s = due_s - self._clock.monotonic_s()
            return self._moved.wait_for(lambda: self.position >= made, left_s)

    def close(self) -> None:
        """Stop after the stretch in work."""
        self._closing = True
        self._stores.log.nudge()
        if self._thread is not None:
            self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        # Closing while a store is unavailable leaves the rest to the next start.
        with contextlib.suppress(_ClosedError):
            while not self._closing:
                end = self._stores.log.end
                frames = self._insist(lambda: self._reader.read(bytes_max=READ_BYTES_MAX))
                if frames:
                    self._apply_all(frames)
                else:
                    # What damage took leaves no frame to apply, and nothing to wait for.
                    self._move_to(end)
                    self._listen()
                    self._stores.log.wait(
                        end, timeout_s=IDLE_WAIT_S, unless=lambda: self._closing
                    )
                self._tell()
                self._settle(closing=False)
            self._tell(closing=True)
        self._settle(closing=True)

    def _listen(self) -> None:
        """All that has arrived is applied: look whether something is missing."""
        self._rules.feed.refresh()
        self._rules.feed.tick()
        if self._say():
            self._insist(self._advance)

    def _settle(self, *, closing: bool) -> None:
        if self._stores.samples is not None:
            self._stores.samples.settle(closing=closing)

    def _apply_all(self, frames: Sequence[Frame]) -> None:
        started_s = self._clock.monotonic_s()
        self._insist(self._patterns.refresh)
        self._lines.refresh()
        self._rules.feed.refresh()
        told: _Told = []
        for frame in frames:
            self._insist(lambda frame=frame: self._append(frame))  # type: ignore[misc]
            if frame.seq > self._effects_seq:
                self._guarded(frame, told)
            if self._unfinished.touched >= PIECES_PER_STRETCH or self._keeping.full:
                self._persist(told, frame.seq)
                told = []
        self._persist(told, frames[-1].seq)
        self._meters.stage_seconds.observe(self._clock.monotonic_s() - started_s, "apply")

    def _move_to(self, seq: int) -> None:
        with self._moved:
            self.position = max(self.position, seq)
            self._moved.notify_all()

    def _append(self, frame: Frame) -> None:
        """Samples to the head; a frame without any too, for the head knows how far it has come."""
        samples = self._stores.samples
        if samples is None:
            return
        batch = frame.samples or NO_SAMPLES
        new = frame.seq > samples.position
        samples.append(batch, frame.seq)
        self._meters.stored.add(batch.count if new else 0, "samples")

    def _guarded(self, frame: Frame, told: _Told) -> None:
        """Read one frame; what fails twice is set aside, so that it cannot stop the rest."""
        for _ in range(2):
            error = self._supervisor.attempt(lambda: self._read(frame, told), where="apply")
            if error is None:
                return
        self._insist(lambda: self._put_aside(frame))
        self.set_aside += 1
        self._meters.dropped.add(frame.count, frame.kind.name.lower(), "set_aside")
        log.error("frame set aside", extra={"seq": frame.seq, "kind": frame.kind.name})

    def _put_aside(self, frame: Frame) -> None:
        path = self._aside / f"{frame.seq:020d}.{frame.kind.name.lower()}"
        try:
            self._aside.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as kept:
                kept.write(frame.payload)
                kept.flush()
                os.fsync(kept.fileno())
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from error

    def _read(self, frame: Frame, told: _Told) -> None:
        if frame.kind == Kind.SAMPLES:
            batch = frame.samples or NO_SAMPLES
            # The lines that gave these were counted by whose they are.
            if not self._derived.wrote(batch):
                self._attributed(batch)
        elif frame.kind == Kind.LINES:
            found = self._lines.effects_of(frame)
            self._take(frame, found.rows, found.records, told)
        elif frame.kind == Kind.RECORDS:
            records = wire_records.decode(frame.payload)
            others = [one for one in records if one.event_type != steps.STEP]
            self._take(frame, self._steps(frame, records), others, told)

    def _take(
        self, frame: Frame, rows: Sequence[TrainingRow], records: Sequence[Record], told: _Told
    ) -> None:
        self._derived.take(rows)
        self._keeping.take(rows, records)
        told += [(one, frame.seq, frame.arrival_ns) for one in records]

    def _steps(self, frame: Frame, records: Iterable[Record]) -> list[TrainingRow]:
        """The rows of those of *records* that are steps; rules over rows have seen them then."""
        told = [steps.row_of(one) for one in records if one.event_type == steps.STEP]
        rows = [row for row in told if row is not None]
        if malformed := len(told) - len(rows):
            self._meters.dropped.add(malformed, "records", "malformed")
        self._rules.feed.rows(rows, frame.seq, frame.arrival_ns)
        return rows

    def _persist(self, told: _Told, through: int) -> None:
        appended = self._insist(self._derived.append)
        new = self._keeping.records()
        self._derived_seq = max(self._derived_seq, self._durable(appended))
        ruled = self._evaluate(told, new)
        self._effects_seq = max(self._effects_seq, through)
        if self._keeping.waits or told or self._unfinished.touched or ruled:
            self._insist(self._advance)
        self._move_to(through)

    def _durable(self, appended: "Future[int]") -> int:
        """Wait for samples; the sequence of their frame."""
        try:
            seq = appended.result()
        except Unavailable:
            seq = self._insist(lambda: self._derived.append().result())
        self._derived.settle()
        return seq

    def _evaluate(self, told: _Told, new: Sequence[Record]) -> bool:
        """Evaluate rules over records, once for each id, and have the engine take what all rules
        say; whether their states changed."""
        feed = self._rules.feed
        wanted = feed.wanted_records(told)
        first = {record.record_id for record in new} if wanted else set()
        for record, seq, arrival_ns in wanted:
            if record.record_id in first or seq <= self._replayed_seq:
                first.discard(record.record_id)
                feed.record(record, seq, arrival_ns)
        return self._say()

    def _say(self) -> bool:
        rules = self._rules
        if posts := rules.feed.posts():
            self._insist(lambda: rules.take(posts))
            rules.feed.taken()
        return rules.feed.touched

    def _tell(self, *, closing: bool = False) -> None:
        """Have state know, now and then, how far frames were applied that left nothing in it: to
        apply them again, after a crash, leaves nothing again."""
        now_s = self._clock.monotonic_s()
        if self._told_seq < self._effects_seq and (closing or now_s >= self._tell_due_s):
            self._tell_due_s = now_s + TELL_EVERY_S
            self._insist(self._advance)

    def _advance(self) -> None:
        through = self._effects_seq
        self._meters.dropped.add(self._unfinished.give_up(), "lines", "unfinished")
        changes, found = self._unfinished.changes(), self._findings.changes()

        def move(tx: Connection) -> None:
            changes.write(tx)
            found.write(tx)
            self.tally.write(tx)
            self._rules.feed.write(tx)
            cursors.advance(tx, EFFECTS, through)

        # Lines that are unfinished may be as much as a transaction takes.
        if not self._keeping.rows(None if self._unfinished.touched else move):
            self._stores.state.run(move, lane=Lane.APPLIER)
        self._unfinished.settle()
        self._findings.settle()
        self.tally.settle()
        self._rules.feed.settle()
        self._told_seq = through

    def _insist(self, work: Callable[[], T]) -> T:
        """Do *work* until the store takes it: what was acknowledged is never given up."""
        while True:
            try:
                done, self.waits_for = work(), None
            except Unavailable as error:
                log.warning("store does not take it", extra={"why": error.detail})
                self.waits_for = error.detail
                if self._closing or error.code == STOPPING:
                    raise _ClosedError from error
                self._clock.sleep(RETRY_S)
                # A full head takes no more until it is sealed.
                self._settle(closing=False)
            else:
                return done


class _ClosedError(HeliographError):
    """Closed while a store was unavailable; the log has what is missing."""
