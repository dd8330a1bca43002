"""Bodies of `POST /v1/records`: every shape, each item by itself, and what they come to as samples."""

import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.projection.mapping import project_telemetry_mapping
from heliograph.projection.record import projected_record_to_dict
from heliograph.receive.json_items import DEPTH_MAX
from heliograph.receive.record_samples import METRICS, Counters
from heliograph.receive.records import RecordLimits, decode

AT_NS = 1_795_311_305_000_000_000
ARRIVAL_NS = AT_NS + 5


def event(**more):
    """A telemetry event of version 3; *more* are its fields."""
    return {
        "schema_version": 3, "session_id": "s-1", "timestamp_ns": AT_NS, "event_type": "sample",
        "collector": "stormlog.cuda_tracker", "sampling_interval_ms": 100, "pid": 1, "host": "h",
        "job_id": "job-7", "rank": 3, "local_rank": 3, "world_size": 8, "device_id": 3,
        "allocator_allocated_bytes": 10, "allocator_reserved_bytes": 20,
        "allocator_active_bytes": None, "allocator_inactive_bytes": None,
        "allocator_change_bytes": -5, "device_used_bytes": 20, "device_free_bytes": 80,
        "device_total_bytes": 100, "context": None, "metadata": {}, **more,
    }  # fmt: skip


def version_2():
    older = {**event(), "schema_version": 2}
    del older["session_id"]
    return older


def read(body, *, encoding=None, **limits):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode(
        raw, content_encoding=encoding, arrival_ns=ARRIVAL_NS, limits=RecordLimits(**limits)
    )


def lines(*documents):
    return "\n".join(map(json.dumps, documents)).encode()


TWO = [event(), event(timestamp_ns=AT_NS + 1)]


@pytest.mark.parametrize(
    ("case", "body"),
    [
        ("a list", json.dumps(TWO)),
        ("lines", lines(*TWO).decode() + "\n"),
        ("concatenated", "".join(map(json.dumps, TWO))),
        ("a wrapped list", json.dumps({"events": TWO})),
        ("a wrapped list with more beside it", json.dumps({"meta": {"a": 1}, "events": TWO})),
        ("indented", json.dumps(TWO, indent=2)),
        ("a wrapped list, indented", json.dumps({"events": TWO}, indent=2)),
        ("a byte order mark", "\ufeff" + json.dumps(TWO)),
        (
            "a wrapped list with NaN",
            json.dumps({"events": [event(metadata={"x": math.nan}), TWO[1]]}),
        ),
    ],
)
def test_the_shapes_of_a_body(case, body):
    batch = read(body.encode())

    assert (batch.received, batch.rejected_total, batch.rejected) == (2, 0, []), case
    assert [one.timestamp_ns for one in batch.records] == [AT_NS, AT_NS + 1]


def test_gzip_is_taken_and_anything_else_refused():
    assert read(gzip.compress(lines(*TWO)), encoding="gzip").received == 2
    with pytest.raises(Refused) as refused:
        read(TWO, encoding="zstd")
    assert refused.value.status == 415


def test_one_event_alone_is_its_projection():
    (record,) = read(event()).records
    projected = projected_record_to_dict(
        project_telemetry_mapping(event(), observed_timestamp_ns=ARRIVAL_NS)
    )

    assert {"schema_version": 1, **record._asdict()} == projected


def test_where_it_ran_is_the_records_resource():
    metadata = {
        "node": "gpu-01",
        "pod_uid": "u-1",
        "pod_name": "p",
        "namespace": "train",
        "x": 1,
    }
    (record,) = read(event(metadata=metadata)).records

    assert {name: record.resource[name] for name in ("node", "pod_uid", "pod_name", "namespace")} == {
        "node": "gpu-01", "pod_uid": "u-1", "pod_name": "p", "namespace": "train",
    }  # fmt: skip
    assert record.resource["rank"] == 3


def test_older_events_are_read_and_the_same_one_has_one_id():
    older = version_2()
    legacy = {
        "timestamp": 1795311305.25,
        "event_type": "allocation",
        "memory_mb": 12,
        "device": "cuda:1",
    }

    first, second, third = read([older, legacy, legacy]).records

    assert first.attributes["memory.allocator.allocated_bytes"] == 10
    assert second.attributes["memory.allocator.allocated_bytes"] == 12 * 1024**2
    assert second.record_id == third.record_id


def test_a_projected_record_is_taken_as_it_is():
    posted = projected_record_to_dict(project_telemetry_mapping(event(context="a word")))
    posted["resource"]["node"] = "gpu-01"

    (record,) = read(posted).records

    assert {"schema_version": 1, **record._asdict()} == posted


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        (event(rank=8), "rank", "invalid"),
        (event(timestamp_ns="x"), "timestamp_ns", "invalid"),
        (event(timestamp_ns=2**63), "timestamp_ns", "invalid"),
        (event(session_id=""), "session_id", "invalid"),
        (event(session_id="x" * 2000), "session_id", "invalid"),
        (event(event_type=7), "event_type", "invalid"),
        (event(device_used_bytes=101), "device_used_bytes", "invalid"),
        (event(surprise=1), "surprise", "invalid"),
        (event(schema_version=9), "schema_version", "invalid"),
        (event(metadata=[]), "metadata", "invalid"),
        ({"schema_version": 1, "record_id": "r", "timestamp_ns": "x"}, None, "invalid"),
        ({"timestamp": 1e300, "memory_mb": 1}, "timestamp", "invalid"),
        ({"timestamp": 1.7e9, "memory_mb": 1e308}, "memory_mb", "invalid"),
        ({"event_type": "x"}, "timestamp", "invalid"),
        ({}, "timestamp", "invalid"),
        (7, "", "not_object"),
        ("text", "", "not_object"),
        ([event()], "", "not_object"),
        (None, "", "not_object"),
    ],
)
def test_a_bad_item_names_its_field_and_costs_nothing_else(item, field, reason):
    batch = read([event(), item, event(timestamp_ns=AT_NS + 1)])

    assert (len(batch.records), batch.received, batch.rejected_total) == (2, 3, 1)
    (rejected,) = batch.rejected
    assert (rejected.index, rejected.reason) == (1, reason)
    assert rejected.detail
    if field is not None:
        assert rejected.field == field


