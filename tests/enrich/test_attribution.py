"""The service's side: answers kept per directory, counters, lines, and the answer in words."""

import json

from heliograph.core import labels as label
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.enrich import attribution, identity
from heliograph.enrich.attribute import span_at
from heliograph.enrich.attribution import Attribution
from heliograph.enrich.explain import explain
from heliograph.enrich.records import whose
from heliograph.workloads.directory import Directory

NEW_YEAR_NS = 1_767_225_600_000_000_000
GPU = label.of({"__name__": "m", "Hostname": "n1", "gpu": "0"})
JOB = Workload("w", "llm", "Job", parent_uid="q")
QUEUE = Workload("q", "team", "Queue")


def site(*uids, shared=False):
    pods = [
        Pod(uid, f"name-{uid}", "ns", "n1", "w", NEW_YEAR_NS, NEW_YEAR_NS + 10**10)
        for uid in uids
    ]
    held = pods if shared else pods[:1]
    holds = [
        Hold(p.uid, "n1", Device("gpu", "0"), NEW_YEAR_NS, NEW_YEAR_NS + 10**9) for p in held
    ]
    return Directory([JOB, QUEUE], pods, holds)


def test_answers_are_kept_until_the_directory_is_swapped():
    kept = Attribution(site("p1"))

    first = kept.spans_of(GPU)
    assert kept.spans_of(GPU) is first
    # Another metric of the same device shares the answer.
    assert kept.spans_of(label.merged(GPU, {"__name__": "other"})) is first
    assert kept.spans_of_identity(identity.of(GPU)) is first

    kept.swap(site("p2"))
    assert span_at(kept.spans_of(GPU), NEW_YEAR_NS).pod_uid == "p2"


def test_a_full_cache_starts_afresh(monkeypatch):
    monkeypatch.setattr(attribution, "IDENTITIES_MAX", 2)
    kept = Attribution(site("p1"))
    first = kept.spans_of(GPU)
    assert kept.spans_of(GPU) is first

    for gpu in range(1, 5):
        kept.spans_of(label.merged(GPU, {"gpu": str(gpu)}))

    assert kept.spans_of(GPU) is not first
    assert kept.spans_of(GPU) == first
    assert len(kept._view.by_identity) <= 2


def test_whose_a_line_is():
    directory = site("p1")

    by_uid = whose(directory, pod_uid="p1", pod_name="other", namespace="ns", at_ns=0)
    by_name = whose(directory, pod_name="name-p1", namespace="ns", at_ns=NEW_YEAR_NS)

    assert (by_uid.owner, by_uid.by) == (directory.owner("p1"), "pod_uid")
    assert (by_name.owner, by_name.by) == (directory.owner("p1"), "name")
    for reason, said in {
        "unknown_pod": {"pod_uid": "gone", "pod_name": "name-p1", "namespace": "ns"},
        "not_running": {"pod_name": "name-p1", "namespace": "ns"},
        "no_identity": {},
    }.items():
        assert whose(directory, at_ns=0, **said).reason == reason


def test_explain_an_owner():
    said = explain(GPU, NEW_YEAR_NS + 5, site("p1"))

    assert said == {
        "attributed": True,
        "by": "device",
        "reason": None,
        "pod_name": "name-p1",
        "pod_uid": "p1",
        "pod_namespace": "ns",
        "workload_name": "llm",
        "workload_uid": "w",
        "workload_kind": "Job",
        "workload_root_uid": "q",
        "at": "2026-01-01T00:00:00.000000005Z",
        "since": "2026-01-01T00:00:00Z",
        "until": "2026-01-01T00:00:01Z",
        "steps": [
            {"step": "node", "found": "n1: known as n1"},
            {
                "step": "device",
                "found": "gpu=0: held by pod p1 since 2026-01-01T00:00:00Z until 2026-01-01T00:00:01Z",
            },
            {"step": "workload", "found": "Job llm (w) ← Queue team (q)"},
        ],
    }


def test_explain_why_not():
    cases = {
        "not_held": explain(GPU, 0, site("p1")),
        "shared_device": explain(GPU, NEW_YEAR_NS, site("p1", "p2", shared=True)),
        "unknown_node": explain((("gpu", "0"),), 0, site("p1")),
        "unknown_device": explain((("gpu", "9"), ("node", "n1")), 0, site("p1")),
        "unknown_pod": explain((("pod_uid", "p9"),), 0, site("p1")),
        "not_running": explain((("pod", "name-p1"),), 0, site("p1")),
        "no_identity": explain((), 0, site("p1")),
    }

    for reason, said in cases.items():
        assert (said["attributed"], said["by"], said["reason"]) == (False, None, reason)
        assert said["workload_uid"] is None
        json.dumps(said)
    assert [step["step"] for step in cases["not_held"]["steps"]] == [
        "node",
        "device",
        "pod_uid",
        "name",
    ]
    assert cases["shared_device"]["steps"][-1]["found"].endswith("(shared: nobody's)")
    assert cases["unknown_pod"]["steps"][-1] == {"step": "pod_uid", "found": "p9: no such pod"}


def test_explain_a_pod_without_a_workload():
    directory = Directory([], [Pod("p1", "n", "ns")], [])

    said = explain((("pod_uid", "p1"),), 0, directory)

    assert (said["reason"], said["pod_name"], said["pod_uid"]) == ("no_workload", "n", "p1")
    assert said["steps"][-1]["found"] == "pod p1 has no workload"
