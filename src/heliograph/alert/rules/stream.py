"""Rules over what streams in: lines, records, training rows, traces; and silence, by a ticker.

    hits = stream.match(text)                    # every line; a microsecond, and mostly ()
    if hits:
        stream.line(hits, Said(at_ns, client, context, labels, text), seq=…, arrival_ns=…)
    stream.rows(rows, whose, …), stream.record(record, said, …), stream.trace(trace, said, …)
    posts, rows = stream.drain()                 # to be committed with the cursor

Evaluation is in order and depends on what was handed in alone, never on the machine: from the same
states the same lines give the same posts. What one `drain` gives is one transaction's; a key that
fires often in between is one post, of the first line that made it fire and the latest `seq`.
Nothing here is shared: one stream belongs to one thread. `bounds` alone may be asked by others.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from heliograph.alert.model import Post
from heliograph.alert.rules import match as rule_match
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.counts import Counts
from heliograph.alert.rules.index import RuleIndex
from heliograph.alert.rules.listening import Listening
from heliograph.alert.rules.occurring import Occurring
from heliograph.alert.rules.pasts import Pasts
from heliograph.alert.rules.row_rules import RowRules, Whose
from heliograph.alert.rules.rule import (
    NO_LABELS,
    Absence,
    EventShare,
    Rule,
    Said,
    StateRow,
    Trace,
    admitted,
    key_of,
    known,
)
from heliograph.alert.rules.saying import Came, Saying
from heliograph.alert.rules.sharing import Sharing
from heliograph.core.duration import HOUR_NS
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.rules.patterns import Hit, encoded


class RuleStream:
    """The enabled *rules* over one stream, with the *states* that were kept of them.

    since_ns          when we began to listen: no absence is older
    resolve_after_ns  after which an alert of an occurrence resolves by itself
    counts            `posts_dropped`: more than POSTS_MAX between two drains;
                      `state_unread`: a kept state that no rule of today can use
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        since_ns: int,
        resolve_after_ns: int = HOUR_NS,
        states: Iterable[StateRow] = (),
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._index = RuleIndex(rules)
        self._saying = Saying(resolve_after_ns)
        self._occurring = Occurring(
            self._index, self._saying, since_ns=since_ns, resolve_after_ns=resolve_after_ns
        )
        self._rows = RowRules(self._index, self._saying, self._occurring)
        self._sharing = {
            rule.id: Sharing(rule, body, resolve_after_ns=resolve_after_ns)
            for rule, body in self._index.sharing
        }
        for row in states:
            self._load(row)

    def match(self, text: str) -> tuple[int, ...]:
        """The numbers of the line rules whose pattern occurs in *text*, for `line`."""
        return self._index.patterns.matches(encoded(text))

    def matching(
        self,
        texts: bytes,
        ends: Sequence[int],
        places: Sequence[int] | None = None,
        *,
        together: bool = True,
    ) -> list[Hit]:
        """Of the lines of *texts*, UTF-8 that ends at *ends*, those that `match`, and what that is; as
        `PatternSet.matching`."""
        return self._index.patterns.matching(texts, ends, places, together=together)

    def guard(
        self, text: bytes, free: Sequence[tuple[int, int]]
    ) -> Sequence[tuple[int, int]] | None:
        """Which of *free*, the digits in which lines like *text* differ, must be zeros for none to
        `match`: see `rules.guards`."""
        return self._index.guards.of(text, free)

    @property
    def listens(self) -> bool:
        """Whether any rule is an absence."""
        return bool(self._occurring.listening)

    @property
    def fired(self) -> bool:
        """Whether there are posts to drain."""
        return self._saying.any

    @property
    def wants_rows(self) -> bool:
        """Whether any rule looks at training rows."""
        return bool(self._index.rows)

    def line(
        self,
        hits: tuple[int, ...],
        said: Said,
        *,
        values: Mapping[str, str] | None = None,
        told: Mapping[str, str] = NO_LABELS,
        seq: int = -1,
        arrival_ns: int,
    ) -> None:
        """A line that the rules of *hits*, from `match`, may be about. *values* is what is `known` of
        *said*, where the caller has it. *told* is more that it says (its rank, its device), which a
        group of that name hides; alerts are annotated with it.
        """
        text = encoded(said.text)
        if values is None:
            values = known(said)
        came = Came(seq, arrival_ns)
        for number in hits:
            rule, body = self._index.lines[number]
            if body.exclude is not None and body.exclude.found_in(text):
                continue
            groups = {**told, **body.pattern.groups(text)}
            all_values = {**groups, **values} if groups else values
            if not admitted(body.match, all_values):
                continue

            def extra(groups: Mapping[str, str] = groups) -> dict[str, str]:
                return {"log_line": rule_posts.line_cut(said.text), **groups}

            self._occurring.occurred(rule, body.threshold, said, all_values, extra, came)

    def row(self, row: TrainingRow, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A training row; its source (`log`, `wandb`) may be matched on as `row_source`."""
        self._rows.one(row, said, Came(seq, arrival_ns))

    def rows(
        self, rows: Sequence[TrainingRow], whose: Whose, *, seq: int = -1, arrival_ns: int
    ) -> None:
        """Training rows in their order; *whose* tells the owner of a pod, and is asked once for many
        rows, until `forget_owners`."""
        self._rows.several(rows, whose, Came(seq, arrival_ns))

    def forget_owners(self, pod_uid: str | None = None) -> None:
        """Whose rows are may be another from now on, of *pod_uid* or of all."""
        self._rows.forget_owners(pod_uid)

    @property
    def event_types(self) -> frozenset[str] | None:
        """The types of the records that any rule looks at; None for all."""
        return self._index.event_types

    def record(self, record: Record, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A record, once for each id."""
        numbers = self._index.by_event.get(record.event_type, ())
        anywhere = self._index.by_event.get("", ())
        came = Came(seq, arrival_ns)
        if numbers or anywhere:
            values = rule_match.record_values(record, said)
            for number in sorted((*numbers, *anywhere)):
                self._recorded(number, record, said, values, came)
        if self._index.traces:
            trace = rule_match.trace_of(record)
            if trace is not None:
                self._traced(trace, said, came)

    def trace(self, trace: Trace, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A finished operation."""
        self._traced(trace, said, Came(seq, arrival_ns))

    def tick(self, now_ns: int) -> None:
        """Look for silence, as of *now_ns*."""
        self._occurring.forget_heard()
        for one in self._ending():
            for post in one.tick(now_ns):
                self._saying.say(post)

    def retire(self, now_ns: int) -> None:
        """These rules are no more: end what absences and shares said. (Others end by themselves.)"""
        for one in self._ending():
            for post in one.retire(now_ns):
                self._saying.say(post)

    def drain(self) -> tuple[list[Post], list[StateRow]]:
        """Posts in order, and the rows of state that changed, since the last time."""
        return self._saying.drain(), [row for one in self._remembering() for row in one.drain()]

    def everything(self) -> list[StateRow]:
        """The rows of all that is remembered: for the stream of tomorrow's rules, and when we
        close. Posts stay to be drained; these rows need not be."""
        return [row for one in self._remembering() for row in one.everything()]

    def bounds(self) -> Counter[str]:
        """How often a bound was hit: `counts`, and late and evicted occurrences."""
        found = self.counts + Counter(posts_dropped=self._saying.dropped)
        for one in self._remembering():
            found["late"] += one.late
            found["evicted"] += one.evicted
        return found

    def _ending(self) -> list[Listening | Sharing]:
        return [*self._occurring.listening.values(), *self._sharing.values()]

    def _remembering(self) -> Iterator[Counts | Listening | Pasts | Sharing]:
        for kept in self._kept():
            yield from kept.values()

    def _kept(self) -> Sequence[Mapping[str, Counts | Listening | Pasts | Sharing]]:
        occurring = self._occurring
        return occurring.counts, occurring.listening, self._rows.pasts, self._sharing

    def _load(self, row: StateRow) -> None:
        for one in self._kept():
            holder = one.get(row.rule_id)
            if holder is not None and row.state is not None:
                try:
                    holder.load(row.state)
                except ValueError:
                    # The rule was of another kind when it was written.
                    self.counts["state_unread"] += 1

    def _recorded(
        self, number: int, record: Record, said: Said, values: dict[str, str], came: Came
    ) -> None:
        rule, body, ends = self._index.records[number]
        if not rule_match.is_event(body, record, values):
            return
        if ends:
            assert isinstance(rule.body, Absence)
            self._occurring.ended(rule, rule.body, values, came)
        elif isinstance(rule.body, EventShare):
            key = key_of(rule.body.by, values)
            part = rule_match.is_event(rule.body.part, record, values)
            seq, arrival_ns = came
            share = self._sharing[rule.id]
            self._saying.say(
                share.seen(key, said, values, part=part, seq=seq, arrival_ns=arrival_ns)
            )
        else:

            def extra() -> dict[str, str]:
                shown = {"event_type": record.event_type}
                if record.body:
                    shown["log_line"] = rule_posts.line_cut(record.body)
                return shown

            self._occurring.occurred(rule, body.threshold, said, values, extra, came)

    def _traced(self, trace: Trace, said: Said, came: Came) -> None:
        own = {
            "service_name": trace.service_name,
            "operation": trace.operation,
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
        }
        values = {**known(said), **own}
        for rule, body in self._index.traces:
            if rule_match.is_trace(body, trace, values):
                taken = trace.duration_ms

                def extra(taken: float = taken) -> dict[str, str]:
                    return {**own, "duration_ms": rule_posts.number(taken)}

                self._occurring.occurred(
                    rule, body.threshold, said, values, extra, came, value=taken
                )
