"""`.wandb` files into a service by our own reader: true console times, and again is once."""

import io
import json

import pytest

from heliograph.core.errors import Refused
from heliograph.service.wandb_import import BODY_LINES_MAX, Reading
from tests.receive import wandb_written as w
from tests.service.running import NOW_NS

START_NS = NOW_NS - 3600 * 10**9
SECOND = 10**9
UID = "wandb:heliograph:p:r1"


def run_file(*more, steps=3):
    """A run of an hour ago."""
    at_s = START_NS / 1e9
    return w.written(
        [
            w.run("r1", started_ns=START_NS, config=[("lr", "0.1")]),
            w.message(26, w.message(1, "Linux"), w.message(12, "vm")),
            *(w.history(n, at_s + n, [("train/loss", "NaN")]) for n in range(steps)),
            *more,
        ]
    )


CONSOLE = [
    w.console(START_NS, "epoch "),
    w.console(START_NS + SECOND, "1\nnext\n 10%"),
    w.console(START_NS + 2 * SECOND, "\r 50%", stderr=False),
    w.console(START_NS + 3 * SECOND, "\r 90%\n"),
    w.console(START_NS + 4 * SECOND, "oh no", stderr=True),
]


def posts(raw):
    return list(Reading(io.BytesIO(raw)).posts())


def load(site, raw):
    for post in posts(raw):
        answer = site.ask("POST", post.path, post.body, {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body


def test_a_file_is_a_run_and_twice_is_once(site):
    alert = w.message(10, w.message(1, "low"), w.message(2, "12 %"), w.message(3, "WARN"))
    raw = run_file(
        *CONSOLE, alert, w.system(START_NS, [("gpu.0.temp", "61")]),
        w.message(3, w.item("best", "3"), w.item(("deep", "x"), "-Infinity")),
        w.message(3, w.item(("deep", "a.b"), "1"), w.item("gone", "1")),
        w.message(3, w.message(2, w.message(1, "gone"))), w.ended(0),
    )  # fmt: skip

    def stored():
        run = site.get(f"/v1/wandb/runs/{UID}").json()
        rows = site.get(f"/v1/workloads/{UID}/training").json()["items"]
        records = site.records(source_kind="wandb")
        return run, rows, sorted(records, key=lambda one: one["record_id"])

    load(site, raw)
    run, rows, records = stored()
    assert (run["state"], run["steps"], run["summary"]) == (
        "finished", 3, {"best": 3, "deep": {"x": "-Inf", "a.b": 1}},
    )  # fmt: skip
    assert (run["config"]["lr"], run["host"], run["metadata"]) == (
        0.1, "vm", {"os": "Linux", "host": "vm"},
    )  # fmt: skip
    assert [(row["iteration"], row["fields"]["total_loss"]) for row in rows] == [
        (0, "NaN"), (1, "NaN"), (2, "NaN"),
    ]  # fmt: skip
    lines = {
        one["body"]: (one["timestamp_ns"] - START_NS) // SECOND
        for one in records
        if one["event_type"] == "console_line"
    }
    assert lines == {"epoch 1": 0, "next": 1, " 90%": 3, "oh no": 4}
    ends = [one for one in records if one["event_type"] in {"wandb_run_end", "wandb_alert"}]
    # Long ago: it ended when it ended, and wakes nobody.
    assert {one["timestamp_ns"] // SECOND - START_NS // SECOND for one in ends} == {4}
    assert site.get("/v1/alerts", source="webhook").json()["items"] == []
    workload = site.get(f"/v1/workloads/{UID}").json()
    assert workload["pods"][0]["start_ns"] == START_NS
    assert site.points("wandb_system_gpu_temp")

    load(site, raw)
    again, rows_again, records_again = stored()
    assert (rows_again, records_again) == (rows, records)
    assert {**again, "heard": 0, "last_step_arrived": 0} == {
        **run, "heard": 0, "last_step_arrived": 0,
    }  # fmt: skip
    site.assert_sound()


def test_a_run_that_still_writes_goes_on(site):
    raw = run_file()
    load(site, raw[:-10])
    found = site.get(f"/v1/wandb/runs/{UID}").json()
    assert (found["state"], found["steps"], found["exit_code"]) == ("running", 2, None)
    load(site, run_file(w.ended(1), steps=5))
    found = site.get(f"/v1/wandb/runs/{UID}").json()
    assert (found["state"], found["steps"]) == ("failed", 5)


def test_a_long_run_goes_in_pieces():
    made = posts(run_file(steps=BODY_LINES_MAX * 2 + 5))
    sizes = [post.items for post in made]
    assert sizes == [BODY_LINES_MAX, BODY_LINES_MAX, 5]
    bodies = [json.loads(post.body) for post in made]
    offsets = [body["files"]["wandb-history.jsonl"]["offset"] for body in bodies]
    assert offsets == [0, BODY_LINES_MAX, 2 * BODY_LINES_MAX]
    # What the run says of itself goes along once.
    assert ["run" in body for body in bodies] == [True, False, False]


def test_what_is_no_run():
    with pytest.raises(Refused):
        posts(b"no such file")
    assert posts(w.written([w.ended(0)])) == []
