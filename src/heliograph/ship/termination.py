"""SIGTERM, which ends a Python process without its exit handlers: first the last reading.

Clusters end jobs with it, and what was counted since the last reading would be gone. Where nobody
else has a handler for it, ours delivers or spools within `exit_s` and lets the signal do what it
would have done. A framework that sets its own handler later and calls the one before it, as some
do, gets the delivery and decides itself about the end.

A handler of Python's runs when the main thread comes back to Python, and a thread that waits for
a collective of a dead rank does not. So a thread of ours hears of the signal too (`set_wakeup_fd`),
and where the main thread does not answer it, does the same in its place.
"""

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from heliograph.core.clock import SystemClock

# For the main thread to come back to Python.
PATIENCE_S = 0.3
_SLICE_S = 0.02

_clock = SystemClock()


class Termination:
    """Calls *last* once when the process is told to end; one of it in a process."""

    def __init__(self, last: Callable[[], None]) -> None:
        self._last = last
        self._lock = threading.Lock()
        self._answered = self._ending = False
        self._pipe: tuple[int, int] | None = None

    def watch(self) -> None:
        """From now on; nothing where SIGTERM has a handler, or this is not the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        signal.signal(signal.SIGTERM, self._told)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        if before != -1:
            # Somebody else hears of signals by it, an event loop mostly, which is not stuck in C.
            signal.set_wakeup_fd(before)
            os.close(reading)
            os.close(writing)
            return
        self._pipe = reading, writing
        threading.Thread(
            target=self._listen, args=(reading,), name="heliograph-ship-end", daemon=True
        ).start()

    def forget(self) -> None:
        """What a forked child does: it ends by SIGTERM as it would without us."""
        self._lock = threading.Lock()
        with contextlib.suppress(ValueError):
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self._pipe is not None:
                # The pipe is the parent's too, and its thread would take our signals for its own.
                before = signal.set_wakeup_fd(-1)
                if before not in {-1, self._pipe[1]}:
                    signal.set_wakeup_fd(before)
        for end in self._pipe or ():
            with contextlib.suppress(OSError):
                os.close(end)
        self._pipe = None

    def _told(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._ending:
            # Told again in the middle of the last reading, below us on this very stack: to wait for
            # it here would be for ever.
            return
        self._answered = self._ending = True
        try:
            self._finish()
        finally:
            # Whatever came of it, whoever sends the signal wants an end.
            self._ending = False
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)

    def _listen(self, reading: int) -> None:
        """The body of the thread that hears of signals."""
        with contextlib.suppress(OSError):
            while heard := os.read(reading, 64):
                is_ours = self._is_ours()
                if signal.SIGTERM in heard and not self._is_answered():
                    try:
                        self._finish()
                    finally:
                        if is_ours:
                            _die()

    def _is_ours(self) -> bool:
        """Whether the end is ours to make: who set a handler since may take his time for it."""
        return signal.getsignal(signal.SIGTERM) == self._told

    def _is_answered(self) -> bool:
        until_s = _clock.monotonic_s() + PATIENCE_S
        while not self._answered and _clock.monotonic_s() < until_s:
            _clock.sleep(_SLICE_S)
        return self._answered

    def _finish(self) -> None:
        # Whoever comes second waits for the first, and finds nothing left to do.
        if self._lock.acquire(timeout=60):
            try:
                self._last()
            finally:
                self._lock.release()


def _die() -> None:
    """End as SIGTERM ends a process that has no handler; from any thread."""
    with contextlib.suppress(OSError, AttributeError):
        # `signal.signal` is for the main thread, which does not come back.
        ctypes.CDLL(None).signal(int(signal.SIGTERM), None)
        os.kill(os.getpid(), signal.SIGTERM)
        _clock.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
