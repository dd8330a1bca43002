"""Rules over training rows, many rows at once: exactly what one row after the other comes to, by a
reference that looks everything up anew for each."""

import gc
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack, structs

from heliograph.alert.model import Context
from heliograph.alert.rules import pasts as rule_pasts
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules import row_rules
from heliograph.alert.rules.counts import Counts
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.listening import Listening
from heliograph.alert.rules.match import field_of
from heliograph.alert.rules.pasts import VALUES_PER_WRITE, Pasts
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    Said,
    StateRow,
    admitted,
    identity_of,
    key_of,
    known,
)
from heliograph.alert.rules.stream import RuleStream
from heliograph.core.duration import HOUR_NS, SECOND_NS, format_ns
from heliograph.core.labels import fingerprint
from heliograph.core.training import TrainingRow
from heliograph.rules.anomaly import Past, is_anomalous

S = SECOND_NS
T0 = 1_767_225_600 * S
OWNER = ("workload_id", "pod_name|node_name")
# Two pods of one node and workload, one of another node, one that nobody knows.
OWNERS = {
    "p1": Context(workload_id="w1", pod_name="a-0", pod_id="p1", node_name="n1"),
    "p2": Context(workload_id="w1", pod_name="a-1", pod_id="p2", node_name="n1"),
    "p3": Context(workload_id="w2", pod_name="b-0", pod_id="p3", node_name="n2"),
}


def whose(pod_uid):
    return OWNERS.get(pod_uid, Context(pod_id=pod_uid))


class OneByOne:
    """What rules over rows are, by definition."""

    def __init__(self, rules):
        self.rules = rules
        self.posts, self.places, self.dirty = [], {}, set()
        self.counts = {
            r.id: Counts(r.id, r.body.threshold) for r in rules if r.rule_type == "field"
        }
        self.listening = {
            r.id: Listening(r, r.body, since_ns=T0, resolve_after_ns=HOUR_NS)
            for r in rules if r.rule_type == "absence"
        }  # fmt: skip
        self.pasts, self.taken = {}, {}
        self.heard, self.came = set(), Counter()

    def row(self, row, seq, arrival_ns):
        context = whose(row.pod_uid)
        said = Said(row.at_ns, row.pod_uid, context)
        values = {**known(said), "row_source": row.source}
        shown = {} if row.iteration is None else {"iteration": str(row.iteration)}
        for rule in self.rules:
            body = rule.body
            looks = body.what if isinstance(body, Absence) else body
            if not admitted(looks.match, values):
                continue
            if isinstance(body, Anomaly):
                self.scored(rule, row, said, values, shown, seq, arrival_ns)
            elif (found := field_of(looks, row.fields)) is not None:
                name, value = found
                if isinstance(body, Absence):
                    self.lives(rule, key_of(body.by, values), seq, arrival_ns)
                    continue
                held = body.threshold
                by = (OWNER if held.count == 1 else ()) if held.by is None else held.by
                key = key_of(by, values)
                identity = self.identity(rule, row, said, seq) if held.count > 1 else 0
                if many := self.counts[rule.id].add(key, said.client, row.at_ns, identity):
                    extra = {"field": name, **shown}
                    if held.count > 1:
                        within = format_ns(held.window_ns)
                        extra["match_reason"] = f"{many} occurrences within {within}"
                    self.fire(rule, key, said, values, extra, seq, arrival_ns, value)

    def identity(self, rule, row, said, seq):
        named = said._replace(teller=(*row[:3], str(row.iteration)))
        self.came[rule.id, named[:2], named.teller, seq] += 1
        return identity_of(named) + self.came[rule.id, named[:2], named.teller, seq]

    def lives(self, rule, key, seq, arrival_ns):
        if (rule.id, key, seq) not in self.heard:
            self.heard.add((rule.id, key, seq))
            post = self.listening[rule.id].heard(key, arrival_ns, seq=seq)
            self.posts += [] if post is None else [post]

    def scored(self, rule, row, said, values, shown, seq, arrival_ns):
        body = rule.body
        name = next((one for one in body.fields if one in row.fields), None)
        if name is None or type(row.fields[name]) not in {int, float}:
            return
        value = float(row.fields[name])
        key = key_of(OWNER if body.by is None else body.by, values)
        past = rule.id, key, f"{said.client}/{row.rank_group}/{name}"
        if past not in self.pasts:
            self.pasts[past] = Past(size=body.size, least=body.least, of=body.of)
        z = self.pasts[past].score(row.at_ns, value)
        self.taken[past] = self.taken.get(past, 0) + 1
        if self.taken[past] % VALUES_PER_WRITE == 0:
            self.dirty.add(past)
        if z is not None and is_anomalous(z, limit=body.z, direction=body.direction):
            extra = {"field": name, "match_reason": f"robust z-score {z:.1f}", **shown}
            self.fire(rule, key, said, values, extra, seq, arrival_ns, value)

    def fire(self, rule, key, said, values, extra, seq, arrival_ns, value):
        place = self.places.get((rule.id, key))
        if place is not None:
            before = self.posts[place]
            self.posts[place] = structs.replace(before, seq=seq, received_ns=arrival_ns)
            return
        self.places[rule.id, key] = len(self.posts)
        self.posts.append(
            rule_posts.firing(
                rule, key, at_ns=said.at_ns, arrival_ns=arrival_ns, resolve_after_ns=HOUR_NS,
                seq=seq, values={**extra, **values}, annotations=extra, value=value,
                hints=said.context,
            )
        )  # fmt: skip

    def drain(self):
        posts, self.posts, self.places = self.posts, [], {}
        rows = [row for one in self.counts.values() for row in one.drain()]
        rows += [row for one in self.listening.values() for row in one.drain()]
        for rule_id, key, client in self.dirty:
            name = fingerprint((*key, ("\x00client", client)))
            state = msgpack.encode((key, client, self.pasts[rule_id, key, client].dump()))
            rows.append(StateRow(rule_id, name, state))
        self.dirty.clear()
        return posts, rows


