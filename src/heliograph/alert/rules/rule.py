"""Rules: what is evaluated over lines, records, traces, rows and series, and what is to be said.

    Rule(id="r1", name="NCCLError", source="log", severity="warning",
         body=LinePattern(pattern=…, threshold=Threshold(count=3, window_ns=600 s)), labels=…)

`decode` makes them of the documents of the API, `pack` holds those that are built in,
`stream` evaluates what streams in, `metrics` what is queried, `trial` tries one.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from msgspec import Struct, structs

from heliograph.alert.model import NOBODY, Context
from heliograph.core.duration import DAY_NS, MINUTE_NS
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.core.record import packed
from heliograph.rules.patterns import Pattern

NO_LABELS: Mapping[str, str] = {}
# A clock may be so far ahead of ours.
AHEAD_NS = 5 * MINUTE_NS
_EXACT = frozenset({"=", "!="})
# Of longer values it is not remembered which patterns they match.
_REMEMBERED_CHARS_MAX = 64


class Threshold(Struct, frozen=True):
    """So many within a window, counted for each combination of the values of *by*.

    by    label names; `a|b` is the first of them that is known; None: nobody said
    """

    count: int = 1
    window_ns: int = 0
    by: tuple[str, ...] | None = None


class LinePattern(Struct, frozen=True):
    """Log lines that contain *pattern* and not *exclude*, of those that *match* admits.

    Named groups of the pattern may be used in *match*, `by` and annotations.
    """

    pattern: Pattern
    exclude: Pattern | None = None
    match: tuple[Matcher, ...] = ()
    threshold: Threshold = Threshold()


class MetricThreshold(Struct, frozen=True):
    """*agg* over *window_ns* of each series of *metric*, compared, true for *for_ns*."""

    metric: str
    match: tuple[Matcher, ...]
    agg: str
    window_ns: int
    op: str
    value: float
    for_ns: int = 0


class TraceDuration(Struct, frozen=True):
    """Operations whose duration, in ms, compares with *value_ms*; "" is any."""

    service_name: str
    operation: str
    op: str
    value_ms: float
    match: tuple[Matcher, ...] = ()
    threshold: Threshold = Threshold()


class AttributeTest(Struct, frozen=True):
    """One condition on one attribute: a number compared, or text matched.

    An attribute that is absent or null fulfils no comparison, and is "" as text.
    """

    name: str
    op: str
    number: float | None = None
    text: Matcher | None = None


class EventMatch(Struct, frozen=True):
    """Records of one of *event_types* and *severities* (none: any) that pass all *attributes*."""

    event_types: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    attributes: tuple[AttributeTest, ...] = ()
    match: tuple[Matcher, ...] = ()
    threshold: Threshold = Threshold()


class EventShare(Struct, frozen=True):
    """Of the records that *whole* is about, the share that *part* is about too, within *window_ns*,
    compared; for each combination of *by*, and only of *least* records or more."""

    whole: EventMatch
    part: EventMatch
    window_ns: int
    op: str
    value: float
    least: int = 20
    by: tuple[str, ...] = ()


class FieldTest(Struct, frozen=True):
    """Training rows in which a field of *fields* compares with *value*; op `nan` or `inf`: is so."""

    fields: tuple[str, ...]
    op: str
    value: float = 0.0
    match: tuple[Matcher, ...] = ()
    threshold: Threshold = Threshold()


class SeriesMatch(Struct, frozen=True):
    """Series of *metric* that *match* admits."""

    metric: str
    match: tuple[Matcher, ...] = ()


What: TypeAlias = LinePattern | TraceDuration | EventMatch | FieldTest | SeriesMatch


class Absence(Struct, frozen=True):
    """*what* was heard of, and then not for *window_ns*, for each combination of *by*.

    until       records after which nothing more is expected of a key
    forget_ns   a key silent for so long is not expected any more, and its alert ends
    Without *by* it is expected from the beginning.
    """

    what: What
    window_ns: int
    by: tuple[str, ...] = ()
    until: EventMatch | None = None
    forget_ns: int = DAY_NS


class Anomaly(Struct, frozen=True):
    """A value whose robust z-score against its own past is beyond *z*.

    metric      a series, looked at by the ticker over *window_ns*; or
    fields      training fields, looked at on every row, against the last *size* of the same source
    least       values that a past must have before anything is an anomaly
    of          `value`, or `change`: how much it moves per second from one value to the next
    by          as in `Threshold`, of rows
    """

    metric: str = ""
    fields: tuple[str, ...] = ()
    match: tuple[Matcher, ...] = ()
    z: float = 6.0
    direction: str = "up"
    size: int = 100
    least: int = 20
    window_ns: int = 60 * MINUTE_NS
    for_ns: int = 0
    by: tuple[str, ...] | None = None
    of: str = "value"


Body: TypeAlias = (
    LinePattern
    | MetricThreshold
    | TraceDuration
    | EventMatch
    | EventShare
    | FieldTest
    | Absence
    | Anomaly
)


class Rule(Struct, frozen=True):
    """One rule. *name* is the `alertname` of what it says; it is unique.

    explain    label whose value is looked up in the table of Xids, for the annotation `meaning`
    """

    id: str
    name: str
    source: str
    rule_type: str
    severity: str
    body: Body
    labels: Labels = ()
    annotations: Labels = ()
    enabled: bool = True
    builtin: bool = False
    explain: str = ""


def watches_alike(one: Rule, other: Rule) -> bool:
    """Whether what *one* remembers is *other*'s too: they differ in annotations at most."""
    return one == structs.replace(other, annotations=one.annotations)


