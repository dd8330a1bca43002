"""Rules over series on their ticker: many series at once, and rules removed around a start."""

import contextlib
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from msgspec import structs

from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules import pieces
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import StateRow
from heliograph.core.clock import SystemClock
from heliograph.core.errors import Refused, Unavailable
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alerting import ALERTS_PER_TURN
from heliograph.service.measure import Registry
from heliograph.service.rule_book import Rules
from heliograph.service.rule_ticker import RuleTicker
from heliograph.service.supervisor import Supervisor
from heliograph.store.protocol import RangeAnswer, SeriesPoints
from heliograph.store.state import rule_states
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from tests.service.live import until

CLOCK = SystemClock()
HOT = decode(
    {
        "name": "Hot", "source": "metric", "rule_type": "threshold", "severity": "warning",
        "rule_config": {"metric": "t", "op": ">", "value": 80, "window": "1m"},
    },
    rule_id="hot",
)  # fmt: skip


def series(number):
    at_ms = [round(CLOCK.now_ns() / 1e6) - 10]
    long = "x" * 300
    return SeriesPoints((("__name__", "t"), ("gpu", f"{number}-{long}")), at_ms, [90.0])


class Turns:
    """An engine's thread that keeps the posts of each turn; *poison* is a label it never takes."""

    def __init__(self, state, poison=None):
        self.state, self.poison = state, poison
        self.turns = []

    def submit(self, work, *, alone=False, urgent=False):
        assert alone, "what the store refuses must be nobody else's"
        taken, done = [], Future()
        engine = SimpleNamespace(take=lambda post, *_: taken.append(post))
        writes = []
        work(SimpleNamespace(engine=engine, now_ns=CLOCK.now_ns(), also=writes.append))
        if any(dict(post.labels).get("gpu") == self.poison for post in taken):
            done.set_exception(Refused("too large"))
            return done
        with_tx = lambda tx: [one(tx) for one in writes]  # noqa: E731
        try:
            self.state.write(with_tx, lane=Lane.ALERTS).result()
            self.turns.append(taken)
            done.set_result(None)
        except Refused as refused:
            done.set_exception(refused)
        return done


class Book:
    """Rules that can be changed. *asked* is how often somebody wanted them: a ticker twice a round."""

    def __init__(self, *rules):
        self.asked = 0
        self.put(*rules)

    def put(self, *rules):
        self._rules = Rules(1, {rule.id: rule for rule in rules})

    def rules(self):
        self.asked += 1
        return self._rules


@pytest.fixture
def state(tmp_path):
    opened = State.open(None, tmp_path, CLOCK)
    yield opened
    opened.close()


@contextlib.contextmanager
def ticking(state, turns, book, found):
    registry = Registry()
    ticker = RuleTicker(
        book, SimpleNamespace(range=lambda _: RangeAnswer(found)), turns, None, state,
        Supervisor(registry), AlertMeters(registry), CLOCK, every_s=0.02, resolve_after_ns=10**9,
    )  # fmt: skip
    ticker.start()
    try:
        yield ticker
    finally:
        ticker.close()


def statuses(turns):
    return [post.status for turn in turns.turns for post in turn]


def test_a_rule_that_holds_for_very_many_series_tells_of_all_and_remembers(state):
    many = [series(number) for number in range(rule_metrics.SERIES_MAX + 3)]
    turns = Turns(state)
    with ticking(state, turns, Book(HOT), many) as ticker:
        until(lambda: len(statuses(turns)) >= rule_metrics.SERIES_MAX, "all are told")
        until(lambda: state.read(rule_states.load), "the state is kept")
    assert max(len(turn) for turn in turns.turns) <= ALERTS_PER_TURN
    told = {post.fingerprint for turn in turns.turns for post in turn}
    assert len(told) == rule_metrics.SERIES_MAX
    kept, _ = pieces.joined(state.read(rule_states.load))["hot"]
    assert len(kept) > rule_states.STATE_BYTES_MAX
    assert ticker.counts["series_left_out"] >= 3


def test_one_alert_that_no_store_holds_stops_no_other(state):
    turns = Turns(state, poison=dict(series(1).labels)["gpu"])
    with ticking(state, turns, Book(HOT), [series(number) for number in range(3)]) as ticker:
        until(lambda: state.read(rule_states.load), "the state is kept")
    assert ticker.counts["posts_refused"] >= 1
    assert len({post.fingerprint for turn in turns.turns for post in turn}) == 2


