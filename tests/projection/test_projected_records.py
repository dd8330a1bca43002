"""Projected records: values that nothing changes, with ids that nothing but their source changes."""

import copy
import dataclasses
import hashlib
import json
import math
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict
from enum import Enum, IntEnum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import heliograph.projection as face
from heliograph.kernels import canonical as compiled_or_not
from heliograph.projection import (
    ProjectedTelemetryRecord,
    project_telemetry_mapping,
    projected_record_to_dict,
)
from heliograph.projection.frozen import FrozenMapping
from heliograph.projection.identity_digest import json_bytes
from tests.projection.telemetry_samples import event, scoped
from tests.twins import plain

KERNELS = {"plain": plain("canonical")}
if compiled_or_not.COMPILED:
    KERNELS["compiled"] = compiled_or_not

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(params=sorted(KERNELS))
def kernel(request):
    return KERNELS[request.param]


@given(
    st.dictionaries(st.text(st.characters(codec="ascii"), max_size=4), documents, max_size=5)
)
def test_canonical_bytes_are_what_json_writes_of_what_it_read(document):
    for kernel in KERNELS.values():
        assert kernel.canonical(document) in {None, json_bytes(document)}


class Colour(str, Enum):  # noqa: UP042 - its text is another than a StrEnum's
    RED = "red"


class Count(IntEnum):
    ONE = 1


ODD = [
    # case                          record                            whether it is plain
    ("text that needs escapes", {"a": '"\\\n\x00\x7f é\u2028\U0001f600'}, True),
    ("a lone surrogate", {"a": "\ud800"}, True),
    ("two surrogates that are one", {"a": "\ud83d\ude00"}, True),
    ("the ends of 64 bits", {"a": [2**63, -(2**63), 2**64, -(2**63) - 1, 0, -1]}, True),
    ("floats", {"a": [1e16, 1e-7, -0.0, 0.1, math.inf, -math.inf, math.nan, 5e-324]}, True),
    ("a long text", {"a": "x" * 10_000, "b": ["y" * 5000] * 3}, True),
    ("nothing", {}, True),
    ("empty inside", {"a": {}, "b": [], "c": ()}, True),
    ("a key outside ASCII", {"é": 1}, False),
    ("a number as key", {"a": {1: 2, 10: 3}}, False),
    ("keys inside a list", {"a": [{1: 2, 10: 3, 2: 4}]}, False),
    ("a boolean as key", {"a": {True: 1}}, False),
    ("None as key, by lists and mappings", {"a": {None: 1}, "b": [{None: 1}]}, False),
    ("an enum's text as key", {Colour.RED: 1}, False),
    ("an enum's text", {"a": Colour.RED}, False),
    ("an enum's number", {"a": Count.ONE}, False),
    ("a mapping of another kind", {"a": MappingProxyType({"b": (1,)})}, False),
    ("a mapping of another kind in a list", {"a": [MappingProxyType({"b": 1})]}, False),
    ("an ordered dict", {"a": OrderedDict(z=1, b=2)}, False),
    ("bytes", {"a": b"x"}, False),
    ("an object", {"a": [complex(1, 2)]}, False),
]


def told_plainly(record):
    """The id's bytes as the document of spec 003 has them, said once more."""

    def thawed(value):
        if hasattr(value, "keys"):
            return {str(key): thawed(value[key]) for key in value}
        return [thawed(each) for each in value] if isinstance(value, tuple) else value

    once = json.dumps(thawed(record), sort_keys=True, default=str)
    return json.dumps(json.loads(once), sort_keys=True).encode()


@pytest.mark.parametrize(
    ("record", "is_plain"), [pytest.param(*row, id=case) for case, *row in ODD]
)
def test_what_is_odd_has_the_id_that_it_always_had(kernel, record, is_plain):
    written = kernel.canonical(record)

    assert (written is not None) == is_plain
    assert (written or json_bytes(record)) == told_plainly(record)


def test_nesting_beyond_the_bound_is_left_to_json(kernel):
    def nested(depth):
        return {"a": nested(depth - 1)} if depth else 1

    assert kernel.canonical(nested(kernel.DEPTH_MAX)) is not None
    assert kernel.canonical(nested(kernel.DEPTH_MAX + 1)) is None


def test_shapes_that_are_remembered_are_bounded():
    if not compiled_or_not.COMPILED:
        pytest.skip("no compiler was at hand")
    for n in range(compiled_or_not.LAYOUTS_MAX * 2 + 3):
        document = {f"k{n}": n, "a": 1}
        assert compiled_or_not.canonical(document) == told_plainly(document)


