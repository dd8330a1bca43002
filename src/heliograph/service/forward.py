"""Remote write out: a cursor on the log that sends what it passes to another server.

A slow or dead server is a lagging cursor and nothing else: the log keeps what it has not seen, up
to a bound; beyond it the oldest files are given up, counted from frame headers. What the server
refuses for good is counted and passed, so that one bad block cannot stop the rest. One request is
in flight at a time, which keeps each series in order; after a crash a little is sent again.
"""

import contextlib
import hashlib
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.core.labels import Labels
from heliograph.core.samples import SampleBatch, concatenate
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span
from heliograph.service.forward_requests import (
    SAMPLES_PER_REQUEST,
    Request,
    Requests,
    Selection,
)
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.log import Log
from heliograph.store.protocol import Outcome, RemoteWriter
from heliograph.store.state import cursors
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

# What the name of a forward's cursor begins with.
CURSOR = "forward:"

READ_BYTES_MAX = 1024 * 1024
# Frames that arrived further apart are not sent together, so that none is held for another's sake.
GROUP_SPAN_NS = 1_000_000_000
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.5, 60.0
IDLE_WAIT_S = 0.5


class Target(NamedTuple):
    """Where a copy goes and what of it.

    name           of the cursor and in counters; no two forwards share one
    selection      which samples, and in what form
    hold_ns        wait this long after arrival, so that metadata may come first
    queue_bytes    the log may grow to this before the oldest of it is given up
    """

    name: str
    selection: Selection
    hold_ns: int
    queue_bytes: int


class Sources(NamedTuple):
    """What a forward reads with."""

    log: Log
    state: State
    table: SeriesTable
    spans: Callable[[Labels], tuple[Span, ...]]


