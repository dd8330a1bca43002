"""How a connection comes to its end where its sender does not: it sends on, or does not read.

    Unread(transport, loop)     what is written is not being read: given up where nothing goes out
    Lingering(transport, loop)  all is said; what still comes is dropped, so that the answer arrives

A connection that is closed while something of what came was not read is reset, and who sends a body
that was refused before its end would see that instead of the answer.

Source: RFC 9112, section 9.6.
"""

import asyncio

# As often it is looked whether anything went out; who took nothing in between is given up.
UNREAD_S_MAX = 60.0
# How long what comes after the last answer is dropped.
LINGER_S = 5.0


class Unread:
    """Waits for a sender that does not read, as long as it takes anything."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._bytes = transport.get_write_buffer_size()
        self._timer = loop.call_later(UNREAD_S_MAX, self._look)

    def end(self) -> None:
        """It reads again, or is gone."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._transport.get_write_buffer_size()
        if left >= self._bytes:
            self._transport.abort()
            return
        self._bytes = left
        self._timer = self._loop.call_later(UNREAD_S_MAX, self._look)


class Lingering:
    """Says that nothing more will be sent, and closes when the sender has, or after LINGER_S."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        transport.write_eof()
        self._timer = loop.call_later(LINGER_S, transport.close)

    def end(self) -> None:
        """It is closed."""
        self._timer.cancel()
