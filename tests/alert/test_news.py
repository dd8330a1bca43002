"""New posts taken together come to what they come to one by one; kernels, and their plain twins."""

from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from heliograph.alert.config import configuration
from heliograph.alert.correlation.correlate import Correlator
from heliograph.alert.engine import book, cold, pairs
from heliograph.alert.engine.engine import Engine
from heliograph.alert.engine.limits import Limits
from heliograph.alert.engine.tally import EARLIEST_NS
from heliograph.alert.model import NOBODY, Alert, Context, Enriched
from heliograph.core.duration import HOUR_NS, MINUTE_NS
from heliograph.core.errors import Unavailable
from heliograph.core.matcher import Matcher
from heliograph.kernels import alert_columns
from tests.alert.alert_runner import ns, post
from tests.twins import plain

PLAIN = plain("alert_columns")
SETUP = configuration.parse({
    "route": {
        "receiver": "all", "group_by": ["alertname", "node"], "group_wait": "10s",
        "routes": [
            {"matchers": ['team="b"'], "receiver": "b", "group_by": ["..."], "continue": True},
            {"matchers": ['severity=~"crit.*"'], "receiver": "b", "group_by": [], "continue": True},
            {"matchers": ['pod_name="p-1"'], "receiver": "all", "group_by": ["source"]},
        ],
    },
    "inhibit_rules": [{"source_matchers": ['alertname="Down"'],
                       "target_matchers": ['alertname="Slow"'], "equal": ["node"]}],
    "receivers": [{"name": "all"}, {"name": "b"}],
})  # fmt: skip
LIMITS = Limits(alerts=40, groups=60, groups_per_alert=2)
MATCHERS = [
    [Matcher("node", "=", "1")],
    [Matcher("pod_name", "=", "p-1"), Matcher("node", "=", "2")],
]
CONTEXTS = (NOBODY, Context(), Context(pod_name="p-1", workload_id="w"), Context(pod_id="x"))

offsets = st.sampled_from([None, -4000, -5, 0, 5, 900])
one_post = st.fixed_dictionaries({
    "n": st.integers(0, 25),
    "name": st.sampled_from(["Down", "Slow"]),
    "more": st.sampled_from([{}, {"team": "b"}, {"severity": "critical"}, {"source": "own"}]),
    "severity": st.sampled_from(["", "info", "critical"]),
    "starts": offsets,
    "ends": st.sampled_from([None, None, 5, 900, 900, -5, 0]),
    "status": st.sampled_from(["", "", "", "firing", "resolved"]),
    "after": st.sampled_from([0, 5 * MINUTE_NS]),
    "seq": st.sampled_from([-1, 7]),
    "context": st.integers(0, 3),
})  # fmt: skip
plain_post = one_post.map(lambda one: {**one, "ends": 900, "status": ""})
batches = st.lists(
    st.tuples(
        st.lists(st.one_of(plain_post, one_post), max_size=12),
        st.sampled_from(["commit", "commit", "abort", "go on"]),
        st.sampled_from([0, 1, 20]),
    ),
    max_size=6,
)


def made(one, at_s):
    labels = {"alertname": one["name"], "n": str(one["n"]), "node": str(one["n"] % 3)}
    starts, ends = (
        None if one[key] is None else ns(at_s + one[key]) for key in ("starts", "ends")
    )
    return post(
        {**labels, **one["more"]}, at_ns=ns(at_s), starts_ns=starts, ends_ns=ends,
        annotations={"summary": f"é {one['n']}"}, severity=one["severity"],
        status=one["status"], resolve_after_ns=one["after"], seq=one["seq"], raw=b'{"a":1}',
    )  # fmt: skip


def take(engine, posts, known, now_ns, *, together):
    saids = [cold.said_of(one) for one in posts]
    if together and posts:
        alerts = engine.take_new(posts, lambda _: known, saids, now_ns)
        if alerts is not None:
            return [(one.id, True) for one in alerts]
    taken = []
    for one, enriched, said in zip(posts, known, saids, strict=True):
        try:
            outcome = engine.take(one, enriched, now_ns, said)
        except Unavailable as error:
            taken.append(str(error))
        else:
            taken.append((outcome.alert_id, outcome.new))
    return taken


def seen(engine, now_ns):
    state = engine._state
    episodes = state.book
    asked = [[("node", "1")], [("severity", "critical")], [("source", "own"), ("node", "2")]]
    return (
        [
            (episodes.view(slot), episodes.groups[slot], episodes.over(slot))
            for slot in episodes
        ],
        {key: list(state.groups.members(key)) for key in state.groups.rows},
        {key: state.groups.timer_ns(key) for key in state.groups.rows},
        [sorted(episodes.carrying(some)) for some in asked],
        [[one.id for one in engine.find(some, now_ns)] for some in MATCHERS],
        [engine.suppression(episodes.ids[slot], now_ns) for slot in episodes],
        (engine.due_ns(), len(engine), dict(engine.counts)),
    )


@given(batches)
@example([([{"n": 1, "name": "Down", "more": {}, "severity": "", "starts": None, "ends": None,
             "status": "", "after": 0, "seq": -1, "context": 0}], "abort", 1)] * 2)  # fmt: skip
def test_together_is_as_one_by_one(history):
    engines = [Engine(SETUP, LIMITS, ns(0), correlator=Correlator()) for _ in range(2)]
    at_s = 0.0
    for given_posts, then, later_s in history:
        at_s += later_s + 0.001
        posts = [made(one, at_s) for one in given_posts]
        known = [Enriched(CONTEXTS[one["context"]], ("node:1",)) for one in given_posts]
        taken = [
            take(engine, posts, known, ns(at_s), together=together)
            for engine, together in zip(engines, (True, False), strict=True)
        ]
        assert taken[0] == taken[1]
        if then == "go on":
            continue
        for engine in engines:
            engine.step(ns(at_s))
        first, second = (engine.changes() for engine in engines)
        assert first == second
        for engine in engines:
            engine.commit() if then == "commit" else engine.abort()
        assert seen(engines[0], ns(at_s)) == seen(engines[1], ns(at_s))


