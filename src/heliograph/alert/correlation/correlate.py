"""Which alerts belong together: by time, by entity, across sources, and by known causes.

    correlator.add(alert)      →  correlations that came or changed
    correlator.add_all(alerts) →  the same for all of them
    correlator.resolve(alert)  →  the same
    correlator.commit() | correlator.abort()

Alerts are related when they *started* within `window_ns` of each other and share an entity (a pod's
node and devices are its entities too, and so are the nodes of a workload, so that NodeDown meets
PodRestart on that node); or when one is known to cause the other, started no later, and nothing says
they are apart; or, sharing nothing and having found nobody so, when they started within a minute, or
come from different sources with at least one of them nobody's.

A group is of one kind of tie: one entity, one cause and effect, or time alone. An alert may be in
several; two that are tied by a stronger one are not shown again by a weaker. A group grows while
alerts come that are within the window of one of its members, up to `members_max`; then another goes
on, up to `groups_max` of one entity, or cause. It stays readable when all are resolved. Its id is
computed from the tie and its first two members; one that is joined to another is given once more,
without members.

Score, of 0..1: the sum of what speaks for it, over the most it can be, 1.8:
    a cause 0.7 … 0.9 · same workload 0.5, pod 0.4, device 0.4, node 0.3 · different sources 0.3
    (not with a cause) · started within a minute 0.4, within the window 0.2
Cost: for each alert, one look at each of at most KEYS_MAX ties, each of which remembers at most
`groups_max` groups and a few alerts that are in no group of it; of a cause `candidates_max`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import structs

from heliograph.alert.correlation.causal import CANDIDATES_MAX, Causal
from heliograph.alert.correlation.causes import Table
from heliograph.alert.correlation.groups import End, Group, Near, Ref
from heliograph.alert.correlation.ties import (
    GROUP_WEIGHTS,
    GROUPS_MAX,
    MEMBERS_MAX,
    TIES_MAX,
    TIME,
    WINDOW_NS,
    Ties,
)
from heliograph.alert.model import Alert, Correlation
from heliograph.core.duration import MINUTE_NS
from heliograph.core.labels import Labels

# The nodes of a workload, and some more.
KEYS_MAX = 40
# An alert with more is about a pod, not about its devices: the pod and the node stand for them.
DEVICES_MAX = 2
# Names of which is remembered whether they are in a known cause.
NAMES_MAX = 4096
SCORE_SUM_MAX = 1.8
WINDOWS_LOADED = 12

# By their first four letters.
_ORDER = {"work": 0, "pod:": 1, "podn": 2, "devi": 3, "node": 4}
_CROSS = 0.3
_CLOSE, _NEAR = 0.4, 0.2
# What a namespace is said by, the strongest first.
_NAMESPACES = ("exported_namespace", "namespace", "pod_namespace")


class Correlator:
    """The recent alerts by what ties them, and their groups. Pure: the time is that of alerts.

    counts   `members_full`: alerts that no group took, as all were full; `ties_evicted`
    """

    def __init__(
        self,
        table: Table | None = None,
        *,
        window_ns: int = WINDOW_NS,
        members_max: int = MEMBERS_MAX,
        groups_max: int = GROUPS_MAX,
        candidates_max: int = CANDIDATES_MAX,
        ties_max: int = TIES_MAX,
    ) -> None:
        self._table = table or Table()
        self._window_ns = window_ns
        self._is_quiet: dict[str, bool] = {}
        self._ties = Ties(
            window_ns=window_ns,
            members_max=members_max,
            groups_max=groups_max,
            ties_max=ties_max,
        )
        self._causal = Causal(self._ties, self._table.causes, candidates_max)

    @property
    def counts(self) -> Counter[str]:
        """How often a bound was hit."""
        return self._ties.counts

    def add(self, alert: Alert) -> list[Correlation]:
        """A new episode; the groups that it made or joined."""
        return self._shown_all(self._add(alert))

    def add_all(self, alerts: Sequence[Alert]) -> list[Correlation]:
        """`add` for each of *alerts*, in order: what it came to for all of them."""
        found: list[Near] = []
        at, count = 0, len(alerts)
        while at < count:
            at = self._ties.begin_in_storm(alerts, at, self._is_quiet)
            if at < count:
                alert = alerts[at]
                if alert.name not in self._is_quiet:
                    self._learn(alert.name)
                found.append(self._add(alert))
                at += 1
        return self._shown_all(*found)

    def resolve(self, alert: Alert) -> list[Correlation]:
        """An episode is over: its groups are as they were, and were updated."""
        groups = self._ties.groups_of(alert.id)
        for group in groups:
            self._ties.touch(group, alert.updated_ns)
        return [self._shown(group) for group in groups]

    def commit(self) -> None:
        """What was done since the last commit is kept; what is too old to matter is forgotten."""
        self._ties.commit()

    def abort(self) -> None:
        """Everything is as it was at the last commit."""
        self._ties.abort()

    def load(self, alerts: Iterable[Alert]) -> None:
        """Begin from the episodes that were kept, in the order in which they came.

        Those that came long before the last one have no part in a group that could still grow.
        """
        kept = sorted(alerts, key=lambda one: (one.created_ns, one.id))
        floor_ns = kept[-1].created_ns - WINDOWS_LOADED * self._window_ns if kept else 0
        for alert in kept:
            if alert.created_ns >= floor_ns:
                self.add(alert)
                self.commit()

    def _learn(self, name: str) -> None:
        """Whether alerts of *name* are in no known cause."""
        if len(self._is_quiet) >= NAMES_MAX:
            self._is_quiet.clear()
        self._is_quiet[name] = not any(self._table.roles(name, ()))

    def _add(self, alert: Alert) -> Near:
        keys = keys_of(alert)
        context = alert.context
        # In order of strength, so one that is no name comes before those that are.
        owned = (bool(keys) and not keys[0].startswith("podname:")) or len(keys) > 1
        said = (
            *(alert.id, alert.starts_ns, alert.source, context.pod_id),
            *(_namespace(alert.labels), context.cluster_name, owned),
        )
        at_ns = alert.created_ns
        near = Near()
        as_cause, as_effect = self._table.roles(alert.name, alert.labels)
        if as_cause or as_effect:
            known = *said, tuple(sorted(keys, key=_strength_and_name)), _device(alert)
            for is_cause, numbers in ((False, as_effect), (True, as_cause)):
                end = End(*known, is_cause)
                for number in dict.fromkeys(numbers):
                    self._causal.meet(number, end, near, at_ns)
        ties = self._ties
        ref = Ref(*said)
        for key in keys:
            ties.meet(key, ref, near, at_ns)
        if not near.groups:
            ties.meet(TIME, ref, near, at_ns)
        return near

    def _shown_all(self, *found: Near) -> list[Correlation]:
        """What became of the groups of *found*, each once; those that are gone without members."""
        changed = {group.id: group for near in found for group in (*near.groups, *near.gone)}
        gone = {group.id for near in found for group in near.gone}
        shown = map(self._shown, changed.values())
        return [structs.replace(one, members=()) if one.id in gone else one for one in shown]

    def _shown(self, group: Group) -> Correlation:
        kind, score, reason = self._judged(group)
        return Correlation(
            id=group.id,
            members=tuple([one.id for one in group.refs]),
            type=kind,
            score=score,
            reason=reason,
            created_ns=group.created_ns,
            updated_ns=group.updated_ns,
        )

    def _judged(self, group: Group) -> tuple[str, float, str]:
        # The name of an entity may have a `>` of its own; before that stands its kind.
        number, _, key = group.tie.partition(">")
        if not number.isdigit():
            number, key = "", group.tie
        entity = key.partition(":")[0]
        entity = "pod" if entity == "podname" else entity
        cross = len(group.sources) > 1
        span_ns = group.refs[-1].starts_ns - group.refs[0].starts_ns
        total = _CLOSE if span_ns < MINUTE_NS else _NEAR
        reasons = []
        weight = GROUP_WEIGHTS.get(entity)
        kind = "time" if weight is None else "entity"
        if number:
            kind = "causal"
            cause = self._table.causes[int(number)]
            total += cause.score
            reasons.append(cause.reason)
        if weight is not None:
            total += weight
            reasons.append(f"same {entity}")
        if cross and not number:
            kind = "cross_source"
            total += _CROSS
            reasons.append("cross-source correlation")
        minutes = max(1, -(-span_ns // MINUTE_NS))
        reasons.append(f"occurred within {minutes} minute{'s' if minutes > 1 else ''}")
        return kind, round(min(1.0, total / SCORE_SUM_MAX), 2), "; ".join(reasons)


def keys_of(alert: Alert) -> tuple[str, ...]:
    """What *alert* may be tied by, the strongest first: `workload:<uid>`, …, at most KEYS_MAX.

    Where enrichment knew nobody, the context's own words count: ids as they were posted.
    """
    context = alert.context
    keys = dict.fromkeys(alert.entities)
    if len(keys) > DEVICES_MAX:
        devices = [key for key in keys if key.startswith("device:")]
        if len(devices) > DEVICES_MAX:
            for key in devices:
                del keys[key]
    if context.workload_uid:
        keys[f"workload:{context.workload_uid}"] = None
    if context.workload_id:
        keys[f"workload:{context.workload_id}"] = None
    if context.pod_id:
        keys[f"pod:{context.pod_id}"] = None
    if context.pod_name:
        keys[f"podname:{context.pod_name}"] = None
    if context.node_name:
        keys[f"node:{context.node_name}"] = None
    if len(keys) < 2:
        return tuple(keys)
    return tuple(sorted(keys, key=_strength))[:KEYS_MAX]


def _namespace(labels: Labels) -> str:
    said = {label: value for label, value in labels if label in _NAMESPACES}
    return next((said[one] for one in _NAMESPACES if said.get(one)), "") if said else ""


def _device(alert: Alert) -> str:
    """The device that *alert* is about, if it is one."""
    devices = [one for one in alert.entities if one.startswith("device:")]
    return devices[0] if len(devices) == 1 else ""


def _strength_and_name(key: str) -> tuple[int, str]:
    return _strength(key), key


def _strength(key: str) -> int:
    return _ORDER.get(key[:4], len(_ORDER))
