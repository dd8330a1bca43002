"""Whose a wandb run is when its pod becomes known later, and when it is resumed elsewhere."""

import json

from heliograph.service import wandb_places
from heliograph.service.wandb_runs import SWEEP_EVERY_NS
from heliograph.store.state.wandb_runs import WandbRun
from tests.service.running import NOW_NS, WallAt, running
from tests.service.test_wandb_native import AT_S, known, send, step, upsert

UID = "wandb:heliograph:p:r1"
SECOND = 10**9


def rows(site, workload):
    """(iteration, pod) of each row of a workload, and how many runs they are."""
    found = site.get(f"/v1/workloads/{workload}/training", limit=1000).json()["items"]
    return [(row["iteration"], row["pod_uid"]) for row in found], {row["run"] for row in found}


def at(site, number, seconds):
    """A step at the service's own time, *seconds* from when the test began."""
    return step(number, _timestamp=AT_S + seconds)


def whose(site, run="r1"):
    found = known(site, run)
    return found["workload_uid"], found["pod_uid"], [one["uid"] for one in found["pods"]]


def test_a_run_becomes_its_pods_when_that_is_seen(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        upsert(site, host="llm-0")
        console = ["2026-11-22T01:35:05 before"]
        event = json.dumps({"system.cpu": 1.0, "_timestamp": AT_S + 1})
        before = {"history": (0, [at(site, 1, 1), at(site, 2, 2)]), "events": (0, [event])}
        send(site, **before, console=(0, console))
        assert whose(site) == (UID, UID, [UID])

        clock._ahead_ns += 20 * SECOND
        site.place(uid="w-1", pod="p-1", name="llm-0", namespace="train")
        event = json.dumps({"system.cpu": 2.0, "_timestamp": AT_S + 30})
        after = {"history": (2, [at(site, 3, 30), at(site, 4, 31)]), "events": (1, [event])}
        late = ["2026-11-22T01:35:40 after"]
        for _ in range(2):
            send(site, **before, console=(0, console))
            send(site, **after, console=(1, late))
            assert whose(site) == ("w-1", "p-1", [UID, "p-1"])
            # What is stored stays where it is, and is the workload's as well, as one run.
            every = [(1, UID), (2, UID), (3, "p-1"), (4, "p-1")]
            assert rows(site, "w-1") == (every, {1})
            assert rows(site, UID) == (every[:2], {1})
        assert len(site.get("/v1/wandb/runs").json()["items"]) == 1
        seen = {
            dict(labels)["pod_uid"]: points
            for labels, points in site.points("workload_wandb_system_cpu").items()
        }
        assert {uid: [value for _, value in of] for uid, of in seen.items()} == {
            UID: [1.0], "p-1": [2.0],
        }  # fmt: skip
        lines = site.records(event_type="console_line")
        assert {(one["body"], one["session_id"]) for one in lines} == {
            ("before", UID), ("after", "p-1"),
        }  # fmt: skip
        workload = site.get(f"/v1/workloads/{UID}").json()
        assert (workload["kind"], workload["parent_uid"], workload["status"]) == (
            "WandbRun", "w-1", "Running",
        )  # fmt: skip
        assert workload["pods_running"] == 0

        clock._ahead_ns += 30 * SECOND
        send(site, complete=True, exitcode=0)
        assert whose(site) == ("w-1", "p-1", [UID, "p-1"])
        assert site.get(f"/v1/workloads/{UID}").json()["status"] == "Succeeded"
        (end,) = site.records(event_type="wandb_run_end")
        assert end["session_id"] == "p-1"
        site.assert_sound()
    with running(tmp_path / "data", clock=clock) as site:
        assert whose(site) == ("w-1", "p-1", [UID, "p-1"])
        send(site, **before)
        assert rows(site, "w-1") == (every, {1})


def test_a_run_that_is_over_is_its_pods_too(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        upsert(site, host="llm-0")
        upsert(site, "other", host="llm-1")
        for run in ("r1", "other"):
            send(site, run, history=(0, [at(site, 1, 1)]), complete=True, exitcode=0)
        clock._ahead_ns += SWEEP_EVERY_NS
        hour = 3600 * SECOND
        span = {"start": (NOW_NS - hour) // SECOND, "end": NOW_NS // SECOND + 10}
        site.place(uid="w-1", pod="p-1", name="llm-0", **span)
        # One of that name that began after the run was over is not its pod.
        later = NOW_NS // SECOND + 30
        site.place(uid="w-2", pod="p-2", name="llm-1", start=later)
        site.site.flow.maintenance.round()
        assert whose(site) == ("w-1", "p-1", [UID, "p-1"])
        assert rows(site, "w-1") == ([(1, UID)], {1})
        assert known(site)["state"] == "finished"
        assert whose(site, "other")[0] == "wandb:heliograph:p:other"


def test_a_pod_whose_workload_is_told_later(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        upsert(site, host="llm-0")
        send(site, history=(0, [at(site, 1, 1)]))
        clock._ahead_ns += 10 * SECOND
        site.post("/v1/placements", {"pods": [{"uid": "p-1", "name": "llm-0"}]})
        send(site)
        assert whose(site) == (None, "p-1", [UID, "p-1"])
        assert rows(site, UID) == ([(1, UID)], {1})
        site.place(uid="w-1", pod="p-1")
        site.place(uid="w-1", pod="p-1", name="llm-0")
        send(site)
        assert whose(site) == ("w-1", "p-1", [UID, "p-1"])
        assert rows(site, "w-1") == ([(1, UID)], {1})


def test_a_run_that_is_resumed_in_another_pod_is_that_ones_from_then_on(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        site.place(uid="w-1", pod="p-1", name="llm-abc")
        upsert(site, host="llm-abc")
        send(site, history=(0, [at(site, 1, 1)]))
        clock._ahead_ns += 20 * SECOND
        end = NOW_NS // SECOND + 10
        site.place(uid="w-1", pod="p-1", name="llm-abc", end=end)
        # Its pod is gone, and it is silent: still that one's.
        send(site)
        assert whose(site) == ("w-1", "p-1", ["p-1"])
        site.place(uid="w-1", pod="p-2", name="llm-def")
        upsert(site, host="llm-def")
        send(site, history=(1, [at(site, 2, 25)]))
        assert whose(site) == ("w-1", "p-2", ["p-1", "p-2"])
        assert rows(site, "w-1") == ([(1, "p-1"), (2, "p-2")], {1})
        # It never was a workload of its own.
        assert [one["uid"] for one in site.get("/v1/workloads").json()["items"]] == ["w-1"]


def test_where_a_run_was_is_bounded():
    run = WandbRun(UID, "e", "p", "r1", "running", UID, True, 1, 1)
    for number in range(1, wandb_places.PODS_MAX * 2):
        run = wandb_places.moved(run, f"p-{number}", number)
    last = wandb_places.PODS_MAX * 2 - 1
    assert (run.pod_uid, run.own) == (f"p-{last}", False)
    assert len(wandb_places.pods(run)) == wandb_places.PODS_MAX
    assert wandb_places.pod_at(run, 0) == UID
    assert wandb_places.pod_at(run, last - 1) == f"p-{last - 1}"
    assert wandb_places.pod_at(run, 10**19) == f"p-{last}"
