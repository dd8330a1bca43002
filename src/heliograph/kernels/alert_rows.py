"""Rows of episodes, many at a time: what of an alert is a column, and the document of the rest.

    texts = documents(alerts, document)                             the rest of each, in MessagePack
    rows(alerts, texts, raws, enriched, stored_kind, stored, kinds)  the columns of each, and of all
    sheets(alerts, document, pack, 50, 8192)                        all that they say, by 50

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
) -> tuple[list[Any], tuple[Any, ...]]:
    """Of each of *alerts*, one after the other: id; name, severity and cluster as they are stored;
    workload, pod and node likewise; the number of its kind; start, end; its one of *enriched*. And
    what all have, if they have the same, else it is with each too: source as it is stored, whether
    it is open, creation, update, count, its one of *documents* and of *raws*.

    *stored_kind* gives the four texts as they are stored, and their number, which is added to
    *kinds*; *stored* one other text.
    """
    own, rest = [], []
    for alert, document, raw, more in zip(alerts, documents, raws, enriched, strict=True):
        of = alert.context
        name = next((value for name, value in alert.labels if name == "alertname"), "")
        texts = (alert.source, name, alert.severity, of.cluster_name)
        kind = stored_kind(*texts)
        kinds[kind[4]] = texts
        ends_ns, updated_ns = alert.ends_ns, alert.updated_ns
        is_open = 1 if ends_ns is None or ends_ns > updated_ns else 0
        places = [text and stored(text) for text in (of.workload_id, of.pod_name, of.node_name)]
        own.append((alert.id, *kind[1:4], *places, kind[4], alert.starts_ns, ends_ns, more))
        rest.append(
            (kind[0], is_open, alert.created_ns, updated_ns, alert.count, document, raw)
        )
    if all(one == rest[0] for one in rest):
        return [value for one in own for value in one], rest[0] if rest else ()
    return [value for one in zip(own, rest, strict=True) for some in one for value in some], ()


def documents(alerts: Iterable[Any], document: Callable[[Any], bytes]) -> list[bytes]:
    """What *document* makes of each of *alerts*: in MessagePack a list of fingerprint, labels,
    annotations, whether the end is a guess, URL, severity, values of the context, episode, number
    in the log and entities."""
    return [document(alert) for alert in alerts]


def sheets(
    alerts: Sequence[Any],
    document: Callable[[Any], bytes],
    pack: Callable[[list[bytes]], bytes],
    size: int,
    bytes_max: int,
) -> list[tuple[int, bytes, bytes]] | None:
    """For each *size* of *alerts* how many they are, their documents, and their `raw` and `enriched`
    in turns, both as *pack* packs a list: in MessagePack. None where one does not say all three, or
    says more than *bytes_max*."""
    found = []
    for begin in range(0, len(alerts), size):
        some = alerts[begin : begin + size]
        texts = documents(some, document)
        for alert, text in zip(some, texts, strict=True):
            bytes_ = len(text) + len(alert.raw) + len(alert.enriched)
            if not alert.raw or not alert.enriched or bytes_ > bytes_max:
                return None
        raws = [text for alert in some for text in (alert.raw, alert.enriched)]
        found.append((len(some), pack(texts), pack(raws)))
    return found
