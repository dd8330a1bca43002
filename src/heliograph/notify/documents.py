"""The two bodies of a webhook.

    alertmanager   {"receiver", "status", "alerts": […], "groupLabels", …, "version": "4"}
    heliograph     {"status", "receiver", "group_labels", "alerts": [as GET /v1/alerts has them], …}

Source: Alertmanager, "Webhook receiver", version 4.
"""

from typing import Any

import msgspec

from heliograph.alert.document import document, foreign_fingerprint
from heliograph.alert.model import Alert, Status
from heliograph.core import instant
from heliograph.notify.facts import Facts, Shown, pairs_of, plain, shared
from heliograph.notify.split import clean

ZERO_TIME = "0001-01-01T00:00:00Z"


def alertmanager(facts: Facts, *, alerts_max: int = 0) -> dict[str, Any]:
    """The webhook of version 4, of at most *alerts_max* alerts (0: all); it says how many are not."""
    message = facts.message
    shown, left_out = _cut(facts, alerts_max)
    labels, annotations = shared(facts, shown)
    return {
        "receiver": facts.receiver_pattern,
        "status": facts.status.value,
        "alerts": [_foreign(one) for one in shown],
        "groupLabels": plain(facts.group_labels),
        "commonLabels": plain(labels),
        "commonAnnotations": plain(annotations),
        "externalURL": clean(message.external_url),
        "version": "4",
        "groupKey": facts.foreign_key,
        "truncatedAlerts": left_out,
        "notification_reason": message.reason.value,
    }


def heliograph(facts: Facts, *, alerts_max: int = 0) -> dict[str, Any]:
    """Our own: whole alerts, with whose they are and what was posted."""
    message = facts.message
    shown, left_out = _cut(facts, alerts_max)
    return {
        "status": facts.status.value,
        "receiver": clean(message.receiver),
        "group_labels": plain(facts.group_labels),
        "alerts": [_own(one, message.now_ns) for one in shown],
        "common_labels": plain(facts.shared_labels),
        "common_annotations": plain(facts.shared_annotations),
        "group_key": clean(message.group_key),
        "key": message.key,
        "reason": message.reason.value,
        "external_url": clean(message.external_url),
        "truncated": left_out,
    }


def go_time(at_ns: int) -> str:
    """RFC 3339 as Go writes it: no zeros at the end of the fraction."""
    text = instant.text_of(at_ns)
    return text[:-1].rstrip("0") + "Z" if "." in text else text


def _cut(facts: Facts, alerts_max: int) -> tuple[tuple[Shown, ...], int]:
    if alerts_max <= 0 or len(facts.alerts) <= alerts_max:
        return facts.alerts, facts.message.truncated
    # What fires before what is over, also where a past episode stands before it.
    alerts = facts.alerts
    order = sorted(range(len(alerts)), key=lambda n: alerts[n].status is not Status.FIRING)
    shown = tuple(alerts[n] for n in sorted(order[:alerts_max]))
    return shown, facts.message.truncated + len(alerts) - len(shown)


def _foreign(one: Shown) -> dict[str, Any]:
    alert = one.alert
    over = one.status is Status.RESOLVED and alert.ends_ns is not None
    return {
        "status": one.status.value,
        "labels": plain(one.labels),
        "annotations": plain(one.annotations),
        "startsAt": go_time(alert.starts_ns),
        "endsAt": go_time(alert.ends_ns or 0) if over else ZERO_TIME,
        "generatorURL": clean(alert.generator_url),
        # Of the labels that it was posted with, as Alertmanager would have it.
        "fingerprint": foreign_fingerprint(alert.labels),
    }


def _own(one: Shown, now_ns: int) -> dict[str, Any]:
    fields = document(one.alert, now_ns)
    return {
        **{
            key: clean(value) if isinstance(value, str) else value
            for key, value in fields.items()
        },
        # As they were posted: what is known beyond has its own fields here.
        "labels": plain(pairs_of(one.alert.labels)),
        "annotations": plain(one.annotations),
        "enriched_data": _document(one.alert.enriched),
        "raw_data": _document(one.alert.raw),
    }


def _document(raw: bytes) -> Any:
    """The kept document, or None where only the store has it."""
    if not raw or raw == Alert.__struct_defaults__[-1]:
        return None
    try:
        return msgspec.Raw(raw) if msgspec.json.decode(raw) is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
