"""What happened to a workload, in the order of time: records of its pods, and its alerts.

An alert stands where it began, as `GET /v1/alerts` shows it, with `timestamp`, and `event_type` and
`source_kind` `alert`; what is shared of an instant is told by the alert first.
A finding that follows from another has its `cause`: what may have caused it, as far as pods of the
workload or their nodes told of something.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph.alert.model import Alert
from heliograph.core import instant
from heliograph.core.owner import Pod
from heliograph.core.record import Record
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state import alert_pages
from heliograph.store.state.state import State
from heliograph.training.findings import causes
from heliograph.wire import records as wire_records
from heliograph.workloads.directory import Directory

# Alerts of one timeline, the newest of its span; and workloads below one, whose alerts are its too.
ALERTS_MAX = 1000
BELOW_MAX = 64
# Roots that may have caused the findings of one page, the oldest; and nodes that are asked for them.
ROOTS_MAX = 1000
NODES_MAX = 1000

_KIND = {"event_type": "alert", "source_kind": "alert"}


class Timeline:
    """Reads timelines. *shown* is alerts as their list shows them. Thread-safe."""

    def __init__(
        self,
        state: State,
        records: RecordStore,
        shown: Callable[[Sequence[Alert]], list[dict[str, Any]]],
    ) -> None:
        self._state = state
        self._records = records
        self._shown = shown

    def page(
        self,
        uid: str,
        directory: Directory,
        *,
        start_ns: int,
        end_ns: int,
        offset: int,
        limit: int,
    ) -> tuple[list[Mapping[str, Any]], int]:
        """One page of the timeline of workload *uid* in `[start_ns, end_ns)`, oldest first, and how
        many there are. Raises Refused for a page too far."""
        pods = directory.pods_of(uid)
        streams = [pod.uid for pod in pods]
        below = dict.fromkeys([uid, *(pod.workload_uid for pod in pods if pod.workload_uid)])
        alerts = self._alerts(list(below)[:BELOW_MAX], start_ns, end_ns)

        def place(index: int) -> int:
            """Where the alert stands among all."""
            before = self._records.query(
                streams=streams,
                start_ns=start_ns,
                end_ns=alerts[index].starts_ns,
                newest_first=False,
                offset=0,
                limit=0,
            )
            return index + before.total

        first = bisect_left(range(len(alerts)), offset, key=place)
        page = self._records.query(
            streams=streams,
            start_ns=start_ns,
            end_ns=end_ns,
            newest_first=False,
            offset=offset - first,
            limit=limit,
        )
        some = alerts[first : first + limit]
        placed = [
            *(
                ((alert.starts_ns, 0), _alert(alert, view))
                for alert, view in zip(some, self._shown(some), strict=True)
            ),
            *(((one["timestamp_ns"], 1), one) for one in self._explained(page.items, pods)),
        ]
        placed.sort(key=lambda item: item[0])
        return [item for _, item in placed[:limit]], page.total + len(alerts)

    def _explained(
        self, records: Sequence[Record], pods: Sequence[Pod]
    ) -> list[dict[str, Any]]:
        """*records* as documents, each with what may have caused it, where there is something."""
        documents = [wire_records.document(one) for one in records]
        findings = [_finding(one) for one in records]
        start_ns = causes.searched_from_ns(findings)
        if start_ns is None:
            return documents
        nodes = dict.fromkeys(pod.node for pod in pods if pod.node)
        roots = self._records.query(
            streams=[*(pod.uid for pod in pods), *list(nodes)[:NODES_MAX]],
            types=causes.TYPES,
            start_ns=start_ns,
            end_ns=max(one.at_ns for one in findings) + 1,
            newest_first=False,
            offset=0,
            limit=ROOTS_MAX,
        )
        found = causes.causes(findings, map(_finding, roots.items))
        for document in documents:
            cause = found.get(document["record_id"])
            if cause is not None:
                document["cause"] = {
                    "record_id": cause.record_id,
                    "event_type": cause.event_type,
                    "timestamp": instant.text_of(cause.at_ns),
                }
        return documents

    def _alerts(self, uids: Sequence[str], start_ns: int, end_ns: int) -> list[Alert]:
        found: dict[str, Alert] = {}
        for uid in uids:
            filters = alert_pages.Filters(workload_id=uid, start_ns=start_ns, end_ns=end_ns)
            page = self._state.read(
                lambda tx, filters=filters: alert_pages.page(  # type: ignore[misc]
                    tx, filters, now_ns=end_ns, limit=ALERTS_MAX
                )
            )
            found |= {alert.id: alert for alert in page.items}
        ordered = sorted(found.values(), key=lambda alert: (alert.starts_ns, alert.id))
        return ordered[-ALERTS_MAX:]


def _finding(record: Record) -> causes.Finding:
    return causes.Finding(
        record.record_id,
        record.timestamp_ns,
        record.event_type,
        record.severity or "",
        record.attributes,
    )


def _alert(alert: Alert, view: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"timestamp": instant.text_of(alert.starts_ns), **_KIND, **view}
