"""What an edit of a rule ends is known after a restart, wherever the service stopped."""

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import pack
from heliograph.core.clock import ManualClock
from heliograph.core.duration import HOUR_NS, SECOND_NS
from heliograph.core.record import Record
from heliograph.receive.lines import Line
from heliograph.service.rule_book import RuleBook
from heliograph.service.rule_feed import RuleFeed
from heliograph.store.state import rule_states
from heliograph.store.state.lanes import Lane
from tests.service.live import until
from tests.service.test_rule_ticker import CLOCK, Turns, series, ticking
from tests.store.conftest import pg_server, pg_url, state, state_url  # noqa: F401 - fixtures

T0 = 1_800_000_000 * SECOND_NS
HOT = {
    "name": "Hot", "source": "metric", "rule_type": "threshold", "severity": "warning",
    "rule_config": {"metric": "t", "op": ">", "value": 80, "window": "1m"},
}  # fmt: skip
STILL = {
    "name": "Still", "source": "log", "rule_type": "absence", "severity": "warning",
    "rule_config": {"match": {"pattern": "alive"}, "window": "1m"},
}  # fmt: skip
FAILING = {
    "name": "Failing", "source": "event", "rule_type": "share", "severity": "warning",
    "rule_config": {"match": {"event_type": "e"}, "op": ">", "value": 0.5, "window": "1m", "least": 2},
}  # fmt: skip
TWICE = {
    "name": "Twice", "source": "log", "rule_type": "pattern", "severity": "warning",
    "rule_config": {"pattern": "flap", "threshold": {"count": 2, "window": "1m"}},
}  # fmt: skip


@pytest.fixture
def clock():
    return ManualClock(T0)


def book_of(state, *, packed=()):  # noqa: F811
    documents = {f"builtin-{one['name'].lower()}": one for one in packed}
    rules = [
        pack.rule_decode.decode(one, rule_id=rule_id, builtin=True)
        for rule_id, one in documents.items()
    ]
    return RuleBook(state, CLOCK, documents, rules)


def other(document):
    config = document["rule_config"]
    if "pattern" in config:
        return {**document, "rule_config": {**config, "pattern": "fl.p"}}
    return {**document, "rule_config": {**config, "window": "2m"}}


EDITS = {
    "removed": lambda book, rule_id, document: book.remove(rule_id),
    "disabled": lambda book, rule_id, document: book.replace(
        rule_id, {**document, "enabled": False}, ""
    ),
    "of another severity": lambda book, rule_id, document: book.replace(
        rule_id, {**document, "severity": "critical"}, ""
    ),
    "that looks at another thing": lambda book, rule_id, document: book.replace(
        rule_id, other(document), ""
    ),
}
CHANGES = pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
NOTHING = []


def kept(state):  # noqa: F811
    return state.read(rule_states.load)


@CHANGES
def test_a_rule_over_series_that_is_changed_just_before_the_end(state, change):  # noqa: F811
    book, turns = book_of(state), Turns(state)
    rule_id = book.create(HOT, "").id
    with ticking(state, turns, book, [series(1)]):
        until(lambda: kept(state), "the state is kept")
    (fired,) = {post.fingerprint for turn in turns.turns for post in turn}
    change(book, rule_id, HOT)
    again = Turns(state)
    with ticking(state, again, book_of(state), NOTHING):
        until(lambda: again.turns and not kept(state), "it is ended")
    (over,) = [post for turn in again.turns for post in turn]
    assert (over.status, over.fingerprint) == ("resolved", fired)
    assert dict(over.annotations)["resolved_because"] == "rule removed"


def test_the_pack_that_is_switched_off_ends_what_it_said(state):  # noqa: F811
    with ticking(state, Turns(state), book_of(state, packed=[HOT]), [series(1)]):
        until(lambda: kept(state), "the state is kept")
    again = Turns(state)
    with ticking(state, again, book_of(state), [series(1)]):
        until(lambda: again.turns and not kept(state), "it is ended")
    assert [post.status for turn in again.turns for post in turn] == ["resolved"]


def test_a_rule_whose_name_was_taken_ends_what_it_said(state):  # noqa: F811
    book = book_of(state, packed=[HOT])
    with ticking(state, Turns(state), book, [series(1)]):
        until(lambda: kept(state), "the state is kept")
    book.create({**HOT, "rule_config": {**HOT["rule_config"], "value": 200}}, "")
    again = Turns(state)
    with ticking(state, again, book_of(state, packed=[HOT]), [series(1)]):
        until(lambda: again.turns and not kept(state), "it is ended")
    assert [post.status for turn in again.turns for post in turn] == ["resolved"]


