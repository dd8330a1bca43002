"""What was observed of the system before us, case by case: where it was right we do the same."""

import json

import pytest

from heliograph.core.clock import ManualClock
from heliograph.training.checkpoints import CheckpointEvent, joined
from tests.service.stories import END_MS, T0_MS, at, posted, settled, told

POD = {"pod_id": "l1", "pod_name": "w-1", "namespace_name": "train", "host": "n1"}
STEP = " iteration {:8d}/ 500 | lm loss: 2.0E+00 | grad norm: 1.0 |"
T0_S = T0_MS / 1000


@pytest.fixture
def cases(request, shared_data):
    path = shared_data / "lens_vectors" / f"{request.param}.json"
    return {case["id"]: case for case in json.loads(path.read_text("utf-8"))["cases"]}


@pytest.fixture
def site(tmp_path):
    with told(tmp_path / "data", ManualClock(END_MS * 10**6)) as asked:
        pods = [
            {"uid": uid, "name": f"w-{uid[-1]}", "namespace": "train", "node": "n1",
             "workload_uid": "leaf", "start": at(0)} for uid in ("l1", "l2")
        ]  # fmt: skip
        workloads = [
            {"uid": "leaf", "name": "leaf", "parent_uid": "root"},
            {"uid": "root", "name": "root"},
        ]
        posted(asked, "/v1/placements", {"workloads": workloads, "pods": pods})
        yield asked


def sent(site, *lines, date=T0_S, **pod):
    entries = [
        {"date": date + n, "log": text, "kubernetes": {**POD, **pod}}
        for n, text in enumerate(lines)
    ]
    return posted(site, "/v1/logs", entries)


def rows(site, uid="leaf"):
    settled(site)
    return site.get(f"/v1/workloads/{uid}/training", limit=1000).json()["items"]


@pytest.mark.parametrize("cases", ["log_ingest"], indirect=True)
def test_log_ingest(cases, site):
    for number, (name, case) in enumerate(cases.items()):
        if case["kind"] == "timestamp":
            sent(site, STEP.format(number), date=case["date"], pod_id="l2")
            row = next(row for row in rows(site) if row["iteration"] == number)
            seconds, _, fraction = row["at"].rstrip("Z").partition(".")
            wanted = case["recommended"]
            assert at(wanted["seconds"] * 1000) == seconds + "Z", name
            # A float of today's seconds is good for a quarter of a microsecond.
            off_ns = int(fraction.ljust(9, "0")) - wanted["nanoseconds_about"]
            assert abs(off_ns) < 1000, name
        elif case["kind"] == "http":
            answer = posted(site, "/v1/logs", case["body"])
            objects = int(isinstance(case["body"], dict))
            assert (answer["received"], answer["accepted"]) == (objects, objects), name
        else:
            answer = posted(site, "/v1/logs", [case["entry"]])
            assert answer["accepted"] == 1, name
    latency = site.measured("log_consume_latency_seconds_count")
    assert latency['{node="node-1"}'] == 2
    # What nobody knows the node of comes from whoever sent it.
    assert latency['{node="127.0.0.1"}'] == 1
    # Theirs drops lines of pods that are not known yet; ours have their owner once he is.
    pod = {"uid": "not-in-cache", "name": "x", "namespace": "", "node": "n",
           "workload_uid": "late", "start": at(0)}  # fmt: skip
    posted(site, "/v1/placements", {"workloads": [{"uid": "late", "name": "l"}], "pods": [pod]})
    settled(site)
    timeline = site.get("/v1/workloads/late/timeline", start=0).json()["items"]
    assert [one["event_type"] for one in timeline] == ["training_start"]
    assert set(cases) == {
        *("ts-1234567890.123", "ts-1764666728.5", "ts-1764666728.999999", "body-object"),
        *("body-empty-array", "latency-label-host", "latency-label-client-ip", "unknown-pod"),
    }


