"""A placement document over what is stored. Statements count in the order in which they arrive.

A pod that comes again
* alike                      changes nothing, however often it comes;
* with other devices, or on
  another node               had the earlier ones until the new instant, and has the new ones from
                             then on: the document's `start` where that is later than the stored
                             pod's, else now. Devices in both are held through. Devices of a pod
                             that never had any are late news, and count from its `start`;
                             before the stored pod's start, though the document's may be earlier,
                             nobody is said to have had any, for the two contradict each other;
* with another `start` only  had its devices since then: the interval moves;
* with `end`                 had its devices until then; `end: null` says that it still runs,
                             and so does a `start` after the end.

What a document leaves out stays as it was. A first appearance without `start` begins now.
"""

from heliograph.core.errors import Refused
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.core.placement import PlacedPod, PlacedWorkload, Placements
from heliograph.workloads import devices
from heliograph.workloads.change import Change, Draft, Stored, tidy


def apply(stored: Stored, placements: Placements, *, now_ns: int) -> Change:
    """What *placements*, told at *now_ns*, change in *stored*.

    Raises Refused, naming the pod's field, when an end is not later than the start it has.
    """
    draft = Draft(stored)
    for placed_workload in placements.workloads:
        draft.put_workload(_workload(draft, placed_workload))
    for index, placed in enumerate(placements.pods):
        pod, holds = _placed(draft, placed, now_ns)
        if pod.end_ns is not None and pod.end_ns <= pod.start_ns:
            field = f"pods[{index}].end"
            raise Refused(f"{field}: not later than the start of {pod.uid!r}", field=field)
        draft.put_pod(pod, holds)
    return draft.finish(now_ns)


def _workload(draft: Draft, placed: PlacedWorkload) -> Workload:
    old = draft.workload(placed.workload.uid)
    if old is None:
        return placed.workload
    said = placed.workload._asdict()
    return old._replace(**{name: said[name] for name in said if name in placed.given})


def _placed(draft: Draft, placed: PlacedPod, now_ns: int) -> tuple[Pod, list[Hold]]:
    old = draft.pod(placed.pod.uid)
    if old is None:
        start_ns = now_ns if placed.start_ns is None else placed.start_ns
        pod = placed.pod._replace(start_ns=start_ns, end_ns=placed.end_ns)
        return pod, _held(pod, placed.devices)
    said = placed.pod._asdict()
    names = ("name", "namespace", "node", "workload_uid")
    pod = old._replace(**{name: said[name] for name in names if name in placed.given})
    pod, holds = _moved(pod, list(draft.holds(pod.uid)), placed, now_ns)
    # A swap back into the past can meet what the pod had then, and is a mere restart of that;
    # seen again it is taken as one. So a document sent twice is as good as sent once.
    return _moved(pod, list(tidy(holds)), placed, now_ns)


def _held(pod: Pod, held: tuple[Device, ...]) -> list[Hold]:
    return [Hold(pod.uid, pod.node, device, pod.start_ns, pod.end_ns) for device in held]


