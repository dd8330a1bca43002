"""What is stored, and what changes in it: the result of reconciling a source with the past.

A `Draft` collects the effects of one document or batch over a `Stored`; `finish` says what
differs, and which stretches of the past belong to somebody else now (`dirty`), so that roll-ups
over them are computed anew. Applying the same input again gives a change that is empty.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from heliograph.core.owner import ANCESTORS_MAX, Hold, Pod, Workload

Span = tuple[int, int]


class Stored(NamedTuple):
    """All that is known, by uid; holds by their pod, in order of start, disjoint for a device."""

    workloads: Mapping[str, Workload]
    pods: Mapping[str, Pod]
    holds: Mapping[str, tuple[Hold, ...]]


EMPTY = Stored({}, {}, {})


class Change(NamedTuple):
    """What to write.

    workloads, pods   new or changed rows, upserted by uid
    holds             pod uid → all holds of that pod, replacing those stored
    dirty             `[start_ns, end_ns)` before now whose owners changed; sorted, disjoint
    """

    workloads: tuple[Workload, ...] = ()
    pods: tuple[Pod, ...] = ()
    holds: Mapping[str, tuple[Hold, ...]] = {}
    dirty: tuple[Span, ...] = ()

    @property
    def empty(self) -> bool:
        """True when there is nothing to write."""
        return not (self.workloads or self.pods or self.holds)


def updated(stored: Stored, change: Change) -> Stored:
    """*stored* with *change* written to it."""
    return Stored(
        {**stored.workloads, **{workload.uid: workload for workload in change.workloads}},
        {**stored.pods, **{pod.uid: pod for pod in change.pods}},
        {**stored.holds, **change.holds},
    )


class Draft:
    """The state as it will be: *stored* with what was put over it."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._workloads: dict[str, Workload] = {}
        self._pods: dict[str, Pod] = {}
        self._holds: dict[str, tuple[Hold, ...]] = {}

    def workload(self, uid: str) -> Workload | None:
        """The workload *uid*, or None."""
        return self._workloads.get(uid) or self._stored.workloads.get(uid)

    def pod(self, uid: str) -> Pod | None:
        """The pod *uid*, or None."""
        return self._pods.get(uid) or self._stored.pods.get(uid)

    def holds(self, pod_uid: str) -> tuple[Hold, ...]:
        """The holds of a pod."""
        found = self._holds.get(pod_uid)
        return self._stored.holds.get(pod_uid, ()) if found is None else found

    def put_workload(self, workload: Workload) -> None:
        """Set a workload."""
        self._workloads[workload.uid] = workload

    def put_pod(self, pod: Pod, holds: Iterable[Hold]) -> None:
        """Set a pod and all its holds."""
        self._pods[pod.uid] = pod
        self._holds[pod.uid] = tidy(holds)

    def finish(self, now_ns: int) -> Change:
        """What differs from the stored state, as of *now_ns*."""
        stored = self._stored
        workloads = {
            uid: new for uid, new in self._workloads.items() if stored.workloads.get(uid) != new
        }
        pods = {uid: new for uid, new in self._pods.items() if stored.pods.get(uid) != new}
        holds = {
            uid: new for uid, new in self._holds.items() if stored.holds.get(uid, ()) != new
        }
        spans: list[Span] = []
        for uid in pods.keys() | holds.keys():
            spans += self._changed(uid, now_ns)
        moved = {
            uid for uid, new in workloads.items() if _renamed(stored.workloads.get(uid), new)
        }
        if moved:
            spans += self._of_workloads(moved, now_ns)
        return Change(
            tuple(workloads.values()), tuple(pods.values()), holds, _merged(spans, now_ns)
        )

    def _changed(self, uid: str, now_ns: int) -> list[Span]:
        """Where the pod *uid* owned something before or after, and not alike in both."""
        old, new = self._stored.pods.get(uid), self.pod(uid)
        assert new is not None
        before = {} if old is None else _coverage(old, self._stored.holds.get(uid, ()))
        after = _coverage(new, self.holds(uid))
        if old is not None and _identity(old) != _identity(new):
            # Another name or workload: all that was its own is told differently.
            return [
                _closed(span, now_ns)
                for of in (before, after)
                for s in of.values()
                for span in s
            ]
        return [
            span
            for key in before.keys() | after.keys()
            for span in _difference(before.get(key, []), after.get(key, []), now_ns)
        ]

    def _of_workloads(self, uids: set[str], now_ns: int) -> list[Span]:
        """The spans of all pods that have one of *uids* above them."""
        spans = []
        for pod_uid in self._stored.pods.keys() | self._pods.keys():
            pod = self.pod(pod_uid)
            assert pod is not None
            above = pod.workload_uid
            for _ in range(ANCESTORS_MAX + 1):
                if above is None:
                    break
                if above in uids:
                    spans.append(_closed((pod.start_ns, pod.end_ns), now_ns))
                    break
                workload = self.workload(above)
                above = workload.parent_uid if workload else None
        return spans


def tidy(holds: Iterable[Hold]) -> tuple[Hold, ...]:
    """*holds* of one pod in order of start; empty ones gone, touching ones of a device joined."""
    joined: dict[tuple[object, ...], list[Hold]] = {}
    for hold in sorted(holds, key=lambda hold: hold.start_ns):
        if hold.end_ns is not None and hold.end_ns <= hold.start_ns:
            continue
        of_device = joined.setdefault((hold.node, hold.device), [])
        last = of_device[-1] if of_device else None
        if last is None or (last.end_ns is not None and last.end_ns < hold.start_ns):
            of_device.append(hold)
        elif last.end_ns is not None:
            end_ns = None if hold.end_ns is None else max(last.end_ns, hold.end_ns)
            of_device[-1] = last._replace(end_ns=end_ns)
    found = (hold for of_device in joined.values() for hold in of_device)
    return tuple(sorted(found, key=lambda hold: (hold.start_ns, hold.device[:2], hold.node)))


def _identity(pod: Pod) -> tuple[object, ...]:
    return pod.name, pod.namespace, pod.workload_uid


def _renamed(old: Workload | None, new: Workload) -> bool:
    """Whether *new* is told differently by its pods; a status is not part of their labels."""
    return old is None or old._replace(status="", namespace="") != new._replace(
        status="", namespace=""
    )


def _coverage(pod: Pod, holds: Iterable[Hold]) -> dict[object, list[tuple[int, int | None]]]:
    coverage: dict[object, list[tuple[int, int | None]]] = {}
    coverage[None] = [(pod.start_ns, pod.end_ns)]
    for hold in holds:
        coverage.setdefault((hold.node, hold.device), []).append((hold.start_ns, hold.end_ns))
    return coverage


def _closed(span: tuple[int, int | None], now_ns: int) -> Span:
    start_ns, end_ns = span
    return start_ns, now_ns if end_ns is None else min(end_ns, now_ns)


def _difference(
    a: list[tuple[int, int | None]], b: list[tuple[int, int | None]], now_ns: int
) -> list[Span]:
    """Where exactly one of *a* and *b* holds, before *now_ns*. Each is disjoint in itself."""
    edges = sorted(edge for span in (*a, *b) for edge in _closed(span, max(now_ns, span[0])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def _merged(spans: Iterable[Span], now_ns: int) -> tuple[Span, ...]:
    merged: list[Span] = []
    for start_ns, end in sorted(spans):
        end_ns = min(end, now_ns)
        if start_ns >= end_ns:
            continue
        if merged and start_ns <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_ns))
        else:
            merged.append((start_ns, end_ns))
    return tuple(merged)
