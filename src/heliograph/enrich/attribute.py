"""Whose a series is, as spans of time: the view behind every `workload_*` series.

At each instant the first that holds decides (`api.md` §1):

    device label on its node   →  by "device"
    pod uid                    →  by "pod_uid"; a uid is one incarnation, so at any time, as
                                  clocks differ
    namespace and pod name     →  by "name", while the pod runs

A device that two pods hold at once is nobody's, and a pod uid that nobody told us is another
incarnation than the one of that name: neither falls through to the name. A device that is known
but not held at an instant does, and so does one that is not known.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN
from heliograph.core.labels import Labels
from heliograph.core.owner import Pod
from heliograph.enrich import device, identity
from heliograph.enrich.device import Match
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory, Owner

DEVICE, POD_UID, NAME = "device", "pod_uid", "name"
BY = (DEVICE, POD_UID, NAME)

# Why a sample has no owner.
NO_IDENTITY = "no_identity"  # no label names a device or a pod
UNKNOWN_NODE = "unknown_node"  # a device, on no node that we know
UNKNOWN_DEVICE = "unknown_device"  # a device that no pod ever held
NOT_HELD = "not_held"  # a device that no pod held then
SHARED_DEVICE = "shared_device"  # a device that several pods held at once
UNKNOWN_POD = "unknown_pod"
NOT_RUNNING = "not_running"  # a pod of that name, but not then
AMBIGUOUS_NAME = "ambiguous_name"  # several pods of that name ran then
NO_WORKLOAD = "no_workload"  # a pod that no workload is known of
REASONS = (
    NO_IDENTITY, UNKNOWN_NODE, UNKNOWN_DEVICE, NOT_HELD, SHARED_DEVICE, UNKNOWN_POD,
    NOT_RUNNING, AMBIGUOUS_NAME, NO_WORKLOAD,
)  # fmt: skip


class Span(NamedTuple):
    """Over `[start_ns, end_ns)`: the owner and what decided it, or the reason why there is none.

    pod_uid   the pod that was meant, "" where none; known also for reason `no_workload`
    """

    start_ns: int
    end_ns: int
    owner: Owner | None
    by: str | None
    reason: str | None
    pod_uid: str = ""


_Verdict = tuple[Owner | None, str | None, str | None, str]


def attribute(labels: Labels, directory: Directory) -> tuple[Span, ...]:
    """Spans of *labels* over all time, adjacent and in order; neighbours differ."""
    return attribute_identity(identity.of(labels), directory)


def attribute_identity(who: Identity, directory: Directory) -> tuple[Span, ...]:
    """The same for labels that were read already."""
    return Case(who, directory).spans()


def span_at(spans: tuple[Span, ...], at_ns: int) -> Span:
    """The one of *spans* that *at_ns* is in."""
    return spans[max(bisect_right(spans, at_ns, key=lambda span: span.start_ns) - 1, 0)]


def cuts(spans: tuple[Span, ...], start_ns: int, end_ns: int) -> tuple[int, ...]:
    """Instants within `(start_ns, end_ns)` at which the owner becomes another one, or none."""
    return tuple(
        after.start_ns
        for before, after in pairwise(spans)
        if start_ns < after.start_ns < end_ns and before.owner != after.owner
    )


class Case:
    """One identity before one directory: what is known of it, and how an instant is judged."""

    def __init__(self, who: Identity, directory: Directory) -> None:
        self.who = who
        self.directory = directory
        self.node = device.node_of(who, directory)
        self.matches = device.matches(who, self.node, directory) if who.names_device else []
        self.named: tuple[Pod, ...] = ()
        if who.pod_name and not who.pod_uid:
            self.named = directory.pods_named(who.pod_name, who.namespace or None)

    def spans(self) -> tuple[Span, ...]:
        """Whose it is over all time, adjacent and in order; neighbours differ."""
        if not self.matches and not self.named:
            return (Span(AT_NS_MIN, AT_NS_MAX, *self.verdict((), ())),)
        spans: list[Span] = []
        for start_ns, held, running in self.stretches():
            verdict = self.verdict(held, running)
            if spans and spans[-1][2:] == verdict:
                continue
            if spans:
                spans[-1] = spans[-1]._replace(end_ns=start_ns)
            spans.append(Span(start_ns, AT_NS_MAX, *verdict))
        return tuple(spans)

    def at(self, at_ns: int) -> Span:
        """Whose it is at *at_ns*."""
        spans = self.spans()
        return spans[0] if len(spans) == 1 else span_at(spans, at_ns)

    def stretches(self) -> Iterator[tuple[int, list[Match], list[Pod]]]:
        """Start of each stretch of time in which nothing changes, with what holds in it."""
        spans: list[tuple[int, int | None, Match | Pod]] = [
            (match.hold.start_ns, match.hold.end_ns, match) for match in self.matches
        ]
        spans += [(pod.start_ns, pod.end_ns, pod) for pod in self.named]
        spans = [span for span in spans if span[1] is None or span[0] < span[1]]
        edges = [(start_ns, True, i) for i, (start_ns, _, _) in enumerate(spans)]
        edges += [
            (end_ns, False, i) for i, (_, end_ns, _) in enumerate(spans) if end_ns is not None
        ]
        edges.sort(reverse=True)
        active: dict[int, Match | Pod] = {}
        at_ns = AT_NS_MIN
        while True:
            while edges and edges[-1][0] <= at_ns:
                _, begins, index = edges.pop()
                if begins:
                    active[index] = spans[index][2]
                else:
                    active.pop(index, None)
            held = [part for part in active.values() if isinstance(part, Match)]
            yield at_ns, held, [part for part in active.values() if isinstance(part, Pod)]
            if not edges or edges[-1][0] >= AT_NS_MAX:
                return
            at_ns = edges[-1][0]

    def verdict(self, held: Sequence[Match], running: Sequence[Pod]) -> _Verdict:
        """Owner, by, reason and pod uid, where *held* of the matches and *running* pods hold."""
        if held:
            holders = device.holders(held)
            if len(holders) > 1:
                return None, None, SHARED_DEVICE, ""
            return self._of_pod(next(iter(holders)), DEVICE)
        if self.who.pod_uid:
            return self._of_pod(self.who.pod_uid, POD_UID)
        if len(running) == 1:
            return self._of_pod(running[0].uid, NAME)
        if running:
            return None, None, AMBIGUOUS_NAME, ""
        return None, None, self.why_no_device() or self._why_no_pod(), ""

    def why_no_device(self) -> str | None:
        """Why no device label decides; None where there is none."""
        if not self.who.names_device:
            return None
        if self.matches:
            return NOT_HELD
        return UNKNOWN_DEVICE if self.node is not None else UNKNOWN_NODE

    def _why_no_pod(self) -> str:
        if not self.who.pod_name:
            return NO_IDENTITY
        return NOT_RUNNING if self.named else UNKNOWN_POD

    def _of_pod(self, pod_uid: str, by: str) -> _Verdict:
        if pod_uid not in self.directory.pods:
            return None, None, UNKNOWN_POD, ""
        owner = self.directory.owner(pod_uid)
        if owner is None:
            return None, None, NO_WORKLOAD, pod_uid
        return owner, by, None, pod_uid