def _moved(
    pod: Pod, holds: list[Hold], placed: PlacedPod, now_ns: int
) -> tuple[Pod, list[Hold]]:
    """*pod* as stored, but for its names, after *placed*."""
    start_ns = placed.start_ns
    # Said to begin after it was over: it runs again, whatever it has.
    again = start_ns is not None and pod.end_ns is not None and start_ns >= pod.end_ns
    end_ns = placed.end_ns if again or "end" in placed.given else pod.end_ns
    if end_ns is not None and (pod.end_ns is None or end_ns < pod.end_ns):
        pod, holds = pod._replace(end_ns=end_ns), _until(holds, end_ns)
    # What ends as the pod does is what it has now (or had to its end).
    current = [hold for hold in holds if hold.end_ns == pod.end_ns]
    past = [hold for hold in holds if hold.end_ns != pod.end_ns]
    wanted = placed.devices if "devices" in placed.given else tuple(h.device for h in current)
    alike = [_same(device, pod.node, current) for device in wanted]
    if not again and None not in alike and len(wanted) == len(current):
        current = [_informed(hold, wanted) for hold in current]
        pod, past, current = _restarted(pod, past, current, start_ns)
        current = [hold._replace(end_ns=end_ns) for hold in current]
        return pod._replace(end_ns=end_ns), _until([*past, *current], end_ns)

    instant_ns = now_ns
    if start_ns is not None and (start_ns > pod.start_ns or not holds):
        instant_ns = start_ns
    if start_ns is not None and start_ns < pod.start_ns:
        pod = pod._replace(start_ns=start_ns)
    instant_ns = max(instant_ns, pod.start_ns)
    if end_ns is not None and instant_ns >= end_ns:
        # It is over, and said to have had other devices: that mends its last stretch.
        instant_ns = _since_ns(pod, past, current)
    current = [_informed(hold, wanted) if hold.node == pod.node else hold for hold in current]
    closed = _until([*past, *current], instant_ns)
    opened = []
    for device in wanted:
        # Named alike on both sides of the cut, a device held through stays one hold.
        before = _same(device, pod.node, current)
        known = before.device if before else device
        opened.append(Hold(pod.uid, pod.node, known, instant_ns, end_ns))
    if start_ns is not None and not closed and not opened:
        pod = pod._replace(start_ns=start_ns)
    return pod._replace(end_ns=end_ns), [*closed, *opened]


def _same(device: Device, node: str, holds: list[Hold]) -> Hold | None:
    return next(
        (hold for hold in holds if hold.node == node and devices.alike(hold.device, device)),
        None,
    )


def _informed(hold: Hold, said: tuple[Device, ...]) -> Hold:
    """*hold*, its device with the identifiers that the document adds to it."""
    same = next((device for device in said if devices.alike(hold.device, device)), None)
    return hold if same is None else hold._replace(device=devices.merged(hold.device, same))


def _since_ns(pod: Pod, past: list[Hold], current: list[Hold]) -> int:
    """Since when it has had just the devices of *current*: they came, or others went."""
    came = (hold.start_ns for hold in current)
    went = (hold.end_ns for hold in past if hold.end_ns is not None)
    return max((*came, *went), default=pod.start_ns)


def _restarted(
    pod: Pod, past: list[Hold], current: list[Hold], start_ns: int | None
) -> tuple[Pod, list[Hold], list[Hold]]:
    """After a document that gives the same devices and *start_ns*.

    The start meant is that of the devices it has now; of the pod where the two are one, and
    where the document goes back before the pod.
    """
    since_ns = _since_ns(pod, past, current)
    if start_ns is None or start_ns in (since_ns, pod.start_ns):
        return pod, past, current
    if since_ns == pod.start_ns or start_ns < pod.start_ns:
        return _begun(pod, past, current, start_ns)
    if start_ns < since_ns:
        past = _until(past, start_ns)
    elif current:
        past = [h._replace(end_ns=start_ns) if h.end_ns == since_ns else h for h in past]
    current = [h._replace(start_ns=start_ns) if h.start_ns == since_ns else h for h in current]
    return pod, past, current


def _begun(
    pod: Pod, past: list[Hold], current: list[Hold], start_ns: int
) -> tuple[Pod, list[Hold], list[Hold]]:
    """With the pod's own start moved to *start_ns*, and what it held from its start with it."""
    first_ns = max(pod.start_ns, start_ns)

    def moved(holds: list[Hold]) -> list[Hold]:
        return [
            hold._replace(start_ns=start_ns) if hold.start_ns <= first_ns else hold
            for hold in holds
            if hold.end_ns is None or hold.end_ns > start_ns
        ]

    return pod._replace(start_ns=start_ns), moved(past), moved(current)


def _until(holds: list[Hold], end_ns: int | None) -> list[Hold]:
    """*holds* before *end_ns*."""
    if end_ns is None:
        return holds
    return [
        hold._replace(end_ns=end_ns if hold.end_ns is None else min(hold.end_ns, end_ns))
        for hold in holds
        if hold.start_ns < end_ns
    ]
