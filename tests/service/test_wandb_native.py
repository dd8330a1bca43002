"""The server side of a wandb client: what it is answered, what is kept, and what is refused."""

import json
import math

import pytest

from heliograph.core.errors import Unavailable
from heliograph.service import auth
from heliograph.service.config import TokenConfig
from heliograph.service.wandb_runs import SILENT_AFTER_NS, SWEEP_EVERY_NS
from heliograph.store.state import wandb_runs as rows
from tests.service.running import NOW_MS, NOW_NS, WallAt, assert_problem, basic, running

AT_S = NOW_MS / 1000
STREAM = "/files/heliograph/p/{}/file_stream"
NAMES = {
    "history": "wandb-history.jsonl",
    "events": "wandb-events.jsonl",
    "summary": "wandb-summary.json",
    "console": "output.log",
}


def ask(site, operation, headers=(), **variables):
    """The data that *operation* is answered."""
    body = {"query": f"query {operation} {{x}}", "variables": variables}
    answer = site.post("/graphql", body, headers)
    assert answer.status == 200, answer.body
    return answer.json()["data"]


def upsert(site, run="r1", **more):
    return ask(site, "UpsertBucket", name=run, project="p", **more)["upsertBucket"]


def send(site, run="r1", headers=(), **given):
    """POST lines of files: name=(offset, lines); all else goes into the body."""
    files = {
        NAMES[name]: {"offset": given[name][0], "content": given[name][1]}
        for name in NAMES
        if name in given
    }
    more = {name: value for name, value in given.items() if name not in NAMES}
    return site.post(STREAM.format(run), {"files": files, **more}, headers)


def step(number, **values):
    """A line of the history."""
    return json.dumps({"_step": number, "_timestamp": AT_S + number, "loss": 1.0, **values})


def training(site, run="r1"):
    found = site.get(f"/v1/workloads/wandb:heliograph:p:{run}/training", limit=1000)
    return found.json()["items"]


def known(site, run="r1"):
    return site.get(f"/v1/wandb/runs/wandb:heliograph:p:{run}").json()


def test_a_body_that_comes_again_changes_nothing(site):
    upsert(site)
    lines = [step(number, bad=math.nan) for number in range(5)]
    console = ["2026-11-22T01:35:06.5 hello", "ERROR 2026-11-22T01:35:07 Traceback"]
    for _ in range(2):
        assert send(site, history=(0, lines), console=(0, console)).json() == {}
        assert [row["iteration"] for row in training(site)] == [0, 1, 2, 3, 4]
        texts = [one["body"] for one in site.records(event_type="console_line")]
        assert sorted(texts) == ["Traceback", "hello"]
        assert known(site)["steps"] == 5
    # An overlap and an earlier piece are no more than what they are.
    send(site, history=(3, [*lines[3:], step(5)]))
    send(site, history=(0, lines[:2]))
    assert [row["iteration"] for row in training(site)] == list(range(6))
    assert known(site)["steps"] == 6
    site.assert_sound()


def test_a_sync_that_goes_on_counting_adds_no_steps(site):
    """As 0.31 syncs a run again: its history behind the lines that we said we had."""
    lines = [step(number) for number in range(6)]
    over = {"complete": True, "exitcode": 0}
    send(site, history=(0, lines), **over)
    for first in (0, 3):
        for at in range(first, 6, 3):
            send(site, history=(6 + at, lines[at : at + 3]))
        send(site, **over)
        assert (known(site)["steps"], known(site)["last_step"]) == (6, 5)
    assert len(site.records(event_type="wandb_run_end")) == 1
    # Of one that went on since, what is new counts.
    send(site, history=(6, [*lines, step(6), step(7)]), **over)
    assert (known(site)["steps"], known(site)["last_step"]) == (8, 7)
    assert [row["iteration"] for row in training(site)] == [*range(8)]


def test_each_file_of_a_resumed_run_says_the_same_as_its_client_did(site):
    def texts():
        found = site.records(event_type="console_line")
        return sorted((one["attributes"]["line"], one["body"]) for one in found)

    first = ["2026-11-22T01:35:06 begin", "2026-11-22T01:35:07 one"]
    second = ["2026-11-22T01:45:06 begin", "2026-11-22T01:45:07 two"]
    upsert(site, host="vm")
    send(site, console=(0, first))
    upsert(site, host="vm", id="x")
    send(site, console=(2, second))
    every = [(0, "begin"), (1, "one"), (2, "begin"), (3, "two")]
    assert texts() == every
    for lines, began_ns in ((second, NOW_NS + 601 * 10**9), (first, NOW_NS + 10**9)):
        chunk = {"offset": 0, "content": lines, "read": [0, 0, began_ns]}
        site.post(STREAM.format("r1"), {"files": {NAMES["console"]: chunk}})
        assert texts() == every


