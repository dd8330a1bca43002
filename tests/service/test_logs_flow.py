"""Log lines over HTTP until they are training: rows, runs, checkpoints, timeline, counters."""

import json
import random

import pytest

from heliograph.core.clock import ManualClock
from heliograph.training.parse import parse_line
from tests.service.stories import END_MS, T0_MS, at, killed, placements, posted, settled, told

MEGATRON = " [2026-11-21 22:35:05] iteration {:8d}/     500 | consumed samples: {:12d} | elapsed time per iteration (ms): 4321.0 | learning rate: 5.625E-05 | global batch size:   256 | lm loss: {:.6E} | loss scale: 1.0 | grad norm: 2.250 | number of skipped iterations:   0 | number of nan iterations:   0 |"  # fmt: skip
LINES = {
    "megatron-lm": "iteration 7/ 500 | lm loss: 2.5E+00 | grad norm: 1.0 |",
    "primus": "[20251202 06:26:45][rank-7/8][INFO ] [--------trainer.py:2560] : iteration 7/ 500 | hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% | throughput per GPU (TFLOP/s/GPU): 210.5/217.3 | lm loss: 2.5E+00 |",
    "torchtitan": "[rank0]:[titan] 2025-12-13 06:45:34,345 - root - INFO - step: 7  loss:  2.5  grad_norm:  0.5402  memory: 63.36GiB(45.35%)  tps: 829  tflops: 23.15  mfu: 2.34%",
    "megatron-deepspeed": "iteration 7/ 500 | consumed tokens: 20155564032 | elapsed time per iteration (s): 105.22 | samples per second: 19.463 | lm loss: 2.5E+00 | TFLOPs: 149.02 |",
    "mindspeed-llm": "iteration 7/ 500 | lm loss: 2.5E+00 | max_memory_allocated(GB): 19.07 |",
    "nemo": "Training epoch 0, iteration 7/499 | lr: 4.499e-07 | global_batch_size: 32 | global_step: 7 | reduced_train_loss: 2.5 | train_step_timing in s: 6.5",
}  # fmt: skip
POD = {"pod_id": "p1", "pod_name": "pod-p1", "namespace_name": "train", "host": "n1", "container_name": "main"}  # fmt: skip


def entry(ms, text, tag="F", **pod):
    return {
        "date": ms / 1000, "log": text, "logtag": tag, "stream": "stdout",
        "kubernetes": {**POD, **pod},
    }  # fmt: skip


def line(iteration, loss=2.0):
    return MEGATRON.format(iteration, iteration * 256, loss)


def place(site, *pods, workload="w"):
    """Pods of one workload."""
    listed = [
        {"uid": uid, "name": f"pod-{uid}", "namespace": "train", "node": "n1",
         "workload_uid": workload, "start": at(T0_MS)}
        for uid in pods or ("p1",)
    ]  # fmt: skip
    posted(site, "/v1/placements", placements(listed, [{"uid": workload, "name": "llm"}]))


def sent(site, *entries):
    return posted(site, "/v1/logs", list(entries))


def training(site, **query):
    answer = site.get("/v1/workloads/w/training", limit=1000, **query)
    assert answer.status == 200, answer.body[:300]
    return answer.json()["items"]


def brief(rows):
    return [(row["run"], row["iteration"], row["at"]) for row in rows]


@pytest.fixture
def clock():
    return ManualClock(END_MS * 10**6)


@pytest.fixture
def site(tmp_path, clock):
    with told(tmp_path / "data", clock) as asked:
        yield asked


@pytest.mark.parametrize("framework", LINES)
def test_what_is_stored_is_what_parse_says(site, framework):
    place(site)
    text = LINES[framework]
    answer = sent(site, entry(T0_MS, text))
    assert (answer["accepted"], answer["performance"]) == (1, 1)

    (parsed,) = posted(site, "/v1/parse", {"lines": [text]})["items"]
    (row,) = training(site)
    assert row["fields"] == parsed["fields"]
    assert (row["framework"], parsed["framework"]) == (framework, framework)
    assert (row["iteration"], row["at"], row["pod_uid"], row["source"]) == (
        7,
        at(T0_MS),
        "p1",
        "log",
    )
    assert (row["run"], row["rank_group"]) == (1, parse_line(text).label)
    current = site.get("/v1/workloads/w").json()["current"]
    assert current["fields"] == parsed["fields"]


