"""Whose alerts are, many at a time: as one by one, under any directory."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert.model import NOBODY, Context, Enriched, Post
from heliograph.core import labels as label
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.kernels import alert_strangers
from heliograph.service import alert_context, alert_nodes
from heliograph.service.alert_context import AlertContext
from heliograph.workloads.directory import Directory
from tests.twins import plain

NODES = ["n1", "n1.domain", "N2", "n9"]
VALUES = {
    name: values
    for names, values in (
        ((*alert_context.NODES, *alert_context.identity.NODE_LABELS), NODES),
        (("UUID", "uuid", "gpu_uuid"), ["GPU-1", "GPU-9"]),
        (("serial_number", "GPU_I_ID", "gpu_partition_id"), ["1"]),
        (("gpu", "gpu_id"), ["0", "7"]),
        (("device", "asic"), ["mlx5_0", "nvidia0"]),
        (alert_context.POD_IDS, ["u1", "u9"]),
        (("pod", "pod_name", "exported_pod"), ["p1", "p9"]),
        (("namespace", "pod_namespace", "exported_namespace"), ["ns", "é"]),
        (("workload_id", "workload_uid"), ["w1", "w9"]),
        (("cluster", "cluster_name", "workload_name", "alertname", "job"), ["c"]),
        (("instance",), ["n1:9400", "http://n9:9100/metrics", "[fe80::1]:9100", "10.0.0.7:1"]),
    )
    for name in names
}
LABELS = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 3), max_size=7).map(
    lambda some: {name: VALUES[name][n % len(VALUES[name])] for name, n in some.items()}
)
HINTS = st.sampled_from(
    [NOBODY, NOBODY, Context(), Context(pod_name="p1"), Context(node_name="n9")]
)
DIRECTORIES = [
    Directory([], [], []),
    Directory([Workload("w1", "llm")], [], []),
    Directory([], [Pod("u1", "p1", "ns")], []),
    Directory(
        [Workload("w1", "llm", "Job", "ns")],
        [Pod("u1", "p1", "ns", "n1", "w1", 0, 50)],
        [Hold("u1", "n1", Device("gpu", "0", uuid="GPU-1"), 0, 50)],
    ),
    Directory([], [], [Hold("u1", "", Device("gpu", "0", uuid="GPU-1"), 0, None)]),
]


def post(labels, hints=NOBODY, at_ns=10):
    return Post("metric", label.of(labels), "f" * 32, (), at_ns, at_ns, 0, hints=hints)


MOVED = Directory(
    [],
    [Pod("u1", "p1", "ns", "n2", None, 5, 90)],
    [
        Hold("u1", "n1", Device("gpu", "0", uuid="GPU-1"), 5, 50),
        Hold("u1", "n1", Device("gpu", "1", uuid="GPU-2"), 5, 50),
        Hold("u1", "n2", Device("gpu", "0", uuid="GPU-3"), 60, 90),
    ],
)


@pytest.mark.parametrize(
    ("at_ns", "node", "devices"),
    [
        # Before it had any: those it came with.
        (0, "n1", ["GPU-1", "GPU-2"]),
        (5, "n1", ["GPU-1", "GPU-2"]),
        (49, "n1", ["GPU-1", "GPU-2"]),
        (55, "n2", []),
        (60, "n2", ["GPU-3"]),
        # After its end: those it had then.
        (95, "n2", ["GPU-3"]),
    ],
)
def test_a_pod_that_moved_was_where_it_was(at_ns, node, devices):
    found = AlertContext(lambda: MOVED)(post({"pod_uid": "u1"}, at_ns=at_ns))
    document = msgspec.json.decode(found.document)

    assert found.context.node_name == document["pod_node"] == node
    assert document["pod_gpu_allocated"] == len(devices)
    assert found.entities == ("pod:u1", f"node:{node}", *(f"device:{one}" for one in devices))


def document(directory, labels, at_ns=10, hints=NOBODY):
    found = AlertContext(lambda: directory)(post(labels, hints, at_ns))
    return msgspec.json.decode(found.document)


LINK = Device("rdma", "mlx5_0")
CARD = Device("gpu", "0", uuid="GPU-1")
PART = Device("gpu", "1", serial="5", partition="2")
DEVICES = Directory(
    [Workload("w1", "llm")],
    [Pod("u1", "p1", "ns", "n1", "w1", 0, 50), Pod("u2", "p2", "ns", "n1", None, 0)],
    [
        Hold("u1", "n1", LINK, 0, 50),
        Hold("u1", "n1", CARD, 0, 50),
        Hold("u2", "n1", PART, 0),
        Hold("u2", "n1", Device("gpu", "0", uuid="GPU-2"), 60),
    ],
)
FIRST = {
    "device_type": "gpu",
    "device_id": "0",
    "device_uuid": "GPU-1",
    "device_node": "n1",
}


@pytest.mark.parametrize(
    ("labels", "at_ns", "wanted"),
    [
        pytest.param({"node": "n1", "gpu": "0"}, 10, FIRST, id="by index"),
        pytest.param({"UUID": "gpu-1"}, 10, FIRST, id="by uuid"),
        pytest.param(
            {"node": "n1", "gpu": "0"}, 60, FIRST | {"device_uuid": "GPU-2"}, id="another card"
        ),
        pytest.param(
            {"instance": "n1:9100", "device": "mlx5_0"},
            10,
            {"device_type": "rdma", "device_id": "mlx5_0", "device_node": "n1"},
            id="a link",
        ),
        pytest.param(
            {"node": "n1", "serial_number": "5"},
            10,
            {
                "device_type": "gpu", "device_id": "1", "device_serial": "5",
                "device_partition": "2", "device_node": "n1",
            },
            id="a part of a card",
        ),
        pytest.param({"node": "n1", "gpu": "0"}, 55, {}, id="nobody held it then"),
        pytest.param({"pod_uid": "u1"}, 10, {}, id="none is named"),
    ],
)  # fmt: skip
def test_the_device_of_an_alert_is_told_as_it_was_held(labels, at_ns, wanted):
    found = document(DEVICES, labels, at_ns)
    assert {
        name: value for name, value in found.items() if name.startswith("device_")
    } == wanted


SITE = Directory(
    [Workload("w1", "llm", "Job", "ns"), Workload("w2", "eval")],
    [
        Pod("d1", "exporter", "mon", "n1"),
        Pod("u1", "p1", "ns", "n1", "w1", 0, 50),
        Pod("u2", "p2", "ns", "n1", "w1", 20),
        Pod("u3", "p3", "ns", "n2", "w2", 0),
        Pod("u4", "p4", "ns", "n1", "w9", 0, 60),
    ],
    # It came to n2 later.
    [Hold("u3", "n1", CARD, 0, 30), Hold("u3", "n2", CARD, 30)],
)


def ran(found):
    """Names of the pods, and of the workloads, that a document tells of."""
    assert found["node_pod_count"] == len(found["node_pods"])
    assert found["node_workload_count"] == len(found["node_workloads"])
    return (
        [pod["pod_name"] for pod in found["node_pods"]],
        [one["workload_uid"] for one in found["node_workloads"]],
    )


@pytest.mark.parametrize(
    ("at_ns", "pods", "workloads"),
    [
        (10, ["p1", "p3", "p4", "exporter"], ["w1", "w2", "w9"]),
        (30, ["p1", "p2", "p4", "exporter"], ["w1", "w9"]),
        (60, ["p2", "exporter"], ["w1"]),
    ],
)
@pytest.mark.parametrize(
    "labels",
    [{"node": "n1"}, {"instance": "n1:9100"}, {"node": "n1", "device": "sda"}, {"node": "n1", "pod": "x"}],
)  # fmt: skip
def test_an_alert_about_a_node_says_what_ran_there_then(labels, at_ns, pods, workloads):
    found = document(SITE, {"alertname": "NodeDown", **labels}, at_ns)
    assert found["node_name"] == "n1"
    assert ran(found) == (pods, workloads)
    assert "unattributed" in found


def test_pods_and_workloads_of_a_node_are_told_as_elsewhere():
    found = document(SITE, {"alertname": "NodeDown"}, 60, Context(node_name="N1.domain"))
    assert found["node_pods"] == [
        {"pod_name": "p2", "pod_namespace": "ns", "pod_id": "u2", "workload_uid": "w1"},
        {"pod_name": "exporter", "pod_namespace": "mon", "pod_id": "d1", "workload_uid": None},
    ]
    assert found["node_workloads"] == [
        {"workload_uid": "w1", "workload_name": "llm", "workload_namespace": "ns", "workload_kind": "Job"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "labels",
    [{"node": "n9"}, {"alertname": "A"}, {"node": "n1", "pod_uid": "u1"}, {"node": "n1", "workload_id": "w1"}],
)  # fmt: skip
def test_nothing_of_a_node_where_it_is_unknown_or_something_nearer_is_known(labels):
    assert "node_pods" not in document(SITE, labels)


def test_what_is_listed_of_a_node_is_bounded_and_counted():
    pods = [Pod(f"u{n:03}", f"p{n:03}", "ns", "n1", f"w{n:03}") for n in range(100)]
    found = document(Directory([], pods, []), {"node": "n1"})
    assert (found["node_pod_count"], found["node_workload_count"]) == (100, 100)
    listed = [pod["pod_name"] for pod in found["node_pods"]]
    assert listed == [f"p{n:03}" for n in range(alert_nodes.LISTED_MAX)]
    assert len(found["node_workloads"]) == alert_nodes.LISTED_MAX


def test_a_storm_on_a_node_looks_once_at_what_ran_there(monkeypatch):
    directories, looked, read = [SITE], [], []
    made, described = alert_context.Nodes, alert_context.Nodes.described
    monkeypatch.setattr(
        alert_context, "Nodes", lambda directory: read.append(directory) or made(directory)
    )
    monkeypatch.setattr(
        made, "described", lambda *args: looked.append(args[1:3]) or described(*args)
    )
    context = AlertContext(lambda: directories[-1])
    storm = [post({"alertname": str(n), "node": "n1"}, at_ns=n % 2) for n in range(50)]

    found = context.many(storm)

    assert found == [context(one) for one in storm]
    assert (read, looked) == ([SITE], [("n1", 0), ("n1", 1)])
    directories.append(Directory([], [Pod("u1", "p1", "ns", "n1")], []))
    assert ran(msgspec.json.decode(context(storm[0]).document)) == (["p1"], [])
    monkeypatch.setattr(alert_context, "OF_NODES_MAX", 5)
    for n in range(12):
        context(post({"node": "n1"}, at_ns=n))
        assert len(context._of_nodes[directories[-1]].documents) <= 5


@given(st.sampled_from(DIRECTORIES), st.lists(st.tuples(LABELS, HINTS), max_size=4))
def test_many_are_as_one_by_one(directory, some):
    context = AlertContext(lambda: directory)
    posts = [post(labels or {"alertname": "A"}, hints) for labels, hints in some]

    assert context.many(posts) == [context(one) for one in posts]


def test_without_a_compiler_all_go_the_general_way(monkeypatch):
    monkeypatch.setattr(alert_context, "alert_strangers", plain("alert_strangers"))
    context = AlertContext(lambda: DIRECTORIES[0])

    assert context.many([post({"pod": "p"})]) == [context(post({"pod": "p"}))]


@pytest.mark.skipif(not alert_strangers.COMPILED, reason="the plain twin finds none")
def test_strangers_are_found_in_passing(monkeypatch):
    context = AlertContext(lambda: DIRECTORIES[3])
    monkeypatch.setattr(context, "_of", lambda *_: pytest.fail("the general way"))

    known = context.many(
        [
            post({"alertname": "A"}),
            post({"pod": "p9", "namespace": "ns", "node": "n9", "gpu": "7", "cluster": "c"}),
        ]
    )

    assert known == [
        Enriched(NOBODY, (), b'{"unattributed":"no_identity"}'),
        Enriched(
            Context(pod_name="p9", node_name="n9", cluster_name="c"),
            ("pod:ns/p9", "node:n9", "device:n9/7"),
            b'{"unattributed":"unknown_node"}',
        ),
    ]
    assert known[0].context is NOBODY
