"""Alerts known again by their bytes: only the same bytes are, and only their times are read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import instant
from heliograph.kernels import alert_bodies
from heliograph.receive.alert_repeats import Repeats
from tests.twins import plain

ALERT = {
    "labels": {"alertname": "A", "gpu": "3"},
    "annotations": {"summary": "hot"},
    "startsAt": "2026-11-22T00:43:18Z",
    "endsAt": "2026-11-22T00:47:18Z",
    "generatorURL": "http://prometheus/graph",
}
WORDS = ("f" * 32, 17)
START = instant.parse(ALERT["startsAt"])
# Of an alert without an end.
HORIZON = START + 300 * 10**9


def body(*alerts):
    return json.dumps(alerts).encode()


def glance(repeats, raw):
    return repeats.glance(raw, HORIZON)


@pytest.fixture
def repeats():
    """Repeats that know ALERT."""
    made = Repeats()
    first = glance(made, body(ALERT))
    assert first.found == [None]
    made.learn([first.digests[0]], *([word] for word in WORDS))
    return made


def test_the_same_bytes_are_known_and_their_times_read_anew(repeats):
    later = {**ALERT, "endsAt": "2026-11-22T00:51:18.5Z"}

    again = glance(repeats, body(ALERT, later, {**ALERT, "endsAt": "0001-01-01T00:00:00Z"}))

    assert again.found == [
        (*WORDS, START, instant.parse("2026-11-22T00:47:18Z")),
        (*WORDS, START, instant.parse("2026-11-22T00:51:18.5Z")),
        (*WORDS, START, None),
    ]
    assert len(set(again.digests)) == 1


def test_times_may_be_absent_or_null(repeats):
    bare = {name: ALERT[name] for name in ("labels", "annotations", "generatorURL")}

    found = glance(repeats, body(bare, {**bare, "startsAt": None, "endsAt": ""})).found

    assert found == [(*WORDS, None, None)] * 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"labels": {"alertname": "A", "gpu": "4"}}, id="a label"),
        pytest.param({"annotations": {"summary": "hotter"}}, id="an annotation"),
        pytest.param({"generatorURL": "http://prometheus/alerts"}, id="the URL"),
        pytest.param({"startsAt": "yesterday"}, id="a time that is none"),
        pytest.param({"endsAt": "2026-11-22T00:43:17Z"}, id="an end before the start"),
        pytest.param(
            {"startsAt": "2026-11-22T00:48:19Z", "endsAt": None}, id="a start too far ahead"
        ),
    ],
)
def test_what_says_something_else_is_not_known(repeats, other):
    assert glance(repeats, body(ALERT, {**ALERT, **other})).found[1] is None


def test_parts_do_not_stand_for_each_other(repeats):
    swapped = {**ALERT, "labels": ALERT["annotations"], "annotations": ALERT["labels"]}
    assert glance(repeats, body(swapped)).found == [None]
    assert glance(repeats, body({**ALERT, "annotations": None})).found == [None]


def test_annotations_without_labels_do_not_stand_for_labels(repeats):
    (digest,) = glance(repeats, body({"labels": {"a": "b"}})).digests
    repeats.learn([digest], *([word] for word in WORDS))

    found = glance(repeats, body({"labels": {"a": "b"}}, {"annotations": {"a": "b"}})).found
    assert found == [(*WORDS, None, None), None]


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="an object"),
        pytest.param(b"[1]", id="a number"),
        pytest.param(b'[{"labels": {"a": "b"}, "endsAt": 5}]', id="a time in seconds"),
        pytest.param(b'[{"labels": {"a": "b"}', id="cut short"),
        pytest.param(b'[{"labels":' + b"[" * 100_000, id="too deep"),
        pytest.param(b"[" + b"{}," * 50_000 + b"{}]", id="too many"),
    ],
)
def test_a_body_that_is_not_plain_is_for_the_long_way(repeats, whole):
    assert glance(repeats, whole) is None


def test_no_more_are_known_than_the_bound():
    repeats = Repeats(known_max=4)
    digests = [glance(repeats, body({"labels": {"n": str(n)}})).digests[0] for n in range(9)]
    for n, digest in enumerate(digests):
        repeats.learn([digest], [f"f{n}"], [n])
        assert len(repeats) <= 4
    last = glance(repeats, body({"labels": {"n": "8"}}, {"labels": {"n": "7"}}))
    assert last.found == [("f8", 8, None, None), ("f7", 7, None, None)]


def test_one_that_comes_twice_in_a_body_is_known_once():
    repeats = Repeats(known_max=4)
    one = glance(repeats, body({"labels": {"n": "1"}})).digests
    other = glance(repeats, body({"labels": {"n": "2"}})).digests
    repeats.learn(one * 2 + other, ["f1", "f1", "f2"], [1, 1, 2])
    repeats.learn(one + other, ["f1", "f2"], [3, 4])

    assert len(repeats) == 2
    assert glance(repeats, body({"labels": {"n": "1"}}, {"labels": {"n": "2"}})).found == [
        ("f1", 3, None, None),
        ("f2", 4, None, None),
    ]


@pytest.fixture(params=[alert_bodies, plain("alert_bodies")], ids=["as installed", "plain"])
def kernel(request):
    return request.param


@given(st.lists(st.lists(st.integers(0, 30), max_size=5), max_size=60), st.integers(1, 9))
def test_words_are_those_that_came_last(batches, most):
    both = [alert_bodies.Words(most), plain("alert_bodies").Words(most)]
    for number, batch in enumerate(batches):
        digests = [one.to_bytes(16, "big") for one in batch]
        fingerprints = [f"{number}-{n}" for n in range(len(batch))]
        for words in both:
            words.learn(digests, fingerprints, [number] * len(batch))
        assert len(both[0]) == len(both[1]) <= most
    for one in range(31):
        digest = one.to_bytes(16, "big")
        assert both[0].get(digest) == both[1].get(digest)


def test_words_are_found_among_many(kernel):
    words = kernel.Words(5000)
    digests = [kernel.digest_of(str(n).encode()) for n in range(7000)]
    words.learn(digests, [f"f{n}" for n in range(7000)], range(7000))

    # More came than there was room for: half of it, and one, was made free.
    kept = [words.get(digest) for digest in digests]
    assert kept == [None] * 2501 + [(f"f{n}", n) for n in range(2501, 7000)]
    assert len(words) == 4499
