"""Ties between recent alerts, and the groups that they make: the memory of `correlate`.

    ties.meet("workload:w1", ref, near, at_ns)        it joins the group of the tie, or waits there

A tie is a name that alerts have in common: `workload:w1`, `time`, and of `causal`, `0>node:n1` (the
cause number 0, on that node). Groups are chains: no member is farther than the window from the next,
so that what starts within the window of the first or the last, or between them, is within it of some
member. Of a full group another goes on, which begins with one of its members; GROUPS_MAX of one tie
take nobody else. By time alone there is one. Everything can be undone back to the last commit.
"""

from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.alert.correlation.groups import End, Group, Near, Ref, apart
from heliograph.alert.model import Alert
from heliograph.core import instant
from heliograph.core.duration import MINUTE_NS
from heliograph.kernels import alert_ties

WINDOW_NS = 5 * MINUTE_NS
MEMBERS_MAX = 100
# With as many members as a message has alerts.
GROUPS_MAX = 20
# Of an entity, they are related to each other already, by a stronger tie; a few stand for them.
PENDING_MAX = 16
TIES_MAX = 200_000
# Windows after which a tie that nothing came to is forgotten.
WINDOWS_KEPT = 4
# What an entity in common speaks for being together.
GROUP_WEIGHTS = {"workload": 0.5, "pod": 0.4, "device": 0.4, "node": 0.3}
TIME = "time"


class Tie:
    """*pending* are in no group of it; of a causal tie, by whether they are causes, and owned.
    *touched_ns* is when something last came. *groups*: the last came last."""

    __slots__ = ("groups", "pending", "touched_ns")

    def __init__(self, pending: Any, touched_ns: int) -> None:
        self.pending = pending
        self.groups: tuple[Group, ...] = ()
        self.touched_ns = touched_ns


