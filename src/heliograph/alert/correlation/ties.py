"""Ties between recent alerts, and the groups that they make: the memory of `correlate`.

    ties.look("workload:w1", ref, near, at_ns)        the group that the tie makes of it, or None
    ties.remember("workload:w1", ref, at_ns)          it waits there for others

A tie is a name that alerts have in common: `workload:w1`, `time`, `0>node:n1` (the cause number 0,
on that node). Groups are chains: no member is farther than the window from the next, so that what
starts within the window of the first or the last, or between them, is within it of some member.
Everything can be undone back to the last commit.
"""

import hashlib
from array import array
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from heliograph.alert.model import Alert
from heliograph.core import instant
from heliograph.core.duration import MINUTE_NS
from heliograph.kernels import alert_ties

WINDOW_NS = 5 * MINUTE_NS
CANDIDATES_MAX = 100
MEMBERS_MAX = 100
# Of an entity, they are related to each other already, by a stronger tie; a few stand for them.
PENDING_MAX = 16
TIES_MAX = 200_000
# Windows after which a tie that nothing came to is forgotten.
WINDOWS_KEPT = 4
# What an entity in common speaks for being together.
GROUP_WEIGHTS = {"workload": 0.5, "pod": 0.4, "device": 0.4, "node": 0.3}


class Ref(Struct, frozen=True, gc=False):
    """What is remembered of an alert. *owned*: somebody knows whose it is."""

    id: str
    starts_ns: int
    source: str
    pod_id: str
    owned: bool
    is_cause: bool = False


class Group:
    """Alerts of one tie, by when they started. *nobodys*: one of them is not owned."""

    __slots__ = (
        *("created_ns", "id", "ids", "nobodys", "pod_ids", "refs", "sources", "tie"),
        "updated_ns",
    )

    def __init__(self, tie: str, refs: list[Ref], at_ns: int) -> None:
        self.tie = tie
        self.refs = sorted(refs, key=_order)
        self.id = _id_of(tie, self.refs)
        self.ids = {one.id for one in refs}
        self.sources = {one.source for one in refs}
        self.pod_ids = {one.pod_id for one in refs if one.pod_id}
        self.nobodys = not all(one.owned for one in refs)
        self.created_ns = self.updated_ns = at_ns


class Near:
    """The groups that an alert has joined so far, and the ids of all in them."""

    __slots__ = ("groups", "ids")

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.ids: set[str] = set()

    def add(self, group: Group) -> None:
        """It joined *group*."""
        self.groups.append(group)
        self.ids |= group.ids


class _Tie:
    """*pending* are in no group of it. *touched_ns* is when something last came."""

    __slots__ = ("group", "pending", "touched_ns")

    def __init__(self, pending: list[Ref], touched_ns: int) -> None:
        self.pending = pending
        self.group: Group | None = None
        self.touched_ns = touched_ns