def test_nan_and_infinity_survive_to_the_answer(site):
    place(site)
    sent(
        site,
        entry(T0_MS, "iteration 7/ 500 | lm loss: nan | grad norm: inf | loss scale: -inf |"),
    )

    answer = site.get("/v1/workloads/w/training")
    fields = answer.json()["items"][0]["fields"]
    assert (fields["lm_loss"], fields["grad_norm"], fields["loss_scale"]) == (
        "NaN",
        "+Inf",
        "-Inf",
    )
    json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    listed = site.get("/v1/workloads").json()["items"]
    assert listed[0]["current"]["fields"]["lm_loss"] == "NaN"
    assert site.get("/").status == 200


@pytest.mark.parametrize("known", ["before", "after"])
@pytest.mark.parametrize("by", ["uid", "name"])
def test_pods_may_be_told_later(site, known, by):
    if known == "before":
        place(site)
    pod = {"pod_id": None} if by == "name" else {}
    sent(site, entry(T0_MS, line(1), **pod), entry(T0_MS + 1000, line(2), **pod))
    if known == "after":
        assert site.get("/v1/workloads/w/training").status == 404
        place(site)

    if (known, by) == ("after", "name"):
        # Nobody can know whose they were when they came; that is counted.
        assert training(site) == []
        settled(site)
        assert site.measured("heliograph_unattributed_total") == {
            '{kind="lines",reason="unknown_pod"}': 2.0
        }
        return
    assert brief(training(site)) == [(1, 1, at(T0_MS)), (1, 2, at(T0_MS + 1000))]
    runs = site.get("/v1/workloads/w").json()["runs"]
    assert [(run["run"], run["first_iteration"], run["last_iteration"]) for run in runs] == [
        (1, 1, 2)
    ]


def test_rows_appear_at_once_however_often_one_asks(site):
    """What was asked before must not be what is answered after."""
    place(site)
    for number in range(1, 30):
        assert len(training(site)) == number - 1
        sent(site, entry(T0_MS + number * 1000, line(number)))
        assert brief(training(site))[-1][:2] == (1, number)
    sent(site, entry(T0_MS + 40_000, line(3)))
    assert brief(training(site))[-1][:2] == (2, 3)
    assert site.get("/v1/workloads/w").json()["current"]["run"] == 2


HISTORY = [
    (0, " training ..."),
    *((10 + n, line(n)) for n in (1, 2, 3, 4)),
    (20, "saving checkpoint at iteration       4 to /ckpt in torch_dist format"),
    (25, "  successfully saved checkpoint from iteration       4 to /ckpt"),
    (30, line(5)),
    (40, " training ..."),
    (41, " loading checkpoint from /ckpt at iteration 4"),
    (43, " successfully loaded checkpoint from /ckpt at iteration 4"),
    *((45 + n, line(n)) for n in (5, 6)),
    (60, "[after training is done] datetime: 2026-11-22 01:00:00"),
]


def shown(site):
    """All that a user may ask of the workload's training."""
    one = site.get("/v1/workloads/w").json()
    return {
        "rows": training(site),
        "runs": one["runs"],
        "current": one["current"],
        "checkpoints": site.get("/v1/workloads/w/checkpoints").json(),
        "timeline": [
            (record["record_id"], record["event_type"], record["timestamp"])
            for record in site.get("/v1/workloads/w/timeline", limit=1000).json()["items"]
        ],
    }


def test_a_restart_is_a_new_run_and_order_does_not_matter(tmp_path, clock):
    entries = [entry(T0_MS + s * 1000, text) for s, text in HISTORY]
    with told(tmp_path / "inorder", clock) as site:
        place(site)
        sent(site, *entries)
        expected = shown(site)
    assert [(r["run"], r["iteration"]) for r in expected["rows"]] == [
        (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 5), (2, 6),
    ]  # fmt: skip
    assert [(r["run"], r["rows"], r["first_iteration"], r["last_iteration"]) for r in expected["runs"]] == [
        (1, 5, 1, 5), (2, 2, 5, 6),
    ]  # fmt: skip
    assert [(c["kind"], c["iteration"], c["status"], c["duration_ms"]) for c in expected["checkpoints"]["items"]] == [
        ("load", 4, "success", 2000.0), ("save", 4, "success", 5000.0),
    ]  # fmt: skip
    assert [kind for _, kind, _ in expected["timeline"]] == [
        "training_start", "checkpoint_save_start", "checkpoint_save_end", "training_start",
        "checkpoint_load", "checkpoint_load", "training_end",
    ]  # fmt: skip
    for seed in (1, 2, 3):
        rng = random.Random(seed)
        shuffled = [*entries, *rng.choices(entries, k=9)]
        rng.shuffle(shuffled)
        with told(tmp_path / f"shuffled-{seed}", clock) as site:
            for start in range(0, len(shuffled), 4):
                sent(site, *shuffled[start : start + 4])
                if start == 8:
                    place(site)
            assert shown(site) == expected


