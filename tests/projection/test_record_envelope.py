"""Projected records as records of the house and back; what the log carries; what posts may say."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.projection import (
    project_telemetry_mapping,
    projected_record_to_dict,
    unique_projected_resources,
)
from heliograph.projection.envelope import projected_of, record_of
from heliograph.wire import records as wire
from tests.projection.telemetry_samples import event, scoped

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), documents, max_size=4))
def test_nothing_is_lost_there_through_the_log_and_back(metadata):
    projected = project_telemetry_mapping(event(metadata=metadata), observed_timestamp_ns=5)
    record = record_of(projected)

    (logged,) = wire.decode(wire.encode([record]))
    assert projected_of(record) == projected_of(logged) == projected
    assert projected_record_to_dict(record) == projected_record_to_dict(projected)
    assert unique_projected_resources([record]) == unique_projected_resources([projected])
    assert (record.schema_version, record.record_id) == (1, projected.record_id)


@pytest.mark.parametrize("text", ["\ud800", "x"])
@pytest.mark.parametrize("number", [2**80, -(2**63) - 1, 1])
def test_the_log_carries_what_messagepack_cannot(text, number):
    given_ = [
        event(timestamp_ns=number, context=text, metadata={"nan": math.nan, "inf": math.inf})
    ]
    records = [record_of(project_telemetry_mapping(one)) for one in given_]

    (back,) = wire.decode(wire.encode(records))
    assert (back.timestamp_ns, back.body, back.attributes["inf"]) == (number, text, math.inf)
    assert math.isnan(back.attributes["nan"])


def test_what_the_log_held_before_still_decodes():
    fields = [
        "telemetry-0",
        1,
        2,
        "s",
        "log",
        "oom",
        None,
        "error",
        None,
        "line",
        {"a": 1},
        {},
        {},
    ]

    assert wire.decode(msgspec.msgpack.encode([fields])) == [Record(*fields)]


@pytest.mark.parametrize(
    "payload", [b"", b"[", b"[1]", b"[[1]]", b"{}", b"[{}]", b"\x91\x01", b"\xc1"]
)
def test_what_is_no_frame_is_a_value_error(payload):
    with pytest.raises(ValueError, match="^not records: "):
        wire.decode(payload)


def test_what_json_does_not_have_is_told_as_it_does():
    thing = complex(1, 2)
    source = event(metadata={"set": {3, 1}, "bytes": bytearray(b"x"), "thing": thing})
    record = record_of(project_telemetry_mapping(source))

    assert record.attributes["set"] == [1, 3]
    assert record.attributes["bytes"] == "b'x'"
    assert record.attributes["thing"] == "(1+2j)"


def test_a_posted_record_is_one_that_was_answered():
    record = record_of(project_telemetry_mapping(scoped(), observed_timestamp_ns=7))

    assert wire.of_document(wire.document(record)) == record
    assert wire.of_document(projected_record_to_dict(projected_of(record))) == record


LEAST = {"record_id": "telemetry-0", "timestamp_ns": 1, "session_id": "s", "event_type": "e"}


def test_a_posted_record_needs_four_fields():
    assert wire.of_document(LEAST) == Record("telemetry-0", 1, 1, "s", "other", "e")


POSTED = [
    # changed                          field at fault
    ({"nothing": 1}, "nothing"),
    ({"record_id": None}, "record_id"),
    ({"record_id": " "}, "record_id"),
    ({"timestamp_ns": "1"}, "timestamp_ns"),
    ({"timestamp_ns": True}, "timestamp_ns"),
    ({"observed_timestamp_ns": 1.5}, "observed_timestamp_ns"),
    ({"session_id": 5}, "session_id"),
    ({"event_type": ""}, "event_type"),
    ({"source_kind": ""}, "source_kind"),
    ({"severity": 5}, "severity"),
    ({"attributes": []}, "attributes"),
    ({"schema_version": 2}, "schema_version"),
]


@pytest.mark.parametrize(("changed", "field"), POSTED)
def test_a_posted_record_that_does_not_fit_names_its_field(changed, field):
    with pytest.raises(Refused) as refused:
        wire.of_document({**LEAST, **changed})
    assert (refused.value.field, refused.value.status) == (field, 400)
