"""`GET /metrics` of a process: a small HTTP thread, or an app for a server that is there already.

    server = serve(collector, port=9464)         # http://127.0.0.1:9464/metrics
    app.mount("/metrics", asgi_app(collector))   # Starlette, FastAPI; wsgi_app for Flask, Django

The thread answers one request per connection, so many connections at a time and no more, and
cuts off who dawdles. It is reached from this machine alone unless told otherwise.
"""

import asyncio
import hmac
import ipaddress
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Self, TypeAlias
from weakref import WeakSet

from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.negotiation import Answer, answered, plain

PORT = 9464
CONNECTIONS_MAX = 16
# For each piece of a request to arrive, and of its answer to be taken.
REQUEST_S = 10.0
# Where all connections are taken, one as old as this makes room: a scrape takes milliseconds.
DAWDLE_S = 2.0
PATHS = {"/metrics", "/metrics/"}

Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], object]
WsgiApp: TypeAlias = Callable[[Mapping[str, Any], StartResponse], Iterable[bytes]]


class MetricsServer:
    """A running HTTP thread. `close` ends it; so does the end of the process."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="heliograph-metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where to scrape it."""
        host = str(self._server.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening; requests under way are finished. Repeating it is harmless."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(
    collector: TelemetryCollector,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    insecure: bool = False,
) -> MetricsServer:
    """Answer `GET /metrics` on *host*:*port* (0: any free one) from a thread of this process.

    With *token* a request must carry `Authorization: Bearer <token>`. Raises ConfigError for a
    host other machines reach, unless there is a token or *insecure* says so, and OSError where
    the port is taken.
    """
    if token is None and not insecure and not _is_loopback(host):
        raise ConfigError(
            f"{host} is reached by other machines: give token=, or insecure=True to serve anyone"
        )
    return MetricsServer(_Server(host, port, collector, token))


def wsgi_app(collector: TelemetryCollector) -> WsgiApp:
    """A WSGI app that answers the metrics at whatever path it is mounted."""

    def app(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        headers = {
            "accept": str(environ.get("HTTP_ACCEPT", "")),
            "accept-encoding": str(environ.get("HTTP_ACCEPT_ENCODING", "")),
        }
        answer = _scraped(collector, str(environ.get("REQUEST_METHOD", "GET")), headers)
        start_response(f"{answer.status} {answer.reason}", answer.headers)
        return [answer.body]

    return app


def asgi_app(collector: TelemetryCollector) -> AsgiApp:
    """An ASGI app that answers the metrics at whatever path it is mounted."""

    async def app(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            headers: dict[str, str] = {}
            for name, value in scope["headers"]:
                key = name.decode("latin-1").lower()
                text = value.decode("latin-1")
                headers[key] = f"{headers[key]},{text}" if key in headers else text
            answer = await _beside(lambda: _scraped(collector, str(scope["method"]), headers))
            await send(
                {
                    "type": "http.response.start",
                    "status": answer.status,
                    "headers": [(n.lower().encode(), v.encode()) for n, v in answer.headers],
                }
            )
            await send({"type": "http.response.body", "body": answer.body})

    return app


def _scraped(collector: TelemetryCollector, method: str, headers: Mapping[str, str]) -> Answer:
    return collector.faults.run(
        "scrape_failed",
        "error answering a scrape",
        lambda: answered(collector.render, method, headers),
        plain(500, "Internal Server Error"),
    )


async def _lifespan(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _beside(call: Callable[[], Answer]) -> Answer:
    """*call* in a thread beside the event loop, where that is asyncio's."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return call()
    return await loop.run_in_executor(None, call)


class _Server(HTTPServer):
    """A thread for each connection, of which there are at most `CONNECTIONS_MAX`."""

    allow_reuse_address = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(
        self, host: str, port: int, collector: TelemetryCollector, token: str | None
    ) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.collector = collector
        self.token = token
        self._clock = SystemClock()
        # Since when each connection is open, the oldest first.
        self._open: dict[socket.socket, float] = {}
        super().__init__((host, port), _Request)
        _listening.add(self)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up, which may take seconds where there is no DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = map(str, self.server_address[:2])  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= CONNECTIONS_MAX and not self._made_room():
            self.collector.faults.count("scrape_refused")
            self.shutdown_request(request)
            return
        self._open[request] = self._clock.monotonic_s()
        request.settimeout(REQUEST_S)
        try:
            threading.Thread(
                target=self._answer, args=(request, client_address), daemon=True
            ).start()
        except RuntimeError:  # No more threads.
            self._open.pop(request, None)
            self.shutdown_request(request)

    def _made_room(self) -> bool:
        """Cut the oldest connection off, if it dawdles."""
        for connection, since_s in list(self._open.items())[:1]:
            if self._clock.monotonic_s() - since_s < DAWDLE_S:
                return False
            self.collector.faults.count("scrape_cut_off")
            self._open.pop(connection, None)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return True

    def _answer(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # The client is gone, or was cut off.
        finally:
            self._open.pop(request, None)
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as inherited
        self.collector.faults.count("scrape_failed")


class _Request(BaseHTTPRequestHandler):
    """One request of one connection."""

    server: _Server
    server_version = "heliograph"
    sys_version = ""

    def respond(self) -> None:
        """Answer the request, whatever its method."""
        path = self.path.partition("?")[0]
        if path not in PATHS:
            answer = plain(404, "Not Found")
        elif not self._may():
            answer = plain(401, "Unauthorized", [("WWW-Authenticate", "Bearer")])
        else:
            headers = {
                name: ",".join(self.headers.get_all(name, []))
                for name in ("accept", "accept-encoding")
            }
            answer = _scraped(self.server.collector, self.command, headers)
        self._send(answer)

    def _may(self) -> bool:
        token = self.server.token
        if token is None:
            return True
        given = self.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status, answer.reason)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Scrapes are not logged."""


for _method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Request, f"do_{_method}", _Request.respond)


_listening: WeakSet[_Server] = WeakSet()


def _let_go() -> None:
    """In a forked child: the port is the parent's alone."""
    for server in list(_listening):
        server.socket.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
