"""Readings of the metrics that are asked for, by whoever cannot wait longer than he said.

    thread that flushes                       the reading thread
    number = ask()  ────────────────────────► next(…) → number
    wait(number, 1.5) → done or not  ◄─────── done(number)

Metrics are other people's code: a driver that does not answer holds up the reading thread alone. The
exit of the process, a signal handler and a flush wait for as long as they may, and go on.
"""

import threading


class Readings:
    """Thread-safe, and re-entrant for a signal handler that asks in the middle of asking."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._over = False

    def ask(self, *, last: bool = False) -> int:
        """Ask for a reading that begins now or later; its number. After the *last* there is none."""
        with self._changed:
            self._asked += 1
            self._over |= last
            self._changed.notify_all()
            return self._asked

    def wait(self, number: int, timeout_s: float) -> bool:
        """Whether the reading *number*, or a later one, was done within *timeout_s*."""
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= number, timeout_s)

    def next(self, due_s: float) -> int | None:
        """The number of the reading to begin, once one is asked for or *due_s* are over; None after
        the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._asked > self._done, due_s)
            return None if self._over and self._asked == self._done else self._asked

    def done(self, number: int) -> None:
        """The reading *number* is in the spool, or failed."""
        with self._changed:
            self._done = number
            self._changed.notify_all()