def test_a_broken_line_costs_itself():
    body = (
        lines(event())
        + b'\n{"schema_version": 3, "sess\n'
        + lines(event(timestamp_ns=AT_NS + 1))
    )

    batch = read(body)

    assert len(batch.records) == 2
    assert [one.reason for one in batch.rejected] == ["syntax"]


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


def test_depth_is_bounded():
    batch = read(
        [event(metadata={"deep": nested(DEPTH_MAX)}), event(metadata={"deep": nested(9)})]
    )

    assert [one.reason for one in batch.rejected] == ["too_deep"]
    assert len(batch.records) == 1
    (rejected,) = read(b"[" + b'{"metadata":' + b"[" * 5000 + b"]" * 5000 + b"}, 1]").rejected[
        :1
    ]
    assert rejected.reason == "too_deep"


def test_size_and_number_are_bounded():
    batch = read([event(context="x" * 3000), event()], item_bytes=2000)
    assert [one.reason for one in batch.rejected] == ["too_large"]

    with pytest.raises(Refused) as refused:
        read([event()] * 4, items=3)
    assert (refused.value.status, refused.value.code) == (413, "too_many")
    batch = read([7] * 30, rejected=5)
    assert (len(batch.rejected), batch.rejected_total) == (5, 30)


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"nonsense", b"\x1f\x8b..", b"<html>", b'{"a": ']
)
def test_a_body_of_which_nothing_can_be_read_is_refused(body):
    with pytest.raises(Refused) as refused:
        read(body)
    assert (refused.value.status, refused.value.field) == (400, "body")


@pytest.mark.parametrize("body", [b"[]", b" [ ]\n", b'{"events": []}'])
def test_a_list_of_nothing_is_taken(body):
    assert read(body) == ([], 0, [], 0)


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_records_rejects_or_refused(body):
    try:
        batch = read(body)
    except Refused:
        return
    assert batch.received == len(batch.records) + batch.rejected_total


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from(sorted(event())), JSON)
def test_any_value_in_any_field_is_a_record_or_a_reject(name, value):
    batch = read([event(**{name: value}), event()])

    assert len(batch.records) + batch.rejected_total == 2


def interned():
    table = {}

    def intern(packed):
        return table.setdefault(packed, len(table))

    return table, intern


def test_counters_become_samples_under_labels_that_tell_streams_apart():
    table, intern = interned()
    records = read(
        [event(), event(timestamp_ns=AT_NS + 1, allocator_allocated_bytes=11)]
    ).records

    batch, refused, _ = Counters(intern).samples(records)

    by_id = {number: dict(label.unpack(packed)) for packed, number in table.items()}
    assert refused == 0
    assert batch.count == 12
    found = {
        (by_id[series]["__name__"], at_ns): value
        for series, at_ns, value in zip(*(column.tolist() for column in batch), strict=True)
    }
    assert found[("memory_allocator_allocated_bytes", AT_NS)] == 10
    assert found[("memory_allocator_allocated_bytes", AT_NS + 1)] == 11
    assert found[("memory_allocator_change_bytes", AT_NS)] == -5
    assert found[("memory_device_total_bytes", AT_NS)] == 100
    assert ("memory_allocator_active_bytes", AT_NS) not in found
    labels = by_id[0]
    assert labels == {
        "__name__": "memory_allocator_allocated_bytes", "collector": "stormlog.cuda_tracker",
        "device_id": "3", "host": "h", "job_id": "job-7", "rank": "3", "session_id": "s-1",
    }  # fmt: skip


def test_what_was_not_measured_makes_no_sample():
    metadata = {"collector_partial_fields": ["allocator_allocated_bytes", "device_used_bytes"]}
    _, intern = interned()
    (record,) = read(event(metadata=metadata, allocator_active_bytes=None)).records

    Counters(intern).samples([record])
    batch, _, _ = Counters(intern).samples([record])

    assert batch.count == len(METRICS) - 4


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**1100])
def test_a_counter_that_is_no_count_of_bytes_makes_no_sample_and_is_counted(value):
    _, intern = interned()
    (record,) = read(
        event(allocator_allocated_bytes=value, allocator_reserved_bytes=2**63 - 1)
    ).records

    batch, refused, out_of_range = Counters(intern).samples([record])

    assert (batch.count, refused, out_of_range) == (5, 0, 1)


def test_series_beyond_the_limit_are_refused_and_counted():
    batch, refused, _ = Counters(lambda packed: None).samples(read(event()).records)

    assert (batch.count, refused) == (0, 6)


def test_labels_are_cut_and_places_added():
    table, intern = interned()
    records = read(event(host="h" * 999, metadata={"node": "n", "pod_uid": "u"})).records

    Counters(intern).samples(records)

    labels = dict(label.unpack(next(iter(table))))
    assert (len(labels["host"]), labels["node"], labels["pod_uid"]) == (256, "n", "u")
