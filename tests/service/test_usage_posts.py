"""Usage over HTTP: counted once, shown flat, structured, as series and on a page."""

import gzip
import json
import re
import threading
from datetime import datetime

import pytest

from heliograph.service import usages
from heliograph.usage import MetricProcessor
from tests.service.live import until
from tests.service.running import WallAt, assert_problem, bearer, running

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
    assert site.get("/v1/usage", form="structured", format=name).json()["errors"][0][
        "field"
    ] == ("format")


@pytest.mark.parametrize("name", ["builder", "name", "offset", "limit"])
def test_a_parameter_of_the_other_form_is_refused(site, name):
    assert_problem(site.get("/v1/usage", **{name: "1"}), 400, field=name)
    assert_problem(site.get("/v1/usage", form="flat", **{name: "1"}), 400, field=name)


def test_a_body_may_be_gzip(site):
    packed = gzip.compress(json.dumps(JOB).encode())
    for path in ("/v1/usage", "/api/v1/metrics"):
        answer = site.ask("POST", path, packed, {"Content-Encoding": "gzip"})
        assert answer.status == 201, answer.body
    assert flat(site)["total_action_train_pass"] == 2
    for encoding, status in (("br", 415), ("gzip", 400)):
        answer = site.ask("POST", "/v1/usage", b"{}", {"Content-Encoding": encoding})
        assert answer.status == status, encoding


BAD_BODIES = [
    ("", 400), ("null", 400), ("5", 400), ("{", 400), (" " * 2**20 + "{}", 413),
    (json.dumps([JOB] * 101), 413),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BAD_BODIES, ids=[one[:9] for one, _ in BAD_BODIES])
def test_a_body_that_is_none_is_told_as_such(site, body, status):
    assert_problem(site.ask("POST", "/v1/usage", body.encode()), status, field="body")


def test_who_may_not_read_is_answered_what_the_post_changed(guarded):
    ingest, admin = bearer(guarded.tokens["ingest"]), bearer(guarded.tokens["admin"])
    told = guarded.post("/v1/usage", {**JOB, "network": "secret"}, admin)
    assert "network_secret_action_train" in told.json()

    told = guarded.post("/v1/usage", JOB, ingest)
    assert told.status == 201
    assert "network_resnet_50_action_train" in told.json()
    assert not [key for key in told.json() if "secret" in key]
    nothing = guarded.post("/v1/usage", [], ingest)
    assert (nothing.status, nothing.json().keys() - {"last_updated"}) == (201, set())
    assert "network_secret_action_train" in guarded.post("/v1/usage", JOB, admin).json()


def last_of(site, window):
    """{value: (jobs, jobs in the window)} of the page's first table."""
    page = site.get("/usage", window=window).body.decode()
    rows = re.findall(r"<tr id=\"1-.*?</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return {row[0]: (int(row[1]), int(row[3])) for row in cells}


def test_the_page_counts_jobs_that_came_in_a_list(tmp_path):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock) as site:
        for many in (80, 20):
            assert site.post("/v1/usage", [JOB] * many).status == 201
        until(lambda: last_of(site, "1h") == {"resnet_50": (100, 100)}, "both are read")
    # Two hours later the window begins from what there was, however long ago that was.
    with running(tmp_path / "data", clock=WallAt(clock.now_ns() + 7200 * 10**9)) as site:
        assert site.post("/v1/usage", [JOB] * 50).status == 201
        until(lambda: last_of(site, "1h") == {"resnet_50": (150, 50)}, "the third is read")
        assert last_of(site, "24h") == {"resnet_50": (150, 150)}
