"""What a real Alertmanager 0.25 sent, as messages of ours."""

import json

from heliograph.alert.model import Alert, Message, Reason
from heliograph.core import instant
from heliograph.core import labels as labels_of


def notifications(shared_data, kind):
    recorded = json.loads(
        (shared_data / "recorded/notify_out/alertmanager025_end_to_end.json").read_text()
    )
    return [one["body"] for one in recorded["notifications"] if one["kind"] == kind]


def message(body):
    """The message of a recorded webhook's *body*."""
    return Message(
        key=body["groupKey"],
        receiver=body["receiver"],
        group_key=body["groupKey"],
        group_labels=labels_of.of(body["groupLabels"]),
        reason=Reason.FIRST,
        alerts=tuple(_alert(one) for one in body["alerts"]),
        now_ns=instant.parse("2026-11-22T01:00:00Z"),
        external_url=body["externalURL"],
        common_labels=labels_of.of(body["commonLabels"]),
        common_annotations=labels_of.of(body["commonAnnotations"]),
    )


def _alert(one):
    own = labels_of.of(one["labels"])
    ends = one["endsAt"]
    return Alert(
        id=one["fingerprint"],
        fingerprint=labels_of.fingerprint(own),
        source="metric",
        labels=own,
        annotations=labels_of.of(one["annotations"]),
        starts_ns=instant.parse(one["startsAt"]),
        ends_ns=None if ends.startswith("0001") else instant.parse(ends),
        timed_out=False,
        created_ns=0,
        updated_ns=0,
        generator_url=one["generatorURL"],
        severity=one["labels"].get("severity", ""),
    )
