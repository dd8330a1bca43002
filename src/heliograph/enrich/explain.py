"""How a label set is attributed, and why not, in words: the answer of `GET /v1/attribution`.

{"attributed": true, "by": "device", "reason": null, "pod_name": …, "workload_uid": …,
 "since": "2026-01-01T00:00:00Z", "until": null,
 "steps": [{"step": "node", "found": "Hostname n1 is known"}, …]}
"""

from typing import Any

from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN, text_of
from heliograph.core.labels import Labels
from heliograph.core.owner import Hold, Pod
from heliograph.enrich import device, identity
from heliograph.enrich.attribute import Case, attribute_identity, span_at
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory, Owner, alive

LISTED_MAX = 20


def explain(labels: Labels, at_ns: int, directory: Directory) -> dict[str, Any]:
    """The attribution of *labels* at *at_ns* with every step that was tried.

    The owner's fields are there in any case, null where there is no owner; `since` and `until`
    bound the span of time of which the answer is true, null where it has no bound.
    """
    who = identity.of(labels)
    span = span_at(attribute_identity(who, directory), at_ns)
    fields = span.owner._asdict() if span.owner else dict.fromkeys(Owner._fields)
    if span.owner is None and span.pod_uid:
        pod = directory.pods[span.pod_uid]
        fields |= {"pod_name": pod.name, "pod_uid": pod.uid, "pod_namespace": pod.namespace}
    case = Case(who, directory)
    steps = [("node", _node(case)), ("device", _device(case, at_ns))]
    settled = bool(device.holders(m for m in case.matches if alive(m.hold, at_ns)))
    if not settled:
        steps.append(("pod_uid", _pod_uid(who, directory)))
    if not settled and not who.pod_uid:
        steps.append(("name", _name(case, at_ns)))
    if span.pod_uid:
        steps.append(("workload", _workload(span.pod_uid, directory)))
    return {
        "attributed": span.owner is not None,
        "by": span.by,
        "reason": span.reason,
        **fields,
        "at": text_of(at_ns),
        "since": None if span.start_ns == AT_NS_MIN else text_of(span.start_ns),
        "until": None if span.end_ns == AT_NS_MAX else text_of(span.end_ns),
        "steps": [{"step": step, "found": found} for step, found in steps],
    }


def _node(case: Case) -> str:
    if not case.who.nodes:
        return f"no label names a node ({', '.join(identity.NODE_LABELS)})"
    named = ", ".join(case.who.nodes)
    return f"{named}: known as {case.node}" if case.node else f"{named}: no such node is known"


def _device(case: Case, at_ns: int) -> str:
    who = case.who
    if not who.names_device:
        return "no label names a device"
    named = " ".join(
        f"{name}={value}"
        for name, value in zip(Identity._fields[1:7], who[1:7], strict=True)
        if value
    )
    held = [match.hold for match in case.matches if alive(match.hold, at_ns)]
    if held:
        sharing = len(device.holders(m for m in case.matches if m.hold in held)) > 1
        by = "; ".join(_span_text(hold, f"pod {hold.pod_uid}") for hold in held[:LISTED_MAX])
        return f"{named}: held by {by}" + (" (shared: nobody's)" if sharing else "")
    if case.matches:
        last = "; ".join(
            _span_text(match.hold, f"pod {match.hold.pod_uid}")
            for match in case.matches[-LISTED_MAX:]
        )
        return f"{named}: known, but not held at that time; held by {last}"
    where = f"on {case.node}" if case.node else "without a known node"
    return f"{named}: no pod ever held it {where}"


def _pod_uid(who: Identity, directory: Directory) -> str:
    if not who.pod_uid:
        return f"no label names a pod uid ({', '.join(identity.POD_UID_LABELS)})"
    pod = directory.pods.get(who.pod_uid)
    return f"{who.pod_uid}: " + (_span_text(pod, f"pod {pod.name}") if pod else "no such pod")


def _name(case: Case, at_ns: int) -> str:
    who = case.who
    if not who.pod_name:
        return "no label names a pod"
    named = f"{who.namespace or '(any namespace)'}/{who.pod_name}"
    if not case.named:
        return f"{named}: no such pod"
    running = [pod for pod in case.named if alive(pod, at_ns)]
    listed = "; ".join(
        _span_text(p, f"pod {p.uid}") for p in (running or case.named)[-LISTED_MAX:]
    )
    how = "runs as" if len(running) == 1 else "several run:" if running else "did not run then:"
    return f"{named} {how} {listed}"


def _workload(pod_uid: str, directory: Directory) -> str:
    owner = directory.owner(pod_uid)
    if owner is None:
        return f"pod {pod_uid} has no workload"
    uid = owner.workload_uid
    if uid not in directory.workloads:
        return f"{uid}, of which nothing but its uid is known"
    return " ← ".join(
        f"{w.kind or 'workload'} {w.name} ({w.uid})" for w in directory.ancestors(uid)
    )


def _span_text(of: Pod | Hold, name: str) -> str:
    until = "" if of.end_ns is None else f" until {text_of(of.end_ns)}"
    return f"{name} since {text_of(of.start_ns)}{until}"