@pytest.mark.parametrize("cases", ["training_persistence"], indirect=True)
def test_training_persistence(cases, site):
    # multi-workload-pod: a row is shown of every workload that owns the pod, once.
    sent(site, "training ...", *map(STEP.format, (10, 11)))
    assert [row["iteration"] for row in rows(site)] == [10, 11]
    assert rows(site, "root") == rows(site)
    # two-ranks-same-iteration, within one pod: ours keeps both, told apart by their rank.
    sent(
        site, "[rank-0/8] :" + STEP.format(12), "[rank-7/8] :" + STEP.format(12), date=T0_S + 9
    )
    ranked = [row["fields"]["rank"] for row in rows(site) if row["iteration"] == 12]
    assert ranked == [0, 7]
    # serial-first-run, serial-after-other-run; start-train-repeats: equal words of three ranks.
    assert cases["serial-first-run"]["expected_serial"] == 1
    assert {row["run"] for row in rows(site)} == {1}
    for rank in range(3):
        sent(site, f"[rank{rank}]: training ...", date=T0_S + 100)
    sent(site, *map(STEP.format, (10, 11)), date=T0_S + 101)
    assert {row["run"] for row in rows(site) if row["at"] >= at(T0_MS + 101_000)} == {
        cases["serial-after-other-run"]["recommended"]
    }
    assert len(site.get("/v1/workloads/leaf").json()["runs"]) == 2
    # json-keys
    fields = rows(site)[0]["fields"]
    assert {type(value) for value in fields.values()} == {int, float}
    assert fields.keys() == {"current_iteration", "target_iteration", "lm_loss", "grad_norm"}
    # ck-pair and the others; a checkpoint is one thing here, and no state is in memory.
    (saved,) = joined(map(_event, cases["ck-pair"]["events"]))
    wanted = cases["ck-pair"]["expected"]["end"]
    assert (saved.status, saved.duration_ms, saved.start_ns) == (
        wanted["status"], wanted["duration_ms"], 0,
    )  # fmt: skip
    (ended,) = joined(map(_event, cases["ck-end-without-start"]["events"]))
    assert (ended.status, ended.start_ns, ended.duration_ms) == ("success", None, None)
    assert {"ck-loading", "ck-fast", "ck-keys", "ck-concurrency"} < set(cases)
    assert len(cases) == 12


def _event(said):
    kind = {"start_saving": "checkpoint_save_start", "end_saving": "checkpoint_save_end"}
    return CheckpointEvent(
        round(said["t"] * 1e9), "p1", "", kind[said["type"]], {"iteration": said["iteration"]}
    )


@pytest.mark.parametrize("cases", ["wandb_storage"], indirect=True)
def test_wandb_storage(cases, site):
    for name in ("metrics-one-step", "logs-one"):
        answer = posted(site, cases[name]["endpoint"], cases[name]["request"])
        for key, value in cases[name]["expected"]["data"].items():
            assert answer[key] == value, (name, key)
    stored = rows(site, "w1")
    told_of = cases["metrics-one-step"]["expected"]["rows"][0]
    assert [(row["iteration"], row["source"]) for row in stored] == [
        (told_of["iteration"], told_of["data_source"]), (100, "wandb"),
    ]  # fmt: skip
    assert stored[0]["fields"]["total_loss"] == told_of["performance"]["loss"]
    # same-step-twice: new values win, the others stay.
    steps = cases["same-step-twice"]["steps"]
    for second, data in enumerate(steps):
        one = {"step": 9, "timestamp": T0_S + second, "data": data}
        posted(site, "/v1/wandb/logs", {"workload_uid": "w2", "run_id": "r", "logs": [one]})
    (row,) = rows(site, "w2")
    wanted = cases["same-step-twice"]["expected"]["performance"]
    assert (row["fields"]["total_loss"], row["fields"]["extra"]["a"]) == (
        wanted["loss"], wanted["a"],
    )  # fmt: skip
    # user-key-overrides-meta: ours are kept apart.
    request = {**cases["user-key-overrides-meta"]["request"], "workload_uid": "w3"}
    posted(site, "/v1/wandb/logs", request)
    (row,) = rows(site, "w3")
    assert (row["iteration"], row["source"], row["rank_group"]) == (5, "wandb", "r1")
    # two-runs-same-workload: keyed by the run.
    for run, loss in (("r1", 1), ("r2", 2)):
        one = {"step": 10, "timestamp": T0_S, "data": {"loss": loss}}
        posted(site, "/v1/wandb/logs", {"workload_uid": "w4", "run_id": run, "logs": [one]})
    assert [(row["rank_group"], row["fields"]["total_loss"]) for row in rows(site, "w4")] == [
        ("r1", 1), ("r2", 2),
    ]  # fmt: skip
    case = cases["unknown-pod"]
    answer = site.post(case["endpoint"], case["request"])
    assert (answer.status, answer.json()["detail"]) == (400, case["expected"]["message"])
    answer = site.ask(
        "POST", cases["bad-json"]["endpoint"], b"{", {"Content-Type": "application/json"}
    )
    assert answer.status == cases["bad-json"]["expected"]["http"]
    one = {"step": 1, "timestamp": T0_S, "data": {"loss": 1.0}}
    batch = {
        "detection": {"workload_uid": "w5", "evidence": {"environment": {"DS_CONFIG": "x"}}},
        "metrics": {"workload_uid": "w5", "run_id": "r",
                    "metrics": [{"name": "loss", "value": 1, "step": 2, "timestamp": T0_S}]},
        "logs": {"workload_uid": "w5", "run_id": "r", "logs": [one]},
    }  # fmt: skip
    answer = posted(site, cases["batch"]["endpoint"], batch)
    for part, wanted in cases["batch"]["expected"]["data"]["results"].items():
        assert {key: answer["results"][part][key] for key in wanted} == wanted, part
    assert len(cases) == 9