def test_a_rule_removed_before_its_first_evaluation_after_a_start_ends_what_it_said(state):
    with ticking(state, Turns(state), Book(HOT), [series(1)]):
        until(lambda: state.read(rule_states.load), "the state is kept")
    book, turns = Book(HOT), Turns(state)
    original = book.rules()
    started = iter([original])
    # The rule is there while the ticker is built, and gone when it first looks.
    book.rules = lambda: next(started, Rules(2, {}))
    with ticking(state, turns, book, [series(1)]):
        until(lambda: statuses(turns), "it is ended")
        until(lambda: not state.read(rule_states.load), "nothing is remembered")
    assert statuses(turns) == ["resolved"]


def test_states_of_rules_over_streams_are_left_alone(state):
    row = StateRow("silent", "", b"\x93\x90\x00\xc3")
    state.write(lambda tx: rule_states.put(tx, [row], now_ns=1), lane=Lane.ALERTS).result()
    silent = decode(
        {"name": "S", "source": "log", "rule_type": "absence",
         "rule_config": {"match": {"pattern": "x"}, "window": "1m"}},
        rule_id="silent",
    )  # fmt: skip
    turns, book = Turns(state), Book(silent)
    with ticking(state, turns, book, []):
        book.put()
        before = book.asked
        # One round may have been under way.
        until(lambda: book.asked >= before + 4, "it looks at what there is now")
    assert turns.turns == []
    assert state.read(rule_states.load) == [row]


def summaries(turns):
    return [dict(post.annotations).get("summary") for turn in turns.turns for post in turn]


def worded(rule, summary, **more):
    return structs.replace(rule, annotations=(("summary", summary),), **more)


def test_a_rule_of_other_words_keeps_its_alert_and_says_them(state):
    turns, book = Turns(state), Book(worded(HOT, "hot"))
    with ticking(state, turns, book, [series(1)]):
        until(lambda: "hot" in summaries(turns), "it fires")
        book.put(worded(HOT, "at {{ $value }}"))
        until(lambda: "at 90" in summaries(turns), "it says the new words")
        assert set(statuses(turns)) == {"firing"}
        starts = {post.starts_ns for turn in turns.turns for post in turn}
        assert len(starts) == 1
        book.put(worded(HOT, "at {{ $value }}", severity="critical"))
        until(lambda: "resolved" in statuses(turns), "another rule ends it")
    over = next(post for turn in turns.turns for post in turn if post.status == "resolved")
    assert dict(over.annotations) == {"resolved_because": "rule removed", "summary": "at 90"}


def test_a_series_is_over_at_its_stale_marker(state):
    turns, found = Turns(state), [series(1)]
    with ticking(state, turns, Book(HOT), found):
        until(lambda: "firing" in statuses(turns), "it fires")
        (labels, (at_ms,), value) = found[0]
        found[0] = SeriesPoints(labels, [at_ms, at_ms + 1], [*value, None])
        until(lambda: "resolved" in statuses(turns), "it is over")


def test_a_rule_that_cannot_be_evaluated_says_so_once_and_when_it_can_again(state, caplog):
    caplog.set_level("INFO", logger="heliograph.service.rule_ticker")
    book, answers = Book(HOT), []

    def range_(_):
        if not answers:
            raise Unavailable("over 1000000 points")
        return RangeAnswer(answers)

    registry = Registry()
    ticker = RuleTicker(
        book, SimpleNamespace(range=range_), Turns(state), None, state,
        Supervisor(registry), AlertMeters(registry), CLOCK, every_s=0.02, resolve_after_ns=10**9,
    )  # fmt: skip
    ticker.start()
    try:
        until(lambda: book.asked > 8, "four rounds")
        answers.append(series(1))
        until(lambda: len(caplog.records) > 1, "the second word")
    finally:
        ticker.close()
    said = [(one.message, one.rule) for one in caplog.records]
    assert said == [("rule not evaluated", HOT.name), ("rule evaluated again", HOT.name)]
    assert caplog.records[0].why == "over 1000000 points"