def test_what_a_client_that_goes_on_with_a_run_is_told(site):
    assert ask(site, "RunResumeStatus", name="r1", project="p")["model"]["bucket"] is None
    config = json.dumps({"lr": {"value": math.nan}})
    assert upsert(site, config=config, displayName="nice", tags=["a"])["inserted"] is True
    event = json.dumps({"system.cpu": 3.5, "_timestamp": AT_S, "_runtime": 2.0})
    summary = json.dumps({"best": math.inf})
    send(
        site, history=(0, [step(41), step(42, _runtime=9.5)]), events=(0, [event]),
        console=(0, ["a", "b", "c"]), summary=(0, [summary]),
    )  # fmt: skip
    again = upsert(site)
    assert (again["inserted"], again["bucket"]["config"]) == (False, "{}")
    bucket = ask(site, "RunResumeStatus", name="r1", project="p")["model"]["bucket"]
    counts = [bucket[f"{name}LineCount"] for name in ("history", "events", "log")]
    assert counts == [2, 1, 3]
    (tail,) = json.loads(bucket["historyTail"])
    assert json.loads(tail) == {"_step": 42, "_runtime": 9.5, "_timestamp": AT_S + 42}
    assert json.loads(bucket["config"]) == {"lr": {"value": "NaN"}}
    assert json.loads(bucket["summaryMetrics"]) == {"best": "+Inf"}
    assert (bucket["displayName"], bucket["tags"]) == ("nice", ["a"])


def test_system_metrics_are_samples_of_the_runs_workload(site):
    upsert(site, host="vm")
    event = {"system.gpu.0.temp": 61, "system.disk./.usageGB": 3.5, "_timestamp": AT_S}
    send(site, events=(0, [json.dumps(event)]))
    fixed = {"host": "vm", "pod_uid": "wandb:heliograph:p:r1", "project": "p", "run_id": "r1"}
    temp = tuple(sorted({**fixed, "__name__": "wandb_system_gpu_temp", "gpu": "0"}.items()))
    assert site.points("wandb_system_gpu_temp") == {temp: [[NOW_MS, 61.0]]}
    (labels,) = site.points("workload_wandb_system_disk_usage_gb")
    assert dict(labels)["workload_uid"] == "wandb:heliograph:p:r1"
    assert dict(labels)["path"] == "/"


def test_a_run_in_a_known_pod_is_that_pods(site):
    site.place(uid="w-1", pod="p-1", name="llm-worker-0", namespace="train")
    upsert(site, "mine", host="llm-worker-0")
    upsert(site, "named", config=json.dumps({"pod_uid": {"value": "p-1"}}))
    upsert(site, "other", host="somewhere")
    for run in ("mine", "named", "other"):
        send(site, run, history=(0, [step(1)]))
    found = site.get("/v1/workloads/w-1/training").json()["items"]
    assert sorted(row["rank_group"] for row in found) == ["mine", "named"]
    assert {row["pod_uid"] for row in found} == {"p-1"}
    kinds = [(one["uid"], one["kind"]) for one in site.get("/v1/workloads").json()["items"]]
    assert sorted(kinds) == [("w-1", ""), ("wandb:heliograph:p:other", "WandbRun")]
    assert known(site, "mine")["workload_uid"] == "w-1"


@pytest.mark.parametrize(
    ("told", "state", "status"),
    [
        ([{"complete": True, "exitcode": 0}], "finished", "Succeeded"),
        ([{"complete": True, "exitcode": 3}], "failed", "Failed"),
        ([{"preempting": True}, {"complete": True, "exitcode": 143}], "preempted", "Preempted"),
        ([{"complete": True, "exitcode": 1}] * 2, "failed", "Failed"),
        ([{"uploaded": ["a"]}], "running", "Running"),
    ],
)
def test_how_a_run_ends(site, told, state, status):
    upsert(site)
    send(site, history=(0, [step(1)]))
    for body in told:
        send(site, **body)
    found = known(site)
    assert (found["state"], found["exit_code"]) == (state, told[-1].get("exitcode"))
    workload = site.get("/v1/workloads/wandb:heliograph:p:r1").json()
    assert (workload["status"], workload["pods_running"]) == (status, int(state == "running"))
    ends = site.records(event_type="wandb_run_end")
    assert [one["severity"] for one in ends] == (
        [] if state == "running" else ["info" if state == "finished" else "error"]
    )
    assert len(site.records(event_type="wandb_preempted")) == (state == "preempted")
    # Begun again, it runs.
    upsert(site)
    assert known(site)["state"] == "running"
    assert site.get("/v1/workloads/wandb:heliograph:p:r1").json()["pods_running"] == 1


