"""Alerts as Prometheus and vmalert post them: Alertmanager's v2 API.

    [{"labels": {"alertname": "GPUHot", "gpu": "3"}, "annotations": {"summary": "…"},
      "startsAt": "2026-11-22T00:43:18.518764605Z", "endsAt": "2026-11-22T00:47:18Z",
      "generatorURL": "http://prometheus/graph?…"}]

Whether one fires is told by `endsAt` alone: a past end is a resolve, one that is ahead means firing
until then, and none means firing for the resolve time-out. `0001-01-01T00:00:00Z`, Go's zero, is
none. A start may be ahead, but not of the end. A bad alert does not cost the others. Source:
Alertmanager's OpenAPI document, v2, and its `api/v2/api.go`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from heliograph.alert.model import NOBODY, Post
from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.kernels import alert_bodies
from heliograph.kernels.alert_bodies import Fresh
from heliograph.receive import json_body
from heliograph.receive.alert_labels import at_fault, decoded, identity

ALERTS_MAX = 50_000
ANNOTATION_BYTES_MAX = 64 * 1024
TIME_CHARS_MAX = 64
# The last there is means that there is no end.
ENDS_NS_MAX = instant.AT_NS_MAX - 1
# JSON is longer than what it says, so nothing in so little of it is too large.
SMALL_BYTES = 16 * 1024
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

    @property
    def horizon_ns(self) -> int:
        """Until when an alert without an end fires, and so the latest start it may have."""
        return self.now_ns + self.resolve_after_ns


class _Alert(msgspec.Struct, gc=False):
    """One element; what it does not name is ignored."""

    labels: dict[str, str | None]
    annotations: dict[str, str | None] | None = None
    startsAt: str | None = None  # noqa: N815 - the API's names
    endsAt: str | None = None  # noqa: N815
    generatorURL: str | None = None  # noqa: N815


# What an absent key and a null leave.
_ABSENT = msgspec.Raw(b"null")


class _Sketch(_Alert, kw_only=True):
    """An element that is no `_Alert`, to find out why: labels are looked at last."""

    labels: msgspec.Raw = _ABSENT  # type: ignore[assignment]


class _Noted(msgspec.Struct):
    annotations: msgspec.Raw = _ABSENT


_elements = msgspec.json.Decoder(list[msgspec.Raw])
_alert = msgspec.json.Decoder(_Alert)
_sketch = msgspec.json.Decoder(_Sketch)
_noted = msgspec.json.Decoder(_Noted)


def decode(body: bytes, times: Times) -> Posted:
    """The alerts of *body*. Raises Refused when it is no array of at most ALERTS_MAX."""
    posted = Posted([], [], [])
    for index, element in enumerate(elements(body)):
        take(posted, index, element, times)
    return posted


def elements(body: bytes) -> list[msgspec.Raw]:
    """The alerts of *body*, not looked into. Raises Refused when it is no array of at most
    ALERTS_MAX."""
    given = body.strip()
    if not given:
        raise Refused("alerts in body is required", field="body", code="json", status=422)
    if given == b"null":
        # What Go writes of a list that was never made.
        return []
    _, found = json_body.legible(body, _elements)
    if len(found) > ALERTS_MAX:
        raise Refused(
            f"{len(found)} alerts, limit {ALERTS_MAX}",
            field="body",
            code="too_many",
            status=413,
        )
    return found


def take(posted: Posted, index: int, element: msgspec.Raw, times: Times) -> Post | None:
    """The post of *element*, number *index* of a body; added to *posted*, or what is unfit of it."""
    try:
        post = _post(bytes(element), times)
    except Refused as refused:
        field = f"[{index}]{refused.field}"
        posted.unfit.append(Unfit(index, field, refused.code, refused.detail, refused.status))
        return None
    posted.posts.append(post)
    posted.places.append(index)
    return post


def posts_of(fresh: list[Fresh], times: Times) -> list[Post]:
    """The posts of alerts that `kernels.alert_bodies` has read."""
    if times.ahead_ns:
        fresh = [(*one[:6], moved(one[6], times.ahead_ns), *one[7:]) for one in fresh]
    return alert_bodies.posts(Post, fresh, NOBODY, times.now_ns, times.resolve_after_ns)


def unfit(index: int, refused: Refused) -> Unfit:
    """What *refused* says of the element *index*."""
    field = refused.field or f"[{index}]"
    return Unfit(index, field, refused.code, refused.detail, refused.status)


def _post(raw: bytes, times: Times) -> Post:
    """The post of *raw*. Raises Refused with a field that goes on from the alert's own."""
    if not raw.isascii():
        raw = json_body.mended(raw)
    try:
        alert = _alert.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refused(raw) from error
    small = len(raw) <= SMALL_BYTES
    labels, fingerprint, severity = identity(alert.labels, ".labels", classic=True, small=small)
    starts_ns = instant_of(alert.startsAt, ".startsAt")
    ends_ns = instant_of(alert.endsAt, ".endsAt", parsed_end)
    now_ns = times.now_ns
    if starts_ns is not None and starts_ns > (times.horizon_ns if ends_ns is None else ends_ns):
        field = ".startsAt" if ends_ns is None else ".endsAt"
        raise Refused("start time must be before end time", field=field)
    if times.ahead_ns:
        ends_ns = moved(ends_ns, times.ahead_ns)
    return Post(
        "metric",
        labels,
        fingerprint,
        annotations(alert.annotations, ".annotations", small=small)
        if alert.annotations
        else (),
        now_ns,
        starts_ns if starts_ns is not None and starts_ns < now_ns else now_ns,
        times.resolve_after_ns,
        starts_ns,
        ends_ns,
        "",
        url(alert.generatorURL or "", ".generatorURL"),
        NOBODY,
        severity,
        raw,
        -1,
        alert.labels if len(alert.labels) == len(labels) else None,  # type: ignore[arg-type]
    )


