"""What a channel may say of a message: labels and annotations as they are shown, and who has which
status; computed once for an attempt.

    facts = of(message)
    subject(facts) == "[FIRING:2] GPUXidError gpu-node-01 (c1 train llama-worker-0 critical)"

An alert is shown with the labels that it was posted with, and with severity and workload_id
from elsewhere where it lacks them. Source of the subject: Alertmanager's default.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote_plus

from msgspec import Struct

from heliograph.alert import model
from heliograph.alert.document import foreign_fingerprint
from heliograph.alert.model import Alert, Message, Status
from heliograph.core.labels import Labels
from heliograph.notify.split import clean
from heliograph.notify.template_values import Alerts, Fields, Moment, Pairs

# Of values in a subject; what is longer is no subject.
SUBJECT_CHARS_MAX = 900
# What means something in a pattern of Go's.
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
# What an alert is shown with also where no label says it.
_FROM_ELSEWHERE = ("severity", "workload_id")


class Shown(Struct, frozen=True):
    """One alert as it is shown."""

    alert: Alert
    status: Status
    labels: Pairs
    annotations: Pairs


class Facts(Struct, frozen=True):
    """One message as it is shown; *alerts* critical first, firing before resolved."""

    message: Message
    status: Status
    alerts: tuple[Shown, ...]
    group_labels: Pairs
    shared_labels: Pairs
    shared_annotations: Pairs

    @property
    def firing(self) -> list[Shown]:
        """Those that fire."""
        return [one for one in self.alerts if one.status is Status.FIRING]

    @property
    def receiver_pattern(self) -> str:
        """The receiver, as Alertmanager has it: the pattern that means this name alone."""
        return _SPECIAL.sub(r"\\\g<0>", clean(self.message.receiver))

    @property
    def foreign_key(self) -> str:
        """The group's key, as Alertmanager has it where the group is of a file's route."""
        return clean(self.message.foreign_key or self.message.group_key)

    @property
    def urgent(self) -> bool:
        """Whether a critical alert fires among them."""
        return any(model.is_urgent(_severity(one)) for one in self.firing)


def of(message: Message) -> Facts:
    """The facts of *message*."""
    alerts = _in_order([_shown(alert, message.now_ns) for alert in message.alerts])
    shared = pairs_of(message.common_labels)
    for name in _FROM_ELSEWHERE:
        values = {one.labels.get(name, "") for one in alerts}
        if name not in shared and len(values) == 1 and "" not in values:
            shared[name] = values.pop()
    return Facts(
        message=message,
        status=message.status,
        alerts=tuple(alerts),
        group_labels=pairs_of(message.group_labels),
        shared_labels=shared,
        shared_annotations=pairs_of(message.common_annotations),
    )


def shared(facts: Facts, alerts: Sequence[Shown]) -> tuple[Pairs, Pairs]:
    """The labels and the annotations that *alerts*, some of those of *facts*, share."""
    if len(alerts) == len(facts.alerts):
        return facts.shared_labels, facts.shared_annotations
    labels, annotations = (
        _in_all([tuple(pairs.items()) for pairs in of_each])
        for of_each in ([one.labels for one in alerts], [one.annotations for one in alerts])
    )
    return Pairs(labels), Pairs(annotations)


def _in_order(alerts: list[Shown]) -> list[Shown]:
    """What fires, the worst first, then what is over; but of one label set the past episodes stand
    before the one that fires: whoever knows an alert by its labels believes what it reads last."""
    alerts.sort(key=lambda one: (one.status is not Status.FIRING, rank(one)))
    firing = {one.alert.fingerprint for one in alerts if one.status is Status.FIRING}
    past: dict[str, list[Shown]] = {}
    for one in alerts:
        if one.status is not Status.FIRING and one.alert.fingerprint in firing:
            past.setdefault(one.alert.fingerprint, []).append(one)
    if not past:
        return alerts
    ordered: list[Shown] = []
    for one in alerts:
        episodes = past.get(one.alert.fingerprint, [])
        if one.status is Status.FIRING:
            ordered += sorted(episodes, key=lambda one: one.alert.starts_ns)
        if one.status is Status.FIRING or not episodes:
            ordered.append(one)
    return ordered


def rank(shown: Shown) -> int:
    """0 for what is critical, more for what is less so."""
    return model.rank(_severity(shown))


def _severity(shown: Shown) -> str:
    """What the engine goes by; the label, of an alert that has no more."""
    return shown.alert.severity or shown.labels.get("severity", "")


def together(messages: Sequence[Message]) -> Message:
    """One message of all *messages*: each alert once, as the latest of them has it."""
    latest = max(messages, key=lambda message: message.now_ns)
    alerts = {alert.id: alert for message in messages for alert in message.alerts}
    chosen = tuple(alerts.values())
    return Message(
        key="+".join(sorted(message.key for message in messages))[:200],
        receiver=latest.receiver,
        group_key="",
        group_labels=_in_all([message.group_labels for message in messages]),
        reason=latest.reason,
        alerts=chosen,
        now_ns=latest.now_ns,
        external_url=latest.external_url,
        common_labels=_in_all([message.common_labels for message in messages]),
        common_annotations=_in_all([message.common_annotations for message in messages]),
        truncated=sum(message.truncated for message in messages),
    )


def subject(facts: Facts) -> str:
    """One line that says what it is about."""
    count = f":{len(facts.firing)}" if facts.status is Status.FIRING else ""
    group = facts.group_labels
    parts = [f"[{facts.status.value.upper()}{count}]", *_values(group)]
    others = Pairs({k: v for k, v in facts.shared_labels.items() if k not in group})
    if others:
        parts.append(f"({' '.join(_values(others))})")
    line = " ".join(" ".join(parts).split())
    return line if len(line) <= SUBJECT_CHARS_MAX else line[: SUBJECT_CHARS_MAX - 1] + "…"


def page(facts: Facts) -> str:
    """Where the alerts are seen: Alertmanager's address of a receiver's alerts."""
    url = facts.message.external_url.rstrip("/")
    return f"{url}/#/alerts?receiver={_quoted(facts.receiver_pattern)}"


def data(facts: Facts) -> Fields:
    """What a template sees: Alertmanager's `Data`."""
    message = facts.message
    return Fields(
        {
            "Receiver": facts.receiver_pattern,
            "Status": facts.status.value,
            "Alerts": Alerts(_alert(one) for one in facts.alerts),
            "GroupLabels": facts.group_labels,
            "CommonLabels": facts.shared_labels,
            "CommonAnnotations": facts.shared_annotations,
            "ExternalURL": message.external_url,
            "GroupKey": facts.foreign_key,
            "NotificationReason": message.reason.value,
            "TruncatedAlerts": message.truncated,
        }
    )


