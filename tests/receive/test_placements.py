"""Placement documents: YAML and JSON, taken whole, or refused with the field named."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.core.owner import Device, Pod, Workload
from heliograph.receive import placements

NEW_YEAR_NS = 1_767_225_600_000_000_000
DOCUMENT = """
workloads: [{uid: w-1, name: llm-7b, kind: PyTorchJob, namespace: train, parent_uid: null, status: Running}]
pods:
  - {uid: p-1, name: llm-7b-worker-0, namespace: train, node: gpu-node-01, workload_uid: w-1, start: 2026-01-01T00:00:00Z, end: null,
     devices: [{type: gpu, id: "0", uuid: GPU-aaaa, serial: null, partition: null}, {type: rdma, id: mlx5_0}]}      # type: gpu | ib | rdma | asic
"""


def decoded(body, *, list_max=10, content_type=""):
    return placements.decode(body.encode(), content_type=content_type, list_max=list_max)


def test_the_document_of_the_contract():
    document = decoded(DOCUMENT)

    (workload,) = document.workloads
    assert workload.workload == Workload(
        "w-1", "llm-7b", "PyTorchJob", "train", None, "Running"
    )
    (pod,) = document.pods
    assert pod.pod == Pod("p-1", "llm-7b-worker-0", "train", "gpu-node-01", "w-1")
    assert pod.devices == (Device("gpu", "0", "GPU-aaaa"), Device("rdma", "mlx5_0"))
    assert (pod.start_ns, pod.end_ns) == (NEW_YEAR_NS, None)
    assert "end" in pod.given


def test_json_and_yaml_say_the_same():
    as_json = json.dumps(
        {"pods": [{"uid": "p", "name": "n", "devices": [{"type": "gpu", "id": 3}]}]}
    )
    as_yaml = "pods:\n- uid: p\n  name: n\n  devices:\n  - {type: gpu, id: 3}\n"

    assert decoded(as_json) == decoded(as_yaml)
    assert decoded(as_json) == decoded(as_json, content_type="application/json; charset=utf-8")
    assert decoded(as_json).pods[0].devices == (Device("gpu", "3"),)


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR_NS),
        ("2026-01-01t00:00:00z", NEW_YEAR_NS),
        ("2026-01-01T08:00:00+08:00", NEW_YEAR_NS),
        ("2025-12-31T19:00:00-05:00", NEW_YEAR_NS),
        ("2026-01-01T00:00:00.123456789Z", NEW_YEAR_NS + 123_456_789),
        ('"2026-01-01T00:00:00Z"', NEW_YEAR_NS),
        ("!!timestamp 2026-01-01T00:00:00Z", NEW_YEAR_NS),
        ("1767225600", NEW_YEAR_NS),
        ("1767225600.5", NEW_YEAR_NS + 500_000_000),
    ],
)
def test_times(text, at_ns):
    (pod,) = decoded(f"pods: [{{uid: p, name: n, start: {text}}}]").pods

    assert pod.start_ns == at_ns


def test_what_is_left_out_is_told_from_what_is_empty():
    (a, b, c) = decoded(
        "pods: [{uid: a, name: a}, {uid: b, name: b, devices: []}, {uid: c, name: c, devices: }]"
    ).pods

    assert ["devices" in pod.given for pod in (a, b, c)] == [False, True, False]


@pytest.mark.parametrize("body", ["{}", "pods:", "pods: []", "workloads: []", '{"pods": null}'])
def test_parts_may_be_absent(body):
    assert decoded(body) == ((), ())


def pod(**fields):
    return json.dumps(
        {"pods": [{"uid": "p", "name": "n"}, {"uid": "q", "name": "n", **fields}]}
    )


def device(**fields):
    return pod(node="n1", devices=[{"type": "gpu", "id": "0"}, fields])


def workload(**fields):
    return json.dumps({"workloads": [{"uid": "w", "name": "n", **fields}]})


MALFORMED = [
    # case                              body                                          field
    ("nothing",                         "",                                           ""),
    ("only a comment",                  "# nothing",                                  ""),
    ("a list",                          "[]",                                         ""),
    ("a text",                          "pods",                                       ""),
    ("neither YAML nor JSON",           "{pods: [",                                   ""),
    ("a tab in YAML",                   "pods:\n\t- x",                               ""),
    ("an unknown tag",                  "pods: !!python/object:os.system {}",         ""),
    ("a key twice",                     "pods: []\npods: []",                         ""),
    ("a key twice in JSON",             '{"pods": [], "pods": []}',                   ""),
    ("an unknown top key",              "pod: []",                                    "pod"),
    ("pods is a mapping",               "pods: {}",                                   "pods"),
    ("pods is a text",                  "pods: p-1",                                  "pods"),
    ("workloads is a number",           "workloads: 3",                               "workloads"),
    ("too many pods",                   json.dumps({"pods": [{}] * 11}),              "pods"),
    ("a pod is a text",                 "pods: [p-1]",                                "pods[0]"),
    ("a pod is null",                   "pods: [null]",                               "pods[0]"),
    ("no uid",                          "pods: [{name: n}]",                          "pods[0].uid"),
    ("an empty uid",                    pod(uid=""),                                  "pods[1].uid"),
    ("a number for uid",                pod(uid=7),                                   "pods[1].uid"),
    ("a null name",                     pod(name=None),                               "pods[1].name"),
    ("a boolean name",                  pod(name=True),                               "pods[1].name"),
    ("a list for a namespace",          pod(namespace=[]),                            "pods[1].namespace"),
    ("a number for a node",             pod(node=1.5),                                "pods[1].node"),
    ("a mapping for workload_uid",      pod(workload_uid={}),                         "pods[1].workload_uid"),
    ("a text too long",                 pod(name="x" * 2000),                         "pods[1].name"),
    ("half a surrogate pair",           pod(name="\ud800"),                          "pods[1].name"),
    ("an unknown key of a pod",         pod(devcies=[]),                              "pods[1].devcies"),
    ("a start that is no instant",      pod(start="yesterday"),                       "pods[1].start"),
    ("a boolean start",                 pod(start=True),                              "pods[1].start"),
    ("a list for a start",              pod(start=[1]),                               "pods[1].start"),
    ("a start beyond 64 bits",          pod(start=10**30),                            "pods[1].start"),
    ("a start that is NaN",             pod(start=float("nan")),                      "pods[1].start"),
    ("a 13th month",                    pod(start="2026-13-01T00:00:00Z"),            "pods[1].start"),
    ("an end before the start",         pod(start=20, end=10),                        "pods[1].end"),
    ("an end at the start",             pod(start=20, end=20),                        "pods[1].end"),
    ("the same uid twice",              pod(uid="p"),                                 "pods[1].uid"),
    ("devices is a mapping",            pod(devices={}),                              "pods[1].devices"),
    ("too many devices",                pod(devices=[{}] * 257),                      "pods[1].devices"),
    ("a device is a text",              pod(devices=["gpu0"]),                        "pods[1].devices[0]"),
    ("devices on no node",              pod(node="", devices=[{"type": "gpu", "id": "0"}]), "pods[1].node"),
    ("a device without a type",         device(id="1"),                               "pods[1].devices[1].type"),
    ("an unknown type of device",       device(type="tpu", id="1"),                   "pods[1].devices[1].type"),
    ("a list for a type",               device(type=["gpu"], id="1"),                 "pods[1].devices[1].type"),
    ("a device without an id",          device(type="gpu"),                           "pods[1].devices[1].id"),
    ("a boolean id",                    device(type="gpu", id=True),                  "pods[1].devices[1].id"),
    ("a fraction for an id",            device(type="gpu", id=0.5),                   "pods[1].devices[1].id"),
    ("a number for a uuid",             device(type="gpu", id="1", uuid=5),           "pods[1].devices[1].uuid"),
    ("an unknown key of a device",      device(type="gpu", id="1", uid="x"),          "pods[1].devices[1].uid"),
    ("a device twice",                  device(type="gpu", id=0),                     "pods[1].devices[1]"),
    ("a workload without a name",       '{"workloads": [{"uid": "w"}]}',              "workloads[0].name"),
    ("a number for a kind",             workload(kind=1),                             "workloads[0].kind"),
    ("a workload is its own parent",    workload(parent_uid="w"),                     "workloads[0].parent_uid"),
    ("an unknown key of a workload",    workload(owner="x"),                          "workloads[0].owner"),
    ("parents in a circle",
     "workloads: [{uid: a, name: a, parent_uid: b}, {uid: b, name: b, parent_uid: a}]", "workloads[0].parent_uid"),
    ("the same workload twice",
     "workloads: [{uid: a, name: a}, {uid: a, name: a}]",                             "workloads[1].uid"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"), [pytest.param(*row, id=case) for case, *row in MALFORMED]
)
def test_malformed(body, field):
    with pytest.raises(Refused) as refused:
        decoded(body)

    assert refused.value.field == field
    assert field in refused.value.detail


def test_not_utf8_is_refused():
    for content_type in ("", "application/json"):
        with pytest.raises(Refused, match="UTF-8"):
            placements.decode(b"pods: \xff", content_type=content_type, list_max=1)


def test_aliases_cannot_blow_a_document_up():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{c}: &{c} [{', '.join(['*' + b] * 10)}]"
        for b, c in zip("abcdefgh", "bcdefghi", strict=True)
    ]

    with pytest.raises(Refused):
        decoded("\n".join(lines))


def test_deep_nesting_is_refused():
    for body in ("[" * 100_000, '{"pods":' + "[" * 100_000, "pods: " + "[" * 5000):
        with pytest.raises(Refused):
            decoded(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["uid", "name", "devices", "type", "id", "start", "pods", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["pods", "workloads"]))
def test_any_document_is_read_or_refused(value, key):
    for whole in (value, {key: [value]}):
        with contextlib.suppress(Refused):
            decoded(json.dumps(whole))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body):
    with contextlib.suppress(Refused):
        placements.decode(body, list_max=5)
