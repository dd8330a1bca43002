"""What `wandb.Api()` reads of runs, and what it is told of all that is not offered."""

import json
import math

import pytest

from heliograph.service import wandb_history, wandb_progress
from heliograph.service.wandb_public import NOT_OFFERED
from heliograph.store.state import training
from tests.service.running import basic
from tests.service.test_wandb_native import AT_S, ask, known, send, upsert


def logged(number, **values):
    """A line of the history, logged a second after the one before."""
    at = {"_step": number, "_timestamp": AT_S + number, "_runtime": 10.0 + number}
    return json.dumps({**at, **values})


def of_run(site, operation, run="r1", headers=(), **variables):
    given = {"entity": "heliograph", "project": "p", "name": run, **variables}
    return ask(site, operation, headers, **given)["project"]["run"]


def history(site, operation="RunFullHistory", **variables):
    return [json.loads(line) for line in of_run(site, operation, **variables)["history"]]


def sampled(site, **spec):
    return of_run(site, "RunSampledHistory", specs=[json.dumps(spec)])["sampledHistory"][0]


def refused(site, operation, headers=(), query="", **variables):
    """The words that *operation* is answered."""
    body = {"query": query or f"query {operation} {{x}}", "variables": variables}
    answer = site.post("/graphql", body, headers)
    assert answer.status == 200, answer.body
    assert answer.json()["data"] is None
    (error,) = answer.json()["errors"]
    return error["message"]


def test_a_run_is_told_as_it_told_itself(site):
    config = json.dumps({"lr": {"value": 0.1}})
    upsert(site, config=config, displayName="nice", groupName="g", jobType="t", tags=["a"])
    summary = json.dumps({"best": 3, "bad": math.nan})
    send(
        site, history=(0, [logged(7, **{"train/loss": 1.5})]), summary=(0, [summary]),
        complete=True, exitcode=0,
    )  # fmt: skip
    found = of_run(site, "Run")
    assert json.loads(found["config"]) == {"lr": {"value": 0.1}}
    assert json.loads(found["summaryMetrics"]) == {"best": 3, "bad": "NaN"}
    said = {name: found[name] for name in ("name", "displayName", "group", "jobType", "tags")}
    assert said == {
        "name": "r1", "displayName": "nice", "group": "g", "jobType": "t", "tags": ["a"],
    }  # fmt: skip
    assert (found["state"], found["createdAt"]) == ("finished", "2026-11-22T01:35:05Z")
    assert found["historyKeys"] == {"lastStep": 7, "keys": {"train/loss": {}}}
    assert of_run(site, "Run", "other") is None
    assert of_run(site, "RunHistoryKeys")["historyKeys"]["lastStep"] == 7


def test_steps_come_back_as_they_were_logged(site):
    upsert(site)
    values = [
        {"train/loss": 2.0, "iteration time (s)": 0.25, "deep": {"er": 1}},
        {"train/loss": math.nan, "eval/loss": math.inf, "word": "text"},
        {"train/loss": 0.5},
    ]
    lines = [logged(number, **one) for number, one in enumerate(values)]
    send(site, history=(0, lines))
    # A step that is logged in two parts is one.
    part = {"_step": 2, "_timestamp": AT_S + 2.5, "late": 4}
    send(site, history=(3, [json.dumps(part)]))
    found = history(site, samples=500)
    assert [one["_step"] for one in found] == [0, 1, 2]
    assert [one["_timestamp"] for one in found] == [AT_S, AT_S + 1, AT_S + 2.5]
    shown = [{name: value for name, value in one.items() if name[0] != "_"} for one in found]
    assert shown[0] == {"train/loss": 2.0, "iteration time (s)": 0.25, "deep.er": 1.0}
    assert math.isnan(shown[1].pop("train/loss"))
    assert shown[1:] == [{"eval/loss": math.inf}, {"train/loss": 0.5, "late": 4.0}]
    keys = ["_step", "train/loss"]
    assert sampled(site, keys=keys) == [
        {"_step": 0, "train/loss": 2.0},
        {"_step": 1, "train/loss": "NaN"},
        {"_step": 2, "train/loss": 0.5},
    ]
    assert sampled(site, keys=["train/loss", "late"]) == [{"train/loss": 0.5, "late": 4.0}]
    assert sampled(site, keys=["nothing"]) == []


def test_names_beyond_the_bound_are_ours(site, monkeypatch):
    monkeypatch.setattr(wandb_progress, "NAMES_MAX", 2)
    upsert(site)
    send(site, history=(0, [logged(0, **{"A/a": 1, "A/b": 2}), logged(1, **{"A/c": 3})]))
    first, second = history(site)
    assert (first["A/a"], first["A/b"], second["a_c"]) == (1.0, 2.0, 3.0)
    dropped = site.measured("heliograph_dropped_total")
    assert dropped['{kind="wandb_names",reason="too_many"}'] == 1


