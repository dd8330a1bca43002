"""Requests to a service, from any thread: keep-alive connections, deadlines, answers read as JSON.

exchange = Exchange("http://heliograph:8989", token="…", timeout_s=10)
exchange.ask("POST", "/v1/metrics", [{"metric_name": "m", "metric_value": 1}])  →  {"status": …}

2xx                            the document of the answer
408, 425, 429, 5xx, no answer  Unavailable, with `Retry-After` where it is given
any other                      Refused, in the service's own words
"""

import base64
import contextlib
import http.client
import json
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from heliograph.core.errors import ConfigError, Refused, Unavailable

TIMEOUT_S = 10.0
IDLE_MAX = 8
RETRY_AFTER_S_MAX = 300.0
ANSWER_BYTES_MAX = 256 << 20
_WORDS_MAX = 400
_LATER = frozenset({408, 425, 429})


class Exchange:
    """Thread-safe; each request has a connection to itself while it lasts. Nothing is connected at
    construction. Raises ConfigError for what is no URL of a service."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError as error:
            raise ConfigError(f"not the URL of a service: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("not the URL of a service: it begins with http:// or https://")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self._prefix}"
        self._headers = {"User-Agent": "heliograph-recorder", "Accept": "application/json"}
        if not token.isprintable() or any(character > "\xff" for character in token):
            # Never shown: it is a secret, most of it.
            raise ConfigError(
                "the token has a line end, or a character that no header can have"
            )
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        elif parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        # Re-entrant, as all locks of the recorder: a signal handler may record in the middle of it.
        self._lock = threading.RLock()
        self._idle: list[http.client.HTTPConnection] = []

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The answer to *body*, which is JSON; None where it is empty. Raises Refused, Unavailable."""
        try:
            status, retry_after, answer = self._exchange(method, self._prefix + path, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = f"{self.shown}: no answer: {type(error).__name__}: {error}"
            raise Unavailable(words, code="no_answer", retry_after_s=0) from error
        if 200 <= status < 300:
            return _decoded(answer, self.shown) if answer else None
        words, code = _words(answer)
        words = f"{self.shown}: {status} {words}".strip()
        if status in _LATER or status >= 500:
            raise Unavailable(words, code=code, retry_after_s=_seconds(retry_after))
        raise Refused(words, code=code, status=status)

    def begin_again(self) -> None:
        """For a child that was forked: the sockets are the parent's, and its lock may be held."""
        self._lock = threading.RLock()
        self.close()

    def close(self) -> None:
        """Give idle connections up; a later request makes another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            _close(connection)

    def _exchange(
        self, method: str, path: str, body: bytes | None, *, fresh: bool = False
    ) -> tuple[int, str, bytes]:
        connection = None if fresh else self._kept()
        reused = connection is not None
        connection = connection or self._connect()
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            found = answer.read(ANSWER_BYTES_MAX + 1)
        except (http.client.RemoteDisconnected, ConnectionError):
            _close(connection)
            if not reused:
                raise
            # It was kept alive, and the service let go of it: no failure of either. What is sent
            # again has its id, and counts once.
            return self._exchange(method, path, body, fresh=True)
        except BaseException:
            _close(connection)
            raise
        if len(found) > ANSWER_BYTES_MAX:
            _close(connection)
            raise http.client.HTTPException(f"an answer of over {ANSWER_BYTES_MAX} bytes")
        self._keep(connection)
        return answer.status, answer.getheader("Retry-After") or "", found

    def _kept(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        _close(connection)

    def _connect(self) -> http.client.HTTPConnection:
        made = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
        return made(self._host, self._port, timeout=self._timeout_s)


def _close(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        connection.close()


def _decoded(answer: bytes, shown: str) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{shown}: the answer is no JSON: {error}", code="answer") from error


def _words(answer: bytes) -> tuple[str, str]:
    """What an answer that is no success says, and its code."""
    try:
        problem = json.loads(answer)
        if isinstance(problem, dict):
            told = problem.get("error") or {}
            words = str(told.get("message") or problem.get("detail") or "")
            return words[:_WORDS_MAX], str(problem.get("code") or "refused")
    except (ValueError, RecursionError, AttributeError):
        pass
    return " ".join(answer[:_WORDS_MAX].decode("utf-8", "replace").split()), "refused"


def _seconds(retry_after: str) -> float:
    """`Retry-After`, in bounds; 0 where it says nothing. A service of ours writes no dates."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:6]), RETRY_AFTER_S_MAX)
    return 0.0


def encoded(document: Any) -> bytes:
    """JSON of *document*. Raises TypeError or ValueError for what it cannot be made of."""
    return json.dumps(document, default=_plain).encode()


def _plain(value: Any) -> Any:
    """A number of some library's own kind as a number, anything else as text."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