def test_an_alert_is_one_of_ours_and_an_old_one_is_a_record(site):
    upsert(site)
    said = {
        "entityName": None,
        "projectName": "p",
        "runName": "r1",
        "title": "low",
        "text": "t",
    }
    for _ in range(2):
        ask(site, "NotifyScriptableRunAlert", **said, severity="ERROR")
    (alert,) = site.get("/v1/alerts", source="webhook").json()["items"]
    assert (alert["alert_name"], alert["severity"], alert["count"]) == ("low", "error", 2)
    assert alert["workload_uid"] == "wandb:heliograph:p:r1"
    ask(site, "NotifyScriptableRunAlert", **{**said, "title": "old"}, atNs=NOW_NS - 10**12)
    (record,) = site.records(event_type="wandb_alert")
    assert (record["body"], record["timestamp_ns"]) == ("old: t", NOW_NS - 10**12)
    assert len(site.get("/v1/alerts", source="webhook").json()["items"]) == 1


def test_files_go_where_they_were_told_to_go(guarded):
    headers = basic(guarded.tokens["ingest"])
    ask(guarded, "UpsertBucket", headers, name="r1", project="p")
    names = ["wandb-metadata.json", "media/pic ture.png", "config.yaml"]
    made = ask(guarded, "CreateRunFiles", headers, project="p", run="r1", files=names)
    files = made["createRunFiles"]["files"]
    assert [one["name"] for one in files] == names
    root = f"http://127.0.0.1:{guarded.port}"
    paths = [one["uploadUrl"].removeprefix(root) for one in files]
    contents = [b'{"host": "vm", "gpu": "H100"}', b"\x89PNG" * 1000, b"lr: {value: 3}"]
    for path, content in zip(paths, contents, strict=True):
        # The client sends no key along.
        assert guarded.ask("PUT", path, content).status == 200
    uid = "/v1/wandb/runs/wandb:heliograph:p:r1"
    found = guarded.get(uid, basic(guarded.tokens["viewer"])).json()
    assert found["metadata"] == {"host": "vm", "gpu": "H100"}
    assert (found["config"], found["host"]) == ({"lr": 3}, "vm")
    assert (found["dropped_files"], found["dropped_bytes"]) == (1, 4000)
    signature = paths[0].split("/")[6]
    for wrong in (
        paths[0].replace(signature, "0" * 40),
        paths[0].replace("metadata", "summary"),
        paths[0].replace("/r1/", "/r2/"),
    ):
        assert_problem(guarded.ask("PUT", wrong, b"{}"), 403)
    old = ask(guarded, "RunUploadUrls", headers, name="p", run="r1", files=names[:1])
    (edge,) = old["model"]["bucket"]["files"]["edges"]
    assert edge["node"]["url"] == files[0]["uploadUrl"]


def test_a_file_of_a_run_that_never_began_makes_none(site):
    """What 0.18 does after `resume="must"` of a run that there is not."""
    assert ask(site, "RunResumeStatus", name="r1", project="p")["model"]["bucket"] is None
    made = ask(
        site, "CreateRunFiles", project="p", run="r1", files=["output.log", "config.yaml"]
    )
    for file in made["createRunFiles"]["files"]:
        path = file["uploadUrl"].removeprefix(f"http://127.0.0.1:{site.port}")
        assert site.ask("PUT", path, b"").status == 200
    assert site.get("/v1/wandb/runs").json()["items"] == []
    assert site.get("/v1/workloads").json()["items"] == []
    site.assert_sound()


def test_a_key_that_is_no_token_is_told_so(guarded):
    body = {"query": "query Viewer {viewer {id}}"}
    assert_problem(guarded.post("/graphql", body, basic("0123456789" * 4)), 401)
    assert_problem(send(guarded, headers=basic("0123456789" * 4)), 401)
    reads = basic(guarded.tokens["viewer"])
    upsert_body = {"query": "mutation UpsertBucket {x}", "variables": {"name": "r1"}}
    for body in (upsert_body, {"query": "query Whatever {x}"}):
        answer = guarded.post("/graphql", body, reads)
        errors = [{"message": "role viewer may not ingest"}]
        assert (answer.status, answer.json()["errors"]) == (403, errors)
    assert_problem(send(guarded, headers=reads), 403)
    for role in ("ingest", "viewer"):
        assert ask(guarded, "Viewer", basic(guarded.tokens[role]))["viewer"]["entity"]


