"""Bodies in one pass: what the kernel takes is what the general way makes of them, and no more."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from heliograph.alert.engine.cold import said_of
from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.kernels import alert_bodies
from heliograph.receive import alerts, json_body
from heliograph.receive.alert_repeats import Repeats
from heliograph.receive.alerts import Times

NOW = instant.parse("2026-11-22T01:00:00Z")
TIMES = Times(NOW, 300 * 10**9)
AHEAD = Times(NOW, 300 * 10**9, ahead_ns=7)
HORIZON = TIMES.horizon_ns
ALERT = {
    "labels": {"alertname": "A", "gpu": "3", "severity": "critical"},
    "annotations": {"summary": "hot", "description": "<b>&\u00e9\n"},
    "startsAt": "2026-11-22T00:43:18.518764605Z",
    "endsAt": "2026-11-22T00:47:18Z",
    "generatorURL": "http://prometheus/graph?a=1&b=2",
}
compiled = pytest.mark.skipif(not alert_bodies.COMPILED, reason="the plain twin takes none")

# Texts as they are, escaped or not, with what JSON cannot hold among them.
TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "3", "x" * 97, "y" * 200, "é", "日本", "\U0001f525", "\0", "\ud800"]
    ),
    st.text('ab"\\/\n\té', max_size=6),
)
NAMES = st.sampled_from(
    ["alertname", "severity", "gpu", "job", "a" * 97, "b" * 1025, "9x", "a-b", "", "é", "_"]
)
GOOD_NAMES = st.sampled_from(["alertname", "severity", "gpu", "job", "pod_name", "_", "Z9"])
DATES = st.sampled_from(
    [
        *("2026-11-22T00:43:18.518764605Z", "2026-11-22T08:43:18+08:00", "", "yesterday"),
        *("2024-02-29T23:59:59.9Z", "2023-02-29T00:00:00Z", "2026-11-22T00:43:18.1234567891Z"),
        *("0001-01-01T00:00:00Z", "2026-12-31T23:59:60Z", "2026-11-22 00:43:18Z"),
        *("2026-11-22T01:05:00Z", "2026-11-22T01:05:00.000000001Z", "2027-01-01T00:00:00Z"),
        *("1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "2026-11-22T00:43:18.Z"),
        *("2026-11-22T00:43:18-23:59", "2026-11-22T00:43:18+24:00", "2026-11-22T00:43:18"),
        *("2026-00-22T00:43:18Z", "2026-11-31T00:43:18Z", "2026-11-22T24:00:00Z", "2026"),
    ]
)
OTHERS = st.sampled_from([None, 1, math.nan, True, [], {}, "text", {"a": 1}])
USUAL = st.fixed_dictionaries(
    {"labels": st.dictionaries(GOOD_NAMES, st.text(min_size=1, max_size=4), min_size=1)},
    optional={
        "annotations": st.dictionaries(GOOD_NAMES, TEXTS, max_size=3),
        "startsAt": DATES | st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
        "endsAt": DATES | st.none(),
        "generatorURL": st.sampled_from(["", "http://a/?b=c&d=e", "/x", "no url", "http://é/"]),
    },
)
ODD = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(NAMES, TEXTS | st.none(), max_size=3) | OTHERS,
        "annotations": st.dictionaries(TEXTS, TEXTS | st.none(), max_size=2) | OTHERS,
        "startsAt": DATES | OTHERS,
        "endsAt": DATES | OTHERS,
        "generatorURL": OTHERS,
        "status": OTHERS,
    },
)
# Objects in which a name comes twice, as text.
TWICE = st.lists(st.tuples(GOOD_NAMES, st.sampled_from("abc")), min_size=1, max_size=6).map(
    lambda pairs: ",".join(f'"{name}":"{value}"' for name, value in pairs)
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")])


@st.composite
def bodies(draw):
    """Bodies as they are sent, and some that have been hurt on the way."""
    some = draw(st.lists(USUAL | USUAL | ODD, max_size=3))
    text = json.dumps(some, separators=draw(SPACES), ensure_ascii=draw(st.booleans()))
    body = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        more = draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"{", b"}", b",", b"\xff", b'"a":"b",', b" ", b"\x01"]
            )
        )
        body = body[:at] + more + body[at + draw(st.integers(0, 2)) :]
    return body


def body(*some):
    return json.dumps(some).encode()


def general(raw, times):
    """Posts, or None where the body or any alert of it is refused."""
    try:
        posted = alerts.decode(raw, times)
    except Refused:
        return None
    return None if posted.unfit else [structs.replace(post, said=None) for post in posted.posts]


def judged(raw):
    """Compare both ways for *raw*; whether the kernel took it."""
    repeats = Repeats()
    glance = repeats.glance(raw, HORIZON)
    if glance is None or glance.fresh is None:
        return False
    assert glance == (*repeats._glanced(raw, HORIZON)[:2], glance.fresh)
    for times in (TIMES, AHEAD):
        assert alerts.posts_of(glance.fresh, times) == general(raw, times)
    posts = alerts.posts_of(glance.fresh, TIMES)
    saids = [one[-1] for one in glance.fresh]
    assert saids == [said_of(post) for post in posts]
    repeats.learn(glance.digests, [post.fingerprint for post in posts], saids)
    again = repeats.glance(raw, HORIZON)
    assert again == (*repeats._glanced(raw, HORIZON)[:2], [None] * len(posts))
    assert again.found == [
        (post.fingerprint, said, post.starts_ns, post.ends_ns)
        for post, said in zip(posts, saids, strict=True)
    ]
    return True


@given(bodies())
@example(body(ALERT))
def test_what_is_taken_is_what_the_general_way_makes_of_it(raw):
    judged(raw)


@compiled
@given(st.lists(USUAL, min_size=1, max_size=3), SPACES, st.booleans())
def test_usual_bodies_are_taken(some, separators, escaped):
    raw = json.dumps(some, separators=separators, ensure_ascii=escaped)
    raw = raw.encode("utf-8", "surrogatepass")
    if json_body.mended(raw) == raw and general(raw, TIMES) is not None:
        assert judged(raw)


@given(TWICE, TWICE)
def test_of_a_name_that_comes_twice_the_last_counts(labels, notes):
    raw = f'[{{"labels":{{{labels}}},"annotations":{{{notes}}}}}]'.encode()
    assert judged(raw) is alert_bodies.COMPILED


@compiled
def test_a_body_of_every_usual_kind_is_taken():
    bare = {"labels": {"alertname": "B"}}
    null = {**bare, "startsAt": None, "endsAt": None, "annotations": {}, "generatorURL": ""}
    unordered = {"labels": {"z": "1", "b": "2", "a": "3", "severity": "x" * 300}}
    assert judged(body(ALERT, bare, null, unordered, ALERT))
    assert judged(json.dumps([ALERT, ALERT], ensure_ascii=False).encode())
    assert judged(b' [ {"labels" : {"a" : "b"} } ]\n')


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body(), id="no alert"),
        pytest.param(body(ALERT)[:-1], id="cut short"),
        pytest.param(body(ALERT) + b"x", id="more after it"),
        pytest.param(b'[{"labels":{"a":"b"},"labels":{"a":"b"}}]', id="a key twice"),
        pytest.param(b'[{"labels":{"a":"\xff"}}]', id="no UTF-8"),
        pytest.param(b'[{"labels":{"a":"\xed\xa0\x80"}}]', id="a surrogate in UTF-8"),
        pytest.param(
            b'[{"labels":{"a":"\xff","a":"b"}}]', id="no UTF-8 in a label that does not count"
        ),
        pytest.param(
            b'[{"labels":{"a":"b"},"annotations":{"a":"\xff","a":"b"}}]',
            id="no UTF-8 in an annotation that does not count",
        ),
        pytest.param(b'[{"labels":{"a":"\\ud800"}}]', id="half a surrogate"),
        pytest.param(b'[{"labels":{"\\u0061":"b"}}]', id="an escape in a name"),
        pytest.param(b'[{"labels":{"a":"b\x00"}}]', id="a control character"),
        pytest.param(body({**ALERT, "status": "firing"}), id="another key"),
        pytest.param(body({"labels": {"a": ""}}), id="an empty label"),
        pytest.param(body({"labels": {"a": "b", "c": None}}), id="a null"),
        pytest.param(body({"labels": {"a b": "c"}}), id="a name that is not classic"),
        pytest.param(
            body({"labels": {f"l{n}": "v" for n in range(129)}}), id="too many labels"
        ),
        pytest.param(body({"labels": {"a": "b" * 70_000}}), id="too large a label"),
        pytest.param(
            body({**ALERT, "endsAt": "2026-11-22T00:43:17Z"}), id="ends before it starts"
        ),
        pytest.param(
            body({"labels": {"a": "b"}, "startsAt": "2026-11-22T01:05:00.000000001Z"}),
            id="starts after it would end",
        ),
        pytest.param(body({**ALERT, "generatorURL": "no url"}), id="no URL"),
        pytest.param(body(ALERT, {**ALERT, "startsAt": "yesterday"}), id="no time"),
    ],
)
def test_an_odd_body_is_for_the_general_way(raw):
    assert not judged(raw)


@compiled
def test_pairs_and_names_are_made_once():
    first, second = Repeats().glance(body(ALERT, {**ALERT, "startsAt": None}), HORIZON).fresh
    assert all(one is other for one, other in zip(first[0], second[0], strict=True))
    assert (
        first[0][0][0]
        is Repeats().glance(body({"labels": {"alertname": "B"}}), HORIZON).fresh[0][0][0][0]
    )


@compiled
def test_real_senders_are_read_in_one_pass(shared_data):
    recorded = json.loads(
        (shared_data / "recorded/alerts_in/vmalert1795_timeline.json").read_text()
    )
    raws = [one["raw_body"].encode() for one in recorded["timeline"]]
    raws += [
        path.read_bytes()
        for path in (shared_data / "recorded/alerts_in").glob("prometheus*.json")
    ]
    assert [judged(raw) for raw in raws] == [True] * len(raws)