class Ties:
    """All ties, bounded; the latest instant that it was told is its time."""

    def __init__(
        self, *, window_ns: int, members_max: int, groups_max: int, ties_max: int
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.window_ns = window_ns
        self.members_max = members_max
        self.groups_max = groups_max
        self._ties_max = ties_max
        # By the hash of the name: of 64 bits two are alike once in a million years, and a name is
        # three times as large. A single alert stands for itself: most ties never have a second.
        self._ties = alert_ties.Held(Ref)
        self._in: dict[str, tuple[Group, ...]] = {}
        # Ties that began since the last commit.
        self._came = array("q")
        # When to look whether ties, or groups that others went on for, may be forgotten.
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
        held = self._ties.get(hash(TIME))
        group = held.groups[-1] if isinstance(held, Tie) and held.groups else None
        if group is None or len(group.refs) < self.members_max:
            return at
        begin_ns = max(group.refs[0].starts_ns - self.window_ns, instant.AT_NS_MIN)
        end_ns = min(group.refs[-1].starts_ns + self.window_ns, instant.AT_NS_MAX)
        end, latest_ns = alert_ties.begin(
            alerts, at, self._ties, self._came, is_quiet, begin_ns, end_ns
        )
        if end > at:
            self.counts["members_full"] += end - at
            self._now_ns = max(self._now_ns, latest_ns)
        return end

    def meet(self, name: str, ref: Ref, near: Near, at_ns: int) -> None:
        """*ref* joins the group that the tie *name* makes of it and others, which is added to *near*,
        or waits there for others.

        Those that are *near* already, by a stronger tie, are no reason for another group.
        """
        held = self.at(name, ref, at_ns)
        if held is None:
            return
        most = 1 if name == TIME else self.groups_max
        if len(held.groups) == most and all(
            len(one.refs) >= self.members_max and self._takes(one, ref)
            for one in (held.groups[-1], held.groups[0])
        ):
            # A storm costs two looks.
            self.counts["members_full"] += 1
            return
        full = []
        for group in reversed(held.groups):
            if not self._takes(group, ref):
                continue
            if len(group.refs) < self.members_max:
                if not group.ids <= near.ids:
                    self.grow(group, held, ref, at_ns)
                    # After time alone comes nothing that is weaker.
                    near.add(group, () if name == TIME else held.groups)
                else:
                    self._remember(held, ref, at_ns)
                return
            full.append(group)
        ids = near.ids
        found = [
            one for one in held.pending if one.id not in ids and self._tied(name, one, ref)
        ]
        if full and not found and not full[0].ids <= ids:
            found = [full[0].refs[-1]]
        if found:
            group = self.begin(name, held, [*found, ref], at_ns)
            gone = group.ids
            held.pending = [one for one in held.pending if one.id not in gone]
            near.add(group, held.groups)
        else:
            self._remember(held, ref, at_ns)

    def at(self, name: str, ref: Ref, at_ns: int) -> Tie | None:
        """The tie *name*, or None: *ref* is the first there, and waits."""
        key = hash(name)
        held = self._ties.get(key)
        self._now_ns = max(self._now_ns, at_ns)
        if held is None:
            self._ties[key] = ref
            self._came.append(key)
            return None
        if isinstance(held, Tie):
            return held
        alone = [held]
        tie = Tie(
            {(held.is_cause, held.owned): alone} if isinstance(held, End) else alone,
            self._now_ns,
        )
        self._ties[key] = tie
        self._undo.append((self._ties.__setitem__, (key, held)))
        return tie

    def wait(self, tie: Tie, pending: Any, at_ns: int) -> None:
        """*pending* are now those that wait at *tie*."""
        self._undo.append((_set_tie, (tie, tie.groups, tie.pending, tie.touched_ns)))
        tie.pending = pending
        tie.touched_ns = max(tie.touched_ns, at_ns)

    def begin(self, name: str, tie: Tie, refs: Sequence[Ref], at_ns: int) -> Group:
        """A group of *refs*, as the last of *tie*."""
        group = Group(name, refs[-self.members_max :], at_ns)
        self._undo.append((_set_tie, (tie, tie.groups, tie.pending, tie.touched_ns)))
        most = 1 if name == TIME else self.groups_max
        if tie.groups:
            self._left.append((at_ns, tie.groups[-1]))
        tie.groups = (*tie.groups, group)[-most:]
        tie.touched_ns = max(tie.touched_ns, at_ns)
        for one in group.refs:
            self._set_groups(one.id, (*self._in.get(one.id, ()), group))
        return group

    def grow(self, group: Group, tie: Tie, ref: Ref, at_ns: int) -> None:
        """*group*, of *tie*, takes *ref*."""
        self._undo.append((_set_touched, (tie, tie.touched_ns)))
        self._undo.append((group.put_back, (ref, group.said())))
        group.grow(ref, at_ns)
        tie.touched_ns = max(tie.touched_ns, at_ns)
        self._set_groups(ref.id, (*self._in.get(ref.id, ()), group))

    def join(self, group: Group, other: Group, tie: Tie, at_ns: int) -> None:
        """*group* takes all of *other*, which is no more."""
        self._undo.append((_set_tie, (tie, tie.groups, tie.pending, tie.touched_ns)))
        tie.groups = tuple([one for one in tie.groups if one is not other])
        for one in other.refs:
            left = tuple([each for each in self._in[one.id] if each is not other])
            self._set_groups(one.id, left)
            if one.id not in group.ids:
                self.grow(group, tie, one, at_ns)

    def commit(self) -> None:
        """Keep what was done; forget ties to which nothing came for WINDOWS_KEPT windows."""
        self._undo.clear()
        if self._came:
            # The last is looked at first.
            self._queue.append((self._now_ns, self._came[::-1]))
            self._came = array("q")
        floor_ns = self._now_ns - WINDOWS_KEPT * self.window_ns
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
            touched_ns = held.touched_ns if isinstance(held, Tie) else at_ns
            if touched_ns >= floor_ns and over <= 0:
                self._queue.append((touched_ns, array("q", (key,))))
                continue
            del self._ties[key]
            self.counts["ties_evicted"] += over > 0
            for group in held.groups if isinstance(held, Tie) else ():
                self._drop(group)
        self._forget_left(floor_ns)

    def abort(self) -> None:
        """Everything is as it was at the last commit."""
        for undo, arguments in reversed(self._undo):
            undo(*arguments)
        self._undo.clear()
        for key in self._came:
            self._ties.pop(key, None)
        self._came = array("q")

    def _forget_left(self, floor_ns: int) -> None:
        """Forget groups that others went on for, to which nothing came since *floor_ns*."""
        while self._left and (self._left[0][0] < floor_ns or len(self._left) > self._ties_max):
            group = self._left.popleft()[1]
            held = self._ties.get(hash(group.tie))
            if isinstance(held, Tie) and group in held.groups:
                if group is held.groups[-1]:
                    # After an abort nothing goes on for it.
                    continue
                if group.updated_ns >= floor_ns and len(self._left) < self._ties_max:
                    self._left.append((group.updated_ns, group))
                    continue
                held.groups = tuple([one for one in held.groups if one is not group])
            self._drop(group)

    def _remember(self, tie: Tie, ref: Ref, at_ns: int) -> None:
        before = tie.pending
        # As many more are let in before the oldest go.
        kept = before if len(before) < 2 * PENDING_MAX else before[1 - PENDING_MAX :]
        self.wait(tie, [*kept, ref], at_ns)

    def _takes(self, group: Group, ref: Ref) -> bool:
        """Whether *ref* is within the window of one of *group*, and tied to it."""
        first_ns, last_ns = group.refs[0].starts_ns, group.refs[-1].starts_ns
        at_ns, window_ns = ref.starts_ns, self.window_ns
        if not first_ns - window_ns <= at_ns <= last_ns + window_ns:
            return False
        if group.tie != TIME:
            return not group.apart(ref)
        if len(group.refs) >= self.members_max:
            return True
        if first_ns - MINUTE_NS < at_ns < last_ns + MINUTE_NS:
            return True
        return group.sources != {ref.source} and (group.nobodys or not ref.owned)

    def _tied(self, name: str, one: Ref, ref: Ref) -> bool:
        apart_ns = abs(one.starts_ns - ref.starts_ns)
        if apart_ns > self.window_ns or one.id == ref.id:
            return False
        if name == TIME:
            if apart_ns < MINUTE_NS:
                return True
            return one.source != ref.source and not (one.owned and ref.owned)
        return not apart(name, one, ref)

    def _set_groups(self, alert_id: str, groups: tuple[Group, ...]) -> None:
        before = self._in.get(alert_id, ())
        if before:
            self._undo.append((self._in.__setitem__, (alert_id, before)))
        else:
            self._undo.append((self._in.pop, (alert_id, None)))
        self._in[alert_id] = groups

    def _drop(self, group: Group) -> None:
        for one in group.refs:
            groups = tuple(g for g in self._in.get(one.id, ()) if g is not group)
            if groups:
                self._in[one.id] = groups
            else:
                self._in.pop(one.id, None)


def _set_updated(group: Group, updated_ns: int) -> None:
    group.updated_ns = updated_ns


def _set_touched(tie: Tie, touched_ns: int) -> None:
    tie.touched_ns = touched_ns


def _set_tie(tie: Tie, groups: tuple[Group, ...], pending: Any, touched_ns: int) -> None:
    tie.groups, tie.pending, tie.touched_ns = groups, pending, touched_ns