def test_pages_and_samples(site):
    upsert(site)
    send(site, history=(0, [logged(number, a=number) for number in range(50)]))
    upsert(site, "other")
    send(site, "other", history=(0, [logged(number, a=-1) for number in range(5)]))

    def steps(**given):
        return [one["_step"] for one in history(site, **given)]

    assert steps(operation="HistoryPage", minStep=10, maxStep=20, pageSize=10) == [
        *range(10, 20)
    ]
    assert steps(operation="HistoryPage", minStep=48, maxStep=90, pageSize=1000) == [48, 49]
    assert steps(samples=5) == [0, 12, 24, 37, 49]
    assert (steps(samples=1), steps(samples=0)) == ([0], [])
    # A page of older clients, then one of newer ones, which name its last step.
    for last in (20, 19):
        page = sampled(site, keys=["_step"], minStep=10, maxStep=last, samples=10)
        assert [one["_step"] for one in page] == [*range(10, 20)]
    live = of_run(site, "RunParquetHistory", None, runName="r1")["parquetHistory"]
    assert live == {"parquetUrls": [], "liveData": [{"_step": 0}]}


def test_more_steps_than_one_answer_has_are_refused(site, monkeypatch):
    upsert(site)
    send(site, history=(0, [logged(number, a=number) for number in range(5)]))
    monkeypatch.setattr(wandb_history, "STEPS_MAX", 3)
    monkeypatch.setattr(wandb_history, "_ROWS_TOGETHER", 2)
    given = {"entity": "heliograph", "project": "p", "name": "r1"}
    assert "more than 3 steps" in refused(site, "RunFullHistory", **given)
    assert [one["a"] for one in history(site, samples=3)] == [0, 2, 4]
    monkeypatch.setattr(training, "EDGES_MAX", 5)
    assert "more rows" in refused(site, "RunFullHistory", **given, samples=3)


def test_the_runs_of_a_project(site):
    for number in range(5):
        upsert(site, f"r{number}")

    def page(**given):
        given = {"entity": "heliograph", "project": "p", "filters": "{}", **given}
        found = ask(site, "Runs", **given)["project"]
        runs = found["runs"]
        return (
            [one["node"]["name"] for one in runs["edges"]],
            found["runCount"],
            runs["pageInfo"],
        )

    first = page(perPage=2, order="+created_at")
    assert first == (["r0", "r1"], 5, {"endCursor": "2", "hasNextPage": True})
    assert page(perPage=2, cursor="4")[::2] == (
        ["r4"],
        {"endCursor": "5", "hasNextPage": False},
    )
    assert page(order="-created_at")[0] == ["r4", "r3", "r2", "r1", "r0"]
    assert ask(site, "Runs", entity="heliograph", project="none")["project"] is None
    filters = json.dumps({"state": "finished"})
    given = {"entity": "heliograph", "project": "p"}
    assert "filters" in refused(site, "Runs", **given, filters=filters)
    assert "created_at" in refused(site, "Runs", **given, order="-summary_metrics.loss")


def test_what_is_not_offered_is_said(site):
    for operation, words in NOT_OFFERED.items():
        assert refused(site, operation, project="p", name="r1") == words
    upsert(site, notes="mine")
    send(site, complete=True, exitcode=0)
    events = "query RunFullHistory {project {run {events(samples: 3)}}}"
    assert "wandb_system_" in refused(
        site, "RunFullHistory", query=events, project="p", name="r1"
    )
    # As `run.update()` and `run.summary.update()` do.
    assert "change" in refused(
        site, "UpsertBucket", id="x", project="p", name="r1", display_name="new", notes="new"
    )
    assert "change" in refused(site, "UpsertBucket", id="x", summaryMetrics="{}")
    assert (known(site)["state"], known(site)["notes"]) == ("finished", "mine")


@pytest.mark.parametrize("junk", [{}, {"name": 3}, {"name": "r1", "specs": 3, "samples": "x"},
    {"name": "r1", "specs": ["["], "minStep": -5, "maxStep": 1e300, "filters": "[", "order": 7},
    {"name": "r1", "specs": [{}], "spec": 3, "cursor": [], "perPage": "9" * 5000},
])  # fmt: skip
def test_junk_is_answered(site, junk):
    upsert(site)
    send(site, history=(0, [logged(0, a=1)]))
    for operation in (
        "Run", "Runs", "RunHistoryKeys", "RunFullHistory", "HistoryPage", "RunSampledHistory",
        "SampledHistoryPage", "RunParquetHistory",
    ):  # fmt: skip
        body = {"query": f"query {operation} {{x}}", "variables": {"project": "p", **junk}}
        answer = site.post("/graphql", body)
        assert answer.status == 200, (operation, answer.body)
        assert answer.json().keys() & {"data", "errors"}
    site.assert_sound()


def test_who_may_only_send_may_not_read(guarded):
    given = {"entity": "heliograph", "project": "p", "name": "r1"}
    sends = basic(guarded.tokens["ingest"])
    ask(guarded, "UpsertBucket", sends, name="r1", project="p")
    assert "may not view" in refused(guarded, "Run", sends, **given)
    assert "sweeps" in refused(guarded, "UpsertSweep", sends)
    for role in ("viewer", "admin"):
        assert of_run(guarded, "Run", headers=basic(guarded.tokens[role]))["name"] == "r1"
