"""Reading the answer of a server that we do not run: no longer, and no more, than we can afford."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, HeliographError


class CutShort(HeliographError):
    """The answer was not read to its end: there was too much of it, or it took too long.

    too_long   whether time was the reason
    """

    def __init__(self, detail: str, *, too_long: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.too_long = too_long


def chunks(
    response: httpx2.Response, clock: Clock, until_s: float, bytes_max: int
) -> Iterator[bytes]:
    """The decoded body of *response*, of at most *bytes_max* bytes, until monotonic *until_s*.

    The client's own time-out is for one read; a server that drips would never meet it. Raises
    CutShort.
    """
    size_bytes = 0
    for chunk in response.iter_bytes():
        size_bytes += len(chunk)
        if size_bytes > bytes_max:
            raise CutShort(f"an answer of over {bytes_max} bytes", too_long=False)
        if clock.monotonic_s() > until_s:
            raise CutShort("an answer that takes too long", too_long=True)
        yield chunk


def checked(url: str) -> str:
    """*url*, when it is one of a server. Raises ConfigError, which does not repeat what may be a
    password."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            "samples, forward: a URL is http://host:port/path or https://…, and in a password "
            "/ : @ are written %2F %3A %40"
        )
    return url