def test_a_rule_over_series_that_stays_says_no_more_than_it_did(state):  # noqa: F811
    book = book_of(state, packed=[HOT])
    with ticking(state, Turns(state), book, [series(1)]):
        until(lambda: kept(state), "the state is kept")
    (rule_id,) = book.rules().by_id
    book.replace(rule_id, {"annotations": {"summary": "hot"}}, "")
    again = Turns(state)
    with ticking(state, again, book_of(state, packed=[HOT]), [series(1)]):
        until(lambda: again.turns, "it is looked at")
    told = [post for turn in again.turns for post in turn]
    assert {(post.status, dict(post.annotations)["summary"]) for post in told} == {
        ("firing", "hot")
    }


class Feeding:
    """The feed of one life of the service."""

    def __init__(self, state, clock):  # noqa: F811
        self.state, self.clock = state, clock
        self.feed = RuleFeed(
            book_of(state), state, clock, resolve_after_ns=HOUR_NS, owner=lambda *_: Context()
        )

    def fail(self, number):
        at_ns = self.clock.now_ns()
        one = Record(f"r-{number}", at_ns, at_ns, "http", "s", "e", severity="error")
        self.feed.record(one, number, at_ns)

    def say(self, text, seq):
        at_ns = self.clock.now_ns()
        self.feed.line(Line(at_ns, "", "n", "a", "", "c", "stdout", text), "", seq, at_ns)

    def told(self):
        """What is said now; what is remembered is written."""
        self.feed.refresh()
        self.feed.tick()
        posts = list(self.feed.posts())
        self.feed.taken()
        if self.feed.touched:
            self.state.write(self.feed.write, lane=Lane.ALERTS).result()
            self.feed.settle()
        return posts


@pytest.mark.parametrize("taken_over", [False, True], ids=["at the next start", "at once"])
@pytest.mark.parametrize("document", [STILL, FAILING], ids=["an absence", "a share"])
@CHANGES
def test_a_rule_over_a_stream_that_is_changed(state, clock, document, change, taken_over):  # noqa: F811
    book = book_of(state)
    rule_id = book.create(document, "").id
    first = Feeding(state, clock)
    if document is FAILING:
        first.fail(1)
        first.fail(2)
    else:
        clock.advance(61.5)
    (fired,) = first.told()
    assert fired.status == "firing"
    change(book, rule_id, document)
    if taken_over:
        first.feed._book = book
        (over,) = first.told()
    else:
        (over,) = Feeding(state, clock).told()
    assert (over.status, over.fingerprint) == ("resolved", fired.fingerprint)
    # Whoever begins next knows of nothing that must end.
    assert Feeding(state, clock).told() == []


@pytest.mark.parametrize(
    ("change", "fires"),
    [
        (lambda book, rule_id: book.replace(rule_id, other(TWICE), ""), False),
        (lambda book, rule_id: book.replace(rule_id, {**TWICE, "labels": {"a": "b"}}, ""), False),
        (
            lambda book, rule_id: book.replace(rule_id, {**TWICE, "annotations": {"a": "b"}}, ""),
            True,
        ),
        (lambda book, rule_id: None, True),
    ],
)  # fmt: skip
def test_a_changed_rule_begins_to_count_anew_after_a_restart(state, clock, change, fires):  # noqa: F811
    book = book_of(state)
    rule_id = book.create(TWICE, "").id
    first = Feeding(state, clock)
    first.say("flap", 1)
    assert first.told() == []
    change(book, rule_id)
    clock.advance(1)
    second = Feeding(state, clock)
    second.say("flap", 2)
    assert [post.status for post in second.told()] == ["firing"] * fires


def test_a_rule_that_is_removed_leaves_nothing_behind(state, clock):  # noqa: F811
    book = book_of(state)
    rule_id = book.create(TWICE, "").id
    first = Feeding(state, clock)
    first.say("flap", 1)
    first.told()
    assert {key for _, key, _ in kept(state)} > {"=rule"}
    book.remove(rule_id)
    assert Feeding(state, clock).told() == []
    assert kept(state) == []
