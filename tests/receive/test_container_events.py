"""Container events: the agent's bodies, and a result for each of a batch."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused, Rejected
from heliograph.core.owner import Device
from heliograph.receive import container_events

NEW_YEAR_NS = 1_767_225_600_000_000_000
CREATED_NS = 1_700_000_000_000_000_000


def event(*, without=(), **fields):
    whole = {
        "type": "task_start",
        "source": "k8s",
        "node": "n1",
        "container_id": "c1",
        "data": {
            "id": "c1",
            "pod_name": "p",
            "pod_namespace": "ns",
            "pod_uuid": "u",
            "status": "Running",
            "created_at": CREATED_NS,
        },
    }
    whole = {**whole, **fields}
    return {key: value for key, value in whole.items() if key not in without}


def data(**fields):
    return event(data={**event()["data"], **fields})


def gpu(**fields):
    return data(devices={"gpu": [fields]})


def decoded(value):
    return container_events.decode_event(value, arrived_ns=NEW_YEAR_NS)


def test_a_start_with_devices():
    value = data(
        devices={
            "gpu": [{"name": "card0", "id": 0, "serial": "S0", "uuid": "GPU-a", "slot": "1"}],
            "infiniband": [{"name": "mlx5_0", "id": 0, "serial": "I0"}],
        }
    )

    found = decoded(value)

    assert (found.type, found.source, found.node, found.container_id) == (
        "task_start",
        "k8s",
        "n1",
        "c1",
    )
    assert (found.pod_uid, found.pod_name, found.namespace) == ("u", "p", "ns")
    assert found.devices == (
        Device("gpu", "0", uuid="GPU-a", serial="S0"),
        Device("ib", "mlx5_0", serial="I0"),
    )
    assert found.at_ns == found.created_ns == CREATED_NS
    assert (found.exit_code, found.oom_killed) == (None, False)
    assert found.raw == value["data"]


TIMES = [
    # case                                type          data                                        at
    ("a start happened at creation",      "task_start", {},                                         CREATED_NS),
    ("a creation too",                    "create",     {},                                         CREATED_NS),
    ("an end happened at exit",           "task_stop",  {"exit_time": CREATED_NS + 5},              CREATED_NS + 5),
    ("exit in seconds",                   "delete",     {"exit_time": 1_700_000_001},               CREATED_NS + 10**9),
    ("exit in milliseconds",              "delete",     {"exit_time": 1_700_000_000_001},           CREATED_NS + 10**6),
    ("exit as text",                      "dead",       {"exit_time": "2023-11-14T22:13:21Z"},      CREATED_NS + 10**9),
    ("an exit of 0 was not told",         "task_stop",  {"exit_time": 0},                           NEW_YEAR_NS),
    ("nor is Go's zero time",             "task_stop",  {"exit_time": "0001-01-01T00:00:00Z"},      NEW_YEAR_NS),
    ("Go's zero time in nanoseconds",     "task_stop",  {"exit_time": -6795364578871345152},        NEW_YEAR_NS),
    ("an exit as a float",                "task_stop",  {"exit_time": 1.7e18},                      CREATED_NS),
    ("an end without a time is now",      "task_stop",  {},                                         NEW_YEAR_NS),
    ("a snapshot is now",                 "snapshot",   {},                                         NEW_YEAR_NS),
    ("a start without creation is now",   "task_start", {"created_at": None},                       NEW_YEAR_NS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "more", "at_ns"), [pytest.param(*row, id=case) for case, *row in TIMES]
)
def test_when_it_happened(kind, more, at_ns):
    assert decoded({**data(**more), "type": kind}).at_ns == at_ns


def test_exit_code_and_oom_are_kept():
    found = decoded({**data(exit_code=137, oom_killed=True), "type": "task_stop"})

    assert (found.exit_code, found.oom_killed) == (137, True)


def test_docker():
    found = decoded(
        {
            "type": "start",
            "source": "docker",
            "node": "n1",
            "container_id": "d1",
            "data": {
                "id": "d1",
                "name": "x",
                "status": "running",
                "start_at": "2023-11-14T22:13:20Z",
                "devices": [{"device_name": "card0", "device_id": 0, "device_serial": "S0"}],
            },
        }
    )

    assert found.devices == (Device("gpu", "0", serial="S0"),)
    assert (found.pod_uid, found.at_ns) == ("", CREATED_NS)


MALFORMED = [
    # case                            event                                              field
    ("a text",                        "task_start",                                      ""),
    ("null",                          None,                                              ""),
    ("a list",                        [],                                                ""),
    ("no type",                       event(without=["type"]),                           "type"),
    ("an empty type",                 event(type=""),                                    "type"),
    ("a number for a type",           event(type=3),                                     "type"),
    ("a type that is no name",        event(type="task start!"),                         "type"),
    ("a type too long",               event(type="x" * 65),                              "type"),
    ("no source",                     event(without=["source"]),                         "source"),
    ("an unknown source",             event(source="podman"),                            "source"),
    ("a mapping for a source",        event(source={}),                                  "source"),
    ("no node",                       event(without=["node"]),                           "node"),
    ("an empty node",                 event(node=""),                                    "node"),
    ("a boolean node",                event(node=True),                                  "node"),
    ("no container",                  event(without=["container_id"]),                   "container_id"),
    ("a number for a container",      event(container_id=12),                            "container_id"),
    ("no data",                       event(without=["data"]),                           "data"),
    ("data is a text",                event(data="{}"),                                  "data"),
    ("data is a list",                event(data=[]),                                    "data"),
    ("a number for a pod uid",        data(pod_uuid=5),                                  "data.pod_uuid"),
    ("a list for a pod name",         data(pod_name=[]),                                 "data.pod_name"),
    ("a mapping for a namespace",     data(pod_namespace={}),                            "data.pod_namespace"),
    ("a number for a status",         data(status=1),                                    "data.status"),
    ("a name too long",               data(pod_name="x" * 2000),                         "data.pod_name"),
    ("a boolean created_at",          data(created_at=True),                             "data.created_at"),
    ("a text for created_at",         data(created_at="soon"),                           "data.created_at"),
    ("created_at beyond 64 bits",     data(created_at=2**70),                            "data.created_at"),
    ("a mapping for exit_time",       data(exit_time={}),                                "data.exit_time"),
    ("a text for exit_code",          data(exit_code="137"),                             "data.exit_code"),
    ("a fraction for exit_code",      data(exit_code=1.5),                               "data.exit_code"),
    ("exit_code beyond 64 bits",      data(exit_code=2**64),                             "data.exit_code"),
    ("a text for oom_killed",         data(oom_killed="yes"),                            "data.oom_killed"),
    ("devices is a text",             data(devices="card0"),                             "data.devices"),
    ("gpu is a mapping",              data(devices={"gpu": {}}),                         "data.devices.gpu"),
    ("a gpu is a number",             data(devices={"gpu": [0]}),                        "data.devices.gpu[0]"),
    ("a gpu without id or name",      gpu(serial="S"),                                   "data.devices.gpu[0].id"),
    ("a list for a gpu id",           gpu(id=[0]),                                       "data.devices.gpu[0].id"),
    ("a mapping for a serial",        gpu(id=0, serial={}),                              "data.devices.gpu[0].serial"),
    ("a number for a uuid",           gpu(id=0, uuid=1),                                 "data.devices.gpu[0].uuid"),
    ("a link without a name",         data(devices={"infiniband": [{}]}),                "data.devices.infiniband[0].name"),
    ("too many devices",              data(devices={"gpu": [{"id": 0}] * 257}),          "data.devices.gpu"),
    ("an unknown type of device",     data(devices=[{"device_type": "tpu"}]),            "data.devices[0].device_type"),
    ("a docker device without id",    data(devices=[{}]),                                "data.devices[0].device_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "field"), [pytest.param(*row, id=case) for case, *row in MALFORMED]
)
def test_malformed(value, field):
    with pytest.raises(Refused) as refused:
        container_events.decode_body(json.dumps(value).encode(), arrived_ns=NEW_YEAR_NS)
    (result,) = container_events.decode_batch(
        json.dumps({"events": [value]}).encode(), arrived_ns=NEW_YEAR_NS, list_max=5
    )

    assert refused.value.field == field
    assert isinstance(result, Rejected)
    assert result.index == 0
    assert result.detail.startswith(f"events[0].{field}".rstrip("."))


def test_a_bad_one_does_not_cost_the_batch():
    body = json.dumps({"events": [event(), event(source="podman"), event()]}).encode()

    results = container_events.decode_batch(body, arrived_ns=NEW_YEAR_NS, list_max=3)

    assert [isinstance(result, Rejected) for result in results] == [False, True, False]
    assert results[1].index == 1
    assert results[0] == decoded(event())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"events": []}', "events"),
        (b"{}", "events"),
        (b"[]", "events"),
        (b'{"events": {}}', "events"),
        (b'{"events": "x"}', "events"),
        (b'{"events": [1, 2, 3, 4]}', "events"),
        (b"null", ""),
        (b"", ""),
        (b"{", ""),
        (b'{"events": "\xff"}', ""),
        (b"[" * 100_000, ""),
    ],
)
def test_a_body_that_is_no_batch(body, field):
    with pytest.raises(Refused) as refused:
        container_events.decode_batch(body, arrived_ns=NEW_YEAR_NS, list_max=3)

    assert refused.value.field == field


def test_the_shared_cases(shared_data):
    path = shared_data / "lens_vectors" / "container_events.json"
    cases = {case["id"]: case for case in json.loads(path.read_text())["cases"]}

    with pytest.raises(Refused) as refused:
        decoded(cases["unknown-source"]["request"])
    assert (refused.value.field, refused.value.status) == ("source", 400)
    assert decoded(cases["no-gpu-skipped"]["request"]).devices == ()
    start = cases["gpu-start"]
    assert [(d.type, d.serial) for d in decoded(start["request"]).devices] == [
        (d["device_type"], d["device_uuid"]) for d in start["observed"]["devices"]
    ]
    assert decoded(cases["docker"]["request"]).devices == (Device("gpu", "0", serial="S0"),)
    with pytest.raises(Refused, match="events: cannot be empty"):
        container_events.decode_batch(
            json.dumps(cases["batch-empty"]["request"]).encode(), arrived_ns=0, list_max=3
        )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
KEYS = ("created_at", "exit_time", "exit_code", "oom_killed", "devices", "pod_uuid", "status")


@given(st.sampled_from(KEYS), values, st.sampled_from(["gpu", "infiniband"]))
def test_any_value_is_read_or_rejected(key, value, kind):
    for value_ in (value, {kind: value}, {kind: [value]}, [value]):
        body = json.dumps({"events": [data(**{key: value_})]}).encode()
        results = container_events.decode_batch(body, arrived_ns=NEW_YEAR_NS, list_max=3)
        assert len(results) == 1