def _refused(raw: bytes) -> Refused:
    """Why *raw* is no alert."""
    try:
        labels = bytes(_sketch.decode(raw).labels)
        if labels == b"null":
            return Refused("labels in body is required", field=".labels", status=422)
        decoded(labels, ".labels")
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        field = path.removesuffix("`")
        if field == ".annotations[...]":
            field = at_fault(bytes(_noted.decode(raw).annotations), ".annotations")
        return Refused(text, field=field)
    except Refused as refused:
        return refused
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return Refused("not JSON in UTF-8", field="", code="json")


def moved(ends_ns: int | None, ahead_ns: int) -> int | None:
    """The end that a sender named, on a clock that is *ahead_ns* of the sender's.

    Starts stay as they are: they would be another instant with every repeat, and so be news.
    """
    return None if ends_ns is None else min(ends_ns + ahead_ns, instant.AT_NS_MAX)


def instant_of(
    text: str | None, field: str, parse: Callable[[str], int | None] | None = None
) -> int | None:
    """Nanoseconds of RFC 3339 *text*, None where it is absent or Go's zero. Raises Refused."""
    if not text:
        return None
    if len(text) > TIME_CHARS_MAX:
        raise Refused(f"not an instant: {text[:TIME_CHARS_MAX]!r}", field=field, code="time")
    try:
        return (parse or _parsed)(text)
    except ValueError as error:
        raise Refused(str(error), field=field, code="time") from error


# The ends of one evaluation are one instant, and a start comes again as long as the alert fires.
@lru_cache(maxsize=8192)
def _parsed(text: str) -> int | None:
    return None if text.startswith(_ZERO) else instant.parse(text)


def parsed_end(text: str) -> int | None:
    """Nanoseconds of an end, which may be said to be after all that can be counted. None for Go's
    zero. Raises ValueError."""
    try:
        return _parsed(text)
    except ValueError:
        return min(instant.parse_end(text), ENDS_NS_MAX)


def annotations(given: dict[str, str | None], field: str, *, small: bool = False) -> Labels:
    """*given* in order of name. Raises Refused when they are too large together, which *small*
    says they are not."""
    if not small:
        texts = [*given, *filter(None, given.values())]
        size_bytes = sum(len(text.encode()) for text in texts)
        if size_bytes > ANNOTATION_BYTES_MAX:
            raise Refused(
                f"annotations of {size_bytes} bytes, limit {ANNOTATION_BYTES_MAX}",
                field=field,
                code="too_large",
            )
    if None in given.values():
        given = {name: text or "" for name, text in given.items()}
    return tuple(sorted(given.items()))  # type: ignore[arg-type]  # no None is left


@lru_cache(maxsize=1024)
def is_url(text: str) -> bool:
    """Whether Alertmanager takes *text* for a URL."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not any(c.isspace() for c in text) and (bool(parts.scheme) or text.startswith("/"))


def url(text: str, field: str) -> str:
    """*text* as it is, if it is a URL or nothing. Raises Refused 422, as Alertmanager answers."""
    if text and (len(text) > URL_BYTES_MAX or not is_url(text)):
        raise Refused(f"must be of type uri: {text[:200]!r}", field=field, status=422)
    return text
