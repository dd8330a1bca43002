"""Groups by known causes: those of one cause on one entity, each tied to one of the other end.

    0>workload:w1    causes and effects of the cause number 0 that have w1 in common, and nothing nearer
    0>               those that have nothing in common, one of the two being nobody's

A pair is tied where the effect started no earlier than the cause and within the window of it, by the
strongest that they have in common. A group is what hangs together by such pairs: a function of the
alerts and of when they started, whatever the order in which they came, as long as none of it is full
and not more than `candidates_max` wait. So an alert may join two groups to one. Where a group is
full, the next begins with one of its members that the newcomer is tied to: its cause, mostly.
"""

from collections.abc import Iterable, Iterator, Sequence

from heliograph.alert.correlation.causes import Cause
from heliograph.alert.correlation.groups import End, Group, Near, apart, order
from heliograph.alert.correlation.ties import Tie, Ties

# Of one end, that wait at one tie for the other end.
CANDIDATES_MAX = 1000
# … at a tie that is not their strongest, of those that have the same stronger one: there may be many
# such ties, and each other these never meet there.
WEAKER_MAX = 100
# Both ends of a cause are of these: it is within one device.
_OF_DEVICES = frozenset({"memory_high", "oom", "temperature", "throttling"})


class Causal:
    """The known causes, in the memory of *ties*. *candidates_max* wait at a tie, of either end."""

    def __init__(self, ties: Ties, causes: Sequence[Cause], candidates_max: int) -> None:
        self._ties = ties
        self._of_device = [{one.cause, one.effect} <= _OF_DEVICES for one in causes]
        self._candidates_max = candidates_max

    def meet(self, number: int, end: End, near: Near, at_ns: int) -> None:
        """The groups of the cause *number* that *end* makes or joins are added to *near*; it waits
        for others."""
        for key in (*end.keys, ""):
            self._meet(number, key, end, near, at_ns)

    def _meet(self, number: int, key: str, end: End, near: Near, at_ns: int) -> None:
        name, ties = f"{number}>{key}", self._ties
        tie = ties.at(name, end, at_ns)
        if tie is None:
            return
        most = ties.groups_max
        open_, full = [], []
        ends = (tie.groups[-1], tie.groups[0]) if len(tie.groups) == most else ()
        in_storm = bool(ends) and all(self._is_full(one, number, key, end) for one in ends)
        for group in () if in_storm else reversed(tie.groups):
            partner = self._first(group.refs, number, key, end)
            if partner is not None and len(group.refs) < ties.members_max:
                open_.append(group)
            elif partner is not None:
                full.append(partner)
        found = self._waiting(tie, number, key, end)
        if in_storm and not found:
            ties.counts["members_full"] += 1
            return
        if not found and not open_ and not full:
            self._wait(tie, key, end, at_ns)
            return
        if open_:
            group = self._joined(open_, tie, near, at_ns)
            ties.grow(group, tie, end, at_ns)
        else:
            group = ties.begin(name, tie, [found.pop(0) if found else full[0], end], at_ns)
        made = [group]
        for one in found:
            if len(group.refs) < ties.members_max:
                ties.grow(group, tie, one, at_ns)
            elif len(made) < ties.groups_max:
                group = ties.begin(name, tie, [end, one], at_ns)
                made.append(group)
            else:
                ties.counts["members_full"] += 1
        gone = {one for each in made for one in each.ids} if found or not open_ else ()
        if gone:
            kept = {
                kind: [one for one in some if one.id not in gone]
                for kind, some in tie.pending.items()
            }
            ties.wait(tie, kept, at_ns)
        for each in made:
            near.add(each, tie.groups)

    def _joined(self, some: Sequence[Group], tie: Tie, near: Near, at_ns: int) -> Group:
        """Those of *some* that have room for each other, and one more, as one."""
        group = some[-1]
        for other in some[:-1]:
            if len(group.ids | other.ids) < self._ties.members_max:
                self._ties.join(group, other, tie, at_ns)
                near.gone.append(other)
        return group

    def _wait(self, tie: Tie, key: str, end: End, at_ns: int) -> None:
        kind = end.is_cause, end.owned
        alike = tie.pending.get(kind, [])
        if key and end.keys[0] != key:
            same = [n for n, one in enumerate(alike) if one.keys[:1] == end.keys[:1]]
            if len(same) >= WEAKER_MAX:
                alike = [*alike[: same[0]], *alike[same[0] + 1 :]]
        if len(alike) >= self._candidates_max:
            alike = alike[1:]
        self._ties.wait(tie, {**tie.pending, kind: [*alike, end]}, at_ns)

    def _waiting(self, tie: Tie, number: int, key: str, end: End) -> list[End]:
        """Those that wait at *tie* and that *end* is tied to, by when they started."""
        found: list[End] = []
        for owned in (False, True):
            # Of two that have nothing in common one is nobody's.
            if key or not (owned and end.owned):
                some = tie.pending.get((not end.is_cause, owned), ())
                found += self._each(some, number, key, end)
        return sorted(found, key=order)

    def _is_full(self, group: Group, number: int, key: str, end: End) -> bool:
        """Whether *group* would take *end*, but has no room."""
        return (
            len(group.refs) >= self._ties.members_max
            and self._first(group.refs, number, key, end) is not None
        )

    def _first(self, some: Iterable[End], number: int, key: str, end: End) -> End | None:
        return next(self._each(some, number, key, end), None)

    def _each(self, some: Iterable[End], number: int, key: str, end: End) -> Iterator[End]:
        """Those of *some* that *end* is tied to by *key*."""
        low_ns, high_ns = self._span(end)
        strongest = end.keys[:1]
        is_weaker = strongest != (key,)
        for one in some:
            if (
                one.is_cause is not end.is_cause
                and low_ns <= one.starts_ns <= high_ns
                # Most that have the strongest of both in common are told without a call.
                and not (is_weaker and strongest and one.keys[:1] == strongest)
                and self._tied_by(number, one, end) == key
            ):
                yield one

    def _span(self, end: End) -> tuple[int, int]:
        """When the other end started."""
        at_ns, window_ns = end.starts_ns, self._ties.window_ns
        return (at_ns, at_ns + window_ns) if end.is_cause else (at_ns - window_ns, at_ns)

    def _tied_by(self, number: int, one: End, end: End) -> str | None:
        """The strongest that two have in common, "" where one is nobody's, None where they are
        apart."""
        if one.id == end.id:
            return None
        if self._of_device[number] and _differ(one.device, end.device):
            return None
        namesakes = False
        for key in end.keys:
            if key in one.keys:
                if not apart(key, one, end):
                    return key
                namesakes = True
        if namesakes or (one.owned and end.owned):
            return None
        elsewhere = one.cluster and end.cluster and one.cluster != end.cluster
        return None if elsewhere else ""


def _differ(one: str, other: str) -> bool:
    """Whether both name a device, and not the same: that may have two names, a uuid, or a node and an
    index."""
    return bool(one and other) and one != other and ("/" in one) is ("/" in other)
