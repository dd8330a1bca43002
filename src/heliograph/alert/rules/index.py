"""Which rules look at what: lines, records by their type, training rows, traces.

An absence looks at what it listens for, and at the records that end its keys.
"""

from collections.abc import Sequence

from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    EventMatch,
    EventShare,
    FieldTest,
    LinePattern,
    Rule,
    SeriesMatch,
    Threshold,
    TraceDuration,
    What,
)
from heliograph.rules.guards import Guards
from heliograph.rules.patterns import PatternSet


class RuleIndex:
    """The enabled of *rules*, by what they look at. Rules over series are in none of it.

    lines, rows, traces   in the order of the rules
    patterns, guards      those of `lines`, numbered alike; which lines need no look for them
    records               and whether the record ends what an absence listens for
    by_event              event type ("": any) → numbers in `records`
    event_types           those of records that are looked at, None for all: any may be a trace
    counted, deviating, listening, sharing   the rules that have windows, pasts, keys, counts
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.lines: list[tuple[Rule, LinePattern]] = []
        self.records: list[tuple[Rule, EventMatch, bool]] = []
        self.by_event: dict[str, list[int]] = {}
        self.rows: list[tuple[Rule, FieldTest | Anomaly]] = []
        self.traces: list[tuple[Rule, TraceDuration]] = []
        self.counted: list[tuple[Rule, Threshold]] = []
        self.deviating: list[tuple[Rule, Anomaly]] = []
        self.listening: list[tuple[Rule, Absence]] = []
        self.sharing: list[tuple[Rule, EventShare]] = []
        for rule in rules:
            if rule.enabled:
                self._admit(rule)
        anything = bool(self.traces) or "" in self.by_event
        self.event_types = None if anything else frozenset(self.by_event)
        patterns = [body.pattern for _, body in self.lines]
        self.patterns, self.guards = PatternSet(patterns), Guards(patterns)

    def _admit(self, rule: Rule) -> None:
        match rule.body:
            case LinePattern() | TraceDuration() | EventMatch() | FieldTest() as body:
                self.counted.append((rule, body.threshold))
                self._look(rule, body)
            case EventShare() as body:
                self.sharing.append((rule, body))
                self._look_at_records(rule, body.whole, ends=False)
            case Anomaly() as body if body.fields:
                self.deviating.append((rule, body))
                self.rows.append((rule, body))
            case Absence() as body if not isinstance(body.what, SeriesMatch):
                self.listening.append((rule, body))
                self._look(rule, body.what)
                if body.until is not None:
                    self._look_at_records(rule, body.until, ends=True)
            case _:
                pass  # Series are the ticker's: `metrics`.

    def _look(self, rule: Rule, what: What) -> None:
        match what:
            case LinePattern():
                self.lines.append((rule, what))
            case TraceDuration():
                self.traces.append((rule, what))
            case EventMatch():
                self._look_at_records(rule, what, ends=False)
            case FieldTest():
                self.rows.append((rule, what))
            case SeriesMatch():
                raise AssertionError(rule.name)

    def _look_at_records(self, rule: Rule, body: EventMatch, *, ends: bool) -> None:
        for event_type in body.event_types or ("",):
            self.by_event.setdefault(event_type, []).append(len(self.records))
        self.records.append((rule, body, ends))