def test_what_was_told_survives_a_restart_and_a_kill(tmp_path, clock):
    entries = [entry(T0_MS + s * 1000, text) for s, text in HISTORY]
    with told(tmp_path / "data", clock) as site:
        place(site)
        sent(site, *entries[:9])
        shown(site)
        sent(site, *entries[9:])
        copy = killed(tmp_path / "data", tmp_path / "copy")
        expected = shown(site)
    for folder in (copy, tmp_path / "data"):
        with told(folder, clock) as site:
            assert shown(site) == expected
            sent(site, *entries)
            assert shown(site) == expected


@pytest.mark.parametrize("between", ["nothing", "a request", "a restart", "a kill"])
def test_partial_lines_are_joined(tmp_path, clock, between):
    text = line(12, loss=3.5)
    pieces = [
        entry(T0_MS, text[:40], "P"),
        entry(T0_MS + 1, text[40:90], "P"),
        entry(T0_MS + 2, text[90:]),
    ]
    other = entry(T0_MS, line(99), container_name="sidecar")
    folder = tmp_path / "data"
    with told(folder, clock) as site:
        place(site)
        if between == "nothing":
            sent(site, pieces[0], other, *pieces[1:])
        elif between == "a request":
            for one in (pieces[0], other, *pieces[1:]):
                sent(site, one)
        else:
            sent(site, *pieces[:2], other)
            settled(site)
            if between == "a kill":
                folder = killed(folder, tmp_path / "copy")
    with told(folder, clock) as site:
        if between in ("a restart", "a kill"):
            sent(site, pieces[2])
        rows = {row["iteration"]: row for row in training(site)}
        assert set(rows) == {12, 99}
        assert rows[12]["fields"] == parse_line(text).fields
        assert rows[12]["at"] == at(T0_MS)


def test_fields_runs_every_and_pages(site):
    place(site)
    first = [entry(T0_MS + n * 10_000, line(n)) for n in range(1, 41)]
    again = [entry(T0_MS + 500_000 + n * 10_000, line(n)) for n in range(20, 31)]
    sent(site, *first, *again)

    assert len(training(site)) == 51
    assert [row["iteration"] for row in training(site, run="2")] == list(range(20, 31))
    run_id = site.get("/v1/workloads/w").json()["runs"][0]["run_id"]
    assert [row["iteration"] for row in training(site, run=run_id)] == list(range(1, 41))
    assert training(site, run="1", field="lm_loss")[0]["fields"] == {"lm_loss": 2.0}
    both = training(site, run="1", field=["lm_loss", "grad_norm,nothing"])[0]["fields"]
    assert both == {"lm_loss": 2.0, "grad_norm": 2.25}
    assert [row["iteration"] for row in training(site, run="1", every="10")] == [10, 20, 30, 40]
    per_minute = [row["iteration"] for row in training(site, run="1", every="1m")]
    assert len(per_minute) in (7, 8)
    span = {"start": at(T0_MS + 50_000), "end": at(T0_MS + 80_000)}
    assert [row["iteration"] for row in training(site, **span)] == [5, 6, 7]
    pages = [
        site.get("/v1/workloads/w/training", offset=o, limit=20).json() for o in (0, 20, 40)
    ]
    assert [page["total"] for page in pages] == [51, 51, 51]
    assert [row for page in pages for row in page["items"]] == training(site)
    for query, status in [
        ({"run": "7"}, 404),
        ({"every": "0"}, 400),
        ({"every": "x"}, 400),
        ({"feild": "x"}, 400),
    ]:
        assert site.get("/v1/workloads/w/training", **query).status == status, query
    assert site.get("/v1/workloads/nobody/training").status == 404