@pytest.mark.parametrize("site", [{"limits": {"wandb_runs": 2}}], indirect=True)
def test_a_run_that_could_not_be_kept_takes_no_room(site, monkeypatch):
    def runs():
        return [one["run_id"] for one in site.get("/v1/wandb/runs").json()["items"]]

    def refuse(tx, run):
        raise Unavailable("full")

    upsert(site, "r0")
    upsert(site, "r1")
    with monkeypatch.context() as patched:
        patched.setattr(rows, "put", refuse)
        for _ in range(2):
            given = {"name": "r2", "project": "p"}
            body = {"query": "mutation UpsertBucket {x}", "variables": given}
            assert_problem(site.post("/graphql", body), 503)
    assert runs() == ["r1", "r0"]
    upsert(site, "r1")
    assert runs() == ["r1", "r0"]
    upsert(site, "r2")
    assert runs() == ["r2", "r1"]


def test_the_clients_own_telemetry_is_dropped(site):
    for signal in ("metrics", "logs"):
        answer = site.ask("POST", f"/sdk/otel/v1/{signal}", b"\x0a" * 10_000)
        assert (answer.status, answer.body) == (200, b"")
    assert site.records() == []


@pytest.mark.parametrize("site", [{"limits": {
    "wandb_runs": 3, "wandb_run_kb": 2, "wandb_console_lines": 4,
}}], indirect=True)  # fmt: skip
def test_what_can_grow_has_an_end(site):
    upsert(site, config=json.dumps({"big": {"value": "x" * 10_000}}), notes="short")
    found = known(site)
    assert (found["config"], found["notes"], found["left_out"]) == (
        None, "short", ["config"],
    )  # fmt: skip
    send(site, console=(0, [f"line {number}" for number in range(6)]))
    assert known(site)["console_lines"] == 6
    # A bar of progress is written over and over: so many versions of it.
    for number in range(5):
        send(site, console=(3, [f"bar {number}"]))
    texts = [one["body"] for one in site.records(event_type="console_line")]
    assert sorted(texts) == [*(f"bar {n}" for n in range(4)), *(f"line {n}" for n in range(4))]
    assert len(site.records(event_type="console_line")) == 8
    for number in range(2, 6):
        upsert(site, f"r{number}")
    listed = site.get("/v1/wandb/runs", limit=2, offset=1).json()
    assert ([one["run_id"] for one in listed["items"]], listed["total"]) == (["r4", "r3"], 3)
    dropped = site.measured("heliograph_dropped_total")
    assert dropped['{kind="wandb_documents",reason="config"}'] == 1
    assert dropped['{kind="console_lines",reason="too_many"}'] == 3
    assert dropped['{kind="wandb_runs",reason="too_many"}'] == 2


