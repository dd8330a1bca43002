"""What a scrape is answered: a pure function, the same for the HTTP thread, ASGI and WSGI.

    GET /metrics
    Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3

    200, Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8

Exemplars need OpenMetrics; whoever does not ask for it by name gets the Prometheus text format.
Source: RFC 9110, 12.5 "Content Negotiation"; OpenMetrics 1.0, "Protocol Negotiation".
"""

import gzip
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from heliograph.instruments.exposition import content_type

# Below it the header of gzip costs more than is won.
GZIP_BYTES_MIN = 1024
# Fast: a scrape's text shrinks tenfold on any level.
GZIP_LEVEL = 1
HEADER_CHARS_MAX = 4096
METHODS = "GET, HEAD, OPTIONS"


class Answer(NamedTuple):
    """What to send. *body* is empty for HEAD, while `Content-Length` says what GET would get."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


def answered(
    render: Callable[[bool], bytes], method: str, headers: Mapping[str, str]
) -> Answer:
    """The answer to *method* with *headers* (names in lower case); *render(openmetrics)*."""
    if method == "OPTIONS":
        return Answer(204, "No Content", [("Allow", METHODS)], b"")
    if method not in {"GET", "HEAD"}:
        return plain(405, "Method Not Allowed", [("Allow", METHODS)])
    openmetrics = wants_openmetrics(headers.get("accept", ""))
    body = render(openmetrics)
    fields = [
        ("Content-Type", content_type(openmetrics=openmetrics)),
        ("Vary", "Accept, Accept-Encoding"),
        ("Cache-Control", "no-store"),
    ]
    if len(body) >= GZIP_BYTES_MIN and takes_gzip(headers.get("accept-encoding", "")):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        fields.append(("Content-Encoding", "gzip"))
    fields.append(("Content-Length", str(len(body))))
    return Answer(200, "OK", fields, b"" if method == "HEAD" else body)


def plain(status: int, reason: str, headers: list[tuple[str, str]] | None = None) -> Answer:
    """An answer of *reason* as text."""
    body = f"{reason}\n".encode()
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *(headers or []),
    ]
    return Answer(status, reason, fields, body)


def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is named, and text is not preferred to it."""
    openmetrics = text = 0.0
    for media, parameters, quality in _choices(accept):
        if media == "application/openmetrics-text":
            if parameters.get("version", "1.0.0") in {"1.0.0", "0.0.1", ""}:
                openmetrics = max(openmetrics, quality)
        elif media == "text/plain" and parameters.get("version", "0.0.4") == "0.0.4":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is accepted: by its name, or by `*` where it is not named."""
    named = {coding: quality for coding, _, quality in _choices(accept_encoding)}
    return named.get("gzip", named.get("x-gzip", named.get("*", 0.0))) > 0


def _choices(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(what, its parameters, quality) of each choice; one that cannot be read is left out."""
    for choice in header[:HEADER_CHARS_MAX].lower().split(","):
        what, *rest = (part.strip() for part in choice.split(";"))
        parameters = {
            name.strip(): value.strip().strip('"')
            for name, _, value in (part.partition("=") for part in rest)
        }
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if what and 0 <= quality <= 1:
            yield what, parameters, quality