def test_what_cannot_be_kept_leaves_nothing_behind():
    posts = [post({"alertname": "A", "n": str(n)}, at_ns=ns(1)) for n in range(3)]
    posts[2] = replace(posts[2], annotations=(("a", "\ud800"),))
    known, saids = [Enriched()] * 3, [0] * 3
    engine = Engine(SETUP, LIMITS, ns(0))

    with pytest.raises(UnicodeEncodeError):
        engine.take_new(posts, lambda _: known, saids, ns(1))
    assert len(engine) == len(engine._state.book) == 0
    engine.abort()
    engine.step(ns(HOUR_NS))
    assert not engine.changes()
    assert engine.take_new(posts[:2], lambda _: known[:2], saids[:2], ns(1)) is not None
    assert len(engine) == 2


TEXTS = st.sampled_from(["", "a", "é" * 20, "x" * 31, "y" * 32, "z" * 300, "日" * 30_000])
labels = st.lists(
    st.tuples(
        st.sampled_from(["alertname", "pod_name", "severity", "source", "é", "a"]), TEXTS
    ),
    max_size=17,
    unique_by=lambda pair: pair[0],
).map(tuple)
wide = st.integers(0, 18).map(lambda n: tuple((f"n{k}", "x") for k in range(n)))
alerts = st.lists(
    st.builds(
        Alert,
        st.integers(0, 2**60).map(str),
        TEXTS,
        TEXTS,
        st.one_of(labels, wide),
        wide,
        st.sampled_from([-(2**63), -1, 0, 10**18]),
        st.sampled_from([None, 0, 10**18]),
        st.booleans(),
        st.integers(0, 10),
        st.integers(0, 10),
        TEXTS,
        TEXTS,
        st.one_of(
            st.just(NOBODY),
            st.builds(Context, TEXTS, st.just(""), TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
        ),
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(-1, 3),
        st.lists(TEXTS, max_size=2).map(tuple),
    ),
    max_size=4,
)


def columns_of(kernel, some, over):
    made = book.Book()
    made._grow_on(to_the_end=True)
    slots, before = list(range(5, 5 + len(some))), {}
    saids = [-n for n in range(len(some))]
    into = kernel.Columns(*made._into)
    first_ns = kernel.keep(some, saids, over, 9, slots, into, before)
    table = array("H", [7]) * (16 * 30)
    left = kernel.put_hashes(some, slots, table, 16, NOBODY)
    for n in left:
        table[slots[n] * 16 : (slots[n] + 1) * 16] = array("H", [8]) * 16
    ids, fingerprints = [one.id for one in some], [one.fingerprint for one in some]
    leads = [list(map(into.by_id.get, ids)), list(map(into.latest.get, fingerprints))]
    leads += [len(into.by_id), len(into.latest)]
    return first_ns, list(map(list, into[:12])), leads, before, left, table


@given(alerts, st.lists(st.booleans(), min_size=4, max_size=4))
def test_kernels_say_what_their_twins_say(some, over):
    ended = [
        is_over and one.ends_ns is not None for one, is_over in zip(some, over, strict=False)
    ]
    names = ("alertname", "severity", "source", "pod_name", "cluster_name", "n3")

    assert alert_columns.packed(some, cold.packed) == PLAIN.packed(some, cold.packed)
    for one in some:
        assert cold.unpack(cold.packed(one)).context == one.context
    known = {("GPUHot", "critical", "metric", None, None, None): "there"}
    placed = [
        kernel.placed(some, names, known, lambda *one: one) for kernel in (alert_columns, PLAIN)
    ]
    assert placed[0] == placed[1]
    for flags in (None, ended):
        assert columns_of(alert_columns, some, flags) == columns_of(PLAIN, some, flags)
    sums = [{}, {}]
    for kernel, into in zip((alert_columns, PLAIN), sums, strict=True):
        kernel.count(some, into, HOUR_NS, EARLIEST_NS)
    assert sums[0] == sums[1]
    places = [((one.id,) * 2, (one.severity, "k")) for one in some]
    slots = list(range(len(some)))
    there = [[()] * 4, [()] * 4]
    assert alert_columns.gathered(places, slots, there[0]) == PLAIN.gathered(
        places, slots, there[1]
    )
    assert there[0] == there[1]


@given(st.lists(one_post, max_size=3), st.sampled_from(["", "short", "f" * 32, "é" * 32]))
def test_what_begins_is_told_alike(given_posts, fingerprint):
    posts = [made(one, 5.0) for one in given_posts]
    posts = [replace(one, fingerprint=fingerprint) for one in posts] if fingerprint else posts
    known = [Enriched()] * len(posts)

    assert alert_columns.begun(posts, known, ns(5), Alert) == PLAIN.begun(
        posts, known, ns(5), Alert
    )


def test_a_wide_alert_is_found_by_each_of_its_pairs():
    index = pairs.Pairs()
    index.grow(2)
    wide = tuple((f"n{n:02}", "x") for n in range(pairs.WIDTH + 3))
    alert = Alert("i", "f", "metric", wide, (), 0, None, False, 0, 0)
    index.put_all([alert], [1])

    assert alert_columns.hash_of(wide[0]) == PLAIN.hash_of(wide[0])
    assert all(index.slots([pair]) == [1] for pair in (*wide, ("source", "metric")))