def rule(number, rule_type, config):
    given = {
        "name": f"R{number}",
        "source": "log",
        "rule_type": rule_type,
        "rule_config": config,
    }
    return decode({**given, "annotations": {"summary": "{{ $value }} {{ $labels.field }}"}}, rule_id=f"r{number}")  # fmt: skip


NAMES = ("lm_loss", "total_loss", "grad_norm", "current_iteration")
FIELDS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)
BY = st.sampled_from([None, ["workload_id|pod_name"], ["pod_id"], ["node_name"], []])
MATCH = st.sampled_from([[], [], ['row_source="log"'], ['workload_id="w1"'], ['pod_id!="p2"']])
WITH_MATCH = {"fields": FIELDS, "match": MATCH}


def optional(**parts):
    return st.fixed_dictionaries({}, optional=parts).map(
        lambda made: {name: one for name, one in made.items() if one is not None}
    )


THRESHOLDS = st.one_of(
    optional(by=BY),
    st.builds(
        lambda count, window, by: {"count": count, "window": window, **by},
        st.integers(2, 4), st.sampled_from(["5s", "1m"]), optional(by=BY),
    ),
)  # fmt: skip
CONFIGS = st.one_of(
    st.tuples(
        st.just("field"),
        st.fixed_dictionaries(
            {**WITH_MATCH, "threshold": THRESHOLDS, "value": st.sampled_from([0, 1.5]),
             "op": st.sampled_from([">", "<=", "!=", "nan", "inf"])},
        ).map(lambda one: one if one["op"] not in {"nan", "inf"} else {**one, "value": 0}),
    ),
    st.tuples(
        st.just("anomaly"),
        st.builds(
            lambda fixed, by: {**fixed, **by},
            st.fixed_dictionaries(
                {**WITH_MATCH, "of": st.sampled_from(["value", "change"]), "z": st.sampled_from([0.5, 3]),
                 "direction": st.sampled_from(["up", "down", "both"]), "least": st.just(3),
                 "size": st.integers(3, 12)},
            ),
            optional(by=BY),
        ),
    ),
    st.tuples(
        st.just("absence"),
        st.builds(
            lambda match, by: {"match": match, "window": "10s", "by": by or []},
            st.fixed_dictionaries(WITH_MATCH), BY,
        ),
    ),
)  # fmt: skip
RULES = st.lists(CONFIGS, min_size=1, max_size=4).map(
    lambda some: [rule(n, *one) for n, one in enumerate(some)]
)
VALUES = st.sampled_from(
    [1.0, 1.1, 0.9, 1.0, 0.95, 1.05, 1.0, 50.0, -50.0, 0.0, -0.0, math.nan, math.inf, 3, 10**400, True, None]
)  # fmt: skip
PODS = st.sampled_from(["p1", "p1", "p2", "p3", "px"])
ROWS = st.builds(
    lambda pod, source, group, late, iteration, value, fields: TrainingRow(
        pod, source, group, late * S, iteration, None, "megatron-lm", {**fields, "lm_loss": value}
    ),
    PODS, st.sampled_from(["log", "log", "log", "wandb"]), st.sampled_from(["", "", "", "7"]),
    st.sampled_from([0, 0, 0, 1, -3]), st.one_of(st.none(), st.integers(0, 9)), VALUES,
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
)  # fmt: skip


