"""A shipper: reads metrics every now and then and sees to it that they arrive.

    shipper = heliograph.ship.to("http://heliograph:8989", collector=collector)
    …
    shipper.close()      # or let the end of the process do it

    source ──every_s──► requests ──► spool (disk) ──► sender ──► receiver

Two threads of its own do it all. One reads and writes to the spool, so that readings are on time
however the receiver behaves; one delivers. Nothing that happens to either reaches whoever trains:
it is counted, in metrics that are shipped too, and logged once a cause. Who flushes or ends asks for
a reading and waits for as long as he may: a metric that hangs holds up nobody but the next reading.

A forked child inherits neither thread nor spool: its shipper is dormant, the parent goes on, and
the child may begin another. A process that dies leaves its spool to the next one that ships to the
same URL. At exit the metrics are read once more and delivered within `exit_s`, or left on disk.
"""

import atexit
import contextlib
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from heliograph.core.clock import Clock, SystemClock
from heliograph.core.errors import ConfigError
from heliograph.ship import frame as framing
from heliograph.ship import record_requests
from heliograph.ship.block import compressor
from heliograph.ship.counts import Counts
from heliograph.ship.family import Family, Source
from heliograph.ship.frame import Frame
from heliograph.ship.lane import (
    Lanes,
    Unusable,
    after_fork,
    before_fork,
    default_spool,
    forget_all,
)
from heliograph.ship.post import TIMEOUT_S, Poster, target
from heliograph.ship.readings import Readings
from heliograph.ship.sender import Sender
from heliograph.ship.spool import BYTES_MAX, Spool
from heliograph.ship.termination import Termination
from heliograph.ship.write_request import Encoder

EVERY_S = 15.0
EVERY_S_MIN, EVERY_S_MAX = 0.05, 86_400.0
EXIT_S = 1.5
# Of one request, and of the end: no thread waits for longer than can be meant.
WAIT_S_MAX = 3_600.0
# What a reading that does not hang needs at most, mostly: so long it is waited for whatever was said.
READ_S_MIN = 0.2
FLUSH_S = 10.0
# The first reading, so that a run that dies young was seen at all.
FIRST_S_MAX = 1.0
# How often we look for spools whose owners have died.
ADOPT_S = 30.0
# For the sender to notice that its connection was cut at the end.
LAST_WORDS_S = 0.1

_clock = SystemClock()
_log = logging.getLogger("heliograph.ship")
_alive: "weakref.WeakSet[Shipper]" = weakref.WeakSet()


