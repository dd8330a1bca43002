"""Alerts as Alertmanager and Grafana hand them on: webhook version 4, or its bare list of alerts.

    {"version": "4", "status": "firing", "groupLabels": {…}, "commonLabels": {…},
     "commonAnnotations": {…}, "truncatedAlerts": 0,
     "alerts": [{"status": "firing", "labels": {…}, "annotations": {…}, "startsAt": "…",
                 "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "…", "fingerprint": "…"}]}

Each alert's own status counts: a body may mix firing and resolved. What labels and annotations are
common fills gaps only. A foreign fingerprint is not the identity, the labels are. An alert without
`status` is one of the v2 API, whose end decides. A start that cannot be read is the time of arrival:
an alert is not lost to a clock's notation.
"""

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

    alerts: list[Any]
    commonLabels: dict[str, Any] | None = None  # noqa: N815 - the format's names
    commonAnnotations: dict[str, Any] | None = None  # noqa: N815
    status: str | None = None
    truncatedAlerts: int | None = None  # noqa: N815


_any = msgspec.json.Decoder()
_body = msgspec.json.Decoder(_Body)


def decode(body: bytes, times: Times) -> Posted:
    """The alerts of *body*. Raises Refused when it is neither a webhook body nor an array."""
    if body.lstrip()[:1] == b"[":
        given, where = _Body(alerts=json_body.document(body, _any)), ""
    else:
        given, where = json_body.document(body, _body), "alerts"
    if len(given.alerts) > ALERTS_MAX:
        raise Refused(
            f"{len(given.alerts)} alerts, limit {ALERTS_MAX}",
            field="alerts",
            code="too_many",
            status=413,
        )
    truncated = max(0, given.truncatedAlerts or 0)
    posted = Posted([], [], [], truncated)
    for index, alert in enumerate(given.alerts):
        try:
            posted.posts.append(_post(alert, f"{where}[{index}]", given, times))
            posted.places.append(index)
        except Refused as refused:
            posted.unfit.append(unfit(index, refused))
    return posted


def _post(alert: object, field: str, given: _Body, times: Times) -> Post:
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
    starts_ns, ends_ns = _span(alert, status, times)
    noted = pairs(alert.get("annotations"), f"{field}.annotations", given.commonAnnotations)
    generator = alert.get("generatorURL")
    return Post(
        source="metric",
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=alerts.annotations(noted, f"{field}.annotations"),
        received_ns=times.now_ns,
        at_ns=times.now_ns if starts_ns is None else min(starts_ns, times.now_ns),
        # A webhook tells of the end; the v2 API leaves it to the time-out.
        resolve_after_ns=times.resolve_after_ns if status is None else 0,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        status=status or "",
        generator_url=generator[: alerts.URL_BYTES_MAX] if isinstance(generator, str) else "",
        severity=known.severity,
        raw=msgspec.json.encode(alert),
    )


def _span(
    alert: dict[str, Any], status: str | None, times: Times
) -> tuple[int | None, int | None]:
    """Start and end, as far as the alert's own status lets them count."""
    starts_ns, ends_ns = _instant(alert.get("startsAt")), _instant(alert.get("endsAt"))
    ends_ns = alerts.moved(ends_ns, times.ahead_ns)
    if status == "firing":
        ends_ns = None
    elif status == "resolved" and (ends_ns is None or ends_ns > times.now_ns):
        ends_ns = times.now_ns
    if starts_ns is not None and ends_ns is not None:
        starts_ns = min(starts_ns, ends_ns)
    return starts_ns, ends_ns


def _instant(given: object) -> int | None:
    """RFC 3339 or epoch seconds; None for what is neither."""
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return instant.of_written(given)
        return alerts.instant_of(given if isinstance(given, str) else None, "")
    except (Refused, ValueError):
        return None


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
