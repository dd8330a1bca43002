"""Whose alerts are, many at a time: as one by one, under any directory."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert.model import NOBODY, Context, Enriched, Post
from heliograph.core import labels as label
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.kernels import alert_strangers
from heliograph.service import alert_context
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
