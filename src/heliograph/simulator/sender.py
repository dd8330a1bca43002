"""One HTTP connection to the service, with the patience of a good shipper.

2xx           delivered
429, 503      waits as long as `Retry-After` says, and sends the same again
other         reported and given up: the same would fail again
no answer     reported, waits longer each time, and sends the same again
"""

import http.client
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from heliograph.core.clock import Clock

TIMEOUT_S = 10.0
WAIT_S_MIN, WAIT_S_MAX = 1.0, 30.0
_SLICE_S = 0.5
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_SHOWN_BYTES = 200


class Stopped(Exception):
    """The run is over: by its clock, or because it was asked to end."""


class Sender:
    """Posts bodies to *base_url*; one thread.

    over        whether the run is over; asked before every attempt and while waiting
    delivered   answers of 2xx, by path
    refused     bodies given up, by path
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        token: str | None,
        report: Callable[[str], None],
        over: Callable[[], bool],
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http URL: {base_url!r}")
        self._make = (
            http.client.HTTPSConnection
            if parts.scheme == "https"
            else http.client.HTTPConnection
        )
        self._host, self._port, self._prefix = (
            parts.hostname,
            parts.port,
            parts.path.rstrip("/"),
        )
        self._headers = {"User-Agent": "heliograph-simulator/1"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._clock = clock
        self._report = report
        self._over = over
        self._connection: http.client.HTTPConnection | None = None
        self.delivered: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Whether *body* was taken in the end; False when it can never be. Raises Stopped."""
        wait_s = WAIT_S_MIN
        while not self._over():
            try:
                status, retry_after, text = self._attempt(path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                self._report(f"{path}: {error or type(error).__name__}; again in {wait_s:g} s")
                self.wait(wait_s)
                wait_s = min(WAIT_S_MAX, wait_s * 2)
                continue
            if 200 <= status < 300:
                self.delivered[path] = self.delivered.get(path, 0) + 1
                return True
            if status not in _BUSY:
                self.refused[path] = self.refused.get(path, 0) + 1
                self._report(f"{path}: {status} {text}")
                return False
            busy_s = _seconds(retry_after, otherwise=wait_s)
            self._report(f"{path}: {status}; again in {busy_s:g} s")
            self.wait(busy_s)
            wait_s = min(WAIT_S_MAX, wait_s * 2)
        raise Stopped

    def _attempt(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str | None, str]:
        if self._connection is None:
            self._connection = self._make(self._host, self._port, timeout=TIMEOUT_S)
        self._connection.request(
            "POST", self._prefix + path, body, {**self._headers, **headers}
        )
        answer = self._connection.getresponse()
        text = answer.read()[:_SHOWN_BYTES].decode("utf-8", "replace")
        return answer.status, answer.getheader("Retry-After"), text

    def wait(self, seconds: float) -> None:
        """Sleep *seconds* in slices. Raises Stopped as soon as the run is over."""
        until_s = self._clock.monotonic_s() + seconds
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            if self._over():
                raise Stopped
            self._clock.sleep(min(_SLICE_S, left_s))

    def close(self) -> None:
        """Drop the connection; the next `post` makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _seconds(retry_after: str | None, *, otherwise: float) -> float:
    """*retry_after* in seconds, in bounds; an HTTP date counts as absent."""
    if retry_after is None or not retry_after.isdecimal():
        return otherwise
    return min(WAIT_S_MAX, float(retry_after))