def test_freezing_and_thawing(kernel):
    frozen = kernel.frozen({"a": 1, "b": [1, ({"c": [2]},)]}, FrozenMapping)
    assert frozen == {"a": 1, "b": (1, ({"c": (2,)},))}
    assert type(frozen["b"][1][0]) is FrozenMapping
    items = kernel.frozen_items((1, {"a": [1]}, [2, {}]), FrozenMapping)
    assert items == (1, {"a": (1,)}, (2, {}))
    assert kernel.frozen_items((1, None), FrozenMapping) == (1, None)
    thawed = kernel.thawed(FrozenMapping({**frozen, "set": {1}, "list": [frozen]}))
    plain = {"a": 1, "b": [1, [{"c": [2]}]]}
    assert thawed == {**plain, "set": {1}, "list": [plain]}
    assert {type(thawed), type(thawed["b"][1][0]), type(thawed["list"][0])} == {dict}


def test_the_order_of_keys_and_the_time_of_observation_are_no_part_of_the_id():
    record = scoped()
    one = project_telemetry_mapping(record, observed_timestamp_ns=5)
    other = project_telemetry_mapping(dict(reversed(record.items())))

    assert one.record_id == other.record_id != project_telemetry_mapping(event()).record_id
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    assert one.record_id == f"telemetry-{digest[:32]}"


