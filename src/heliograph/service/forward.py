"""Remote write out: a cursor on the log that sends what it passes to another server.

A slow or dead server is a lagging cursor and nothing else: the log keeps what it has not seen, up
to a bound; beyond it the oldest files are given up, counted from frame headers. What the server
refuses for good is counted and passed, so that one bad block cannot stop the rest.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.clock import Clock
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher, all_match
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span
from heliograph.enrich.view import view_labels
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.log import Log
from heliograph.store.protocol import Outcome, RemoteWriter
from heliograph.store.state import cursors
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.wire import remote_write, snappy

log = logging.getLogger(__name__)

READ_BYTES_MAX = 1024 * 1024
SAMPLES_PER_REQUEST = 5000
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 60.0
IDLE_WAIT_S = 0.5
MS_NS = 1_000_000

Columns = tuple[Labels, NDArray[np.int64], NDArray[np.float64]]


class Target(NamedTuple):
    """Where a copy goes and what of it.

    name           of the cursor and in counters
    matchers       all must hold for the original's labels; () is everything
    hold_ns        wait this long after arrival, so that metadata may come first
    queue_bytes    the log may grow to this before the oldest of it is given up
    keep_original  send the series itself beside its attributed copy
    prefix         of the attributed copy's name
    """

    name: str
    matchers: Sequence[Matcher]
    hold_ns: int
    queue_bytes: int
    keep_original: bool
    prefix: str


class Sources(NamedTuple):
    """What a forward reads with."""

    log: Log
    state: State
    table: SeriesTable
    spans: Callable[[Labels], tuple[Span, ...]]


class Forward:
    """One thread per target. *position* is the frame up to which all is sent or given up."""

    def __init__(
        self,
        target: Target,
        sender: RemoteWriter,
        sources: Sources,
        supervisor: Supervisor,
        meters: Meters,
        clock: Clock,
    ) -> None:
        self.target = target
        self._sender = sender
        self._sources = sources
        self._meters = meters
        self._clock = clock
        self._closing = threading.Event()
        self.cursor = f"forward:{target.name}"
        self.position = sources.state.read(cursors.get_all).get(self.cursor, 0)
        self.last_error = ""
        self._reader = sources.log.reader(self.position)
        self._supervisor = supervisor
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = self._supervisor.thread(self.cursor, self._run)

    def close(self) -> None:
        """Stop; what is not sent stays in the log."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._reader.close()
        self._sender.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._give_up_oldest()
            end, reader = self._sources.log.end, self._reader
            frames = reader.read(bytes_max=READ_BYTES_MAX)
            if not frames:
                self.position = max(self.position, end)
                self._sources.log.wait(end, timeout_s=IDLE_WAIT_S)
                continue
            for frame in frames:
                if not self._pass(frame):
                    return
                if self._reader is not reader:
                    break  # The oldest were given up meanwhile, these frames among them.

    def _pass(self, frame: Frame) -> bool:
        """Send *frame* and move behind it; False when the service is closing."""
        if frame.samples is not None:
            if not self._held(frame.arrival_ns):
                return False
            for body, samples in self._requests(frame.samples):
                if not self._deliver(body, samples, frame.seq):
                    return False
                if self.position >= frame.seq:
                    return True
        self._move_to(frame.seq)
        return True

    def _held(self, arrival_ns: int) -> bool:
        wait_ns = arrival_ns + self.target.hold_ns - self._clock.now_ns()
        # A clock that was set back must not hold samples for longer than was asked.
        wait_s = min(wait_ns, self.target.hold_ns) / 1e9
        return wait_s <= 0 or not self._closing.wait(wait_s)

    def _deliver(self, body: bytes, samples: int, seq: int) -> bool:
        """Attempt until it is sent, refused, or given up with its file; False when closing."""
        backoff_s = BACKOFF_S_MIN
        while True:
            outcome = self._sender.attempt(body)
            if outcome.kind != "later":
                self._settled(outcome, samples)
                return True
            self.last_error = outcome.detail
            self._meters.forwarded.add(samples, self.target.name, "retried")
            wait_s = outcome.retry_after_s or backoff_s * random.uniform(0.5, 1.0)  # noqa: S311
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            if self._closing.wait(wait_s):
                return False
            self._give_up_oldest()
            if self.position >= seq:
                return True

    def _settled(self, outcome: Outcome, samples: int) -> None:
        self._meters.forwarded.add(samples, self.target.name, outcome.kind)
        self.last_error = outcome.detail
        if outcome.kind == "refused":
            self._meters.dropped.add(samples, "samples", "forward_refused")
            log.warning(
                "remote write refused",
                extra={"target": self.target.name, "samples": samples, "why": outcome.detail},
            )

    def _give_up_oldest(self) -> None:
        """Keep the log within the queue's bound, at the cost of its oldest files."""
        through = self._sources.log.droppable(self.target.queue_bytes)
        if through <= self.position:
            return
        lost = self._sources.log.counts(after=self.position, through=through)
        self._meters.dropped.add(lost.samples, "samples", "forward_queue")
        log.warning(
            "forward queue full",
            extra={"target": self.target.name, "samples": lost.samples},
        )
        self._move_to(through)
        self._reader.close()
        self._reader = self._sources.log.reader(through)

    def _move_to(self, seq: int) -> None:
        self._sources.state.write(
            lambda tx: cursors.advance(tx, self.cursor, seq), lane=Lane.APPLIER
        ).result()
        self.position = max(self.position, seq)

    def _requests(self, batch: SampleBatch) -> Iterator[tuple[bytes, int]]:
        """Bodies of at most about SAMPLES_PER_REQUEST samples each, with their counts."""
        pending: list[Columns] = []
        count = 0
        for columns in self._columns(batch):
            pending.append(columns)
            count += len(columns[1])
            if count >= SAMPLES_PER_REQUEST:
                yield snappy.compress(remote_write.encode(pending)), count
                pending, count = [], 0
        if pending:
            yield snappy.compress(remote_write.encode(pending)), count

    def _columns(self, batch: SampleBatch) -> Iterator[Columns]:
        order = np.argsort(batch.series, kind="stable")
        series, starts = np.unique(batch.series[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        for one, start, end in zip(series.tolist(), starts.tolist(), ends, strict=True):
            which = order[start:end]
            labels = self._sources.table.labels(one)
            if not all_match(self.target.matchers, labels):
                continue
            yield from self._copies(labels, batch.at_ns[which], batch.value[which])

    def _copies(
        self, labels: Labels, at_ns: NDArray[np.int64], value: NDArray[np.float64]
    ) -> Iterator[Columns]:
        """The attributed copies of one series' samples, and the original where it is wanted."""
        at_ms = at_ns // MS_NS
        if self.target.keep_original:
            yield labels, at_ms, value
        for span in self._sources.spans(labels):
            if span.owner is None:
                continue
            inside = (at_ns >= span.start_ns) & (at_ns < span.end_ns)
            if inside.any():
                copy = view_labels(labels, span.owner, prefix=self.target.prefix)
                yield copy, at_ms[inside], value[inside]
