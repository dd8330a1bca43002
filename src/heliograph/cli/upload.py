"""Bodies to a running service, many after the other: what is not taken now is sent again.

    with Upload("http://127.0.0.1:8989") as to:
        answer = to.post("/v1/records", body, "application/x-ndjson", shape={"accepted": int})

Overload (429, 503) and a service that does not answer any more are waited out, as long as
`Retry-After` says or longer each time; any other refusal ends the command with the service's own words,
and so does an address at which nobody has answered yet: it is mistyped.
"""

import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import click

from heliograph.cli.client import address, answered, authorization, words
from heliograph.core.clock import SystemClock

TIMEOUT_S = 120.0
ATTEMPTS_MAX = 12
WAIT_S_MAX = 15.0
_LATER = frozenset({408, 425, 429, 502, 503, 504})
_NEAR = frozenset({"127.0.0.1", "::1", "localhost"})
# zlib's number for the head and the end of gzip around it.
_GZIP = 31


class Upload:
    """A connection to the service at *url*, with the token of the environment; for one thread."""

    def __init__(
        self,
        url: str,
        *,
        waiting: Callable[[str], None] = lambda why: None,  # noqa: ARG005
    ) -> None:
        import httpx2

        self.url = url.rstrip("/")
        self._clock = SystemClock()
        self._waiting = waiting
        # To pack what never leaves the machine costs more than to carry it.
        self._pack = not _is_near(url)
        self._was_there = False
        self._client = httpx2.Client(headers=authorization(), timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def post(
        self, path: str, body: bytes, content_type: str = "application/json", *, shape: Any
    ) -> Any:
        """The answer to *body*, of *shape*. Raises ClickException."""
        import httpx2

        headers = {"Content-Type": content_type}
        if self._pack:
            packing = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
            body = packing.compress(body) + packing.flush()
            headers["Content-Encoding"] = "gzip"
        why, wait_s = "", 0.0
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                self._waiting(why)
                self._clock.sleep(max(wait_s, min(WAIT_S_MAX, 0.25 * 2**attempt)))
            try:
                response = self._client.post(self.url + path, content=body, headers=headers)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                why, wait_s = f"{address(self.url)}: {str(error) or type(error).__name__}", 0.0
                if not self._was_there and not isinstance(error, httpx2.ReadTimeout):
                    raise click.ClickException(why) from error
                continue
            self._was_there = True
            if response.status_code not in _LATER:
                return answered(response, shape, self.url)
            why = f"{response.status_code}: {words(response)}"
            wait_s = _seconds(response.headers.get("Retry-After", ""))
        raise click.ClickException(f"gave up after {ATTEMPTS_MAX} attempts: {why}")


def _is_near(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _NEAR
    except ValueError:
        # It is no URL, which the first request will say.
        return False


def _seconds(text: str) -> float:
    return min(float(text), WAIT_S_MAX) if text.isascii() and text.isdigit() else 0.0
