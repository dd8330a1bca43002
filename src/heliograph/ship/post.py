"""One attempt to hand a request to a receiver, and what its answer means.

    2xx                            sent
    408, 425, 429, 5xx, no answer  later; not before `Retry-After` where it is given
    any other                      refused for good: the same bytes would fail again

    http://heliograph:8989                          a Heliograph service
    https://user:secret@vm.example/api/v1/write     any receiver of remote write 1.0

Source: Prometheus remote write specification 1.0, retries and backoff; RFC 9110, section 10.2.3.
"""

import base64
import contextlib
import email.utils
import http.client
import os
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError

TIMEOUT_S = 10.0
RETRY_AFTER_S_MAX = 300.0
SAMPLES_PATH = "/v1/prometheus"
RECORDS_PATH = "/v1/records"
# Of an answer no more is read; beyond it the connection is given up.
ANSWER_BYTES_MAX = 64 * 1024
_WORDS_BYTES_MAX = 200
_LATER = frozenset({408, 425, 429})
_SAMPLES_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_RECORDS_HEADERS = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}


class Outcome(NamedTuple):
    """What an attempt came to: `sent`, `later` or `refused`; *detail* has no secrets."""

    kind: str
    detail: str = ""
    retry_after_s: float = 0.0


class Target(NamedTuple):
    """Where requests go. *shown* is the URL without credentials; *records_path* is where records go,
    "" at a receiver that takes samples alone."""

    scheme: str
    host: str
    port: int | None
    path: str
    authorization: str
    shown: str
    records_path: str = ""


def target(url: str, token: str | None = None) -> Target:
    """The target of *url*; *token* is sent as Bearer. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"not the URL of a receiver: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            "not the URL of a receiver: it begins with http:// or https://, a host"
        )
    if not is_header(token or ""):
        # Never shown: it is a secret, most of it.
        raise ConfigError("the token has a line end, or a character that no header can have")
    authorization = f"Bearer {token}" if token else ""
    if not token and parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    query = f"?{parts.query}" if parts.query else ""
    whole = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{whole}"
    return Target(
        parts.scheme,
        parts.hostname,
        port,
        (whole or SAMPLES_PATH) + query,
        authorization,
        shown,
        _records_path(whole) + query if _records_path(whole) else "",
    )


def is_header(text: str) -> bool:
    """Whether *text* can be the value of a header: a line end would begin another."""
    return text.isprintable() and all(character <= "\xff" for character in text)


def _records_path(path: str) -> str:
    """Of a service, perhaps below a prefix of a proxy; "" where *path* is some other receiver's."""
    prefix = path.removesuffix(SAMPLES_PATH)
    return prefix + RECORDS_PATH if not path or prefix != path else ""


class Poster:
    """A connection to *to* that is made when it is needed. For one thread."""

    def __init__(
        self,
        to: Target,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._to = to
        self._clock = clock
        self._timeout_s = timeout_s
        for name, value in (headers or {}).items():
            if not is_header(f"{name}: {value}"):
                raise ConfigError(f"header {name!r}: a line end, or what no header can have")
        self._headers = {"User-Agent": "heliograph-ship", **(headers or {})}
        if to.authorization:
            self._headers["Authorization"] = to.authorization
        self._connection: http.client.HTTPConnection | None = None
        self._over = False

    def samples(self, body: bytes) -> Outcome:
        """Post *body*, a remote write request in snappy, once."""
        return self._attempt(self._to.path, body, _SAMPLES_HEADERS)

    def records(self, body: bytes) -> Outcome:
        """Post *body*, lines of JSON in gzip, once."""
        if not self._to.records_path:
            return Outcome("refused", "this receiver takes samples alone")
        return self._attempt(self._to.records_path, body, _RECORDS_HEADERS)

    def close(self) -> None:
        """Give the connection up; the next attempt makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def interrupt(self) -> None:
        """Wake the thread that waits for an answer, for good. For any other thread."""
        self._over = True
        sock = getattr(self._connection, "sock", None)
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                # Of the plain socket: that of TLS would pull it from under the other thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def forget(self) -> None:
        """What a forked child does: close its copy of the socket and say nothing on it."""
        connection, self._connection = self._connection, None
        if connection is not None and isinstance(connection.sock, socket.socket):
            with contextlib.suppress(OSError):
                os.close(connection.sock.detach())

    def _attempt(self, path: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        try:
            status, retry_after, words = self._exchange(path, body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Outcome("later", f"no answer: {type(error).__name__}: {error}")
        detail = f"{status} {words}".strip()
        if 200 <= status < 300:
            return Outcome("sent")
        if status in _LATER or status >= 500:
            return Outcome("later", detail, self._seconds(retry_after))
        return Outcome("refused", detail)

    def _exchange(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, str]:
        connection = self._connection
        fresh = connection is None
        if connection is None:
            connection = self._connection = self._connect()
        try:
            connection.request("POST", path, body, {**self._headers, **headers})
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if fresh or self._over:
                raise
            # It was kept alive and the receiver let go of it in between: no failure of either.
            return self._exchange(path, body, headers)
        text = answer.read(ANSWER_BYTES_MAX)
        if not answer.isclosed():
            self.close()
        words = text[:_WORDS_BYTES_MAX].decode("utf-8", "replace")
        return answer.status, answer.getheader("Retry-After") or "", " ".join(words.split())

    def _connect(self) -> http.client.HTTPConnection:
        to = self._to
        made: http.client.HTTPConnection
        if to.scheme == "https":
            made = http.client.HTTPSConnection(to.host, to.port, timeout=self._timeout_s)
        else:
            made = http.client.HTTPConnection(to.host, to.port, timeout=self._timeout_s)
        return made

    def _seconds(self, retry_after: str) -> float:
        """`Retry-After`, seconds or a date, in bounds; 0 where it says nothing."""
        text = retry_after.strip()
        if text.isascii() and text.isdigit():
            return min(float(text), RETRY_AFTER_S_MAX)
        try:
            at_s = email.utils.parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError):
            return 0.0
        return min(max(at_s - self._clock.now_ns() / 1e9, 0.0), RETRY_AFTER_S_MAX)
