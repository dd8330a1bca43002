"""Bodies of `POST /v1/events` and `/v1/metrics`: each item in its place, taken or told why not."""

import gzip
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.receive import recorder
from heliograph.receive.recorder import RecorderLimits
from heliograph.recorder.checks import Fault
from heliograph.recorder.points import CONTEXT_KEYS_MAX, Event, Point
from tests.conftest import NEW_YEAR_NS

LIMITS = RecorderLimits(items=5, decoded_bytes=20_000, item_bytes=10_000)
EVENT = {"event_type": "COMMAND", "source": "core", "data": {"a": 1}}
METRIC = {"metric_name": "took_ms", "metric_value": 127, "context": {"command_type": "X"}}
AT = "2026-01-01T00:00:00.000000"


def events(body, *, encoding=None, limits=LIMITS):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return recorder.events(
        raw, content_encoding=encoding, arrival_ns=NEW_YEAR_NS, limits=limits
    )


def metrics(body, *, encoding=None, limits=LIMITS):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return recorder.metrics(
        raw, content_encoding=encoding, arrival_ns=NEW_YEAR_NS, limits=limits
    )


def test_an_event_is_as_it_was_told():
    given = {**EVENT, "event_id": "e-1", "timestamp": "2025-05-21T14:32:17.123+02:00",
             "session_id": "s-1", "retries": 2}  # fmt: skip
    (one,) = events(given).items

    assert one.event == Event(
        "e-1", "COMMAND", "core", 1_747_830_737_123_000_000, {"a": 1},
        "2025-05-21T14:32:17.123+02:00", {"retries": 2},
    )  # fmt: skip
    assert (one.session_id, one.named) == ("s-1", True)


def test_what_an_event_lacks_is_added():
    told = events({"event_type": "", "source": ""})
    (one,) = told.items

    assert told.alone
    assert (one.event.at_ns, one.event.told, one.event.data) == (NEW_YEAR_NS, AT, {})
    assert (len(one.event.event_id), one.session_id, one.named) == (36, "http", False)


def test_the_record_of_an_event_is_found_again_by_its_id_and_where_it_ran():
    first, again, other = (
        recorder.record_of(one, NEW_YEAR_NS)
        for one in events(
            [
                {**EVENT, "event_id": "e-1", "data": {"node": "n1", "pod_uid": 5}},
                {**EVENT, "event_id": "e-1", "timestamp": "2025-05-21"},
                EVENT,
            ]
        ).items
    )

    assert first.record_id == again.record_id != other.record_id
    assert (first.source_kind, first.event_type, first.session_id) == (
        "bridge", "COMMAND", "http",
    )  # fmt: skip
    assert first.resource == {"node": "n1"}
    assert first.correlation == {"event_id": "e-1", "source": "core"}
    assert (first.attributes, other.attributes) == ({"node": "n1", "pod_uid": 5}, {"a": 1})


def test_a_number_has_a_series_and_a_text_a_record():
    number, text = metrics([METRIC, {**METRIC, "metric_value": "hot", "event_id": "e"}]).items

    assert number.point[:4] == Point("took_ms", 127, METRIC["context"], NEW_YEAR_NS, "", "")[:4]
    assert label.unpack(number.packed) == (("__name__", "took_ms"), ("command_type", "X"))
    record = recorder.record_of_text(text, NEW_YEAR_NS)
    assert (text.packed, record.event_type, record.attributes["metric_value"]) == (
        b"", "metric_text", "hot",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kept"),
    [("1.5", 1.5), ("true", 1.0), ("NaN", math.nan), ("-Infinity", -math.inf), ("1e3", 1e3)],
)
def test_numbers_that_programs_write(value, kept):
    (one,) = metrics(b'{"metric_name": "m", "metric_value": %s}' % value.encode()).items
    assert repr(one.point.value) == repr(kept)


@pytest.mark.parametrize(
    ("body", "count", "alone"),
    [
        (b"[]", 0, False),
        (b'{"events": []}', 0, False),
        (json.dumps([EVENT] * 3).encode(), 3, False),
        (json.dumps([EVENT]).encode(), 1, False),
        (json.dumps({"events": [EVENT, EVENT]}).encode(), 2, False),
        (json.dumps(EVENT).encode() + b"\n" + json.dumps(EVENT).encode() + b"\n", 2, False),
        (b" " + json.dumps(EVENT).encode() + b"\n", 1, True),
        (json.dumps({**EVENT, "events": [1]}).encode(), 1, True),
    ],
)
def test_every_form_of_a_body(body, count, alone):
    told = events(body)
    assert (len(told.items), told.alone) == (count, alone)
    assert not any(isinstance(one, Fault) for one in told.items)
    assert len(events(gzip.compress(body), encoding="gzip").items) == count


MISSING = {"validation_errors": {"missing_fields": ["event_type", "source"]}}
LONG = "x" * 1025