class Shipper:
    """Ships what *source* answers; see `heliograph.ship.to` for the meaning of the rest."""

    def __init__(
        self,
        url: str,
        source: Source,
        *,
        token: str | None = None,
        every_s: float = EVERY_S,
        labels: Mapping[str, str] | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
        spool_bytes_max: int = BYTES_MAX,
        spool_sync: bool = False,
        exit_s: float = EXIT_S,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
        own_metrics: bool = True,
        clock: Clock | None = None,
    ) -> None:
        if not EVERY_S_MIN <= every_s <= EVERY_S_MAX:
            raise ConfigError(f"every {every_s!r} s, from {EVERY_S_MIN} to {EVERY_S_MAX:g}")
        if not (0 <= exit_s <= WAIT_S_MAX and 0 < timeout_s <= WAIT_S_MAX):
            words = f"exit_s {exit_s!r}, timeout_s {timeout_s!r}"
            raise ConfigError(f"{words}: seconds to wait, at most {WAIT_S_MAX:g}")
        if spool_bytes_max < 1:
            raise ConfigError(f"a spool of {spool_bytes_max} bytes")
        to = target(url, token)
        self.counts = Counts()
        self._source = source
        self._clock = clock or SystemClock()
        self._every_s = every_s
        self.exit_s = exit_s
        self._own_metrics = own_metrics
        self._labels = dict(labels or {})
        self._encoder = Encoder(self._labels)
        self._records = bool(to.records_path)
        self._spool = Spool(self.counts, bytes_max=spool_bytes_max, sync=spool_sync)
        self._poster = Poster(to, self._clock, timeout_s=timeout_s, headers=headers)
        self._sender = Sender(
            self._spool,
            self._poster,
            self.counts,
            clock=self._clock,
            compress=compressor(),
            warn=lambda text: _warn("%s: %s", to.shown, text),
        )
        self._lanes = _lanes(spool_dir, to.shown, self._labels, self._clock)
        self._opened = False
        self._last_ms = 0
        # Re-entrant, for a signal handler; held for the disk, never for the metrics.
        self._opening = threading.RLock()
        self._readings = Readings()
        self._over = self._closed = False
        self._pid = os.getpid()
        self._threads = [
            threading.Thread(target=self._read, name="heliograph-ship-read", daemon=True),
            threading.Thread(target=self._send, name="heliograph-ship-send", daemon=True),
        ]
        _alive.add(self)
        _watch_the_process()
        for thread in self._threads:
            thread.start()

    @property
    def dormant(self) -> bool:
        """Whether this is a forked child's copy, which does nothing."""
        return os.getpid() != self._pid

    @property
    def labels(self) -> Mapping[str, str]:
        """What every series carries."""
        return dict(self._labels)

    def families(self) -> list[Family]:
        """The shipper's own metrics; they are shipped without being asked for."""
        spool = self._spool
        return self.counts.families(
            bytes_waiting=spool.bytes_waiting, frames=spool.frames, bytes_max=spool.bytes_max
        )

    @property
    def takes_records(self) -> bool:
        """Whether the receiver is a service that has `/v1/records`, and not any of remote write."""
        return self._records

    def records(self, documents: Sequence[bytes]) -> None:
        """Have *documents*, each one line of JSON, delivered beside the samples, to `/v1/records`.

        They wait where samples wait. Never raises; after `close`, and in a forked child, nothing
        is taken.
        """
        if self.dormant or self._over:
            return
        self._open()
        self.counts.records["collected"] += len(documents)
        for lines in record_requests.cut(documents):
            try:
                self._spool.append(Frame(framing.RECORDS, len(lines), b"\n".join(lines)))
            except Exception:  # want of memory, mostly
                self.counts.drop(framing.RECORDS, len(lines))
        self._sender.wake()

    def flush(self, timeout_s: float = FLUSH_S, *, or_kept: bool = False) -> bool:
        """Read now and deliver all that waits; whether that was done within *timeout_s*.

        With *or_kept* there is one attempt only, where the disk keeps what it does not deliver.
        """
        if self.dormant or self._over:
            return False
        until_s = self._clock.monotonic_s() + min(timeout_s, WAIT_S_MAX)
        was_read = self._await(self._readings.ask(), until_s)
        return self._sender.wait_idle(self._left_s(until_s), or_kept=or_kept) and was_read

    def begin_flush(self) -> None:
        """Have all read and delivered soon, and wait for nothing."""
        if not (self.dormant or self._over):
            self._sender.hurry()
            self._readings.ask()

    def close(self, timeout_s: float | None = None) -> bool:
        """Read once more, deliver for *timeout_s* at most, end; whether all was delivered.

        What was not waits on disk for the next process. Closing again changes nothing.
        """
        if self.dormant or self._over:
            return False
        for_s = self.exit_s if timeout_s is None else min(timeout_s, WAIT_S_MAX)
        until_s = self._clock.monotonic_s() + for_s
        self._over = True
        was_read = self._await(self._readings.ask(last=True), until_s)
        self._sender.finish(until_s)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(self._left_s(until_s))
        delivered = was_read and not self._spool.frames
        self._poster.interrupt()
        self._threads[1].join(LAST_WORDS_S)
        self._closed = True
        self._spool.close()
        _alive.discard(self)
        return delivered

    def forget(self) -> None:
        """What a forked child does with the shipper it inherited. Takes no lock of the parent's."""
        self._over = True
        self._poster.forget()
        self._spool.forget()

    def _read(self) -> None:
        """The body of the reading thread."""
        began_s = self._clock.monotonic_s()
        next_s = began_s + min(self._every_s, FIRST_S_MAX)
        # The ranks of a job begin at one time, and shall not beat as one.
        phase_s = self._every_s * random.random()  # noqa: S311 - nothing secret
        adopt_s = began_s + ADOPT_S
        self._open()
        while True:
            number = self._readings.next(max(next_s - self._clock.monotonic_s(), 0.0))
            if number is None:
                return
            self._collect()
            self._readings.done(number)
            now_s = self._clock.monotonic_s()
            if now_s >= next_s:
                next_s += self._every_s - phase_s
                phase_s = 0.0
            if next_s <= now_s:
                # The machine was asleep, or we were slow: what was missed stays missed.
                next_s = now_s + self._every_s
            if now_s >= adopt_s:
                adopt_s = now_s + ADOPT_S
                try:
                    self._adopt()
                except Exception:  # what others left there; ours is read and sent all the same
                    self.counts.spool_errors += 1

    def _send(self) -> None:
        """The body of the sending thread."""
        while True:
            try:
                return self._sender.run()
            except Exception as error:  # want of memory, mostly: what waits can be sent later
                self._sender.failed(f"{type(error).__name__}: {error}")

    def _await(self, number: int, until_s: float) -> bool:
        """Whether the reading *number* is done by *until_s*; what waits is tried meanwhile."""
        self._sender.hurry()
        return self._readings.wait(number, max(self._left_s(until_s), READ_S_MIN))

    def _left_s(self, until_s: float) -> float:
        return max(until_s - self._clock.monotonic_s(), 0.0)

    def _open(self) -> None:
        """Find a place on disk, once; where there is none the spool is memory."""
        if self._opened:
            return
        with self._opening:
            if self._opened or self._lanes is None:
                return
            try:
                self._take_lane(self._lanes)
            except Exception as error:  # a path that is none, a file system of others' making
                self._lanes = None
                self.counts.spool_errors += 1
                _warn("no spool on disk, what waits is in memory: %s", error)
            finally:
                # At last: who looks without the lock finds the spool where it is to be.
                self._opened = True

    def _take_lane(self, lanes: Lanes) -> None:
        lane = lanes.make()
        if lane.number and "worker" not in self._labels:
            # Another living process would write the very same series.
            self._labels["worker"] = str(lane.number)
            self._encoder = Encoder(self._labels)
        self._spool.use(lane)
        self._adopt()
        lanes.sweep()

    def _adopt(self) -> None:
        if self._lanes is not None:
            if not self._spool.keep():
                # Somebody has cleaned up below us.
                with contextlib.suppress(Unusable):
                    self._spool.use(self._lanes.make())
            self._spool.adopt(self._lanes.take_over())
            if self._spool.frames:
                self._sender.wake()

    def _collect(self) -> None:
        """Read all metrics and put them into the spool."""
        self.counts.collections += 1
        try:
            self._read_once()
        except BaseException:  # metrics are other people's code; SystemExit ends a thread too
            self.counts.collect_errors += 1
            if self.counts.collect_errors == 1:
                _warn("reading the metrics failed", exc_info=True)
        self._sender.wake()

    def _read_once(self) -> None:
        began_s = self._clock.monotonic_s()
        at_ms = self._clock.now_ns() // 1_000_000
        # Two readings of one millisecond would say two things of it.
        at_ms += at_ms == self._last_ms
        self._last_ms = at_ms
        families = list(self._source())
        families += self.families() if self._own_metrics else []
        # All of it before the first is kept: a reading is there or it is not.
        requests = list(self._encoder.encode(families, at_ms))
        if self._closed:
            # It hung until nobody waited for it any more; the lane is somebody else's by now.
            return
        for raw, samples in requests:
            self.counts.collected += samples
            self._spool.append(Frame(framing.SAMPLES, samples, raw))
        self.counts.duplicates = self._encoder.duplicates
        self.counts.unreadable = self._encoder.unreadable
        self.counts.collect_s = self._clock.monotonic_s() - began_s


