"""Rows of episodes, many at a time: what of an alert is a column, and the document of the rest.

    texts = documents(alerts, document)                             the rest of each, in MessagePack
    rows(alerts, texts, raws, enriched, stored_kind, stored, kinds)  the columns of each

Alerts are those of `alert.model`, of which attributes alone are used here. Plain twin of
`alert_rows.pyx` (decision 0010).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

COMPILED = False

Kind = tuple[str, str, str, str]


def rows(
    alerts: Sequence[Any],
    documents: Sequence[bytes | bytearray],
    raws: Sequence[bytes | bytearray],
    enriched: Sequence[bytes | bytearray],
    stored_kind: Callable[[str, str, str, str], tuple[Any, ...]],
    stored: Callable[[str], str],
    kinds: dict[int, Kind],
) -> list[tuple[Any, ...]]:
    """Of each of *alerts*: id; source, name, severity and cluster as they are stored; workload, pod
    and node likewise; the number of its kind; whether it is open; start, end, creation, update,
    count; and its one of *documents*, *raws* and *enriched*.

    *stored_kind* gives the four texts as they are stored, and their number, which is added to
    *kinds*; *stored* one other text.
    """
    found = []
    for alert, *says in zip(alerts, documents, raws, enriched, strict=True):
        of = alert.context
        name = next((value for name, value in alert.labels if name == "alertname"), "")
        texts = (alert.source, name, alert.severity, of.cluster_name)
        kind = stored_kind(*texts)
        kinds[kind[4]] = texts
        ends_ns, updated_ns = alert.ends_ns, alert.updated_ns
        found.append(
            (
                alert.id,
                *kind[:4],
                of.workload_id and stored(of.workload_id),
                of.pod_name and stored(of.pod_name),
                of.node_name and stored(of.node_name),
                kind[4],
                1 if ends_ns is None or ends_ns > updated_ns else 0,
                alert.starts_ns,
                ends_ns,
                alert.created_ns,
                updated_ns,
                alert.count,
                *says,
            )
        )
    return found


def documents(alerts: Iterable[Any], document: Callable[[Any], bytes]) -> list[bytes]:
    """What *document* makes of each of *alerts*: in MessagePack a list of fingerprint, labels,
    annotations, whether the end is a guess, URL, severity, values of the context, episode, number
    in the log and entities."""
    return [document(alert) for alert in alerts]
