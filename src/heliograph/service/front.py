"""How requests come in: uvicorn's protocol, but that a body reaches the application in few pieces.

Uvicorn stops reading at 64 KiB, wakes the task for them, and goes on when it has taken them: a body
of 330 KB costs five such rounds, and each of its bytes three copies.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a body, what waits for its task: reading stops until that has taken it. Requests that are not
# admitted are answered before, so that what waits in all is what `limits.in_flight_mb` admits.
WAITING_BYTES_MAX = 1024 * 1024


class Front(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0

    def on_message_begin(self) -> None:
        """A request begins; what an answered one left goes."""
        self._pieces = []
        self._waiting_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Some of a body came."""
        if self.cycle.response_complete:
            return
        self._pieces.append(body)
        self._waiting_bytes += len(body)
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._hand_over()
            self.flow.pause_reading()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """All of a body came."""
        if self._pieces:
            self._hand_over()
        super().on_message_complete()

    def _hand_over(self) -> None:
        # In one piece, which the task is given as it is.
        self.cycle.body = b"".join((self.cycle.body, *self._pieces))  # type: ignore[assignment]
        self._pieces = []
        self._waiting_bytes = 0