def test_a_run_that_nobody_hears_of_is_silent_and_a_heartbeat_is_no_step(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        upsert(site)
        send(site, history=(0, [step(1)]))
        clock._ahead_ns += 40 * 10**9
        send(site)
        found = known(site)
        # What rules of silence go by, and what they must not.
        assert found["last_step_arrived"] < found["heard"]
        clock._ahead_ns += SILENT_AFTER_NS + SWEEP_EVERY_NS
        # Nobody sends anything any more.
        site.site.flow.maintenance.round()
        assert known(site)["state"] == rows.SILENT
        workload = site.get("/v1/workloads/wandb:heliograph:p:r1").json()
        assert (workload["status"], workload["pods_running"]) == ("Silent", 0)
        send(site, history=(1, [step(2)]))
        assert known(site)["state"] == rows.RUNNING
        assert [row["iteration"] for row in training(site)] == [1, 2]


HOSTILE = [
    b"", b"[]", b"null", b"{", b"\xff\xfe", b"{}" * 10, b'{"files": 3}', b'{"files": {"a": 3}}',
    json.dumps({"files": {NAMES["history"]: {"offset": -(2**70), "content": ["{}"]}}}).encode(),
    json.dumps({"files": {NAMES["history"]: {"offset": 2**63, "content": ["{}", 3, None]}}}).encode(),
    json.dumps({"files": {NAMES["history"]: {"offset": "x", "content": "[" * 50_000}}}).encode(),
    json.dumps({"files": {NAMES["history"]: {"content": ["[" * 100_000, "1e999", "-"]}}}).encode(),
    json.dumps({"files": {NAMES["history"]: {"content": [
        '{"_step": 1e400, "_timestamp": 1e300, "_runtime": "x", "\\ud800": 1}',
        '{"_step": -1, "_timestamp": NaN, "a": {"\\ud800": "NaN"}, "loss": 1e308}',
        '{"_step": true, "_timestamp": -5, "b": [1, [2]], "c": ' + "9" * 5000 + "}",
    ]}}}).encode(),
    json.dumps({"files": {NAMES["summary"]: {"content": ['{"\\ud800": ' + "[" * 500 + "]" * 500 + "}"]}}}).encode(),
    json.dumps({"files": {NAMES["events"]: {"content": ['{"system.\\u0000": 1, "": 2, "_timestamp": 9e9}']}}}).encode(),
    json.dumps({"files": {NAMES["console"]: {"content": ["\x00", "\r\r\n", "x" * 200_000, "9999-99-99T99:99:99 x"]}}}).encode(),
    json.dumps({"complete": True, "exitcode": 2**80, "uploaded": 3, "preempting": "x"}).encode(),
]  # fmt: skip


def test_no_body_breaks_anything(shared_site):
    headers = {"Content-Type": "application/json"}
    path = STREAM.format("hostile")
    for body in HOSTILE:
        assert shared_site.ask("POST", path, body, headers).status in {200, 400}
        assert shared_site.ask("POST", "/graphql", body, headers).status in {200, 400}
    deep = json.dumps({"config": json.dumps({"a": json.loads("[" * 300 + "]" * 300)})})
    for operation in (
        "UpsertBucket", "RunResumeStatus", "CreateRunFiles", "RunUploadUrls", "CreateArtifact",
        "ArtifactByID",
        "NotifyScriptableRunAlert", "RunStoppedStatus", "Viewer", "Whatever",
    ):  # fmt: skip
        for variables in (
            {}, {"name": 3, "run": [], "runName": {}, "files": 7}, json.loads(deep),
            {"name": "h", "run": "h", "runName": "h", "project": "p", "tags": [[]],
             "files": ["../../etc/passwd", "\x00", "x" * 5000], **json.loads(deep),
             "summaryMetrics": '{"n": NaN, "b": 1' + "0" * 400 + "}", "title": "\x00", "atNs": -1},
        ):  # fmt: skip
            body = {
                "query": f"mutation {operation} {{a(b: {{c: 1}}) {{d}}}}",
                "variables": variables,
            }
            answer = shared_site.post("/graphql", body)
            assert answer.status in {200, 400}, answer.body
    for name in ("a%2Fb", "a%00", "a:b", "%20", "x" * 200):
        answer = shared_site.ask("POST", STREAM.format(name), b"{}", headers)
        assert answer.status in {400, 404}
    assert shared_site.get("/v1/wandb/runs", limit=1000).status == 200
    assert_problem(shared_site.get("/v1/wandb/runs/nothing"), 404)
    assert_problem(shared_site.get("/v1/wandb/runs", stat="x"), 400, field="stat")


def test_an_artifact_is_known_by_its_id_alone(shared_site):
    def asked(operation, **variables):
        body = {"query": f"query {operation} {{artifact {{id}}}}", "variables": variables}
        return shared_site.post("/graphql", body).json()["data"]

    given = {
        "entityName": "team", "projectName": "llm", "artifactTypeName": "model",
        "artifactCollectionName": "weights", "digest": "307b",
    }  # fmt: skip
    new = asked("CreateArtifact", input=given)["createArtifact"]["artifact"]
    known = asked("ArtifactByID", id=new["id"])["artifact"]
    assert known == new
    assert (known["state"], known["digest"]) == ("COMMITTED", "307b")
    assert known["artifactType"] == {"name": "model"}
    assert known["artifactSequence"]["name"] == "weights"
    assert known["artifactSequence"]["project"]["entity"] == {"name": "team"}
    for other in ("", "x", "QXJ0aWZhY3Q6", "QXJ0aWZhY3Q6WzFd", new["id"] * 100, None, 7):
        assert asked("ArtifactByID", id=other)["artifact"] is None


def test_a_key_that_every_client_takes_is_a_token():
    key, digest = auth.new_key()
    assert len(key) == 40
    gate = auth.Gate([TokenConfig(id="t", role="ingest", sha256=digest)])
    assert gate.allows(basic(key)["Authorization"], "ingest")
    assert not gate.allows(basic(key)["Authorization"], "view")
