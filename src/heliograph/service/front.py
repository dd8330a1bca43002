"""How requests come in and answers go out: a connection, and the exchanges on it, one after another.

    all of a request is there   ─► asked for its answer here and now; what must wait goes on as a task
    more of it is to come       ─► a task, which is told of the body in few pieces

So an answer to what is all there has no task until it waits: what needs one before that, as
`asyncio.timeout` does, is not for it.

uvicorn listens, and ends the process in order. Its own protocol makes a task of each request, with an
event and a timer, writes an answer twice, and wakes the task for each piece of a body: half of what a
small request costs.

Source: RFC 9112; what uvicorn.server asks of a protocol.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast
from urllib.parse import unquote

import httptools
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.server import ServerState

from heliograph.service import heads
from heliograph.service.at_once import Rest
from heliograph.service.exchange import Exchange
from heliograph.service.parting import Lingering, Unread

log = logging.getLogger(__name__)

# Of a head, or of what comes after a body, that has no end yet; but for the read that it began in.
HEAD_BYTES_MAX = 128 * 1024

Answered = Callable[[Request], Awaitable[Response]]


class Front(asyncio.Protocol):
    """One connection. The application has `answered`, which gives the answer to a request and never
    raises, `refused`, which is told the status of what is refused here, and `vital`, the paths that
    are answered though there are too many connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - uvicorn's
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self._answered: Answered = config.loaded_app.answered
        self._count: Callable[[int], None] = config.loaded_app.refused
        self._vital: Collection[str] = config.loaded_app.vital
        self._idle_s_max = config.timeout_keep_alive
        self._many_max = config.limit_concurrency
        self._state = server_state
        self._parser = httptools.HttpRequestParser(self)
        # What comes after a request that says it is the last is no reason not to answer that.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        # What came since the last that led anywhere.
        self._unended_bytes = 0
        # Of the request whose head is being read.
        self._heading = False
        self._url = b""
        self._expects = False
        self._headers: heads.Headers = []
        # The last that began; the one that is being answered; those that wait for it.
        self._read: Exchange | None = None
        self._busy: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        # Whether that one is held back, for more of it may be in what is being read; whether none of
        # what is being read was answered yet.
        self._held = self._first = False
        self._paused = False
        # While the sender reads too little.
        self._full: asyncio.Future[None] | None = None
        self._unread: Unread | None = None
        # Since all is said, and the sender may still send.
        self._lingering: Lingering | None = None
        self._idle_since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins; nothing is asked yet."""
        self._transport = cast("asyncio.Transport", transport)
        self._local = _address(transport, "sockname")
        self._remote = _address(transport, "peername")
        self._state.connections.add(cast("Any", self))
        self._idle()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over."""
        self._state.connections.discard(cast("Any", self))
        for exchange in (self._busy, self._read, *self._waiting):
            if exchange is not None:
                exchange.lose()
        self._waiting.clear()
        self.resume_writing()
        # They name each other, and garbage that does is collected rarely.
        self._read = None
        del self._parser
        if self._lingering is not None:
            self._lingering.end()
        if self._timer is not None:
            self._timer.cancel()

    def shutdown(self) -> None:
        """The server ends: answer what is being asked, and no more."""
        exchange = self._read
        if exchange is None or exchange.answered:
            self._transport.close()
        else:
            exchange.keep = False

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self._transport.write(data)

    def pause(self) -> None:
        """Read no more."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The sender sends no more: what it asked is answered still."""
        if self._lingering is not None:
            return False
        if self._waiting and not self._waiting[-1].whole:
            self._waiting.pop()
            self._read = self._waiting[-1] if self._waiting else self._busy
        exchange = self._read
        if exchange is None or exchange.answered or not exchange.whole:
            return False
        exchange.keep = False
        return True

    def pause_writing(self) -> None:
        """The sender does not read."""
        if self._full is None:
            self._full = self.loop.create_future()
            self._unread = Unread(self._transport, self.loop)

    def resume_writing(self) -> None:
        """The sender reads again."""
        full, self._full = self._full, None
        unread, self._unread = self._unread, None
        if unread is not None:
            unread.end()
        if full is not None and not full.done():
            full.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        if self._lingering is not None:
            return
        self._first = True
        self._unended_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            log.debug("an upgrade is asked for; there is none")
        except httptools.HttpParserError as error:
            # What a callback raised is its context: a path that is none, for example.
            log.warning("no request", extra={"why": repr(error.__context__ or error)[:500]})
            self._refuse_rest(400, b"Invalid HTTP request received.")
        if self._is_over():
            # Nobody would learn what came of it.
            self._held = False
        elif self._held:
            self._begin()
        if self._unended_bytes > HEAD_BYTES_MAX:
            self._refuse_rest(431, b"The head of the request is too large.")

    def on_message_begin(self) -> None:
        """A request does; its head may take as long as the wait for it."""
        self._heading = True
        if self._idle_since_s is not None:
            self._idle_since_s = self.loop.time()
        self._unended_bytes = 0
        self._url = b""
        self._expects = False
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Some of what is asked for."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which says nothing that is asked for."""
        if not self._heading:
            return
        name = name.lower()
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All of a head is here."""
        self._heading = False
        self._idle_since_s = None
        self._unended_bytes = 0
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        url = httptools.parse_url(self._url)
        path = url.path.decode("ascii")
        scope = {
            "type": "http",
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "root_path": "",
            "headers": headers,
            "server": self._local,
            "client": self._remote,
        }
        exchange = self._read = Exchange(
            self,
            scope,
            keep=version != "1.0" and parser.should_keep_alive(),
            expects=self._expects,
        )
        if self._busy is None:
            self._busy = exchange
            self._held = True
        else:
            self.pause()
            self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._unended_bytes = 0
        cast("Exchange", self._read).came(body)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        self._unended_bytes = 0
        exchange = cast("Exchange", self._read)
        exchange.end_body()
        if exchange.answered:
            self._idle()
        if (
            self._held
            and self._first
            and self._full is None
            and not self._is_too_many(exchange)
        ):
            # Of many that came in one read, the others take their turns with other connections.
            self._held = self._first = False
            self._at_once(exchange)

    def _at_once(self, exchange: Exchange) -> None:
        exchange.begin_whole()
        steps = self._answered(Request(exchange.scope, exchange.receive)).__await__()
        goes_on = False
        try:
            self._go_on(exchange, Rest(steps, next(steps)))
            goes_on = True
        except StopIteration as done:
            self._answer(exchange, done.value)
        finally:
            if not (goes_on or exchange.answered):
                self._give_up(exchange)

    def _begin(self) -> None:
        """What is to be answered now, and may not be all there, becomes a task."""
        self._held = False
        exchange = cast("Exchange", self._busy)
        if self._is_too_many(exchange):
            log.warning("too many connections, or requests in work")
            self._give_up(exchange, 503, b"Too many connections, or requests in work.")
        else:
            self._go_on(exchange, self._answered(Request(exchange.scope, exchange.receive)))

    def _go_on(self, exchange: Exchange, answer: Awaitable[Response]) -> None:
        task = self.loop.create_task(self._finish(exchange, answer))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _finish(self, exchange: Exchange, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
            while self._full is not None and not exchange.gone:
                await self._full
            self._answer(exchange, response)
        except asyncio.CancelledError:
            # The server ends, and has waited for it long enough.
            self._give_up(exchange, 503, b"The service stops.")
            raise
        finally:
            if not exchange.answered:
                self._give_up(exchange)

    def _give_up(
        self, exchange: Exchange, status: int = 500, text: bytes = b"Internal Server Error"
    ) -> None:
        """There is no answer to *exchange* but that: the server would not wait for it any longer."""
        self._refuse(status, text)
        self._end(exchange)

    def _is_too_many(self, exchange: Exchange) -> bool:
        most = self._many_max
        return (
            most is not None
            and (len(self._state.connections) > most or len(self._state.tasks) >= most)
            and exchange.scope["path"] not in self._vital
        )

    def _is_over(self) -> bool:
        return self._lingering is not None or self._transport.is_closing()

    def _leave(self, *, unread: bool) -> None:
        """Close it; *unread*: some of what the sender says is not here yet."""
        if unread:
            self._lingering = Lingering(self._transport, self.loop)
            self.resume()
        else:
            self._transport.close()

    def _answer(self, exchange: Exchange, response: Response) -> None:
        """Write *response*, in one piece."""
        if not exchange.gone and not self._is_over():
            own = b"".join([b"%b: %b\r\n" % one for one in response.raw_headers])
            if not own.count(b"\r") == own.count(b"\n") == len(response.raw_headers):
                log.error("a header of several lines", extra={"headers": repr(own[:500])})
                self._give_up(exchange)
                return
            begin = heads.head(response.status_code, self._state.default_headers)
            end = b"\r\n" if exchange.lasts else b"connection: close\r\n\r\n"
            body = b"" if exchange.scope["method"] == "HEAD" else response.body
            self.write(b"".join((begin, own, end, body)))
            if not exchange.lasts:
                self._leave(unread=not exchange.whole)
        self._end(exchange)

    def _end(self, exchange: Exchange) -> None:
        """*exchange* is over: the next."""
        exchange.end()
        self._busy = None
        self._state.total_requests += 1
        if exchange.gone or self._is_over():
            return
        if self._waiting:
            self._busy = self._waiting.popleft()
            self._begin()
            return
        self.resume()
        self._idle()

    def _idle(self) -> None:
        """Nothing is being asked, or no more."""
        self._idle_since_s = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(self._idle_s_max, self._look)

    def _look(self) -> None:
        """Close it where it has been idle for long enough, else look again when it may have been."""
        self._timer = None
        if self._idle_since_s is None or self._busy is not None:
            return
        left_s = self._idle_since_s + self._idle_s_max - self.loop.time()
        if left_s <= 0:
            self._transport.close()
        else:
            self._timer = self.loop.call_later(left_s, self._look)

    def _refuse(self, status: int, text: bytes) -> None:
        """Say so, and close: who sends this way is not understood, or not wanted now."""
        if self._is_over():
            return
        self._count(status)
        self.write(heads.refusal(status, self._state.default_headers, text))
        # Of what cannot be read nobody knows the end.
        self._leave(unread=self._busy is None or not self._busy.whole)

    def _refuse_rest(self, status: int, text: bytes) -> None:
        """The same of what comes; to what was asked before that is no answer."""
        if self.eof_received():
            self.pause()
        else:
            self._refuse(status, text)


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    # None where it is closed already.
    found = transport.get_extra_info(name)
    return (found[0], found[1]) if found else None