class Ties:
    """All ties, bounded; the latest instant that it was told is its time."""

    def __init__(
        self, *, window_ns: int, members_max: int, candidates_max: int, ties_max: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._window_ns = window_ns
        self._members_max = members_max
        self._candidates_max = candidates_max
        self._ties_max = ties_max
        # By the hash of the name: of 64 bits two are alike once in a million years, and a name is
        # three times as large. A single alert stands for itself: most ties never have a second.
        self._ties = alert_ties.Held(Ref)
        self._in: dict[str, tuple[Group, ...]] = {}
        # Ties that began since the last commit.
        self._came = array("q")
        # When to look whether ties, or a group that its tie has left, may be forgotten.
        self._queue: deque[tuple[int, array[int]]] = deque()
        self._left: deque[tuple[int, Group]] = deque()
        self._undo: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._now_ns = 0

    def groups_of(self, alert_id: str) -> tuple[Group, ...]:
        """The remembered groups of an alert."""
        return self._in.get(alert_id, ())

    def touch(self, group: Group, at_ns: int) -> None:
        """*group* was updated at *at_ns*."""
        self._undo.append((_set_updated, (group, group.updated_ns)))
        group.updated_ns = max(group.updated_ns, at_ns)

    def begin_in_storm(
        self, alerts: Sequence[Alert], at: int, is_quiet: dict[str, bool]
    ) -> int:
        """`meet` for alerts that nothing has to do with but a full group of time alone, from *at* on
        until one is another; where that is. *is_quiet*: names that are in no known cause."""
        held = self._ties.get(hash("time"))
        group = held.group if isinstance(held, _Tie) else None
        if group is None or len(group.refs) < self._members_max:
            return at
        begin_ns = max(group.refs[0].starts_ns - self._window_ns, instant.AT_NS_MIN)
        end_ns = min(group.refs[-1].starts_ns + self._window_ns, instant.AT_NS_MAX)
        end, latest_ns = alert_ties.begin(
            alerts, at, self._ties, self._came, is_quiet, begin_ns, end_ns
        )
        if end > at:
            self.counts["members_full"] += end - at
            self._now_ns = max(self._now_ns, latest_ns)
        return end

    def meet(self, name: str, ref: Ref, near: Near, at_ns: int) -> None:
        """`look`, and `remember` what found nobody."""
        held = self._ties.get(hash(name))
        if held is None:
            self._begin_tie(name, ref, at_ns)
        elif isinstance(held, _Tie) and self._full(held.group, ref):
            # A storm costs one look, and no further group begins before the window has passed.
            self.counts["members_full"] += 1
        elif self.look(name, ref, near, at_ns) is None:
            self.remember(name, ref, at_ns)

    def look(self, name: str, ref: Ref, near: Near, at_ns: int) -> Group | None:
        """The group that the tie *name* makes of *ref* and others, added to *near*; or None.

        Those that are *near* already, by a stronger tie, are no reason for another group.
        """
        held = self._ties.get(hash(name))
        if held is None:
            return None
        if isinstance(held, Ref):
            if held.id in near.ids or not self._tied(name, held, ref):
                return None
            held = self._promoted(name, held)
        group = held.group
        if group is not None and self._takes(group, ref):
            if len(group.refs) >= self._members_max:
                self.counts["members_full"] += 1
                return None
            if group.ids <= near.ids:
                return None
            self._grow(group, held, ref, at_ns)
            near.add(group)
            return group
        ids = near.ids
        found = [
            one for one in held.pending if one.id not in ids and self._tied(name, one, ref)
        ]
        if not found:
            return None
        group = self._begin(name, held, [*found, ref], at_ns)
        near.add(group)
        return group

    def remember(self, name: str, ref: Ref, at_ns: int) -> None:
        """*ref* waits at the tie *name* for others."""
        held = self._ties.get(hash(name))
        if held is None:
            self._begin_tie(name, ref, at_ns)
            return
        self._now_ns = max(self._now_ns, at_ns)
        if isinstance(held, Ref):
            held = self._promoted(name, held)
        if self._full(held.group, ref):
            return
        self._undo.append((_unpend, (held, held.touched_ns)))
        held.pending.append(ref)
        held.touched_ns = max(held.touched_ns, at_ns)
        most = self._candidates_max if _is_causal(name) else PENDING_MAX
        if len(held.pending) > 2 * most:
            before = held.pending
            held.pending = before[-most:]
            self._undo.append((_set_pending, (held, before)))

    def commit(self) -> None:
        """Keep what was done; forget ties to which nothing came for WINDOWS_KEPT windows."""
        self._undo.clear()
        if self._came:
            # The last is looked at first.
            self._queue.append((self._now_ns, self._came[::-1]))
            self._came = array("q")
        floor_ns = self._now_ns - WINDOWS_KEPT * self._window_ns
        while self._queue:
            at_ns, keys = self._queue[0]
            over = len(self._ties) - self._ties_max
            if at_ns >= floor_ns and over <= 0:
                break
            # Single alerts, which nearly all are, in one go.
            gone = self._ties.shed(keys, 0 if at_ns < floor_ns else self._ties_max)
            self.counts["ties_evicted"] += max(0, min(gone, over))
            key = keys.pop() if keys and not gone else None
            if not keys:
                self._queue.popleft()
            if key is None or (held := self._ties.get(key)) is None:
                continue
            touched_ns = at_ns if isinstance(held, Ref) else held.touched_ns
            if touched_ns >= floor_ns and over <= 0:
                self._queue.append((touched_ns, array("q", (key,))))
                continue
            del self._ties[key]
            self.counts["ties_evicted"] += over > 0
            if isinstance(held, _Tie) and held.group is not None:
                self._drop(held.group)
        while self._left and (self._left[0][0] < floor_ns or len(self._left) > self._ties_max):
            group = self._left.popleft()[1]
            held = self._ties.get(hash(group.tie))
            # After an abort what was left may be the tie's again.
            if not (isinstance(held, _Tie) and held.group is group):
                self._drop(group)

    def abort(self) -> None:
        """Everything is as it was at the last commit."""
        for undo, arguments in reversed(self._undo):
            undo(*arguments)
        self._undo.clear()
        for key in self._came:
            self._ties.pop(key, None)
        self._came = array("q")

    def _begin_tie(self, name: str, ref: Ref, at_ns: int) -> None:
        key = hash(name)
        self._ties[key] = ref
        self._came.append(key)
        self._now_ns = max(self._now_ns, at_ns)

    def _full(self, group: Group | None, ref: Ref) -> bool:
        """Whether *group* would take *ref*, but has no room."""
        return (
            group is not None
            and len(group.refs) >= self._members_max
            and self._takes(group, ref)
        )

    def _promoted(self, name: str, ref: Ref) -> _Tie:
        tie = _Tie([ref], self._now_ns)
        key = hash(name)
        self._ties[key] = tie
        self._undo.append((self._ties.__setitem__, (key, ref)))
        return tie

    def _takes(self, group: Group, ref: Ref) -> bool:
        """Whether *ref* is within the window of one of *group*, and tied to it."""
        first_ns, last_ns = group.refs[0].starts_ns, group.refs[-1].starts_ns
        at_ns, window_ns = ref.starts_ns, self._window_ns
        if not first_ns - window_ns <= at_ns <= last_ns + window_ns:
            return False
        name = group.tie
        if len(group.refs) >= self._members_max:
            return True
        if name == "time":
            if first_ns - MINUTE_NS < at_ns < last_ns + MINUTE_NS:
                return True
            return group.sources != {ref.source} and (group.nobodys or not ref.owned)
        if _is_causal(name):
            return any(self._tied(name, one, ref) for one in group.refs)
        if name.startswith("podname:") and ref.pod_id and group.pod_ids:
            return ref.pod_id in group.pod_ids
        return True

    def _tied(self, name: str, one: Ref, ref: Ref) -> bool:
        apart_ns = abs(one.starts_ns - ref.starts_ns)
        if apart_ns > self._window_ns or one.id == ref.id:
            return False
        if name == "time":
            if apart_ns < MINUTE_NS:
                return True
            return one.source != ref.source and not (one.owned and ref.owned)
        if "podname:" in name and one.pod_id and ref.pod_id and one.pod_id != ref.pod_id:
            return False
        if not _is_causal(name):
            return True
        if one.is_cause == ref.is_cause:
            return False
        cause, effect = (one, ref) if one.is_cause else (ref, one)
        return cause.starts_ns <= effect.starts_ns

    def _begin(self, name: str, tie: _Tie, refs: list[Ref], at_ns: int) -> Group:
        group = Group(name, refs[-self._members_max :], at_ns)
        before = tie.group, tie.pending, tie.touched_ns
        self._undo.append((_set_tie, (tie, *before)))
        if tie.group is not None:
            self._left.append((at_ns, tie.group))
        tie.group = group
        tie.pending = [one for one in tie.pending if one.id not in group.ids]
        tie.touched_ns = max(tie.touched_ns, at_ns)
        for one in group.refs:
            self._enter(one.id, group)
        return group

    def _grow(self, group: Group, tie: _Tie, ref: Ref, at_ns: int) -> None:
        self._undo.append((_shrink, (group, ref, tie, tie.touched_ns, group.updated_ns)))
        self._undo.append((_set_kinds, (group, group.sources, group.pod_ids, group.nobodys)))
        insort(group.refs, ref, key=_order)
        group.ids.add(ref.id)
        if ref.source not in group.sources:
            group.sources = {*group.sources, ref.source}
        if ref.pod_id and ref.pod_id not in group.pod_ids:
            group.pod_ids = {*group.pod_ids, ref.pod_id}
        group.nobodys = group.nobodys or not ref.owned
        group.updated_ns = max(group.updated_ns, at_ns)
        tie.touched_ns = max(tie.touched_ns, at_ns)
        self._now_ns = max(self._now_ns, at_ns)
        self._enter(ref.id, group)

    def _enter(self, alert_id: str, group: Group) -> None:
        groups = self._in.get(alert_id, ())
        if groups:
            self._undo.append((self._in.__setitem__, (alert_id, groups)))
        else:
            self._undo.append((self._in.pop, (alert_id, None)))
        self._in[alert_id] = (*groups, group)

    def _drop(self, group: Group) -> None:
        for one in group.refs:
            groups = tuple(g for g in self._in.get(one.id, ()) if g is not group)
            if groups:
                self._in[one.id] = groups
            else:
                self._in.pop(one.id, None)


def _order(ref: Ref) -> tuple[int, str]:
    return ref.starts_ns, ref.id


def _id_of(tie: str, refs: Sequence[Ref]) -> str:
    digest = hashlib.sha256(tie.encode("utf-8", "surrogatepass"))
    for one in refs[:2]:
        digest.update(b"\0" + one.id.encode())
    return f"corr-{digest.hexdigest()[:24]}"


def _set_updated(group: Group, updated_ns: int) -> None:
    group.updated_ns = updated_ns


def _unpend(tie: _Tie, touched_ns: int) -> None:
    tie.pending.pop()
    tie.touched_ns = touched_ns


def _set_pending(tie: _Tie, pending: list[Ref]) -> None:
    tie.pending = pending


def _set_tie(tie: _Tie, group: Group | None, pending: list[Ref], touched_ns: int) -> None:
    tie.group, tie.pending, tie.touched_ns = group, pending, touched_ns


def _set_kinds(
    group: Group,
    sources: set[str],
    pod_ids: set[str],
    nobodys: bool,
) -> None:
    group.sources, group.pod_ids, group.nobodys = sources, pod_ids, nobodys


def _shrink(group: Group, ref: Ref, tie: _Tie, touched_ns: int, updated_ns: int) -> None:
    group.refs.remove(ref)
    group.ids.discard(ref.id)
    tie.touched_ns, group.updated_ns = touched_ns, updated_ns


def _is_causal(name: str) -> bool:
    """Whether *name* begins with the number of a cause: `3>workload:…`, unlike `workload:a>b`."""
    return name[0].isdigit()
