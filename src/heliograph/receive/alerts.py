"""Alerts as Prometheus and vmalert post them: Alertmanager's v2 API.

    [{"labels": {"alertname": "GPUHot", "gpu": "3"}, "annotations": {"summary": "…"},
      "startsAt": "2026-11-22T00:43:18.518764605Z", "endsAt": "2026-11-22T00:47:18Z",
      "generatorURL": "http://prometheus/graph?…"}]

Whether one fires is told by `endsAt` alone: a past end is a resolve, one that is ahead means firing
until then, and none means firing for the resolve time-out. `0001-01-01T00:00:00Z`, Go's zero, is
none. A bad alert does not cost the others. Source: Alertmanager's OpenAPI document, v2.
"""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from heliograph.alert.model import Post
from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.receive import json_body
from heliograph.receive.alert_labels import Identities

ALERTS_MAX = 50_000
ANNOTATION_BYTES_MAX = 64 * 1024
TIME_CHARS_MAX = 64
URL_BYTES_MAX = 8 * 1024
# Go's zero time, in whatever zone and precision.
_ZERO = "0001-01-01T00:00:00"


class Unfit(NamedTuple):
    """One alert of a body that was not taken.

    index    its place in the body, from 0
    field    as the sender would write it: `[2].labels`
    status   the HTTP status that says so
    """

    index: int  # type: ignore[assignment]  # a place is worth tuple's method
    field: str
    reason: str
    detail: str
    status: int


class Posted(NamedTuple):
    """What a body came to: posts and what was unfit, both in order; *places* are the posts' own
    places in the body. *truncated* is how many the sender says it left out."""

    posts: list[Post]
    places: list[int]
    unfit: list[Unfit]
    truncated: int = 0

    @property
    def received(self) -> int:
        """Alerts in the body."""
        return len(self.posts) + len(self.unfit)


class Times(NamedTuple):
    """When a body came, and how long an alert without an end fires."""

    now_ns: int
    resolve_after_ns: int


# What an absent key and a null leave.
_ABSENT = msgspec.Raw(b"null")


class _Alert(msgspec.Struct):
    """One element; what it does not name is ignored."""

    labels: msgspec.Raw = _ABSENT
    annotations: dict[str, str | None] | None = None
    startsAt: str | None = None  # noqa: N815 - the API's names
    endsAt: str | None = None  # noqa: N815
    generatorURL: str | None = None  # noqa: N815


_elements = msgspec.json.Decoder(list[msgspec.Raw])
_alert = msgspec.json.Decoder(_Alert)


def decode(body: bytes, identities: Identities, times: Times) -> Posted:
    """The alerts of *body*. Raises Refused when it is no array of at most ALERTS_MAX."""
    elements = json_body.document(body, _elements)
    if len(elements) > ALERTS_MAX:
        raise Refused(
            f"{len(elements)} alerts, limit {ALERTS_MAX}",
            field="body",
            code="too_many",
            status=413,
        )
    posted = Posted([], [], [])
    for index, element in enumerate(elements):
        try:
            posted.posts.append(_post(bytes(element), f"[{index}]", identities, times))
            posted.places.append(index)
        except Refused as refused:
            posted.unfit.append(unfit(index, refused))
    return posted


def unfit(index: int, refused: Refused) -> Unfit:
    """What *refused* says of the element *index*."""
    field = refused.field or f"[{index}]"
    return Unfit(index, field, refused.code, refused.detail, refused.status)


def _post(raw: bytes, field: str, identities: Identities, times: Times) -> Post:
    try:
        alert = _alert.decode(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise Refused(text, field=field + path.removesuffix("`")) from error
    labels = bytes(alert.labels)
    if labels == b"null":
        raise Refused("labels in body is required", field=f"{field}.labels", status=422)
    known = identities.of(labels, f"{field}.labels")
    starts_ns = instant_of(alert.startsAt, f"{field}.startsAt")
    ends_ns = instant_of(alert.endsAt, f"{field}.endsAt")
    if starts_ns is not None and ends_ns is not None and ends_ns < starts_ns:
        raise Refused("start time must be before end time", field=f"{field}.endsAt")
    return Post(
        source="metric",
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=annotations(alert.annotations or {}, f"{field}.annotations"),
        received_ns=times.now_ns,
        at_ns=min(times.now_ns, starts_ns if starts_ns is not None else times.now_ns),
        resolve_after_ns=times.resolve_after_ns,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        generator_url=url(alert.generatorURL or "", f"{field}.generatorURL"),
        severity=known.severity,
        raw=raw,
    )


def instant_of(text: str | None, field: str) -> int | None:
    """Nanoseconds of RFC 3339 *text*, None where it is absent or Go's zero. Raises Refused."""
    if not text or text.startswith(_ZERO):
        return None
    if len(text) > TIME_CHARS_MAX:
        raise Refused(f"not an instant: {text[:TIME_CHARS_MAX]!r}", field=field, code="time")
    try:
        return _parsed(text)
    except ValueError as error:
        raise Refused(str(error), field=field, code="time") from error


# The ends of one evaluation are one instant, and a start comes again as long as the alert fires.
@lru_cache(maxsize=8192)
def _parsed(text: str) -> int:
    return instant.parse(text)


def annotations(given: dict[str, str | None], field: str) -> Labels:
    """*given* in order of name. Raises Refused when they are too large together."""
    size_bytes = sum(
        len(name.encode()) + len((text or "").encode()) for name, text in given.items()
    )
    if size_bytes > ANNOTATION_BYTES_MAX:
        raise Refused(
            f"annotations of {size_bytes} bytes, limit {ANNOTATION_BYTES_MAX}",
            field=field,
            code="too_large",
        )
    return tuple(sorted((name, text or "") for name, text in given.items()))


@lru_cache(maxsize=1024)
def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not any(c.isspace() for c in text) and (bool(parts.scheme) or text.startswith("/"))


def url(text: str, field: str) -> str:
    """*text* as it is, if it is a URL or nothing. Raises Refused 422, as Alertmanager answers."""
    if text and (len(text) > URL_BYTES_MAX or not _is_url(text)):
        raise Refused(f"must be of type uri: {text[:200]!r}", field=field, status=422)
    return text