def timed(rows, first=0):
    """*rows* a second apart, each as late as it is."""
    return [row._replace(at_ns=row.at_ns + T0 + (first + n) * S) for n, row in enumerate(rows)]


FRAMES = st.lists(st.lists(ROWS, min_size=1, max_size=15), min_size=1, max_size=4).map(
    lambda frames: [timed(rows, 15 * n) for n, rows in enumerate(frames)]
)


def numbers(rows):
    """Values that definition and kernel take alike: a whole number beyond all doubles is infinite."""
    return [
        row._replace(fields={k: math.inf if v == 10**400 else v for k, v in row.fields.items()})
        for row in rows
    ]


def told(posts_and_rows):
    posts, rows = posts_and_rows
    return posts, sorted(rows)


@given(RULES, FRAMES, st.sets(st.integers(0, 3)))
def test_many_rows_are_as_one_after_the_other(rules, frames, drained):
    stream, reference = RuleStream(rules, since_ns=T0), OneByOne(rules)
    for seq, rows in enumerate(frames):
        arrival_ns = T0 + (seq + 1) * 20 * S
        stream.rows(rows, whose, seq=seq, arrival_ns=arrival_ns)
        for row in numbers(rows):
            reference.row(row, seq, arrival_ns)
        for listening in reference.listening.values():
            reference.posts += listening.tick(arrival_ns + 11 * S)
        stream.tick(arrival_ns + 11 * S)
        if seq in drained:
            assert told(stream.drain()) == told(reference.drain())
            stream.forget_owners()
    assert told(stream.drain()) == told(reference.drain())


@given(RULES, st.lists(ROWS, max_size=40).map(timed), st.integers(1, 40))
def test_at_the_bounds_it_is_the_same_however_rows_come_together(rules, rows, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rule_pasts, "PASTS_MAX", 3)
        patch.setattr(row_rules, "TRACKS_MAX", 2)
        streams = [RuleStream(rules, since_ns=T0) for _ in range(2)]
        for start in range(0, len(rows), size):
            streams[0].rows(rows[start : start + size], whose, seq=1, arrival_ns=T0)
        for row in rows:
            streams[1].rows([row], whose, seq=1, arrival_ns=T0)
        one, other = (told(stream.drain()) for stream in streams)
        assert one == other
        assert streams[0].bounds() == streams[1].bounds()


