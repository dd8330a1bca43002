"""Usage over HTTP: counted once, shown flat, structured, as series and on a page."""

import json
import threading
from datetime import datetime

import pytest

from heliograph.service import usages
from heliograph.usage import MetricProcessor
from tests.service.live import until
from tests.service.running import running

NOON = datetime.fromisoformat("2026-11-22T12:00:00")
JOB = {
    "version": "5.3.0", "network": "ResNet-50", "action": "train", "success": True,
    "gpu": ["NVIDIA A100", "NVIDIA A100"], "time_lapsed": 60,
}  # fmt: skip


def flat(site):
    answer = site.get("/v1/usage")
    assert answer.status == 200, answer.body
    return answer.json()


def test_the_document_is_what_the_library_counts(site):
    answers = [site.post("/v1/usage", JOB), site.post("/api/v1/metrics", JOB)]
    answers.append(site.post("/api/v2/metrics", {**JOB, "time_lapsed": None}))
    assert [answer.status for answer in answers] == [201, 201, 201]
    expected = {}
    for lapsed in (60, 60, None):
        context = {"now": NOON, "old_now": NOON}
        MetricProcessor().process(expected, {**JOB, "time_lapsed": lapsed}, context)
    told = answers[-1].json()
    assert told.pop("last_updated")
    del expected["last_updated"]
    assert told == expected
    again = flat(site)
    assert again.pop("last_updated")
    assert again == expected


def test_posts_at_once_lose_no_count(site):
    def post():
        for _ in range(10):
            assert site.post("/v1/usage", [JOB, JOB]).status == 201

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert flat(site)["total_action_train_pass"] == 80
    assert flat(site)["time_lapsed_today"] == 80 * 60


def test_the_table_of_cases(shared_data, tmp_path):
    cases = json.loads((shared_data / "library_vectors" / "tao_http.json").read_text())["cases"]
    # A null time is a payload like another here; there it was half counted and answered 500.
    ours = {500: 201}
    with running(tmp_path / "data") as site:
        for case in cases:
            given, expect = case["input"], case["expect"]
            body = given["body"]
            raw = body if isinstance(body, str) else json.dumps(body)
            answer = site.ask(
                "POST",
                f"/api/{given['api']}/metrics",
                raw.encode(),
                {"Content-Type": "text/plain"},
            )
            assert answer.status == ours.get(expect["status"], expect["status"]), case["id"]
            if expect.get("body_is_empty_object"):
                assert answer.json() == {}, case["id"]
            elif expect["status"] == 201:
                assert set(expect["stored_keys"]) <= answer.json().keys(), case["id"]


def test_what_cannot_be_counted_is_told_by_field(site):
    answer = site.post("/v1/usage", [JOB, {**JOB, "gpu": "A100"}])
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "[1].gpu")
    assert flat(site) == {}
    assert site.post("/v1/usage", [JOB] * 101).status == 413
    assert site.get("/v1/usage", form="round").json()["errors"][0]["field"] == "form"


def test_keys_have_a_bound_and_known_ones_go_on(site, monkeypatch):
    site.post("/v1/usage", JOB)
    known = len(flat(site))
    monkeypatch.setattr(
        usages, "KEYS_MAX", site.get("/v1/usage", form="structured").json()["total"]
    )
    assert site.post("/v1/usage", [JOB, {**JOB, "network": "vit"}]).status == 201
    told = flat(site)
    assert len(told) == known
    assert told["network_resnet_50_action_train"] == 2
    # Of the other network only what has no name of it found its place.
    assert told["total_action_train_pass"] == 3
    assert 'heliograph_dropped_total{kind="usage_counts",reason="keys_max"}' in (
        site.get("/metrics").body.decode()
    )


def points(site):
    [series] = site.get("/v1/query/range", metric="usage_job_total").json()["series"]
    return [value for _, value in series["points"]]


def test_a_restart_keeps_counts_and_series_show_them(tmp_path):
    with running(tmp_path / "data") as site:
        for _ in range(3):
            assert site.post("/v1/usage", JOB).status == 201
        found = site.get("/v1/query/metrics").json()["items"]
        assert {"usage_job_total", "usage_job_gpu_total"} <= set(found)
        until(lambda: points(site) == [1, 2, 3], "all three are read")
    with running(tmp_path / "data") as site:
        assert site.post("/v1/usage", JOB).status == 201
        assert flat(site)["network_resnet_50_action_train"] == 4
        structured = site.get("/v1/usage", form="structured", name="tao_job_total").json()
        [item] = structured["items"]
        assert (item["value"], item["labels"]["tao_network"]) == (4, "resnet_50")


@pytest.mark.parametrize("window", ["", "1h", "30d"])
def test_the_page_shows_jobs_and_escapes_names(site, window):
    site.post("/v1/usage", {**JOB, "gpu": ["<script>alert(1)</script>"]})
    answer = site.get("/usage", **({"window": window} if window else {}))
    assert answer.status == 200
    page = answer.body.decode()
    assert "resnet_50" in page
    assert "<script>" not in page
    assert site.get("/usage", window="2y").status == 400


@pytest.mark.parametrize("name", ["json", "prometheus", "openmetrics", "csv"])
def test_the_flat_form_is_exported(site, name):
    site.post("/v1/usage", JOB)
    answer = site.get("/v1/usage", format=name)
    assert answer.status == 200
    assert b"tao_job_total" in answer.body
    assert site.get("/v1/usage", format="xml").json()["errors"][0]["field"] == "format"
