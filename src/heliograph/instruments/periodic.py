"""Exports again and again: retried soon where it failed, and once more at the end.

    periodic = PeriodicExporter(exporter, collector, interval=30.0)
    await periodic.start()          # in the event loop; periodic.start_thread() without one
    ...
    await periodic.stop()           # the last export is done when this returns

In an event loop it is a task of that loop, so that exporters of users find their own loop; when
the loop ends, the last export is made then. In a thread it is made at the latest when the
interpreter exits.
"""

import asyncio
import atexit
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from heliograph.instruments.faults import Faults
from heliograph.instruments.ticker import PAUSE_S_MIN, Done, Ticker, interval_of

if TYPE_CHECKING:
    from heliograph.instruments.collector import TelemetryCollector
    from heliograph.instruments.exporter import MetricsExporter

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
STOP_WAIT_S = 5.0
EXIT_WAIT_S = 2.0
_POLL_S = 0.005


class PeriodicExporter:
    """Exports the metrics of *collector* every *interval* seconds, at once when it starts. Raises
    ValueError for an *interval* that is none.

    A failure is tried again after 0.5 s, 1 s, 2 s and so on, at most 30 s and never later than
    the next regular export would be.
    """

    def __init__(
        self,
        exporter: "MetricsExporter",
        collector: "TelemetryCollector",
        interval: float = 60.0,
    ) -> None:
        self.exporter = exporter
        self.collector = collector
        self.interval = interval_of(interval, "interval")
        faults = getattr(collector, "faults", None)
        self.faults = faults if isinstance(faults, Faults) else Faults()
        self._failures = 0
        self._ticker = Ticker("heliograph-export", self._tick, self._last)
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None
        self._pid = 0

    @property
    def _running(self) -> bool:
        wake = self._wake
        in_loop = (
            self._task is not None
            and not self._task.done()
            and self._pid == os.getpid()
            and wake is not None
            and not wake.is_set()
        )
        return in_loop or self._ticker.running

    def start(self) -> Coroutine[Any, Any, None]:
        """Begin, at once; nothing where it runs. May be awaited."""
        if self._running:
            return Done()
        self._pid = os.getpid()
        self._failures = 0
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.start_thread()
        else:
            self._wake = asyncio.Event()
            self._task = loop.create_task(self._exporting(self._wake))
        return Done()

    def start_thread(self) -> None:
        """`start` in a thread of its own, whether there is an event loop or not."""
        if not self._running:
            if self._ticker.thread is None:
                _finish_at_exit(self)
            self._ticker.start()

    def stop(self) -> Coroutine[Any, Any, None]:
        """End with a last export; awaited, it returns when that is done. Repeating is harmless."""
        if self._task is not None and self._wake is not None and not self._task.done():
            _set_in(self._task.get_loop(), self._wake)
        self._ticker.stop(timeout_s=0)
        return Done(self._stopped)

    def finish(self, *, timeout_s: float = EXIT_WAIT_S) -> bool:
        """`stop` for a thread without an event loop; False if it took longer than *timeout_s*."""
        return self._ticker.stop(timeout_s=timeout_s)

    async def _stopped(self) -> None:
        await self._ticker.stopping(timeout_s=STOP_WAIT_S)
        if self._task is not None and not await _over(self._task):
            # The export under way hangs; one more is tried, for as long again.
            self._task.cancel()
            await _over(self._task)

    def _pause_s(self, done: bool) -> float:
        """How long until the next export, after one that was *done* or not."""
        interval_s = max(PAUSE_S_MIN, float(self.interval))
        if done:
            self._failures = 0
            return interval_s
        self._failures += 1
        retry_s = RETRY_FIRST_S * 2.0 ** min(self._failures - 1, 16)
        return min(retry_s, RETRY_MAX_S, interval_s)

    async def _exporting(self, wake: asyncio.Event) -> None:
        try:
            while not wake.is_set():
                pause_s = self._pause_s(await self._exported())
                try:
                    await asyncio.wait_for(wake.wait(), pause_s)
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            # The loop ends around us: what was counted since the last export is still worth one.
            await self._exported_last()
            raise
        await self._exported_last()

    async def _exported_last(self) -> None:
        over = False
        try:
            await asyncio.wait_for(self._exported(), STOP_WAIT_S)
            over = True
        except TimeoutError:
            pass
        finally:
            # Also where the loop ends before the time is up: who waits for it waits as long.
            if not over:
                self.faults.tell("export_failed", "last export not done in %s s", STOP_WAIT_S)

    async def _exported(self) -> bool:
        return await self.faults.awaited(
            "export_failed",
            "error in periodic export",
            lambda: self.exporter.export_metrics(self.collector),
            otherwise=False,
        )

    def _tick(self) -> float:
        return self._pause_s(self._last())

    def _last(self) -> bool:
        return self.faults.run(
            "export_failed",
            "error in periodic export",
            self._export,
            otherwise=False,
        )

    def _export(self) -> bool:
        if hasattr(self.exporter, "export"):
            return self.exporter.export(self.collector)
        return asyncio.run(self.exporter.export_metrics(self.collector))


async def _over(task: asyncio.Task[None]) -> bool:
    """Whether *task*, of whatever loop, ends within `STOP_WAIT_S`."""
    left = round(STOP_WAIT_S / _POLL_S)
    while not task.done() and left > 0:
        left -= 1
        await asyncio.sleep(_POLL_S)
    return task.done()


def _set_in(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Set *event* of *loop*, whichever thread asks."""
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        event.set()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


def _finish_at_exit(periodic: PeriodicExporter) -> None:
    finish = WeakMethod(periodic.finish)

    def finish_if_there() -> None:
        bound = finish()
        if bound is not None:
            bound(timeout_s=EXIT_WAIT_S)

    atexit.register(finish_if_there)
