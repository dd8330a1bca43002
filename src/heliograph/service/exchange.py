"""One request on a connection: what came of it, and what of it waits for its task.

exchange.came(b"…")          the connection, of each piece of the body; then `whole`, or `lose`
await exchange.receive()     the task: ASGI's, in few pieces
"""

import asyncio
from typing import Any, Protocol

# Of a body, what waits for its task: then reading stops until that has taken it.
WAITING_BYTES_MAX = 1024 * 1024
# The same of what nobody reads: nor has it been asked whether there is room for it.
UNREAD_BYTES_MAX = 64 * 1024
BODILESS = {"GET", "HEAD"}
# As often a task is told of more, however little: it may give up on a sender that is silent.
TOLD_EVERY_S = 1.0

# In the scope: the body, where all of it came before the request began to be answered.
WHOLE = "heliograph.body"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Protocol):
    """What an exchange needs of its connection."""

    loop: asyncio.AbstractEventLoop

    def write(self, data: bytes) -> None:
        """Send *data*."""
        ...

    def pause(self) -> None:
        """Read no more."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


class Exchange:
    """A request and what becomes of it.

    scope      what is known of it, ASGI's; with `WHOLE` where all of the body came before it began
    keep       whether the connection is kept after the answer
    gone       whether the sender is
    answered   whether it is answered
    """

    __slots__ = (
        *("answered", "gone", "keep", "scope"),
        *("_body", "_connection", "_expects", "_more", "_told", "_told_s", "_wanted"),
    )

    def __init__(
        self, connection: Connection, scope: dict[str, Any], *, keep: bool, expects: bool
    ) -> None:
        """*expects*: the sender waits for a word before it sends the body."""
        self.scope = scope
        self.keep = keep
        self.gone = self.answered = False
        # What came of the body and was not taken yet: mostly it comes as a whole.
        self._body: bytes | bytearray = b""
        self._expects = expects
        self._more = True
        self._connection = connection
        self._told = False
        self._told_s = connection.loop.time()
        self._wanted: asyncio.Future[None] | None = None

    @property
    def whole(self) -> bool:
        """Whether all of the body came."""
        return not self._more

    @property
    def lasts(self) -> bool:
        """Whether the connection does, after the answer: of a body that waits for a word that was not
        given nobody knows whether it comes."""
        return self.keep and not (self._expects and self._more)

    def came(self, some: bytes) -> None:
        """Some of the body did."""
        if self.answered:
            return
        if not self._body:
            self._body = some
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += some
        unread = self.scope["method"] in BODILESS
        full = len(self._body) > (UNREAD_BYTES_MAX if unread else WAITING_BYTES_MAX)
        if full:
            self._connection.pause()
        if full or self._connection.loop.time() - self._told_s > TOLD_EVERY_S:
            self._tell()

    def end_body(self) -> None:
        """All of the body came."""
        self._more = False
        self._tell()

    def begin_whole(self) -> None:
        """It begins to be answered, and all of it is here."""
        self._body = self.scope[WHOLE] = bytes(self._body)

    def lose(self) -> None:
        """The sender is gone."""
        self.gone = True
        self._tell()

    def end(self) -> None:
        """It is answered; what nobody read of it goes."""
        self.answered = True
        self._body = b""
        self.scope.pop(WHOLE, None)
        self._tell()

    async def receive(self) -> dict[str, Any]:
        """More of the body, or that there is no more: ASGI's."""
        if self._expects and not (self.gone or self.answered):
            self._expects = False
            self._connection.write(_CONTINUE)
        if not (self._told or self.gone or self.answered):
            self._connection.resume()
            self._wanted = self._connection.loop.create_future()
            await self._wanted
        self._told = False
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), b""
        return {"type": "http.request", "body": body, "more_body": self._more}

    def _tell(self) -> None:
        """Wake who waits for more of the body, or for an end."""
        self._told = True
        self._told_s = self._connection.loop.time()
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
