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
    places in the body. *truncated* is how many the sender says it left out, *repeats* how many were
    known and are no posts."""

    posts: list[Post]
    places: list[int]
    unfit: list[Unfit]
    truncated: int = 0
    repeats: int = 0

    @property
    def received(self) -> int:
        """Alerts in the body."""
        return self.kept + len(self.unfit)

    @property
    def kept(self) -> int:
        """Alerts that were taken."""
        return len(self.posts) + self.repeats


class Times(NamedTuple):
    """When a body came, and how long an alert without an end fires.

    ahead_ns   how far *now_ns* is ahead of the clock by which senders name ends, or 0
    """

    now_ns: int
    resolve_after_ns: int
    ahead_ns: int = 0


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
    posted = Posted([], [], [])
    for index, element in enumerate(elements(body)):
        take(posted, index, element, identities, times)
    return posted


def elements(body: bytes) -> list[msgspec.Raw]:
    """The alerts of *body*, not looked into. Raises Refused when it is no array of at most
    ALERTS_MAX."""
    found = json_body.document(body, _elements)
    if len(found) > ALERTS_MAX:
        raise Refused(
            f"{len(found)} alerts, limit {ALERTS_MAX}",
            field="body",
            code="too_many",
            status=413,
        )
    return found


def take(
    posted: Posted, index: int, element: msgspec.Raw, identities: Identities, times: Times
) -> Post | None:
    """The post of *element*, number *index* of a body; added to *posted*, or what is unfit of it."""
    try:
        post = _post(bytes(element), identities, times)
    except Refused as refused:
        field = f"[{index}]{refused.field}"
        posted.unfit.append(Unfit(index, field, refused.code, refused.detail, refused.status))
        return None
    posted.posts.append(post)
    posted.places.append(index)
    return post


def unfit(index: int, refused: Refused) -> Unfit:
    """What *refused* says of the element *index*."""
    field = refused.field or f"[{index}]"
    return Unfit(index, field, refused.code, refused.detail, refused.status)


def _post(raw: bytes, identities: Identities, times: Times) -> Post:
    """The post of *raw*. Raises Refused with a field that goes on from the alert's own."""
    try:
        alert = _alert.decode(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise Refused(text, field=path.removesuffix("`")) from error
    labels = bytes(alert.labels)
    if labels == b"null":
        raise Refused("labels in body is required", field=".labels", status=422)
    known = identities.of(labels, ".labels")
    starts_ns = instant_of(alert.startsAt, ".startsAt")
    ends_ns = instant_of(alert.endsAt, ".endsAt")
    if starts_ns is not None and ends_ns is not None and ends_ns < starts_ns:
        raise Refused("start time must be before end time", field=".endsAt")
    ends_ns = moved(ends_ns, times.ahead_ns)
    return Post(
        source="metric",
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=annotations(alert.annotations or {}, ".annotations"),
        received_ns=times.now_ns,
        at_ns=min(times.now_ns, starts_ns if starts_ns is not None else times.now_ns),
        resolve_after_ns=times.resolve_after_ns,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        generator_url=url(alert.generatorURL or "", ".generatorURL"),
        severity=known.severity,
        raw=raw,
    )


def moved(ends_ns: int | None, ahead_ns: int) -> int | None:
    """The end that a sender named, on a clock that is *ahead_ns* of the sender's.

    Starts stay as they are: they would be another instant with every repeat, and so be news.
    """
    return None if ends_ns is None else min(ends_ns + ahead_ns, instant.AT_NS_MAX)


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
    texts = [*given, *filter(None, given.values())]
    # A character takes four bytes at most: the few that may be too large are measured.
    size_bytes = 4 * sum(map(len, texts))
    if size_bytes > ANNOTATION_BYTES_MAX:
        size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes > ANNOTATION_BYTES_MAX:
        raise Refused(
            f"annotations of {size_bytes} bytes, limit {ANNOTATION_BYTES_MAX}",
            field=field,
            code="too_large",
        )
    return tuple(sorted([(name, text or "") for name, text in given.items()]))


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
