"""The nodes of a workload, for alerts about all of it."""

import pytest

from heliograph.alert.correlation.ties import WINDOW_NS
from heliograph.core.owner import Pod, Workload
from heliograph.service import alert_context
from heliograph.service.alert_context import AlertContext
from heliograph.workloads.directory import Directory
from tests.service.test_alert_context import post

AT_NS = 10 * WINDOW_NS


def entities(pods, labels):
    directory = Directory([Workload("w1", "llm")], pods, [])
    return AlertContext(lambda: directory)(post(labels, at_ns=AT_NS)).entities


def pods_on(*nodes, start_ns=0, end_ns=None):
    return [
        Pod(f"u{node}{n}", f"p{node}{n}", "ns", node, "w1", start_ns, end_ns)
        for n, node in enumerate(nodes)
    ]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"workload_id": "w1"}, ("workload:w1", "node:n1", "node:n2")),
        # What says where it is, or which pod, is about nothing more.
        ({"workload_id": "w1", "node": "n1"}, ("workload:w1", "node:n1")),
        ({"pod_uid": "un10"}, ("workload:w1", "pod:un10", "node:n1")),
        ({"workload_id": "w9"}, ("workload:w9",)),
    ],
)
def test_an_alert_about_a_workload_is_about_its_nodes(labels, expected):
    assert entities(pods_on("n1", "n2", "n1", ""), labels) == expected


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "is_there"),
    [
        (AT_NS, None, True),
        (AT_NS + 1, None, False),
        (0, AT_NS - WINDOW_NS, False),
        # It ended with its node, before the workload was seen to stand.
        (0, AT_NS - WINDOW_NS + 1, True),
    ],
)
def test_nodes_where_it_ran_a_moment_ago_count(start_ns, end_ns, is_there):
    pods = pods_on("n1", start_ns=start_ns, end_ns=end_ns)
    assert ("node:n1" in entities(pods, {"workload_id": "w1"})) is is_there


@pytest.mark.parametrize(
    ("bound", "count"), [("WORKLOAD_NODES_MAX", 3), ("WORKLOAD_PODS_MAX", 3)]
)
def test_they_are_bounded(monkeypatch, bound, count):
    monkeypatch.setattr(alert_context, bound, 3)
    found = entities(pods_on(*(f"n{n}" for n in range(9))), {"workload_id": "w1"})
    assert len(found) == 1 + count