class Said(NamedTuple):
    """One thing that streams in, for those rules that it concerns.

    client     who told it, by whose clock: each has its own watermark
    context    whose it is
    labels     more that is known: namespace, container, stream, …
    text       the line, or the record's body
    teller     what, together with client, time and text, makes it the same if it comes again; () if
               it cannot be known whether it does
    """

    at_ns: int
    client: str
    context: Context = NOBODY
    labels: Mapping[str, str] = NO_LABELS
    text: str = ""
    teller: tuple[str, ...] = ()


class Trace(NamedTuple):
    """One finished operation, as a trace alert or a record tells it."""

    service_name: str
    operation: str
    duration_ms: float
    trace_id: str = ""
    span_id: str = ""


class Series(NamedTuple):
    """The points of one series, (at_ns, value) in time order."""

    labels: Labels
    points: list[tuple[int, float]]


class StateRow(NamedTuple):
    """What of a rule must outlive the process: of each key, its state; None: forgotten."""

    rule_id: str
    key: str
    state: bytes | None


def known(said: Said) -> dict[str, str]:
    """Every label that *said* has: its own, and its context under the names of `/v1`."""
    context = said.context
    values = {
        "workload_id": context.workload_id,
        "workload_name": context.workload_name,
        "workload_uid": context.workload_uid,
        "pod_name": context.pod_name,
        "pod_id": context.pod_id,
        "node_name": context.node_name,
        "cluster_name": context.cluster_name,
        **said.labels,
    }
    return {name: value for name, value in values.items() if value}


def clock_of(client: str, at_ns: int, arrival_ns: int) -> str:
    """By whose clock something is that *client* told: what is of the future is apart from the rest, so
    that one wrong time does not make late what the client, or another of its name, tells then."""
    return client if at_ns <= arrival_ns + AHEAD_NS else f"{client} ahead"


def identity_of(said: Said) -> int:
    """What tells *said* from all else of its client and time, in 62 bits; 0 where that is not known."""
    if not said.teller:
        return 0
    whole = hashlib.sha256(packed(*said.teller, said.text))
    return int.from_bytes(whole.digest()[:8], "big") >> 2 or 1


def admitted(matchers: tuple[Matcher, ...], values: Mapping[str, str]) -> bool:
    """Whether *values* pass all *matchers*; a missing label is ""."""
    # A loop, not all(): this runs for every training row, mostly without any matcher.
    for matcher in matchers:  # noqa: SIM110
        if not _fulfils(matcher, values.get(matcher.name, "")):
            return False
    return True


def _fulfils(matcher: Matcher, value: str) -> bool:
    if matcher.op in _EXACT or len(value) > _REMEMBERED_CHARS_MAX:
        return matcher.matches(value)
    return _known_to_fulfil(matcher, value)


@lru_cache(maxsize=1024)
def _known_to_fulfil(matcher: Matcher, value: str) -> bool:
    # A pattern takes microseconds, and the values of a label are few: the codes of Xids.
    return matcher.matches(value)


def key_of(by: tuple[str, ...], values: Mapping[str, str]) -> Labels:
    """The labels that *by* names, of those that are known; `a|b` gives the first that is."""
    found = {}
    for names in by:
        for name in names.split("|") if "|" in names else (names,):
            if value := values.get(name, ""):
                found[name] = value
                break
    return tuple(sorted(found.items())) if len(found) > 1 else tuple(found.items())