def _warn(text: str, *values: object, exc_info: bool = False) -> None:
    with contextlib.suppress(Exception):  # handlers of the log are, too
        _log.warning(text, *values, exc_info=exc_info)


def _lanes(
    spool_dir: str | os.PathLike[str] | None,
    shown: str,
    labels: Mapping[str, str],
    clock: Clock,
) -> Lanes | None:
    """Where lanes are; None for the empty text, which means memory alone."""
    if spool_dir is None:
        return Lanes(default_spool(os.environ), shown, labels, clock)
    return Lanes(Path(spool_dir), shown, labels, clock) if os.fspath(spool_dir) else None


_watched = False


def _watch_the_process() -> None:
    """Once a process: its forks and its end."""
    global _watched  # noqa: PLW0603 - hooks of the process are the process's
    if _watched:
        return
    _watched = True
    atexit.register(_close_all)
    _termination.watch()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before_fork, after_in_parent=after_fork, after_in_child=_forget_all
        )


def _flush_all() -> None:
    """Before a SIGTERM: deliver, but go on, for somebody may have other plans for it."""
    _end_all(lambda shipper, left_s: shipper.flush(left_s, or_kept=True))


def _close_all() -> None:
    _end_all(lambda shipper, left_s: shipper.close(left_s))


def _end_all(end: Callable[[Shipper, float], object]) -> None:
    """*end* every shipper, in the time that the most patient has: all of them at work at once."""
    shippers = list(_alive)
    began_s = _clock.monotonic_s()
    for shipper in shippers[1:]:
        shipper.begin_flush()
    for shipper in shippers:
        left_s = max(began_s + shipper.exit_s - _clock.monotonic_s(), 0.0)
        with contextlib.suppress(Exception):  # one that cannot be ended is not all of them
            end(shipper, left_s)


_termination = Termination(_flush_all)


def _forget_all() -> None:
    _termination.forget()
    forget_all()
    for shipper in list(_alive):
        shipper.forget()
    _alive.clear()