def test_a_set_gives_one_id_in_every_process():
    code = (
        "from heliograph.projection import project_telemetry_mapping as p; print(p({"
        "'session_id': 's', 'timestamp_ns': 1, 'event_type': 'e', 'metadata': {"
        "'a': {'x', 'yy', 'zzz', 3}, 'b': frozenset({'p', 'q'}), 'c': {3, 1, 2}}}).record_id)"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(ids) == 1


def test_what_is_found_through_names():
    assert {
        *("TELEMETRY_PROJECTION_SCHEMA_VERSION", "ProjectedTelemetryRecord"),
        *("project_telemetry_mapping", "projected_record_to_dict"),
        *("unique_projected_correlations", "unique_projected_resources"),
    } <= set(dir(face))
    assert face.TELEMETRY_PROJECTION_SCHEMA_VERSION == 1
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        face.nothing


FIELDS = (
    *("schema_version", "record_id", "timestamp_ns", "observed_timestamp_ns", "session_id"),
    *("source_kind", "event_type", "stage", "severity", "severity_text", "body", "resource"),
    *("attributes", "correlation"),
)


def test_a_record_is_a_frozen_dataclass_of_14_fields():
    record = project_telemetry_mapping(scoped())

    assert tuple(field.name for field in dataclasses.fields(record)) == FIELDS
    assert tuple(projected_record_to_dict(record)) == FIELDS
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.stage = "other"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        record.nothing
    moved = dataclasses.replace(record, stage="other")
    assert (moved.stage, moved.attributes) == ("other", record.attributes)


CHANGES = [
    lambda mapping: mapping.__setitem__("a", 1),
    lambda mapping: mapping.__delitem__("a"),
    lambda mapping: mapping.update(a=1),
    lambda mapping: mapping.setdefault("a", 1),
    lambda mapping: mapping.pop("a"),
    lambda mapping: mapping.popitem(),
    lambda mapping: mapping.clear(),
    lambda mapping: mapping.__ior__({"a": 1}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_in_a_record_can_be_changed(change):
    source = event(
        metadata={"a": {"b": [{"c": 1}]}, "set": {1}, "bytes": bytearray(b"x")},
        host=["left", "right"],
    )
    record = project_telemetry_mapping(source)
    before = copy.deepcopy(projected_record_to_dict(record))
    attributes = record.attributes

    for mapping in (record.resource, attributes, record.correlation, attributes["a"]["b"][0]):
        with pytest.raises(TypeError):
            change(mapping)
    assert (attributes["set"], attributes["bytes"]) == (frozenset({1}), b"x")
    assert record.resource["host"] == ("left", "right")
    assert projected_record_to_dict(record) == before


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("looked", [False, True])
def test_the_source_may_change_afterwards(odd, looked):
    source = scoped()
    if odd:
        source["metadata"]["odd"] = {1: {2}}
    record = project_telemetry_mapping(source)
    wanted = project_telemetry_mapping(copy.deepcopy(source))
    if looked:
        assert record.attributes
    source["rank"] = 99
    source["metadata"]["phase_scope"]["path"].append("more")
    source["metadata"].clear()

    assert record == wanted
    assert record.attributes["phase_scope"]["path"] == ("train", "forward")


@pytest.mark.parametrize("metadata", [{}, {"a": {"b": [1, {"c": 2}]}}, {"s": {1, 2}, 3: "x"}])
def test_records_are_hashed_pickled_and_copied(metadata):
    source = event(metadata=metadata)
    record = project_telemetry_mapping(source)

    assert pickle.loads(pickle.dumps(record)) == record
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(record.attributes, protocol)) == record.attributes
    assert copy.copy(record) == copy.deepcopy(record) == record
    assert copy.deepcopy(record.attributes) == record.attributes
    again = project_telemetry_mapping(copy.deepcopy(source))
    assert {record, again} == {record}
    assert hash(record.attributes) == hash(again.attributes)
    assert record != project_telemetry_mapping(source, observed_timestamp_ns=1)
    assert dataclasses.asdict(record)["resource"] == record.resource
    assert record != tuple(dataclasses.asdict(record).values())


def test_json_writes_its_mappings_as_they_are():
    attributes = project_telemetry_mapping(scoped()).attributes

    assert json.loads(json.dumps(attributes))["phase_scope"]["path"] == ["train", "forward"]


def test_a_deep_copy_copies_what_freezing_leaves():
    box = [1]
    thing = type("Thing", (), {})()
    thing.box = box
    record = project_telemetry_mapping(event(metadata={"thing": thing}))

    copied = copy.deepcopy(record).attributes["thing"]
    box.append(2)
    assert (record.attributes["thing"].box, copied.box) == ([1, 2], [1])


def test_a_record_made_by_hand_is_frozen_too():
    record = ProjectedTelemetryRecord(
        1, "telemetry-0", 1, 2, "s", "other", "e", None, None, None, None,
        {"a": [1]}, attributes={"b": {"c": {1}}},
    )  # fmt: skip

    assert record.resource == {"a": (1,)}
    assert record.correlation == {}
    assert hash(record.attributes) == hash(
        FrozenMapping({"b": FrozenMapping(c=frozenset({1}))})
    )
    assert projected_record_to_dict(record)["resource"] == {"a": [1]}


def test_threads_find_the_same_mappings():
    record = project_telemetry_mapping(scoped())
    found = []
    barrier = threading.Barrier(4)

    def look():
        barrier.wait()
        found.append((record.resource, record.attributes, record.correlation))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 4


SEVERITIES = [
    # event type            metadata                    severity
    ("collector_degraded", {}, "warning"),
    ("collector_recovered", {}, "info"),
    (" Warning ", {}, "warning"),
    ("allocation", {}, None),
    ("sample", {"severity": " CRITICAL "}, "critical"),
    ("error", {"severity": "  "}, "error"),
]


@pytest.mark.parametrize(("event_type", "metadata", "severity"), SEVERITIES)
def test_severity(event_type, metadata, severity):
    record = project_telemetry_mapping(event(event_type=event_type, metadata=metadata))
    assert (record.severity, record.event_type) == (severity, event_type)


KINDS = [
    # backend   collector              device  kind      whatever the backend
    (" ROCm ", "x.cuda_tracker", 0, "rocm", "rocm"),
    ("tpu", "x.cuda_tracker", 0, "cuda", "tpu"),
    ("TPU", "x", 0, "gpu", "tpu"),
    (None, "TensorFlow", -1, "tensorflow", "tensorflow"),
    (None, "mps and rocm", -1, "rocm", "rocm"),
    (" ", "x", True, "gpu", "gpu"),
    (5, None, "0", "other", "other"),
]


@pytest.mark.parametrize(("backend", "collector", "device_id", "kind", "later"), KINDS)
def test_source_kind(backend, collector, device_id, kind, later):
    source = event(collector=collector, device_id=device_id, metadata={"backend": backend})

    assert project_telemetry_mapping(source).source_kind == kind
    assert project_telemetry_mapping(source, any_backend=True).source_kind == later


STAGES = [
    ({"name": "a", "path": ["b"]}, "a"),
    ({"name": " ", "path": ["b", "c"]}, "c"),
    ({"name": 1, "path": ("b",)}, None),
    ({"path": ["b", 3]}, None),
    ({"path": []}, None),
    ("a", None),
]


@pytest.mark.parametrize(("scope", "stage"), STAGES)
def test_stage(scope, stage):
    record = project_telemetry_mapping(event(metadata={"phase_scope": scope}))
    assert record.stage == stage


FAULTS = [
    # record                                              observed  what it requires
    ({"timestamp_ns": "x"}, None, "session_id"),
    ({"session_id": "\t", "timestamp_ns": "x"}, None, "session_id"),
    ({"session_id": "s", "timestamp_ns": True}, -1, "integer timestamp_ns"),
    ({"session_id": "s", "timestamp_ns": 1}, 1.0, "integer observed_timestamp_ns"),
    ({"session_id": "s", "timestamp_ns": 1}, -1, "non-negative observed_timestamp_ns"),
    ({"session_id": "s", "timestamp_ns": 1, "metadata": 1}, 0, "event_type"),
]


@pytest.mark.parametrize(("record", "observed", "what"), FAULTS)
def test_what_is_refused_in_this_order(record, observed, what):
    with pytest.raises(ValueError, match="projected telemetry record requires") as refused:
        project_telemetry_mapping(record, observed_timestamp_ns=observed)
    assert str(refused.value) == f"projected telemetry record requires {what}"


def test_metadata_is_a_mapping_or_missing():
    least = {"session_id": "s", "timestamp_ns": -5, "event_type": "e"}

    assert project_telemetry_mapping(least).timestamp_ns == -5
    for metadata in (None, [], "x"):
        with pytest.raises(ValueError, match="^projected telemetry record metadata must be a"):
            project_telemetry_mapping({**least, "metadata": metadata})
    wrapped = MappingProxyType({**least, "metadata": MappingProxyType({"backend": "cpu"})})
    assert project_telemetry_mapping(wrapped).source_kind == "cpu"
