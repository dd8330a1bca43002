"""Rules over what streams in: lines, records, training rows, traces; and silence, by a ticker.

    hits = stream.match(text)                    # every line; a microsecond, and mostly ()
    if hits:
        stream.line(hits, Said(at_ns, client, context, labels, text), seq=…, arrival_ns=…)
    stream.row(row, said, …), stream.record(record, said, …), stream.trace(trace, said, …)
    posts, rows = stream.drain()                 # to be committed with the cursor

Evaluation is in order and depends on what was handed in alone, never on the machine: from the same
states the same lines give the same posts. What one `drain` gives is one transaction's; a key that
fires often in between is one post, of the first line that made it fire and the latest `seq`.
Nothing here is shared: one stream belongs to one thread.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import structs

from heliograph.alert.model import Post
from heliograph.alert.rules import match as rule_match
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.counts import Counts
from heliograph.alert.rules.index import RuleIndex
from heliograph.alert.rules.listening import Listening
from heliograph.alert.rules.owned import Owned, Values, owned_key
from heliograph.alert.rules.pasts import Pasts
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    EventShare,
    Rule,
    Said,
    StateRow,
    Threshold,
    Trace,
    admitted,
    key_of,
    known,
)
from heliograph.alert.rules.sharing import Sharing
from heliograph.core import duration
from heliograph.core.duration import HOUR_NS
from heliograph.core.labels import Labels
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.rules.anomaly import is_anomalous
from heliograph.rules.patterns import encoded

# What a rule that fires at once counts by, when it does not say: whose line it is.
OWNER = ("workload_id", "pod_name|node_name")
POSTS_MAX = 10_000


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
        self._resolve_after_ns = resolve_after_ns
        self._index = RuleIndex(rules)
        self._owned = Owned(self._index.rows)
        # Whom an absence heard in the frame at hand.
        self._heard_in = 0, 0
        self._heard_keys: set[tuple[str, Labels]] = set()
        self._counts = {rule.id: Counts(rule.id, held) for rule, held in self._index.counted}
        self._pasts = {
            rule.id: Pasts(rule.id, size=body.size, least=body.least, of=body.of)
            for rule, body in self._index.deviating
        }
        self._sharing = {
            rule.id: Sharing(rule, body, resolve_after_ns=resolve_after_ns)
            for rule, body in self._index.sharing
        }
        self._listening = {
            rule.id: Listening(rule, body, since_ns=since_ns, resolve_after_ns=resolve_after_ns)
            for rule, body in self._index.listening
        }
        self._posts: list[Post] = []
        self._places: dict[tuple[str, Labels], int] = {}
        for row in states:
            self._load(row)

    def match(self, text: str) -> tuple[int, ...]:
        """The numbers of the line rules whose pattern occurs in *text*, for `line`."""
        return self._index.patterns.matches(encoded(text))

    def matching(self, texts: bytes, ends: Sequence[int]) -> list[int]:
        """Of the lines of *texts*, UTF-8 that ends at *ends*, the places of those that `match`."""
        return self._index.patterns.matching(texts, ends)

    @property
    def listens(self) -> bool:
        """Whether any rule is an absence."""
        return bool(self._listening)

    @property
    def fired(self) -> bool:
        """Whether there are posts to drain."""
        return bool(self._posts)

    @property
    def wants_rows(self) -> bool:
        """Whether any rule looks at training rows."""
        return bool(self._index.rows)

    def line(
        self, hits: tuple[int, ...], said: Said, *, seq: int = -1, arrival_ns: int
    ) -> None:
        """A line that the rules of *hits*, from `match`, may be about."""
        text = encoded(said.text)
        values = known(said)
        for number in hits:
            rule, body = self._index.lines[number]
            if body.exclude is not None and body.exclude.found_in(text):
                continue
            groups = body.pattern.groups(text)
            all_values = {**groups, **values} if groups else values
            if not admitted(body.match, all_values):
                continue
            extra = {"log_line": rule_posts.line_cut(said.text), **groups}
            self._occurred(rule, body.threshold, said, all_values, extra, seq, arrival_ns)

    def row(self, row: TrainingRow, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A training row; its source (`log`, `wandb`) may be matched on as `row_source`."""
        values = self._owned.of(said, row.source)
        for rule, body in values.admitted:
            if isinstance(body, Anomaly):
                self._deviated(rule, body, row, said, values, seq, arrival_ns)
                continue
            found = rule_match.field_of(body, row.fields)
            if found is None:
                continue
            if isinstance(rule.body, Absence):
                self._heard(rule, rule.body, values, seq, arrival_ns)
            else:
                name, value = found
                extra = {"field": name, **_place(row)}
                if said.text:
                    extra["log_line"] = rule_posts.line_cut(said.text)
                self._occurred(
                    rule, body.threshold, said, values, extra, seq, arrival_ns, value=value
                )

    def wants(self, event_type: str) -> bool:
        """Whether any rule looks at records of *event_type*."""
        index = self._index
        return bool(index.traces or index.by_event.get(event_type) or index.by_event.get(""))

    def record(self, record: Record, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A record, once for each id."""
        numbers = self._index.by_event.get(record.event_type, ())
        anywhere = self._index.by_event.get("", ())
        if numbers or anywhere:
            values = rule_match.record_values(record, said)
            for number in sorted((*numbers, *anywhere)):
                self._recorded(number, record, said, values, seq, arrival_ns)
        if self._index.traces:
            trace = rule_match.trace_of(record)
            if trace is not None:
                self.trace(trace, said, seq=seq, arrival_ns=arrival_ns)

    def trace(self, trace: Trace, said: Said, *, seq: int = -1, arrival_ns: int) -> None:
        """A finished operation."""
        own = {
            "service_name": trace.service_name,
            "operation": trace.operation,
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
        }
        values = {**known(said), **own}
        for rule, body in self._index.traces:
            if rule_match.is_trace(body, trace, values):
                extra = {**own, "duration_ms": rule_posts.number(trace.duration_ms)}
                self._occurred(
                    rule,
                    body.threshold,
                    said,
                    values,
                    extra,
                    seq,
                    arrival_ns,
                    value=trace.duration_ms,
                )

    def tick(self, now_ns: int) -> None:
        """Look for silence, as of *now_ns*."""
        self._heard_keys.clear()
        for one in self._ending():
            for post in one.tick(now_ns):
                self._say(post)

    def retire(self, now_ns: int) -> None:
        """These rules are no more: end what absences and shares said. (Others end by themselves.)"""
        for one in self._ending():
            for post in one.retire(now_ns):
                self._say(post)

    def drain(self) -> tuple[list[Post], list[StateRow]]:
        """Posts in order, and the rows of state that changed, since the last time."""
        posts, self._posts, self._places = self._posts, [], {}
        return posts, [row for one in self._remembering() for row in one.drain()]

    def everything(self) -> list[StateRow]:
        """The rows of all that is remembered: for the stream of tomorrow's rules, and when we
        close. Posts stay to be drained; these rows need not be."""
        return [row for one in self._remembering() for row in one.everything()]

    def bounds(self) -> Counter[str]:
        """How often a bound was hit: `counts`, and late and evicted occurrences."""
        found = Counter(self.counts)
        for one in self._remembering():
            found["late"] += one.late
            found["evicted"] += one.evicted
        return found

    def _ending(self) -> list[Listening | Sharing]:
        return [*self._listening.values(), *self._sharing.values()]

    def _remembering(self) -> Iterator[Counts | Listening | Pasts | Sharing]:
        for kept in (self._counts, self._listening, self._pasts, self._sharing):
            yield from kept.values()

    def _load(self, row: StateRow) -> None:
        for one in (self._counts, self._listening, self._pasts, self._sharing):
            holder = one.get(row.rule_id)
            if holder is not None and row.state is not None:
                try:
                    holder.load(row.state)
                except ValueError:
                    # The rule was of another kind when it was written.
                    self.counts["state_unread"] += 1

    def _recorded(
        self,
        number: int,
        record: Record,
        said: Said,
        values: dict[str, str],
        seq: int,
        arrival_ns: int,
    ) -> None:
        rule, body, ends = self._index.records[number]
        if not rule_match.is_event(body, record, values):
            return
        if ends:
            listening = self._listening[rule.id]
            assert isinstance(rule.body, Absence)
            self._heard_keys.clear()
            post = listening.ended(key_of(rule.body.by, values), arrival_ns, seq=seq)
            if post is not None:
                self._say(post)
            return
        if isinstance(rule.body, EventShare):
            share = self._sharing[rule.id]
            key, part = (
                key_of(rule.body.by, values),
                rule_match.is_event(rule.body.part, record, values),
            )
            post = share.seen(key, said, values, part=part, seq=seq, arrival_ns=arrival_ns)
            if post is not None:
                self._say(post)
            return
        extra = {"event_type": record.event_type}
        if record.body:
            extra["log_line"] = rule_posts.line_cut(record.body)
        self._occurred(rule, body.threshold, said, values, extra, seq, arrival_ns)

    def _occurred(
        self,
        rule: Rule,
        threshold: Threshold,
        said: Said,
        values: dict[str, str],
        extra: dict[str, str],
        seq: int,
        arrival_ns: int,
        *,
        value: float | None = None,
    ) -> None:
        if isinstance(rule.body, Absence):
            self._heard(rule, rule.body, values, seq, arrival_ns)
            return
        by = threshold.by
        if by is None:
            by = OWNER if threshold.count == 1 else ()
        key = owned_key(by, values)
        found = self._counts[rule.id].add(key, said.client, said.at_ns)
        if not found or self._again(rule, key, seq, arrival_ns):
            return
        if threshold.count > 1:
            span = duration.format_ns(threshold.window_ns)
            extra = {**extra, "match_reason": f"{found} occurrences within {span}"}
        told = float(found) if value is None else value
        self._fire(rule, key, said, {**extra, **values}, extra, seq, arrival_ns, told)

    def _heard(
        self, rule: Rule, body: Absence, values: dict[str, str], seq: int, arrival_ns: int
    ) -> None:
        key = owned_key(body.by, values)
        # To hear one again in the same frame tells nothing new.
        if self._heard_in != (arrival_ns, seq):
            self._heard_in = arrival_ns, seq
            self._heard_keys.clear()
        elif (rule.id, key) in self._heard_keys:
            return
        self._heard_keys.add((rule.id, key))
        post = self._listening[rule.id].heard(key, arrival_ns, seq=seq)
        if post is not None:
            self._say(post)

    def _deviated(
        self,
        rule: Rule,
        body: Anomaly,
        row: TrainingRow,
        said: Said,
        values: Values,
        seq: int,
        arrival_ns: int,
    ) -> None:
        for name in body.fields:
            if name in row.fields:
                break
        else:
            return
        value = row.fields[name]
        if type(value) is not float and type(value) is not int:
            return
        by = OWNER if body.by is None else body.by
        key = values.keys_by.get(by) or owned_key(by, values)
        client = f"{said.client}/{row.rank_group}/{name}"
        z = self._pasts[rule.id].score(key, client, said.at_ns, float(value), limit=body.z)
        if z is None or not is_anomalous(z, limit=body.z, direction=body.direction):
            return
        if self._again(rule, key, seq, arrival_ns):
            return
        extra = {"field": name, "match_reason": f"robust z-score {z:.1f}", **_place(row)}
        if said.text:
            extra["log_line"] = rule_posts.line_cut(said.text)
        self._fire(rule, key, said, {**extra, **values}, extra, seq, arrival_ns, float(value))

    def _again(self, rule: Rule, key: Labels, seq: int, arrival_ns: int) -> bool:
        """Whether *rule* fired for *key* since the last drain: that post is told to be later."""
        place = self._places.get((rule.id, key))
        if place is None:
            return False
        post = self._posts[place]
        self._posts[place] = structs.replace(post, seq=seq, received_ns=arrival_ns)
        return True

    def _fire(
        self,
        rule: Rule,
        key: Labels,
        said: Said,
        values: dict[str, str],
        extra: dict[str, str],
        seq: int,
        arrival_ns: int,
        value: float,
    ) -> None:
        post = rule_posts.firing(
            rule,
            key,
            at_ns=said.at_ns,
            arrival_ns=arrival_ns,
            resolve_after_ns=self._resolve_after_ns,
            seq=seq,
            values=values,
            annotations=extra,
            value=value,
            hints=said.context,
        )
        if self._say(post):
            self._places[rule.id, key] = len(self._posts) - 1

    def _say(self, post: Post) -> bool:
        if len(self._posts) >= POSTS_MAX:
            self.counts["posts_dropped"] += 1
            return False
        self._posts.append(post)
        return True


def _place(row: TrainingRow) -> dict[str, str]:
    return {} if row.iteration is None else {"iteration": str(row.iteration)}
