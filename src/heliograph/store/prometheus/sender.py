"""One attempt to hand a remote-write request to a server, and what its answer means.

    2xx                       sent
    429, 5xx, 408, no answer  later, after Retry-After where it is given
    any other                 refused for good: the same bytes would fail again
Source: Prometheus remote write specification 1.0, retries and backoff.
"""

import contextlib
import email.utils

import httpx2

from heliograph.core.clock import Clock
from heliograph.store.prometheus import answer
from heliograph.store.protocol import Outcome
from heliograph.wire import remote_write

TIMEOUT_S = 10.0
RETRY_AFTER_S_MAX = 300.0
# Of an answer no more is read, nor for longer than TIMEOUT_S.
ANSWER_BYTES_MAX = 64 * 1024
ANSWER_BYTES_KEPT = 300
HEADERS = {**remote_write.HEADERS, "User-Agent": "heliograph"}


class Sender:
    """Sends to one URL. Not thread-safe; *url* is the operator's own and may carry credentials.

    Raises ConfigError when it is not the URL of a server.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = answer.checked(url)
        self._clock = clock
        self._client = httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def attempt(self, body: bytes) -> Outcome:
        """Post the snappy-compressed *body* once."""
        until_s = self._clock.monotonic_s() + TIMEOUT_S
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=HEADERS
            ) as response:
                words = self._words(response, until_s)
        except httpx2.HTTPError as error:
            # Words of the library may repeat the URL, and what it carries.
            return Outcome("later", f"no answer: {type(error).__name__}")
        status, headers = response.status_code, response.headers
        if response.is_success:
            return Outcome("sent")
        detail = f"{status} {words}".strip()
        if status in {408, 429} or status >= 500:
            return Outcome("later", detail, self._retry_after_s(headers.get("retry-after", "")))
        return Outcome("refused", detail)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _words(self, response: httpx2.Response, until_s: float) -> str:
        """The beginning of the body; what goes wrong with it does not change what the status says."""
        text = b""
        with contextlib.suppress(httpx2.HTTPError, answer.CutShort):
            for chunk in answer.chunks(response, self._clock, until_s, ANSWER_BYTES_MAX):
                text = (text + chunk)[:ANSWER_BYTES_KEPT]
        return text.decode("utf-8", "replace")

    def _retry_after_s(self, header: str) -> float:
        if header.isascii() and header.isdigit():
            return min(float(header), RETRY_AFTER_S_MAX)
        try:
            at = email.utils.parsedate_to_datetime(header)
            wait_s = at.timestamp() - self._clock.now_ns() / 1e9
        except (ValueError, OverflowError):
            return 0.0
        return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
