"""Alerts as Alertmanager and Grafana hand them on: webhook version 4, or its bare list of alerts.

    {"version": "4", "status": "firing", "groupLabels": {…}, "commonLabels": {…},
     "commonAnnotations": {…}, "truncatedAlerts": 0,
     "alerts": [{"status": "firing", "labels": {…}, "annotations": {…}, "startsAt": "…",
                 "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "…", "fingerprint": "…"}]}

Each alert's own status counts: a body may mix firing and resolved. What labels and annotations are
common fills gaps only. A foreign fingerprint is not the identity, the labels are. An alert without
`status` is one of the v2 API, whose end decides, and is refused where that is no time. A start that
cannot be read, or that is ahead, is the time of arrival: an alert is not lost to a clock.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from heliograph.alert.model import Post
from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import alerts, json_body
from heliograph.receive.alert_labels import identity
from heliograph.receive.alerts import ALERTS_MAX, Posted, Times, unfit

STATUSES = ("firing", "resolved")


class _Body(msgspec.Struct):
    """A webhook body; what it does not name is ignored, and kept with each alert's own document."""

    alerts: list[msgspec.Raw]
    commonLabels: dict[str, Any] | None = None  # noqa: N815 - the format's names
    commonAnnotations: dict[str, Any] | None = None  # noqa: N815
    status: str | None = None
    truncatedAlerts: int | None = None  # noqa: N815


_any = msgspec.json.Decoder()
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_body = msgspec.json.Decoder(_Body)


def decode(body: bytes, times: Times) -> Posted:
    """The alerts of *body*. Raises Refused when it is neither a webhook body nor an array."""
    if body.lstrip()[:1] == b"[":
        given, where = _Body(alerts=json_body.legible(body, _elements)[1]), ""
    else:
        given, where = json_body.legible(body, _body)[1], "alerts"
    if len(given.alerts) > ALERTS_MAX:
        raise Refused(
            f"{len(given.alerts)} alerts, limit {ALERTS_MAX}",
            field="alerts",
            code="too_many",
            status=413,
        )
    truncated = max(0, given.truncatedAlerts or 0)
    posted = Posted([], [], [], truncated)
    for index, raw in enumerate(given.alerts):
        try:
            posted.posts.append(_post(bytes(raw), f"{where}[{index}]", given, times))
            posted.places.append(index)
        except Refused as refused:
            posted.unfit.append(unfit(index, refused))
    return posted


def _post(raw: bytes, field: str, given: _Body, times: Times) -> Post:
    raw, alert = json_body.legible(raw, _any, field)
    if not isinstance(alert, dict):
        raise Refused("expected an object", field=field)
    known = identity(
        pairs(alert.get("labels"), f"{field}.labels", given.commonLabels),
        f"{field}.labels",
        classic=False,
    )
    status = alert.get("status")
    if status is not None and status not in STATUSES:
        raise Refused(
            f"is one of {', '.join(STATUSES)}; got {str(status)[:50]!r}",
            field=f"{field}.status",
            code="status",
        )
    starts_ns, ends_ns = _span(alert, status, field, times)
    noted = pairs(alert.get("annotations"), f"{field}.annotations", given.commonAnnotations)
    generator = alert.get("generatorURL")
    return Post(
        source="metric",
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=alerts.annotations(noted, f"{field}.annotations"),
        received_ns=times.now_ns,
        at_ns=times.now_ns if starts_ns is None else starts_ns,
        # A webhook tells of the end; the v2 API leaves it to the time-out.
        resolve_after_ns=times.resolve_after_ns if status is None else 0,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        status=status or "",
        generator_url=generator[: alerts.URL_BYTES_MAX] if isinstance(generator, str) else "",
        severity=known.severity,
        raw=raw,
    )


def _span(
    alert: dict[str, Any], status: str | None, field: str, times: Times
) -> tuple[int | None, int | None]:
    """Start and end, as far as the alert's own status lets them count."""
    ends_ns = instant_of(alert.get("endsAt"), f"{field}.endsAt", alerts.parsed_end)
    ends_ns = alerts.moved(ends_ns, times.ahead_ns)
    try:
        starts_ns = instant_of(alert.get("startsAt"), "")
    except Refused:
        starts_ns = None
    if status == "firing":
        ends_ns = None
    elif status == "resolved" and (ends_ns is None or ends_ns > times.now_ns):
        ends_ns = times.now_ns
    if starts_ns is not None:
        starts_ns = min(starts_ns, times.now_ns, times.now_ns if ends_ns is None else ends_ns)
    return starts_ns, ends_ns


def instant_of(
    given: object, field: str, parse: Callable[[str], int | None] | None = None
) -> int | None:
    """RFC 3339 or epoch seconds; None for what is absent, or Go's zero. Raises Refused naming
    *field*."""
    if given is None or isinstance(given, str):
        return alerts.instant_of(given, field, parse)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise Refused("expected RFC 3339 text or epoch seconds", field=field, code="time")
    try:
        return instant.of_written(given)
    except (ValueError, OverflowError) as error:
        raise Refused(str(error), field=field, code="time") from error


def pairs(
    given: object, field: str, common: dict[str, Any] | None = None
) -> dict[str, str | None]:
    """The object *given* with values as text, after *common*. Raises Refused naming *field*."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise Refused("expected an object", field=field)
    return {name: as_text(value) for name, value in {**(common or {}), **given}.items()}


def as_text(value: object) -> str:
    """*value* as a label's text: JSON's own notation for what is not text, null is ""."""
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()