def _alert(one: Shown) -> Fields:
    alert = one.alert
    ends_ns = alert.ends_ns if one.status is Status.RESOLVED else None
    return Fields(
        {
            "Status": one.status.value,
            "Labels": one.labels,
            "Annotations": one.annotations,
            "StartsAt": Moment(alert.starts_ns),
            "EndsAt": Moment(ends_ns),
            "GeneratorURL": clean(alert.generator_url),
            "Fingerprint": foreign_fingerprint(alert.labels),
        }
    )


def _shown(alert: Alert, now_ns: int) -> Shown:
    labels = pairs_of(alert.labels)
    for name, value in zip(
        _FROM_ELSEWHERE, (alert.severity, alert.context.workload_id), strict=True
    ):
        if value:
            labels.setdefault(name, clean(value))
    return Shown(
        alert=alert,
        status=alert.status(now_ns),
        labels=labels,
        annotations=pairs_of(alert.annotations),
    )


def pairs_of(labels: Iterable[tuple[str, str]]) -> Pairs:
    """*labels* as they were posted, or annotations, as UTF-8 can carry them."""
    return Pairs({clean(name): clean(value) for name, value in labels})


def _values(pairs: Pairs) -> list[str]:
    return [pairs[name] for name in pairs.sorted_names()]


def _in_all(labels: Sequence[Labels]) -> Labels:
    first, *others = [dict(one) for one in labels]
    return tuple(
        (name, value)
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    )


def _quoted(text: str) -> str:
    return quote_plus(text, errors="replace")


def plain(pairs: Mapping[str, str]) -> dict[str, str]:
    """*pairs* as a document has them: sorted by name."""
    return {name: pairs[name] for name in sorted(pairs)}
