"""Telemetry events: what is valid, what older records become, who a process is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.projection import event as fields_of
from heliograph.projection import project_telemetry_mapping, projected_record_to_dict
from heliograph.projection.events import (
    SCHEMA_VERSION_V2,
    SCHEMA_VERSION_V3,
    SCHEMA_VERSION_V4,
    TelemetryEvent,
    project_telemetry_event,
    project_telemetry_events,
    resolve_distributed_identity,
    telemetry_event_from_record,
    telemetry_event_to_dict,
    validate_telemetry_record,
)
from heliograph.projection.session import stable_legacy_session_id
from tests.projection.telemetry_samples import event

MISSING = object()
FAULTS = [
    # changed                                              what is said
    ({"schema_version": True}, "schema_version must be an integer"),
    ({"schema_version": 5}, "Unsupported schema_version: 5"),
    ({"pid": MISSING, "host": MISSING}, "Missing required telemetry fields: host, pid"),
    ({"b": 1, "a": 1}, "Unknown telemetry fields: a, b"),
    ({"session_id": None}, "session_id must be a non-empty string"),
    ({"event_type": "\n"}, "event_type must be a non-empty string"),
    ({"collector": 5}, "collector must be a string"),
    ({"host": ""}, "host must be a non-empty string"),
    ({"timestamp_ns": -1}, "timestamp_ns must be >= 0"),
    ({"timestamp_ns": True}, "timestamp_ns must be an integer"),
    ({"sampling_interval_ms": -1}, "sampling_interval_ms must be >= 0"),
    ({"pid": -2}, "pid must be >= -1"),
    ({"job_id": " "}, "job_id must be a non-empty string"),
    ({"rank": -1}, "rank must be >= 0"),
    ({"rank": 2}, "rank must be < world_size"),
    ({"local_rank": 2}, "local_rank must be < world_size"),
    ({"world_size": 0}, "world_size must be >= 1"),
    ({"rank": None}, "rank must be an integer"),
    ({"device_id": "0"}, "device_id must be an integer"),
    ({"allocator_allocated_bytes": None}, "allocator_allocated_bytes must be an integer"),
    ({"allocator_reserved_bytes": -1}, "allocator_reserved_bytes must be >= 0"),
    ({"allocator_inactive_bytes": -1}, "allocator_inactive_bytes must be >= 0 when provided"),
    ({"allocator_change_bytes": None}, "allocator_change_bytes must be an integer"),
    ({"device_used_bytes": 101}, "device_used_bytes cannot exceed device_total_bytes"),
    ({"device_free_bytes": 101}, "device_free_bytes cannot exceed device_total_bytes"),
    ({"device_free_bytes": -1}, "device_free_bytes must be >= 0 when provided"),
    ({"device_total_bytes": True}, "device_total_bytes must be an integer"),
    ({"context": 5}, "context must be a string"),
    ({"metadata": None}, "metadata must be an object"),
]


@pytest.mark.parametrize(("changed", "said"), FAULTS)
def test_what_is_not_valid_is_named(changed, said):
    record = {k: v for k, v in event(**changed).items() if v is not MISSING}

    for refuse in (validate_telemetry_record, telemetry_event_from_record):
        with pytest.raises(ValueError, match=r".") as refused:
            refuse(record)
        assert str(refused.value) == said


FINE = [
    {},
    {"job_id": None, "device_id": -1, "pid": -1, "context": ""},
    {"device_used_bytes": 90, "device_free_bytes": 90},
    {"device_total_bytes": None, "device_used_bytes": 10**15, "device_free_bytes": None},
    {"metadata": {"a": [1]}},
]


@pytest.mark.parametrize("changed", FINE)
def test_what_is_valid_comes_back_as_it_was(changed):
    record = event(**changed)

    assert validate_telemetry_record(record) is None
    assert telemetry_event_to_dict(telemetry_event_from_record(record)) == record
    least = {k: v for k, v in record.items() if k not in fields_of.OPTIONAL}
    got = telemetry_event_to_dict(telemetry_event_from_record(least))
    assert got == {**least, "job_id": None, "rank": 0, "local_rank": 0, "world_size": 1}


values = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", " ", "x"])
    | st.just({}) | st.just([])
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*fields_of.FIELDS, "other"]), values, max_size=3))
def test_the_short_way_takes_only_what_the_long_way_takes(changed):
    record = event(**changed)
    taken = fields_of.ordinary(record)
    try:
        validate_telemetry_record(record)
    except ValueError:
        assert taken is None
    else:
        assert taken is None or taken == TelemetryEvent(**record)


def test_the_short_way_is_the_usual_one():
    assert fields_of.ordinary(event()) == TelemetryEvent(**event())


def test_a_written_event_shares_nothing():
    record = event(metadata={"a": {"b": 1}})
    written = telemetry_event_to_dict(telemetry_event_from_record(record))
    written["metadata"]["a"]["b"] = 2

    assert record["metadata"] == {"a": {"b": 1}}


def test_version_2_gets_a_session():
    record = event(schema_version=SCHEMA_VERSION_V2)
    with pytest.raises(ValueError, match="^Unknown telemetry fields: session_id$"):
        validate_telemetry_record(record)
    del record["session_id"]
    own = stable_legacy_session_id(record["timestamp_ns"], "node-1", 17)

    assert telemetry_event_from_record(record) == TelemetryEvent(
        **{**event(), "schema_version": SCHEMA_VERSION_V3, "session_id": own}
    )
    assert telemetry_event_from_record(record, default_session_id="d").session_id == "d"
    record["metadata"] = {"session_id": "told"}
    assert telemetry_event_from_record(record, default_session_id="d").session_id == "told"


CAPABILITIES = {"collector_kind": "x", "supports_device_total": False}


def test_version_4_is_read_with_what_its_collector_cannot_tell():
    record = event(
        schema_version=SCHEMA_VERSION_V4,
        allocator_allocated_bytes=None,
        device_used_bytes=None,
        metadata={"memory_capabilities": CAPABILITIES},
    )

    with pytest.raises(ValueError, match="^Unsupported schema_version: 4$"):
        validate_telemetry_record(record)
    assert telemetry_event_to_dict(telemetry_event_from_record(record)) == record
    assert project_telemetry_event(record).attributes["memory.device.used_bytes"] is None


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "metadata.memory_capabilities must be an object"),
        (
            {"memory_capabilities": {"supports_x": 1}},
            "metadata.memory_capabilities.supports_x must be a boolean",
        ),
        (
            {"memory_capabilities": {"kind": 1}},
            "metadata.memory_capabilities.kind must be a string",
        ),
    ],
)
def test_version_4_must_say_what_it_can(metadata, said):
    with pytest.raises(ValueError, match=r".") as refused:
        telemetry_event_from_record(event(schema_version=4, metadata=metadata))
    assert str(refused.value) == said


LEGACY = [
    # record                                           what it becomes, apart from the defaults
    ({"timestamp": 1.5}, {"timestamp_ns": 1_500_000_000}),
    ({"timestamp": 2, "timestamp_ns": 7}, {"timestamp_ns": 7}),
    ({"timestamp": 1, "type": "peak", "event_type": " "}, {"event_type": "peak"}),
    ({"timestamp": 1, "metadata_a": 1, "metadata": {"b": 2}}, {"metadata": {"a": 1, "b": 2}}),
    ({"timestamp": 1, "metadata_a": 1, "metadata": {"a": 2}}, {"metadata": {"a": 2}}),
    ({"timestamp": 1, "message": "m", "context": "c"}, {"context": "c"}),
    ({"timestamp": 1, "device": "cuda:3"}, {"device_id": 3}),
    ({"timestamp": 1, "device": 2}, {"device_id": 2}),
    ({"timestamp": 1, "device": "mps"}, {"device_id": -1}),
    ({"timestamp": 1, "device": "/device:GPU:1", "memory_mb": 0.5},
     {"device_id": 1, "collector": "stormlog.tensorflow.memory_tracker",
      "allocator_allocated_bytes": 524288, "allocator_reserved_bytes": 524288,
      "device_used_bytes": 524288}),
    ({"timestamp": 1, "memory_allocated": 5.0, "memory_reserved": 7, "device_id": 0},
     {"device_id": 0, "collector": "stormlog.cuda_tracker", "allocator_allocated_bytes": 5,
      "allocator_reserved_bytes": 7, "device_used_bytes": 5}),
    ({"timestamp": 1, "metadata": {"backend": "MPS"}},
     {"collector": "stormlog.mps_tracker", "metadata": {"backend": "MPS"}}),
    ({"timestamp": 1, "collector": "mine", "backend": "rocm", "host": "h", "pid": 3,
      "session_id": "s"}, {"collector": "mine", "host": "h", "pid": 3, "session_id": "s"}),
    ({"timestamp": 1, "rank": 1, "metadata": {"world_size": 2, "rank": 0}},
     {"rank": 1, "local_rank": 1, "world_size": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("record", "becomes"), LEGACY)
def test_what_has_no_version_is_upgraded(record, becomes, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    plain = {
        "schema_version": 3, "session_id": "d", "timestamp_ns": 1_000_000_000,
        "event_type": "sample", "collector": "c", "sampling_interval_ms": 9, "pid": -1,
        "host": "unknown", "job_id": None, "rank": 0, "local_rank": 0, "world_size": 1,
        "device_id": -1, "allocator_allocated_bytes": 0, "allocator_reserved_bytes": 0,
        "allocator_active_bytes": None, "allocator_inactive_bytes": None,
        "allocator_change_bytes": 0, "device_used_bytes": 0, "device_free_bytes": None,
        "device_total_bytes": None, "context": None, "metadata": {},
    }  # fmt: skip
    got = telemetry_event_from_record(
        record, default_collector="c", default_sampling_interval_ms=9, default_session_id="d"
    )
    assert telemetry_event_to_dict(got) == {**plain, **becomes}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"timestamp": float("nan")}, "Legacy record is missing a valid timestamp"),
        ({"timestamp_ns": True}, "Legacy record is missing a valid timestamp"),
        ({"timestamp": 1, "metadata": "x"}, "metadata must be an object when provided"),
        ({"timestamp": -1}, "timestamp_ns must be >= 0"),
        ({"timestamp": 1e300}, "timestamp must be a number of ordinary size, not 1e+300"),
        (
            {"timestamp": 1, "memory_mb": 1e308},
            "memory_mb must be a number of ordinary size, not 1e+308",
        ),
        ({"timestamp": 1, "memory_allocated": -5}, "allocator_allocated_bytes must be >= 0"),
        ([], "telemetry record must be an object"),
    ],
)
def test_what_cannot_be_upgraded_is_named(record, said):
    with pytest.raises(ValueError, match=r".") as refused:
        telemetry_event_from_record(record)
    assert str(refused.value) == said


def test_old_records_may_be_refused():
    with pytest.raises(ValueError, match="^Legacy record conversion is disabled$"):
        telemetry_event_from_record({"timestamp": 1}, permissive_legacy=False)


IDENTITIES = [
    # environment                                                    job  rank local world
    ({}, (None, 0, 0, 1)),
    ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "t",
      "SLURM_JOB_ID": "s"}, ("t", 3, 1, 8)),
    ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4",
      "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (None, 2, 0, 4)),
    ({"RANK": "3", "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "s"}, ("s", 1, 1, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("env", "identity"), IDENTITIES)
def test_the_first_launcher_that_told_all_counts(env, identity):
    assert tuple(resolve_distributed_identity(env=env).values()) == identity


def test_given_counts_before_metadata_before_environment(monkeypatch):
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    metadata = {"rank": 3, "job_id": "m"}

    assert resolve_distributed_identity()["rank"] == 5
    assert resolve_distributed_identity(metadata=metadata)["rank"] == 3
    assert resolve_distributed_identity(rank=1, job_id="g", metadata=metadata) == {
        "job_id": "g", "rank": 1, "local_rank": 1, "world_size": 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"env": {"RANK": "x", "WORLD_SIZE": "2"}}, "rank must be an integer"),
        (
            {"env": {"RANK": "0", "LOCAL_RANK": "", "WORLD_SIZE": "2"}},
            "local_rank must be an integer",
        ),
        ({"world_size": True}, "world_size must be an integer"),
        ({"rank": 4, "world_size": 4}, "rank must be < world_size"),
        ({"job_id": 5}, "job_id must be a non-empty string"),
    ],
)
def test_an_impossible_identity_is_named(given_, said):
    with pytest.raises(ValueError, match=r".") as refused:
        resolve_distributed_identity(**{"env": {}, **given_})
    assert str(refused.value) == said


def test_events_are_projected_as_their_mappings_are():
    record = event(metadata={"backend": "cuda"})
    wanted = projected_record_to_dict(project_telemetry_mapping(record))
    read = telemetry_event_from_record(record)

    assert projected_record_to_dict(project_telemetry_event(read)) == wanted
    assert project_telemetry_event(read, observed_timestamp_ns=4).observed_timestamp_ns == 4
    projected = project_telemetry_events([read, record], observed_timestamp_ns=4)
    assert [one.record_id for one in projected] == [wanted["record_id"]] * 2
