"""What is remembered of alerts, and the groups that they make, of one tie each."""

import hashlib
from bisect import insort
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct


class Ref(Struct, frozen=True, gc=False):
    """What is remembered of an alert. *owned*: somebody knows whose it is. What it does not say of
    its pod's uid, namespace or cluster is ""."""

    id: str
    starts_ns: int
    source: str
    pod_id: str
    namespace: str
    cluster: str
    owned: bool


class End(Ref, frozen=True, gc=False):
    """The same of one that is the cause, or the effect, in a known cause. *keys*: all that it may be
    tied by, the strongest first. *device*: the one that it is about."""

    keys: tuple[str, ...]
    device: str
    is_cause: bool


class Group:
    """Alerts of one tie, by when they started: each a Ref, or of a cause an End. *nobodys*: one of them
    is not owned."""

    __slots__ = (
        *("clusters", "created_ns", "id", "ids", "namespaces", "nobodys", "pod_ids", "refs"),
        *("sources", "tie", "updated_ns"),
    )

    def __init__(self, tie: str, refs: Sequence[Ref], at_ns: int) -> None:
        self.tie = tie
        self.refs: list[Any] = sorted(refs, key=order)
        self.id = _id_of(tie, self.refs)
        self.ids = {one.id for one in refs}
        self.sources = {one.source for one in refs}
        self.pod_ids = {one.pod_id for one in refs if one.pod_id}
        self.namespaces = {one.namespace for one in refs if one.namespace}
        self.clusters = {one.cluster for one in refs if one.cluster}
        self.nobodys = not all(one.owned for one in refs)
        self.created_ns = self.updated_ns = at_ns

    def said(self) -> tuple[set[str], set[str], set[str], set[str], bool, int]:
        """What `put_back` takes."""
        return (
            *(self.sources, self.pod_ids, self.namespaces, self.clusters, self.nobodys),
            self.updated_ns,
        )

    def grow(self, ref: Ref, at_ns: int) -> None:
        """Take *ref*."""
        insort(self.refs, ref, key=order)
        self.ids.add(ref.id)
        # Sets are made anew, as what was is what an abort puts back.
        if ref.source not in self.sources:
            self.sources = {*self.sources, ref.source}
        if ref.pod_id and ref.pod_id not in self.pod_ids:
            self.pod_ids = {*self.pod_ids, ref.pod_id}
        if ref.namespace and ref.namespace not in self.namespaces:
            self.namespaces = {*self.namespaces, ref.namespace}
        if ref.cluster and ref.cluster not in self.clusters:
            self.clusters = {*self.clusters, ref.cluster}
        self.nobodys = self.nobodys or not ref.owned
        self.updated_ns = max(self.updated_ns, at_ns)

    def put_back(
        self,
        ref: Ref,
        said: tuple[set[str], set[str], set[str], set[str], bool, int],
    ) -> None:
        """It never took *ref*, and was as *said*."""
        self.refs.remove(ref)
        self.ids.discard(ref.id)
        self.sources, self.pod_ids, self.namespaces, self.clusters, self.nobodys = said[:5]
        self.updated_ns = said[5]

    def apart(self, ref: Ref) -> bool:
        """Whether *ref* is about another of the name that this is tied by."""
        return _apart(self.tie, ref, self.clusters, self.pod_ids, self.namespaces)


class Near:
    """The groups that an alert has joined so far, and the ids of all in them and in those that go
    before or after them. *gone*: groups that it joined to others."""

    __slots__ = ("gone", "groups", "ids")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.gone: list[Group] = []
        self.ids: set[str] = set()

    def add(self, group: Group, of_tie: Sequence[Group]) -> None:
        """It joined *group*, one of those *of_tie*."""
        self.groups.append(group)
        self.ids.update(*[one.ids for one in of_tie])


# What has a name that may be another's elsewhere.
_PLACED = frozenset({"pod", "podname", "node", "device"})


def apart(key: str, one: Ref, other: Ref) -> bool:
    """Whether *key* is another's name for each of two: of a node, a device or a pod where both say
    their clusters, and of a pod where both say its namespace or its uid."""
    return _apart(key, one, (other.cluster,), (other.pod_id,), (other.namespace,))


def _apart(
    key: str,
    ref: Ref,
    clusters: Collection[str],
    pod_ids: Collection[str],
    namespaces: Collection[str],
) -> bool:
    kind = key.partition(":")[0]
    if kind not in _PLACED:
        return False
    if _differs(ref.cluster, clusters):
        return True
    return kind == "podname" and (
        _differs(ref.pod_id, pod_ids) or _differs(ref.namespace, namespaces)
    )


def order(ref: Ref) -> tuple[int, str]:
    """By which members are sorted."""
    return ref.starts_ns, ref.id


def _differs(one: str, said: Collection[str]) -> bool:
    """Whether *said* are others than *one*, where both say something."""
    return bool(one) and any(said) and one not in said


def _id_of(tie: str, refs: Sequence[Ref]) -> str:
    digest = hashlib.sha256(tie.encode("utf-8", "surrogatepass"))
    for one in refs[:2]:
        digest.update(b"\0" + one.id.encode())
    return f"corr-{digest.hexdigest()[:24]}"
