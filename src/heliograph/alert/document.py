"""An alert as the outside sees it: the fields of `GET /v1/alerts`, wherever they are shown or sent.

Text is as it was posted; who sends it on cleans it for where it goes.
"""

from typing import Any

from heliograph.alert.model import Alert, Suppression
from heliograph.core import instant
from heliograph.core.labels import Labels
from heliograph.kernels import label_sets

NO_SUPPRESSION = Suppression()


def document(
    alert: Alert, now_ns: int, suppression: Suppression = NO_SUPPRESSION
) -> dict[str, Any]:
    """The fields of *alert* at *now_ns* but its two kept documents, `raw_data` and `enriched_data`."""
    whose = alert.context
    return {
        "id": alert.id,
        "fingerprint": alert.fingerprint,
        "source": alert.source,
        "alert_name": alert.name,
        "severity": alert.severity,
        "status": alert.status(now_ns).value,
        "suppressed_by": {
            "silences": list(suppression.silences),
            "inhibitors": list(suppression.inhibitors),
            "mutes": list(suppression.mutes),
        },
        "starts_at": instant.text_of(alert.starts_ns),
        "ends_at": _ended(alert, now_ns),
        "updated_at": instant.text_of(alert.updated_ns),
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "generator_url": alert.generator_url,
        "workload_id": whose.workload_id,
        "workload_name": whose.workload_name,
        "workload_uid": whose.workload_uid,
        "pod_name": whose.pod_name,
        "pod_id": whose.pod_id,
        "node_name": whose.node_name,
        "cluster_name": whose.cluster_name,
        "episode": alert.episode,
        "count": alert.count,
    }


def foreign_fingerprint(labels: Labels) -> str:
    """What Alertmanager calls an alert of canonical *labels*; its API and webhooks have it."""
    return label_sets.foreign(labels)


def _ended(alert: Alert, now_ns: int) -> str | None:
    """The end of an episode that is over; an end ahead is a guess, and nobody's to rely on."""
    if alert.ends_ns is None or alert.ends_ns > now_ns:
        return None
    return instant.text_of(alert.ends_ns)
