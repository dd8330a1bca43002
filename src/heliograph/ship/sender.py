"""The thread that delivers what waits in the spool, one request at a time, oldest first.

    sent      on to the next
    later     the same again: after `Retry-After`, or after a jittered wait that doubles
    refused   dropped and counted: the same bytes would fail again

It waits without end while nothing waits in the spool, and ends when it is told to.
"""

import random
import threading
import zlib
from collections.abc import Callable

from heliograph.core.clock import Clock
from heliograph.ship import frame as framing
from heliograph.ship.counts import Counts
from heliograph.ship.frame import Frame
from heliograph.ship.post import Outcome, Poster
from heliograph.ship.spool import Spool

WAIT_S_MIN, WAIT_S_MAX = 0.5, 30.0
# zlib's number for the head and the end of gzip around it.
_GZIP = 31


class Sender:
    """Delivers what waits in *spool*; `run` is the body of its thread. *warn* must not raise."""

    def __init__(
        self,
        spool: Spool,
        poster: Poster,
        counts: Counts,
        *,
        clock: Clock,
        compress: Callable[[bytes], bytes],
        warn: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._poster = poster
        self._counts = counts
        self._clock = clock
        self._compress = compress
        self._warn = warn
        self._woken = threading.Condition()
        self._failures = 0
        self._not_before_s = 0.0
        self._asked_to_wait = False
        self._idle = True
        self._until_s: float | None = None
        self._told: set[str] = set()
        # Threads of many processes fail at one time and must not come back at one time.
        self._random = random.Random()  # noqa: S311 - nothing secret

    def run(self) -> None:
        """Deliver until `finish` says that it is enough."""
        while self._wait():
            taken = self._spool.take()
            if taken is None:
                self._rest()
                continue
            entry, frame = taken
            settled = False
            try:
                settled = self._settled(self._attempt(frame), frame)
            finally:
                # Also where it raises, which is told by `failed`.
                if settled:
                    self._spool.done(entry)
                else:
                    self._spool.put_back(entry)
        self._poster.close()

    def failed(self, why: str) -> None:
        """An attempt raised what nobody expects, *why*: it is made again, as after no answer."""
        self._count_later(Outcome("later", why))

    def _attempt(self, frame: Frame) -> Outcome:
        if frame.kind == framing.RECORDS:
            packing = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
            return self._poster.records(packing.compress(frame.raw) + packing.flush())
        return self._poster.samples(self._compress(frame.raw))

    def wake(self) -> None:
        """There is something in the spool."""
        with self._woken:
            self._idle = False
            self._woken.notify_all()

    def wait_idle(self, timeout_s: float, *, or_kept: bool = False) -> bool:
        """Whether everything was delivered, or given up, within *timeout_s*.

        With *or_kept* an attempt that fails ends the wait, where the disk has what is left.
        """
        with self._woken:
            self.hurry()
            self._woken.wait_for(lambda: self._idle or (or_kept and self._kept()), timeout_s)
            return self._idle

    def finish(self, until_s: float) -> None:
        """Deliver what is there, until the monotonic *until_s* at most, then end."""
        with self._woken:
            self._until_s = until_s
            self.hurry()

    def hurry(self) -> None:
        """Somebody waits: try at once what was put off, unless the receiver asked for the wait."""
        with self._woken:
            if not self._asked_to_wait:
                self._not_before_s = 0.0
            self._woken.notify_all()

    def _rest(self) -> None:
        with self._woken:
            # What came since we looked has been announced, or will be: then we look again.
            self._idle = not self._spool.frames
            self._woken.notify_all()

    def _wait(self) -> bool:
        """Wait for something to do; False when it is time to end."""
        with self._woken:
            while True:
                now_s = self._clock.monotonic_s()
                if self._until_s is not None and self._over(now_s):
                    return False
                if not self._idle and now_s >= self._not_before_s:
                    return True
                wait_s = None if self._idle else self._not_before_s - now_s
                if self._until_s is not None:
                    left_s = max(self._until_s - now_s, 0.0)
                    wait_s = left_s if wait_s is None else min(wait_s, left_s)
                self._woken.wait(wait_s)

    def _over(self, now_s: float) -> bool:
        assert self._until_s is not None
        if self._idle or now_s >= self._until_s:
            return True
        return self._kept()

    def _kept(self) -> bool:
        """Whether it failed since somebody waits, and the disk has it: the next process delivers."""
        return self._not_before_s > self._clock.monotonic_s() and self._spool.durable

    def _settled(self, outcome: Outcome, frame: Frame) -> bool:
        """Count *outcome*; whether *frame* needs no further attempt."""
        if outcome.kind == "later":
            self._count_later(outcome)
            return False
        self._counts.attempts[outcome.kind] += 1
        self._failures = 0
        self._asked_to_wait = False
        self._counts.settle(frame.kind, frame.items, delivered=outcome.kind == "sent")
        if outcome.kind == "sent":
            self._told.discard("delivery is put off")
        else:
            what = "records" if frame.kind == framing.RECORDS else "samples"
            self._tell(f"{what} are refused and dropped", outcome)
        return True

    def _count_later(self, outcome: Outcome) -> None:
        self._counts.attempts["later"] += 1
        self._failures += 1
        self._put_off(outcome)
        self._tell("delivery is put off", outcome)

    def _put_off(self, outcome: Outcome) -> None:
        wait_s = min(WAIT_S_MAX, WAIT_S_MIN * 2.0 ** min(self._failures - 1, 16))
        wait_s *= self._random.uniform(0.5, 1.0)
        if outcome.retry_after_s > 0:
            # Never earlier than asked, nor all at that one instant.
            wait_s = outcome.retry_after_s * self._random.uniform(1.0, 1.1)
        with self._woken:
            self._asked_to_wait = outcome.retry_after_s > 0
            self._not_before_s = self._clock.monotonic_s() + wait_s
            self._woken.notify_all()

    def _tell(self, what: str, outcome: Outcome) -> None:
        """Log once a cause; a receiver that came back and is gone again is another."""
        if what not in self._told:
            self._told.add(what)
            self._warn(f"{what}: {outcome.detail}")