class _Group(NamedTuple):
    """Consecutive frames, up to *seq*, whose samples are sent together.

    arrival_ns   of the newest of them
    """

    seq: int
    arrival_ns: int
    batches: list[SampleBatch]


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
        self.cursor = f"{CURSOR}{target.name}"
        self.position = sources.state.read(cursors.get_all).get(self.cursor, 0)
        self._saved = self.position
        self.last_error = ""
        self._requests = Requests(target.selection, sources.table, sources.spans)
        self._reader = sources.log.reader(self.position)
        self._supervisor = supervisor
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = self._supervisor.thread(self.cursor, self._run)

    def close(self) -> None:
        """Stop; what is not sent stays in the log."""
        self._closing.set()
        self._sources.log.nudge()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(Unavailable):
            self._save()
        self._reader.close()
        self._sender.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._advance()
            except Unavailable as error:
                log.warning(
                    "forward waits", extra={"target": self.target.name, "why": error.detail}
                )
                self.last_error = error.detail
                self._go_on_from(self.position)
                self._closing.wait(BACKOFF_S_MIN)

    def _advance(self) -> None:
        """Send what can be read at once, or wait a moment for more."""
        self._give_up_oldest(sent=0)
        end, reader = self._sources.log.end, self._reader
        frames = reader.read(bytes_max=READ_BYTES_MAX)
        if not frames:
            self.position = max(self.position, end)
            self._sources.log.wait(end, timeout_s=IDLE_WAIT_S, unless=self._closing.is_set)
            return
        for group in _groups(frames):
            if not self._pass(group):
                return
            if self._reader is not reader:
                break  # The oldest were given up meanwhile, these frames among them.
        self._save()

    def _pass(self, group: _Group) -> bool:
        """Send *group* and move behind it; False when the service is closing."""
        if group.batches:
            if not self._held(group.arrival_ns):
                return False
            sent = 0
            for request in self._requests.of(concatenate(group.batches)):
                if not self._deliver(request, group.seq, sent):
                    return False
                if self.position >= group.seq:
                    return True
                sent += request.taken
        self.position = group.seq
        return True

    def _held(self, arrival_ns: int) -> bool:
        wait_ns = arrival_ns + self.target.hold_ns - self._clock.now_ns()
        # A clock that was set back must not hold samples for longer than was asked.
        wait_s = min(wait_ns, self.target.hold_ns) / 1e9
        return wait_s <= 0 or not self._closing.wait(wait_s)

    def _deliver(self, request: Request, seq: int, sent: int) -> bool:
        """Attempt until it is sent, refused, or given up with its files; False when closing.

        *sent* entries of the same frames, which end with *seq*, were sent before.
        """
        backoff_s = BACKOFF_S_MIN
        while True:
            outcome = self._sender.attempt(request.body)
            if outcome.kind != "later":
                self._settled(outcome, request)
                return True
            self.last_error = outcome.detail
            self._meters.forwarded.add(request.samples, self.target.name, "retried")
            self._save()
            wait_s = outcome.retry_after_s or backoff_s * random.uniform(0.5, 1.0)  # noqa: S311
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            if self._closing.wait(wait_s):
                return False
            self._give_up_oldest(sent=sent, in_flight=seq)
            if self.position >= seq:
                return True

    def _settled(self, outcome: Outcome, request: Request) -> None:
        name, detail = self.target.name, outcome.detail
        self._meters.forwarded.add(request.samples, name, outcome.kind)
        self.last_error = detail
        if outcome.kind == "refused":
            self._meters.dropped.add(request.taken, "samples", "forward_refused")
            log.warning(
                "remote write refused",
                extra={"target": name, "samples": request.taken, "why": detail},
            )

    def _give_up_oldest(self, *, sent: int, in_flight: int = 0) -> None:
        """Keep the log within the queue's bound, at the cost of its oldest files.

        Frames up to *in_flight*, READ_BYTES_MAX at most, go together or not at all; *sent* of
        their entries were sent.
        What is counted are all samples of the frames, whether this target selects them or not.
        """
        through = self._sources.log.droppable(self.target.queue_bytes)
        if through <= max(self.position, in_flight - 1):
            return
        lost = self._sources.log.counts(after=self.position, through=through).samples - sent
        self._meters.dropped.add(lost, "samples", "forward_queue")
        self._meters.forwarded.add(lost, self.target.name, "given_up")
        log.warning("forward queue full", extra={"target": self.target.name, "samples": lost})
        self._go_on_from(through)
        self._save()

    def _go_on_from(self, seq: int) -> None:
        self.position = seq
        self._reader.close()
        self._reader = self._sources.log.reader(seq)

    def _save(self) -> None:
        """Make the position durable: what is before it is never sent again."""
        position = self.position
        if position > self._saved:
            self._sources.state.write(
                lambda tx: cursors.advance(tx, self.cursor, position), lane=Lane.APPLIER
            ).result()
            self._saved = position


def names_of(wanted: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """A name for each (url, matchers): `vm:8428/api/v1/write`, without what may be secret.

    Those that go to one place are told apart by a digest of the whole, so that each keeps its
    cursor whatever order they are listed in.
    """
    plain = [_place_of(url) for url, _ in wanted]
    return [
        name if plain.count(name) == 1 else f"{name}#{_digest(url, matchers)}"
        for name, (url, matchers) in zip(plain, wanted, strict=True)
    ]


def _place_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def _digest(url: str, matchers: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([url, *matchers]).encode()).hexdigest()[:8]


def _groups(frames: Sequence[Frame]) -> Iterator[_Group]:
    """*frames* in groups of about SAMPLES_PER_REQUEST samples that arrived close together."""
    batches: list[SampleBatch] = []
    first_ns = samples = 0
    before: Frame | None = None
    for frame in frames:
        apart = samples and frame.arrival_ns - first_ns > GROUP_SPAN_NS
        if before is not None and (apart or samples >= SAMPLES_PER_REQUEST):
            yield _Group(before.seq, before.arrival_ns, batches)
            batches, samples = [], 0
        if frame.samples is not None and frame.samples.count:
            first_ns = first_ns if samples else frame.arrival_ns
            samples += frame.samples.count
            batches.append(frame.samples)
        before = frame
    if before is not None:
        yield _Group(before.seq, before.arrival_ns, batches)
