"""Admission: how many request bytes may be in work at once, with a share kept for the control path.

A saturated log stream must never stop an alert or a placement from being taken: bulk requests are
refused while less than the reserved share is free. Refusing is `Unavailable`: come again.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def admit(self, size_bytes: int, *, control: bool) -> Iterator[None]:
        """Hold *size_bytes* for the length of the block. Raises Unavailable when they do not fit."""
        limit = self._bytes_max if control else self._bytes_max - self._reserved_bytes
        with self._lock:
            if self._in_flight_bytes + size_bytes > limit:
                raise Unavailable(
                    f"{self._in_flight_bytes} request bytes in work, limit {limit}",
                    code="overloaded",
                )
            self._in_flight_bytes += size_bytes
        try:
            yield
        finally:
            with self._lock:
                self._in_flight_bytes -= size_bytes
