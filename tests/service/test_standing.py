"""Where a workload stands is told as it was last said, whoever said it; what works comes first."""

import pytest

from heliograph.core.training import TrainingRow
from heliograph.service import overview, standing
from tests.service.live import until
from tests.service.running import NOW_MS

LINE = "iteration {n}/ 5000 | lm loss: 2.5E+00 | throughput per GPU (TFLOP/s/GPU): 210.5 | hip mem usage/free/total/usage_ratio: 63.36GB/1.0GB/64.0GB/60.09% |"  # fmt: skip


def row(fields, *, at=0, iteration=None, source="log"):
    return TrainingRow("p", source, "", at, iteration, None, "", fields)


FILLED = [
    # the newest, rows before it (the last first), what is shown
    ({"eval_loss": 1.0}, [{"total_loss": 2.0}, {"total_loss": 9.0}], {"eval_loss": 1.0, "total_loss": 2.0}),
    ({"total_loss": 1.0}, [{"lm_loss": 2.0}], {"total_loss": 1.0}),
    ({"lm_loss": float("inf")}, [{"lm_loss": 2.0}], {"lm_loss": float("inf")}),
    ({"lm_loss": 1.0}, [{"mem_usage_ratio": 60.0}, {"mem_usage_gb": 9.0, "mem_usage_ratio": 1.0}], {"lm_loss": 1.0, "mem_usage_ratio": 60.0}),
    ({"lm_loss": 1.0}, [{"tflops": 4.0}, {"samples_per_second": 9.0}], {"lm_loss": 1.0, "tflops": 4.0}),
    ({"lm_loss": 1.0}, [{"grad_norm": 2.0, "extra": {"x": 1.0}}], {"lm_loss": 1.0}),
    ({"current_iteration": 8}, [{"current_iteration": 7, "target_iteration": 10}], {"current_iteration": 8, "target_iteration": 10}),
    # A bar that counts within its epoch has the target of another count.
    ({"current_iteration": 8}, [{"current_iteration": 9, "target_iteration": 10}], {"current_iteration": 8}),
    ({"lm_loss": 1.0}, [{"current_iteration": 7}], {"lm_loss": 1.0, "current_iteration": 7}),
    ({"lm_loss": 1.0}, [], {"lm_loss": 1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("newest", "before", "shown"), FILLED)
def test_what_the_newest_row_lacks_is_as_it_was_last_said(newest, before, shown):
    rows = [row(one, iteration=one.get("current_iteration")) for one in before]
    found = standing.filled(row(newest, iteration=newest.get("current_iteration")), rows)
    assert found.fields == shown
    assert found.iteration == shown.get("current_iteration")


def fields(site, uid="w-1"):
    return (site.get(f"/v1/workloads/{uid}").json()["current"] or {}).get("fields", {})


def log(site, n, ms, text=LINE, pod="p-1"):
    site.log({"log": text.format(n=n), "date": ms / 1000, "kubernetes": {"pod_id": pod}})


def logged(site, step, ms, **values):
    told = {
        "workload_uid": "w-1",
        "run_id": "r",
        "metrics": [
            {"name": name, "value": value, "step": step, "timestamp": ms / 1000}
            for name, value in values.items()
        ],
    }
    assert site.post("/v1/wandb/metrics", told).status == 200


def test_a_row_of_wandb_does_not_blank_what_lines_say(site):
    site.place()
    log(site, 7, NOW_MS - 5000)
    logged(site, 8, NOW_MS - 4000, **{"train/loss": 2.25})
    until(lambda: fields(site).get("total_loss") == 2.25, "both are read")

    found = fields(site)
    assert (found["mem_usage_gb"], found["tflops"]) == (63.36, 210.5)
    assert (found["current_iteration"], found["target_iteration"]) == (8, 5000)
    # Of a run before nothing is said.
    log(site, 1, NOW_MS - 3000, "training ...")
    log(site, 1, NOW_MS - 2000, "iteration 1/ 5000 | lm loss: 9.0E+00 |")
    until(lambda: fields(site).get("lm_loss") == 9.0, "the next run is read")
    assert "mem_usage_gb" not in fields(site)


def test_an_evaluation_does_not_blank_the_loss(site):
    site.place()
    logged(site, 10, NOW_MS - 5000, **{"train/loss": 2.25})
    logged(site, 11, NOW_MS - 4000, **{"eval/loss": 3.5})
    until(lambda: fields(site).get("current_iteration") == 11, "both are read")

    assert fields(site)["total_loss"] == 2.25


def test_what_one_pod_says_does_not_blank_what_another_does(site):
    site.place()
    site.place(pod="p-2")
    log(site, 7, NOW_MS - 5000)
    log(site, 8, NOW_MS - 4000, "iteration {n}/ 5000 | lm loss: 2.25E+00 |", pod="p-2")
    until(lambda: fields(site).get("lm_loss") == 2.25, "both are read")

    assert (fields(site)["mem_usage_gb"], fields(site)["tflops"]) == (63.36, 210.5)


def placed(site, numbers, **more):
    workloads = [{"uid": f"w-{n}", "name": f"job-{n}"} for n in numbers]
    pods = [
        {"uid": f"p-{n}", "name": f"pod-{n}", "workload_uid": f"w-{n}", **more} for n in numbers
    ]
    assert site.post("/v1/placements", {"workloads": workloads, "pods": pods}).status == 200


def test_the_first_page_shows_what_trains_then_what_runs(site, page, monkeypatch):
    monkeypatch.setattr(overview, "WORKLOADS_SHOWN", 3)
    began = {"start": "2026-01-01T00:00:00Z"}
    placed(site, [1, 2], **began)
    placed(site, [3], **began)
    placed(site, range(4, 9), **began, end="2026-01-02T00:00:00Z")
    log(site, 7, NOW_MS - 5000, pod="p-1")
    until(lambda: fields(site), "the line is read")

    page.goto(f"http://127.0.0.1:{site.port}/")
    table = page.locator("section[aria-labelledby=workloads]")
    names = [one.split()[0] for one in table.locator("tbody td:first-child").all_inner_texts()]
    assert names == ["job-1", "job-3", "job-2"]
    assert "5 more" in table.inner_text()
    link = table.locator("p a").get_attribute("href")
    assert site.get(link).json()["total"] == 8


def test_the_first_page_shows_what_is_urgent_first(site, page, monkeypatch):
    monkeypatch.setattr(overview, "ALERTS_SHOWN", 3)
    for severity in ("critical", "page", "warning", "info", "critical"):
        alert = {"labels": {"alertname": f"A-{severity}", "severity": severity}}
        assert site.post("/api/v2/alerts", [alert]).status == 200
        alert = {"labels": {"alertname": "Z", "severity": "info", "pod": severity}}
        assert site.post("/api/v2/alerts", [alert]).status == 200

    page.goto(f"http://127.0.0.1:{site.port}/")
    table = page.locator("section[aria-labelledby=alerts]")
    shown = table.locator("tbody td:nth-child(2)").all_inner_texts()
    assert sorted(shown[:2]) == ["critical", "page"]
    assert len(shown) == 3
    assert "5 more" in table.inner_text()
    assert site.get(table.locator("p a").get_attribute("href")).json()["total"] == 8
    flows = page.locator("section[aria-labelledby=flows]").inner_text()
    assert "Alerts, requests\t10\t0" in flows
