"""Admission: how many request bytes may be in work at once, with a share kept for the control path.

A saturated log stream must never stop an alert or a placement from being taken: bulk requests are
refused while less than the reserved share is free. Refusing is `Unavailable`: come again.
"""

import threading
from contextlib import AbstractContextManager

from heliograph.core.errors import Unavailable


class Admission:
    """Bytes in flight, thread-safe. *bytes_max* in all, *reserved_bytes* of it for control."""

    def __init__(self, bytes_max: int, reserved_bytes: int) -> None:
        self._bytes_max = bytes_max
        self._reserved_bytes = reserved_bytes
        self._in_flight_bytes = 0
        self._lock = threading.Lock()

    @property
    def in_flight_bytes(self) -> int:
        """Bytes admitted and not yet answered."""
        return self._in_flight_bytes

    def admit(self, size_bytes: int, *, control: bool) -> AbstractContextManager[None]:
        """Hold *size_bytes* until the end of the block. Raises Unavailable when they do not fit."""
        limit = self._bytes_max if control else self._bytes_max - self._reserved_bytes
        with self._lock:
            if self._in_flight_bytes + size_bytes > limit:
                raise Unavailable(
                    f"{self._in_flight_bytes} request bytes in work, limit {limit}",
                    code="overloaded",
                )
            self._in_flight_bytes += size_bytes
        return _Admitted(self, size_bytes)

    def leave(self, size_bytes: int) -> None:
        """Let go of *size_bytes*; the block of `admit` does."""
        with self._lock:
            self._in_flight_bytes -= size_bytes


class _Admitted(AbstractContextManager[None]):
    """Bytes that are held. Every request has one: a generator would take three times as long."""

    __slots__ = ("_admission", "_size_bytes")

    def __init__(self, admission: Admission, size_bytes: int) -> None:
        self._admission = admission
        self._size_bytes = size_bytes

    def __exit__(self, *_: object) -> None:
        self._admission.leave(self._size_bytes)