@pytest.mark.parametrize(
    ("given", "message", "details"),
    [
        ({}, "Missing required fields: event_type, source", MISSING),
        ({**EVENT, "event_type": 5}, "Event type must be a string", {"invalid_type": "event_type"}),
        ({**EVENT, "source": None}, "Source must be a string", {"invalid_type": "source"}),
        ({**EVENT, "data": []}, "Data must be a dictionary", {"invalid_type": "data"}),
        ({**EVENT, "event_id": 5}, "Event id must be a string", {"invalid_type": "event_id"}),
        ({**EVENT, "source": LONG}, "Source is longer than 1024 characters", {"too_long": "source"}),
        (
            {**EVENT, "timestamp": "noon"},
            "Timestamp must be an instant: not an instant: 'noon' (write e.g. 2026-01-01T00:00:00Z)",
            {"invalid_type": "timestamp"},
        ),
        (7, "expected an object, got b'7'", {"reason": "not_object"}),
        ({**EVENT, "data": {"a": "x" * 10_000}}, "10062 bytes, limit 10000", {"reason": "too_large"}),
        (
            {**EVENT, "data": json.loads('{"a":' * 70 + "1" + "}" * 70)},
            "nested deeper than 64", {"reason": "too_deep"},
        ),
    ],
)  # fmt: skip
def test_a_bad_event_is_told_why_and_costs_no_other(given, message, details):
    bad, good = events([given, EVENT]).items

    wrapped = (
        details if "reason" in details or details is MISSING else {"validation_errors": details}
    )
    assert bad == Fault("INVALID_EVENT", message, wrapped)
    assert good.event.event_type == "COMMAND"


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"metric_value": 1}, "INVALID_METRIC_NAME", "Metric name must be a non-empty string"),
        ({"metric_name": "", "metric_value": 1}, "INVALID_METRIC_NAME", "Metric name must be a non-empty string"),
        ({"metric_name": "m"}, "INVALID_METRIC_VALUE", "Metric value must be a number or string"),
        ({**METRIC, "metric_value": []}, "INVALID_METRIC_VALUE", "Metric value must be a number or string"),
        ({**METRIC, "metric_value": 10**400}, "INVALID_METRIC_VALUE", "Metric value is too large a number"),
        ({**METRIC, "context": [1]}, "INVALID_METRIC", "Context must be a dictionary"),
        ({**METRIC, "metric_name": LONG}, "INVALID_METRIC", "metric_name must be text of at most 1024 characters"),
        ({**METRIC, "timestamp": "noon"}, "INVALID_VALUE", "not an instant: 'noon' (write e.g. 2026-01-01T00:00:00Z)"),
        ({**METRIC, "timestamp": True}, "TYPE_ERROR", "not an instant: bool"),
        ([METRIC], "INVALID_METRIC", "expected an object, got b"),
    ],
)  # fmt: skip
def test_a_bad_metric_is_told_why_and_costs_no_other(given, code, message):
    bad, good = metrics([given, METRIC]).items

    assert (bad.code, bad.message[: len(message)]) == (code, message)
    assert good.point.value == 127


def test_a_broken_line_is_a_fault_among_others():
    body = json.dumps(METRIC).encode() + b'\n{"metric_name"\n' + json.dumps(METRIC).encode()
    kinds = [type(one).__name__ for one in metrics(body).items]
    assert kinds == ["GivenPoint", "Fault", "GivenPoint"]


def test_keys_of_a_context_beyond_the_bound_are_counted():
    context = {f"k{n:03}": n for n in range(CONTEXT_KEYS_MAX + 3)}
    told = metrics([{**METRIC, "context": context}, METRIC])

    assert (told.keys_cut, len(label.unpack(told.items[0].packed))) == (3, CONTEXT_KEYS_MAX + 1)


def test_half_a_surrogate_pair_is_no_label():
    (one,) = metrics(
        b'{"metric_name": "m", "metric_value": 1, "context": {"k": "a\\ud800"}}'
    ).items
    assert label.unpack(one.packed) == (("__name__", "m"), ("k", "a?"))


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"", None, 400, "json"),
        (b"junk", None, 400, "json"),
        (b"[", None, 400, "json"),
        (json.dumps([METRIC] * 6).encode(), None, 413, "too_many"),
        (b" " * 20_001, None, 413, "too_large"),
        (b"x", "gzip", 400, "gzip"),
        (b"x", "br", 415, "unsupported_encoding"),
    ],
)
def test_a_body_of_which_nothing_can_be_read_is_refused(body, encoding, status, code):
    for read in (events, metrics):
        with pytest.raises(Refused) as refused:
            read(body, encoding=encoding)
        assert (refused.value.status, refused.value.code) == (status, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ("metric_name", "metric_value", "context", "timestamp", "event_id", "session_id",
        "event_type", "source", "data")  # fmt: skip


@settings(max_examples=30)
@given(
    st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), min_size=1, max_size=5)
)
def test_whatever_is_posted_every_item_has_its_answer(items):
    for read, wanted in ((events, recorder.GivenEvent), (metrics, recorder.GivenPoint)):
        told = read(items, limits=RecorderLimits())
        assert len(told.items) == len(items)
        for one in told.items:
            assert isinstance(one, Fault | wanted)
            if isinstance(one, recorder.GivenEvent):
                recorder.record_of(one, 0)
            elif isinstance(one, recorder.GivenPoint) and not one.packed:
                recorder.record_of_text(one, 0)
