"""Directory: a snapshot of who runs where, to look owners up in. Immutable, so threads share it.

Built anew after each change (some tenths of a second for 100,000 holds) and swapped whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from heliograph.core.owner import ANCESTORS_MAX, Hold, Pod, Workload
from heliograph.workloads.change import Stored
from heliograph.workloads.devices import FAMILIES

# Device label of `GET /v1/pods/cache`, by type.
CACHE_LABELS = {"gpu": "gpu_id", "ib": "device", "rdma": "device", "asic": "asic"}

_K = TypeVar("_K")
_T = TypeVar("_T")


class Owner(NamedTuple):
    """Whose: a pod, its workload, and the workload at the top of that one's ancestors.

    A name, a kind or a namespace that nobody told is "".
    """

    pod_name: str
    pod_uid: str
    pod_namespace: str
    workload_name: str
    workload_uid: str
    workload_kind: str
    workload_root_uid: str


class Directory:
    """Look-ups over workloads, pods and holds; lists are in order of start."""

    def __init__(
        self, workloads: Iterable[Workload], pods: Iterable[Pod], holds: Iterable[Hold]
    ) -> None:
        self.workloads: Mapping[str, Workload] = {w.uid: w for w in workloads}
        self.pods: Mapping[str, Pod] = {pod.uid: pod for pod in pods}
        ordered = sorted(holds, key=lambda hold: (hold.start_ns, hold.pod_uid))
        self._by_pod = _grouped((hold.pod_uid, hold) for hold in ordered)
        self._by_index = _grouped(
            ((hold.node, FAMILIES[hold.device.type], hold.device.id), hold) for hold in ordered
        )
        self._by_uuid = _grouped(
            (h.device.uuid.casefold(), h) for h in ordered if h.device.uuid
        )
        self._by_serial = _grouped(
            ((h.node, h.device.serial.casefold()), h) for h in ordered if h.device.serial
        )
        started = sorted(self.pods.values(), key=lambda pod: (pod.start_ns, pod.uid))
        self._by_name = _grouped((pod.name, pod) for pod in started)
        self.nodes = frozenset(
            {hold.node for hold in ordered} | {pod.node for pod in started if pod.node}
        )
        self._nodes = {node.casefold(): node for node in self.nodes}
        self._short_nodes = _grouped((_short(node), node) for node in self.nodes)

    @classmethod
    def of(cls, stored: Stored) -> "Directory":
        """The directory of all that is stored."""
        holds = (hold for of_pod in stored.holds.values() for hold in of_pod)
        return cls(stored.workloads.values(), stored.pods.values(), holds)

    def node_of(self, name: str) -> str | None:
        """The known node that *name* means: by its name, or by its short name if that is one's."""
        exact = self._nodes.get(name.casefold())
        if exact is not None or not self._nodes:
            return exact
        if _is_address(name):
            return None
        alike = self._short_nodes.get(_short(name), ())
        # `n1.a` and `n1.b` are two machines: a domain is dropped on one side only.
        alike = tuple(node for node in alike if "." not in name or "." not in node)
        return alike[0] if len(alike) == 1 else None

    def holds_of_index(self, node: str, family: str, device_id: str) -> tuple[Hold, ...]:
        """Holds of the device *device_id* of *family* (gpu, link, asic) on *node*."""
        return self._by_index.get((node, family, device_id), ())

    def holds_of_uuid(self, uuid: str) -> tuple[Hold, ...]:
        """Holds of the device *uuid*, on whatever node."""
        return self._by_uuid.get(uuid.casefold(), ())

    def holds_of_serial(self, node: str, serial: str) -> tuple[Hold, ...]:
        """Holds of the device *serial* on *node*, of all its partitions."""
        return self._by_serial.get((node, serial.casefold()), ())

    def holds_of_pod(self, pod_uid: str) -> tuple[Hold, ...]:
        """Holds of the pod *pod_uid*."""
        return self._by_pod.get(pod_uid, ())

    def held_by(self, pod: Pod, at_ns: int) -> list[Hold]:
        """What *pod* held at *at_ns*; before it had anything its first, after its end its last."""
        holds = self.holds_of_pod(pod.uid)
        found = [hold for hold in holds if alive(hold, at_ns)]
        if not found and holds and at_ns < holds[0].start_ns:
            return [hold for hold in holds if hold.start_ns == holds[0].start_ns]
        if not found and pod.end_ns is not None and at_ns >= pod.end_ns:
            return [hold for hold in holds if hold.end_ns == pod.end_ns]
        return found

    def pods_named(self, name: str, namespace: str | None = None) -> tuple[Pod, ...]:
        """Pods called *name*, of all times; in *namespace*, or in any where it is None."""
        pods = self._by_name.get(name, ())
        return pods if namespace is None else tuple(p for p in pods if p.namespace == namespace)

    def owner(self, pod_uid: str) -> Owner | None:
        """The owner that the pod *pod_uid* stands for; None where it or its workload is unknown.

        A workload of which only the uid was told counts, with an empty name.
        """
        pod = self.pods.get(pod_uid)
        if pod is None or not pod.workload_uid:
            return None
        workload = self.workloads.get(pod.workload_uid)
        return Owner(
            pod.name,
            pod.uid,
            pod.namespace,
            workload.name if workload else "",
            pod.workload_uid,
            workload.kind if workload else "",
            self.root_uid(pod.workload_uid),
        )

    def root_uid(self, workload_uid: str) -> str:
        """The topmost ancestor of *workload_uid*, itself where it has none.

        In a circle, which sources in disagreement can make, it is the least uid of the circle,
        so that all of its members have the same root.
        """
        chain = [workload_uid]
        while len(chain) <= ANCESTORS_MAX:
            workload = self.workloads.get(chain[-1])
            if workload is None or not workload.parent_uid:
                break
            if workload.parent_uid in chain:
                return min(chain[chain.index(workload.parent_uid) :])
            chain.append(workload.parent_uid)
        return chain[-1]

    def ancestors(self, workload_uid: str) -> Iterator[Workload]:
        """The known workloads from *workload_uid* up, itself first; each once."""
        seen: set[str] = set()
        above: str | None = workload_uid
        while above and above not in seen and len(seen) <= ANCESTORS_MAX:
            seen.add(above)
            workload = self.workloads.get(above)
            if workload is None:
                return
            yield workload
            above = workload.parent_uid

    def pods_of(self, workload_uid: str) -> tuple[Pod, ...]:
        """Pods of the workload and of all below it."""
        return self._by_workload.get(workload_uid, ())

    @cached_property
    def _by_workload(self) -> dict[str, tuple[Pod, ...]]:
        started = sorted(self.pods.values(), key=lambda pod: (pod.start_ns, pod.uid))
        above: dict[str, tuple[str, ...]] = {}
        for uid in {pod.workload_uid for pod in started if pod.workload_uid}:
            known = [workload.uid for workload in self.ancestors(uid)]
            above[uid] = tuple(dict.fromkeys([uid, *known, self.root_uid(uid)]))
        return _grouped(
            (uid, pod) for pod in started if pod.workload_uid for uid in above[pod.workload_uid]
        )

    def pods_cache(self, at_ns: int) -> dict[str, dict[str, dict[str, list[str]]]]:
        """`{node: {device_label: {device: [pod_name, pod_uid]}}}` at *at_ns*.

        A device that two pods hold at once is nobody's, and left out. A partition of a device
        is `<device>/<partition>`.
        """
        held: dict[tuple[str, str, str], set[str]] = {}
        for holds in self._by_pod.values():
            for hold in holds:
                if alive(hold, at_ns) and hold.pod_uid in self.pods:
                    device = hold.device
                    name = f"{device.id}/{device.partition}" if device.partition else device.id
                    key = (hold.node, CACHE_LABELS[device.type], name)
                    held.setdefault(key, set()).add(hold.pod_uid)
        cache: dict[str, dict[str, dict[str, list[str]]]] = {}
        for (node, label, name), uids in sorted(held.items()):
            if len(uids) == 1:
                pod = self.pods[next(iter(uids))]
                cache.setdefault(node, {}).setdefault(label, {})[name] = [pod.name, pod.uid]
        return cache

    def workload_cache(self, at_ns: int) -> dict[str, list[list[str]]]:
        """`{pod_name: [[workload_name, workload_uid], …]}` at *at_ns*, the nearest first.

        Pods of one name in two namespaces share an entry, as the shape has no namespace.
        """
        cache: dict[str, list[list[str]]] = {}
        for name, pods in sorted(self._by_name.items()):
            for pod in pods:
                if not pod.workload_uid or not alive(pod, at_ns):
                    continue
                entry = cache.setdefault(name, [])
                found = [
                    [workload.name, workload.uid]
                    for workload in self.ancestors(pod.workload_uid)
                ]
                entry += [
                    pair for pair in found or [["", pod.workload_uid]] if pair not in entry
                ]
        return cache


def alive(of: Pod | Hold, at_ns: int) -> bool:
    """Whether *at_ns* is within the span of a pod or of a hold."""
    return of.start_ns <= at_ns and (of.end_ns is None or at_ns < of.end_ns)


def _grouped(pairs: Iterable[tuple[_K, _T]]) -> dict[_K, tuple[_T, ...]]:
    groups: dict[_K, list[_T]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in groups.items()}


def _short(node: str) -> str:
    return node.casefold() if _is_address(node) else node.casefold().partition(".")[0]


def _is_address(name: str) -> bool:
    # 10.0.0.7 has no short name, though it has dots.
    return ":" in name or name.replace(".", "").isdigit()
