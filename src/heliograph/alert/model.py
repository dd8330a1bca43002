"""The values of the alert engine: what is posted, what is kept, what is told.

An alert is one *episode* of one identity: its labels. It fires while `ends_ns` is None or ahead,
is resolved once `ends_ns` is past, and when its labels come again after that a new episode begins.

    Alert(id="18c4…", fingerprint="9f…", labels=(("alertname", "OOM"), …), starts_ns=…, ends_ns=None)
"""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from heliograph.core.labels import Labels, get

SOURCES = ("metric", "log", "trace", "webhook", "event")

_RANKS = {
    "critical": 0, "page": 0, "high": 1, "error": 1, "warning": 2, "warn": 2, "info": 4, "none": 5,
}  # fmt: skip
_OTHER_RANK = 3


class Status(StrEnum):
    """Of an episode, at an instant."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Context(Struct, frozen=True, gc=False):
    """Whose an alert is, as of its own time; what nobody knows is ""."""

    workload_id: str = ""
    workload_name: str = ""
    workload_uid: str = ""
    pod_name: str = ""
    pod_id: str = ""
    node_name: str = ""
    cluster_name: str = ""


NOBODY = Context()


class Enriched(Struct, frozen=True, gc=False):
    """What enrichment found of one post.

    context    whose it is
    entities   what it is about, by which it is correlated: `workload:<uid>`, `pod:<uid>`,
               `node:<name>`, `device:<uuid>`; a pod's node and devices are among them
    document   JSON kept with the episode as `enriched_data`
    """

    context: Context = NOBODY
    entities: tuple[str, ...] = ()
    document: bytes = b"{}"


class Post(Struct, frozen=True, gc=False):
    """One alert as a sender posted it, decoded.

    labels         canonical (`core.labels.of`), never empty: the identity
    fingerprint    `core.labels.fingerprint` of them; a foreign one is only kept in *raw*
    starts_ns      None: not given
    ends_ns        None: not given; past: resolved; ahead: fires until then
    status         what the sender says, where its protocol has the word; "" otherwise (v2: only
                   `ends_ns` decides)
    hints          context the body names outside its labels (workload_id, pod_name, …)
    at_ns          the alert's own time, by which it is attributed
    raw            the posted document of this alert alone, JSON
    severity       of the label or, where the body says it beside its labels, of that
    resolve_after_ns   without an end it resolves by itself so long after the last repetition;
                   0: never, it fires until told otherwise
    seq            position in the log of what made a rule fire, -1 for posts from outside; a post
                   of a rule that is not later than the last one taken is a replay
    said           the labels by name, for receivers that have them so; nobody changes it
    """

    source: str
    labels: Labels
    fingerprint: str
    annotations: Labels
    received_ns: int
    at_ns: int
    resolve_after_ns: int
    starts_ns: int | None = None
    ends_ns: int | None = None
    status: str = ""
    generator_url: str = ""
    hints: Context = NOBODY
    severity: str = ""
    raw: bytes = b"{}"
    seq: int = -1
    said: dict[str, str] | None = None

    def by_name(self) -> dict[str, str]:
        """The labels by name; not to be changed."""
        return dict(self.labels) if self.said is None else self.said


class Alert(Struct, frozen=True, gc=False):
    """One episode of one identity.

    id            `<created_ns, 16 hex><fingerprint, 12 hex>`: newest last when sorted
    severity      as in `Post`; the newest post's
    fingerprint   32 hex digits, hash of the length-prefixed sorted labels
    ends_ns       ahead or None: fires; past: resolved
    timed_out     `ends_ns` is a guess (resolve time-out), which an explicit end beats
    created_ns    when this episode was first taken; `updated_ns` when it was last changed
    count         posts that made or repeated it
    episode       1 for the first of its identity
    seq           of the last rule evaluation that made or repeated it, -1 for none
    entities      as in `Enriched`
    raw, enriched documents as in `Post` and `Enriched`; the engine's own copies are b"" once the
                  store has them
    """

    id: str
    fingerprint: str
    source: str
    labels: Labels
    annotations: Labels
    starts_ns: int
    ends_ns: int | None
    timed_out: bool
    created_ns: int
    updated_ns: int
    generator_url: str = ""
    severity: str = ""
    context: Context = NOBODY
    count: int = 1
    episode: int = 1
    seq: int = -1
    entities: tuple[str, ...] = ()
    raw: bytes = b"{}"
    enriched: bytes = b"{}"

    @property
    def name(self) -> str:
        """The label `alertname`, or ""."""
        return get(self.labels, "alertname")

    def status(self, now_ns: int) -> Status:
        """Whether it fires at *now_ns*."""
        over = self.ends_ns is not None and self.ends_ns <= now_ns
        return Status.RESOLVED if over else Status.FIRING


def rank(severity: str) -> int:
    """0 for what is critical, more for what is less so; words that nobody knows are in between."""
    return _RANKS.get(severity.lower(), _OTHER_RANK)


def is_urgent(severity: str) -> bool:
    """Whether what is of *severity* goes before all others."""
    return rank(severity) == 0


class Suppression(Struct, frozen=True):
    """What keeps an alert from being told: ids of silences, of inhibiting alerts, names of mute
    intervals. All empty: nothing does."""

    silences: tuple[str, ...] = ()
    inhibitors: tuple[str, ...] = ()
    mutes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.silences or self.inhibitors or self.mutes)


class Reason(StrEnum):
    """Why a group is told now (R-G8)."""

    FIRST = "first notification"
    NEW_ALERTS = "new alerts"
    SOME_RESOLVED = "some resolved"
    ALL_RESOLVED = "all resolved"
    REPEAT = "repeat"


class Group(Struct, frozen=True):
    """Alerts of one route that share the values of its `group_by`.

    key          `<route id>:<labels>`, the identity; shown to receivers as `groupKey`
    route_id     the node of the routing tree, `file/0/2` or `api/<id>`
    flush_ns     when it is next looked at
    flushed      whether it ever was: the first look comes after `group_wait`
    foreign_name, interval_ns   what Alertmanager calls its route, and how often it is looked at, as of
                 the last change of either: for ends that are told when the route is no more
    """

    key: str
    route_id: str
    receiver: str
    labels: Labels
    flush_ns: int
    created_ns: int
    flushed: bool = False
    foreign_name: str = ""
    interval_ns: int = 0


class Told(Struct, frozen=True):
    """What one integration was last told of one group: the engine's memory of deliveries.

    firing, resolved   alert ids (episodes)
    at_ns              when it was told; 0: never for sure
    message_id         what the channel knows the message by, where it can be updated in place
    maybe              ids that it may believe to fire though that is not what it was told last (an
                       attempt whose end is unknown; told once, suppressed since): owed a resolve,
                       and news when they may be told again
    """

    group_key: str
    integration: str
    firing: frozenset[str]
    resolved: frozenset[str]
    at_ns: int
    message_id: str = ""
    maybe: frozenset[str] = frozenset()


class Outgoing(Struct, frozen=True):
    """One open row of the outbox: a message to one integration about one group.

    At most one is open for each (group, integration); `generation` grows when a newer flush
    replaces one that nobody attempted yet.

    key            idempotency key: equal for every attempt of the same message
    firing, resolved   ids in the message, and what `Told` becomes when it is delivered
    due_ns         not before
    attempts       made so far
    in_flight      an attempt is being made
    """

    group_key: str
    integration: str
    key: str
    reason: Reason
    firing: frozenset[str]
    resolved: frozenset[str]
    created_ns: int
    due_ns: int
    generation: int = 0
    attempts: int = 0
    in_flight: bool = False


class Message(Struct, frozen=True):
    """What a channel is handed: everything a template may show, nothing secret.

    status         firing while one alert of it is
    alerts         critical first, then by labels; `status` of each as of `now_ns`
    common_labels, common_annotations   what all alerts share
    truncated      alerts left out by a channel's limit
    message_id     of the earlier message to update in place, or ""
    foreign_key    the group's key as Alertmanager has it where the group is of a file's route
    """

    key: str
    receiver: str
    group_key: str
    group_labels: Labels
    reason: Reason
    alerts: tuple[Alert, ...]
    now_ns: int
    external_url: str
    common_labels: Labels = ()
    common_annotations: Labels = ()
    truncated: int = 0
    message_id: str = ""
    foreign_key: str = ""

    @property
    def status(self) -> Status:
        """Firing while at least one alert is."""
        firing = any(a.status(self.now_ns) is Status.FIRING for a in self.alerts)
        return Status.FIRING if firing else Status.RESOLVED


class Delivery(Struct, frozen=True):
    """What came of one attempt.

    outcome        `sent`; `later` (worth another attempt); `refused` (never will be)
    answer         the provider's words, secrets taken out, at most 500 characters
    retry_after_s  what the provider asked for, 0 when it named none
    message_id     as in `Told`
    messages       provider messages it took (split by the channel's limits)
    unsure         not `sent`, but the receiver may have it or part of it all the same (a time-out
                   after the request was out, some of several parts)
    """

    outcome: str
    answer: str = ""
    status: int = 0
    retry_after_s: float = 0.0
    message_id: str = ""
    messages: int = 1
    unsure: bool = False


class Entry(Struct, frozen=True):
    """One line of the ledger (`GET /v1/notifications`): of one alert and one integration.

    kind      `sent`, `failed` (will be tried again), `dead` (given up), or `held`
    stage     what held it: `inhibit`, `mute`, `silence`, `rate`, `route`, `compare`; "" otherwise; of
              lines that are only asked for also `group_wait`, `group_interval`
    cause     because of what: silence id, inhibiting alert id, interval name, a reason
    """

    alert_id: str
    group_key: str
    receiver: str
    integration: str
    channel: str
    at_ns: int
    kind: str
    status: Status
    attempt: int = 0
    stage: str = ""
    cause: str = ""
    answer: str = ""
    key: str = ""


class Correlation(Struct, frozen=True):
    """A group of alerts that belong together; readable from every member.

    members    alert ids, oldest first; none where it was joined to another and is gone
    type       time | entity | cross_source | causal
    score      0..1
    reason     joined by "; "
    """

    id: str
    members: tuple[str, ...]
    type: str
    score: float
    reason: str
    created_ns: int
    updated_ns: int


class Silence(Struct, frozen=True):
    """Suppresses notifications of the alerts that all matchers match, in `[starts_ns, ends_ns)`.

    matchers   ((name, op, value), …) with op one of = != =~ !~; the value of =~ is an RE2
    schedule   None, or when within the span it is in force: {cron, duration, timezone}
    """

    id: str
    matchers: tuple[tuple[str, str, str], ...]
    starts_ns: int
    ends_ns: int
    created_by: str
    comment: str
    created_ns: int
    updated_ns: int
    schedule: dict[str, str] | None = None


class Integration(Struct, frozen=True):
    """One channel of one receiver.

    id         `<receiver>/<kind>[<n>]`, stable as long as the receiver keeps its order
    kind       webhook | email | dingtalk | wecom | slack | alertmanager
    settings   the channel's own, decoded and complete (globals filled in); secrets included
    guarded    its URL came over the API and must pass the outgoing guard
    """

    id: str
    receiver: str
    kind: str
    settings: dict[str, Any]
    send_resolved: bool = True
    guarded: bool = False


class Receiver(Struct, frozen=True):
    """A name and its channels."""

    name: str
    integrations: tuple[Integration, ...] = ()