def test_of_too_many_pasts_one_goes_that_was_silent(monkeypatch):
    monkeypatch.setattr(rule_pasts, "PASTS_MAX", 3)
    pasts = Pasts("r", size=9, least=1)
    first, second, third = (pasts.of((), client) for client in "abc")
    for held in (first, third):
        assert held.score(1, 2.0) is None
    assert pasts.of((), "a") is first
    pasts.of((), "d")
    assert [held.gone for held in (first, second, third)] == [False, True, False]
    assert (pasts.evicted, [row.state for row in pasts.drain()]) == (1, [None])
    # It was spared already, and nothing came since.
    pasts.of((), "e")
    assert [held.gone for held in (first, third)] == [True, False]
    assert first.held() == (None, [], None)
    assert pasts.late == 0


def test_who_owns_a_pod_is_asked_again_when_it_is_forgotten():
    stream = RuleStream([rule(1, "field", {"fields": ["lm_loss"], "value": 1})], since_ns=T0)
    asked = []

    def owner(pod_uid):
        asked.append(pod_uid)
        return OWNERS[pod_uid]

    rows = [
        TrainingRow("p1", "log", "", T0 + n, n, None, "x", {"lm_loss": 2.0}) for n in range(3)
    ]
    stream.rows(rows, owner, arrival_ns=T0)
    stream.rows(rows, owner, arrival_ns=T0)
    assert asked == ["p1"]
    stream.forget_owners()
    stream.rows(rows, owner, arrival_ns=T0)
    assert asked == ["p1", "p1"]
    ((post,), _) = stream.drain()
    assert dict(post.labels)["workload_id"] == "w1"


def test_a_row_that_comes_again_counts_once():
    thrice = {"fields": ["lm_loss"], "value": 1, "threshold": {"count": 3, "window": "1m"}}
    stream = RuleStream([rule(1, "field", thrice)], since_ns=T0)
    rows = [
        TrainingRow("p1", "log", "", T0 + n, n, None, "x", {"lm_loss": 2.0}) for n in range(3)
    ]
    for seq in range(4):
        stream.rows(rows[:2], whose, seq=seq, arrival_ns=T0)
    assert stream.drain()[0] == []
    stream = RuleStream([rule(1, "field", thrice)], since_ns=T0, states=stream.everything())
    stream.rows(rows[:2], whose, seq=4, arrival_ns=T0)
    assert stream.drain()[0] == []
    # What came twice at once is two.
    stream.rows([rows[0], *rows[:2]], whose, seq=5, arrival_ns=T0)
    assert len(stream.drain()[0]) == 1


def test_forgotten_owners_leave_nothing_that_must_be_collected():
    limits = {"fields": ["lm_loss"], "value": 1}
    stream = RuleStream(
        [rule(1, "field", limits), rule(2, "anomaly", {"fields": ["lm_loss"]})], since_ns=T0
    )
    rows = [
        TrainingRow(f"p{n}", "log", "", T0, n, None, "x", {"lm_loss": 0.5}) for n in range(9)
    ]
    stream.rows(rows, lambda pod_uid: Context(pod_id=pod_uid), arrival_ns=T0)
    gc.collect()
    stream.forget_owners()
    assert gc.collect() == 0


def test_rows_that_are_no_list_are_not_copied_for_each_row(monkeypatch):
    given = []

    def looked(tracks, rows, at, came):
        given.append(rows)
        return look_through(tracks, rows, at, came)

    look_through = row_rules.look_through
    monkeypatch.setattr(row_rules, "look_through", looked)
    stream = RuleStream([rule(1, "field", {"fields": ["lm_loss"], "value": 1})], since_ns=T0)
    rows = tuple(
        TrainingRow("p1", "log", "", T0 + n, n, None, "x", {"lm_loss": 2.0}) for n in range(5)
    )
    stream.rows(rows, whose, arrival_ns=T0)
    assert len(given) > len(rows)
    assert all(type(one) is list and one is given[0] for one in given)
