"""One attempt to hand a remote-write request to a server, and what its answer means.

    2xx                       sent
    429, 5xx, 408, no answer  later, after Retry-After where it is given
    any other                 refused for good: the same bytes would fail again
Source: Prometheus remote write specification 1.0, retries and backoff.
"""

import email.utils

import httpx2

from heliograph.core.clock import Clock
from heliograph.store.protocol import Outcome
from heliograph.wire import remote_write

TIMEOUT_S = 10.0
RETRY_AFTER_S_MAX = 300.0
ANSWER_CHARS_MAX = 300


class Sender:
    """Sends to one URL. Not thread-safe; *url* is the operator's own and may carry credentials."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._client = httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def attempt(self, body: bytes) -> Outcome:
        """Post the snappy-compressed *body* once."""
        try:
            response = self._client.post(self._url, content=body, headers=remote_write.HEADERS)
        except httpx2.HTTPError as error:
            return Outcome("later", type(error).__name__)
        if response.is_success:
            return Outcome("sent")
        detail = f"{response.status_code} {response.text[:ANSWER_CHARS_MAX]}".strip()
        if response.status_code in {408, 429} or response.status_code >= 500:
            wait_s = self._retry_after_s(response.headers.get("retry-after", ""))
            return Outcome("later", detail, wait_s)
        return Outcome("refused", detail)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _retry_after_s(self, header: str) -> float:
        if header.isascii() and header.isdigit():
            return min(float(header), RETRY_AFTER_S_MAX)
        try:
            at = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return 0.0
        wait_s = at.timestamp() - self._clock.now_ns() / 1e9
        return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)