def test_rows_of_all_pods_and_of_workloads_below(site):
    posted(
        site, "/v1/placements",
        placements(
            [{"uid": uid, "name": f"pod-{uid}", "namespace": "train", "workload_uid": "w-1", "start": at(T0_MS)} for uid in ("p1", "p2")],
            [{"uid": "w", "name": "sweep"}, {"uid": "w-1", "name": "llm", "parent_uid": "w"}, {"uid": "empty", "name": "empty"}],
        ),
    )  # fmt: skip
    sent(site, entry(T0_MS, line(1)), entry(T0_MS, line(1), pod_id="p2"))

    assert [row["pod_uid"] for row in training(site)] == ["p1", "p2"]
    empty = site.get("/v1/workloads/empty").json()
    assert (empty["runs"], empty["current"], empty["pods"]) == ([], None, [])
    for path in ("training", "checkpoints", "timeline"):
        assert site.get(f"/v1/workloads/empty/{path}").json()["items"] == []


@pytest.mark.parametrize("keep", ["findings", "all", "none"])
def test_which_lines_are_kept(tmp_path, clock, keep):
    save = "saving checkpoint at iteration       4 to /ckpt in torch_dist format"
    with told(tmp_path / "data", clock, logs={"keep_lines": keep}) as site:
        place(site)
        sent(site, entry(T0_MS, "hello"), entry(T0_MS + 1, line(1)), entry(T0_MS + 2, save))
        records = site.get("/v1/workloads/w/timeline").json()["items"]
        kept = [(record["event_type"], record["body"]) for record in records]
        assert len(training(site)) == 1
    assert (
        kept
        == {
            "findings": [("checkpoint_save_start", save)],
            "all": [
                ("log_line", "hello"),
                ("log_line", line(1)),
                ("checkpoint_save_start", save),
            ],
            "none": [("checkpoint_save_start", None)],
        }[keep]
    )


def test_the_names_of_self_metrics_move(site):
    place(site)
    sent(site, *(entry(T0_MS + s * 1000, text) for s, text in HISTORY), entry(T0_MS, "noise"))
    sent(site, entry(T0_MS + 11_000, line(1)))  # again
    event = {
        "type": "task_exit", "source": "k8s", "node": "n1", "container_id": "c1",
        "data": {"id": "c1", "pod_uuid": "p1", "status": "Exited", "exit_code": 1, "exit_time": T0_MS * 10**6},
    }  # fmt: skip
    posted(site, "/v1/container-events", event)
    bad = site.post("/v1/container-events/batch", {"events": [event, {"type": 5}]})
    assert (bad.status, bad.json()["success"], bad.json()["error"]) == (206, 1, 1)
    settled(site)

    assert site.measured("training_performance_save_total{") == {
        'workload_uid="w",source="log"}': 7.0
    }
    assert sum(site.measured("log_pattern_match_total{").values()) == 15
    assert (
        site.measured("log_pattern_match_total{")[
            'framework="megatron-lm",pattern_type="performance",pattern_name="piped"}'
        ]
        == 8
    )
    assert site.measured("checkpoint_event_total{") == {
        'event_type="checkpoint_save_start",framework="megatron-lm"}': 1.0,
        'event_type="checkpoint_save_end",framework="megatron-lm"}': 1.0,
        'event_type="checkpoint_load",framework="megatron-lm"}': 2.0,
    }
    assert site.measured("workload_event_create_count") == {"": 3.0}
    assert site.measured('log_consume_latency_seconds_count{node="n1"}') == {"": 16.0}
    assert site.measured('log_consume_latency_histogram_seconds_count{node="n1"}') == {"": 16.0}
    assert site.measured("heliograph_attributed_total{") == {'kind="lines",by="pod_uid"}': 16.0}
    container = "primus_lens_telemetry_processor_container_event_"
    assert site.measured(f"{container}recv_total{{") == {'source="k8s",node="n1"}': 2.0}
    assert sum(site.measured(f"{container}error_total{{").values()) == 1
    assert site.measured(f"{container}batch_size_count") == {"": 1.0}
    assert site.measured(f"{container}processing_duration_seconds_count{{") == {
        'source="k8s",node="n1"}': 2.0
    }
