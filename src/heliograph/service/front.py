"""How requests come in: uvicorn's protocol, but that a body reaches the application in few pieces.

Uvicorn wakes the task for each read, and stops reading at 64 KiB until it has taken them: a body of
330 KB costs five such rounds.
"""

from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a body, what waits for its task: then reading stops until that has taken it.
WAITING_BYTES_MAX = 1024 * 1024
# As often a task is told of more, however little: it may give up on a sender that is silent.
TOLD_EVERY_S = 1.0
# Nobody reads what comes with these, nor has it been asked whether there is room for it.
_BODILESS = {"GET", "HEAD"}


class Front(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told_s = 0.0

    def on_headers_complete(self) -> None:
        """A request begins."""
        super().on_headers_complete()
        self._told_s = self.loop.time()

    def on_body(self, body: bytes) -> None:
        """Some of a body came."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        bound = HIGH_WATER_LIMIT if cycle.scope["method"] in _BODILESS else WAITING_BYTES_MAX
        full = len(cycle.body) > bound
        if full:
            self.flow.pause_reading()
        if full or self.loop.time() - self._told_s > TOLD_EVERY_S:
            self._told_s = self.loop.time()
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """A request is answered; what nobody read of it goes."""
        if self.cycle.response_complete:
            # Else it is the next one, which came before this answer.
            self.cycle.body = bytearray()
        super().on_response_complete()
