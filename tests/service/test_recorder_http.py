"""`/v1/events` and `/v1/metrics` in a whole service: durable, asked for, attributed, and by the right role."""

import gzip
import json

import pytest

from heliograph.core.errors import Refused
from heliograph.recorder import aggregation, query
from heliograph.recorder.store import Asked
from heliograph.service import recorder_queries
from heliograph.service.embedded_query import EmbeddedQueries
from heliograph.service.recorder_instants import Instants
from heliograph.service.recorder_queries import QueriedPoints
from heliograph.store.protocol import RangeAnswer, SeriesPoints
from heliograph.store.records.search import Page
from tests.service.live import until
from tests.service.running import NOW_MS, NOW_NS, assert_problem, bearer, running

EVENT = {"event_type": "COMMAND", "source": "core", "data": {"command_id": "12345"}}
AT = "2026-11-22T01:30:00Z"
HOUR = {"start": "2026-11-22T01:00:00Z", "end": "2026-11-22T02:00:00Z"}


def metric(value, name="took_ms", *, at=AT, **more):
    return {"metric_name": name, "metric_value": value, "timestamp": at, **more}


def posted(site, path, given, **more):
    answer = site.post(path, given, **more)
    assert answer.status == 200, answer.body
    return answer.json()


def asked(site, names, **more):
    return site.get("/v1/metrics", names=names, **{**HOUR, **more}).json()["metrics"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """One service for what does not disturb another."""
    with running(tmp_path_factory.mktemp("recorder") / "data") as site:
        yield site
        site.assert_sound()


@pytest.mark.parametrize("path", ["/v1/events", "/v1/metrics"])
def test_a_list_of_nothing_is_taken_whole(recording, path):
    taken = {"status": "success", "received": 0, "accepted": 0, "rejected": 0, "results": []}
    assert posted(recording, path, []) == taken


def test_an_event_is_a_record_and_once_by_its_id(recording):
    first = posted(recording, "/v1/events", {**EVENT, "event_id": "e-1", "timestamp": AT})
    assert first == {"status": "success", "event_id": "e-1", "timestamp": AT}
    posted(recording, "/v1/events", {**EVENT, "event_id": "e-1", "timestamp": AT})
    new = posted(recording, "/v1/events", {**EVENT, "session_id": "s-9"})
    assert (len(new["event_id"]), new["timestamp"][:11]) == (36, "2026-11-22T")

    kept = recording.records(event_type="COMMAND")
    assert [(one["session_id"], one["correlation"]["event_id"]) for one in kept] == [
        ("s-9", new["event_id"]),
        ("http", "e-1"),
    ]
    assert kept[1]["attributes"] == {"command_id": "12345"}
    assert (kept[1]["source_kind"], kept[1]["timestamp"]) == ("bridge", AT)
    assert len(recording.records(session_id="s-9")) == 1


def test_one_bad_item_costs_no_other(recording):
    body = b"\n".join(json.dumps(one).encode() for one in (EVENT, {"source": "x"}, EVENT))
    answer = recording.ask(
        "POST", "/v1/events", gzip.compress(body), {"Content-Encoding": "gzip"}
    ).json()

    assert [answer[key] for key in ("status", "received", "accepted", "rejected")] == [
        "partial", 3, 2, 1,
    ]  # fmt: skip
    assert [one["status"] for one in answer["results"]] == ["success", "error", "success"]
    assert answer["results"][1] == {
        "status": "error", "index": 1,
        "error": {
            "code": "INVALID_EVENT", "message": "Missing required fields: event_type",
            "details": {"validation_errors": {"missing_fields": ["event_type"]}},
        },
    }  # fmt: skip
    counted = recording.measured("heliograph_rejected_total")
    assert counted['{protocol="events",reason="invalid_event"}'] >= 1


def test_a_single_bad_item_is_a_problem_with_the_error_inside(recording):
    answer = recording.post("/v1/metrics", {"metric_name": "m", "metric_value": None})

    assert_problem(answer, 400, code="INVALID_METRIC_VALUE", field="metric_value")
    assert answer.json()["error"] == {
        "code": "INVALID_METRIC_VALUE",
        "message": "Metric value must be a number or string",
        "details": {},
    }
    wrong = recording.post("/v1/events", {**EVENT, "source": 5})
    assert_problem(wrong, 400, code="INVALID_EVENT", field="source")
    assert_problem(recording.post("/v1/events", "junk"), 400, field="body")
    assert posted(recording, "/v1/metrics", [{}])["status"] == "error"


@pytest.mark.parametrize(
    ("path", "wrong", "field"),
    [
        ("/v1/metrics", {"metric_value": 1}, "metric_name"),
        ("/v1/metrics", {"metric_name": "m", "metric_value": []}, "metric_value"),
        ("/v1/metrics", {"metric_name": "m", "metric_value": 1, "context": 5}, "context"),
        ("/v1/metrics", {"metric_name": "m", "metric_value": 1, "timestamp": "noon"}, "timestamp"),
        ("/v1/metrics", {"metric_name": "m", "metric_value": 1, "timestamp": []}, "timestamp"),
        ("/v1/metrics", {"metric_name": "m", "metric_value": 1, "event_id": 5}, "event_id"),
        ("/v1/metrics", {"metric_name": "m" * 1025, "metric_value": 1}, "metric_name"),
        ("/v1/metrics", 5, ""),
        ("/v1/events", {"event_type": "E"}, "source"),
        ("/v1/events", {**EVENT, "event_type": 5}, "event_type"),
        ("/v1/events", {**EVENT, "data": []}, "data"),
        ("/v1/events", {**EVENT, "timestamp": "noon"}, "timestamp"),
        ("/v1/events", {**EVENT, "session_id": "s" * 1025}, "session_id"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_item_is_named_in_its_place(recording, path, wrong, field):
    alone = recording.post(path, wrong)
    assert_problem(alone, 400, field=field or "body")
    good = metric(1) if path == "/v1/metrics" else EVENT
    listed = posted(recording, path, [good, wrong, good, wrong])

    message = alone.json()["errors"][0]["message"]
    places = [f"[{index}].{field}" if field else f"[{index}]" for index in (1, 3)]
    assert listed["errors"] == [{"field": place, "message": message} for place in places]
    assert "errors" not in posted(recording, path, [good])


def test_the_answer_of_spec_002(recording):
    values = [
        metric(v, "spec", context={"kind": k}) for v, k in ((1, "a"), (2.5, "b"), (6, "a"))
    ]
    posted(recording, "/v1/metrics", [*values, metric("hot", "spec", context={"kind": "b"})])
    told = {"time_range": HOUR, "skipped": 1}

    assert asked(recording, "spec") == {
        "spec": {"value": 9.5 / 3, "aggregation": "MEAN", "sample_count": 4, **told}
    }
    of = {name: asked(recording, "spec", aggregation=name)["spec"]["value"]
          for name in ("SUM", "MIN", "MAX", "COUNT", "P50")}  # fmt: skip
    assert of == {"SUM": 9.5, "MIN": 1, "MAX": 6, "COUNT": 4, "P50": 2.5}
    grouped = asked(recording, "spec,none", by="kind", every="1m")["spec"]
    assert [(one["by"], one["value"], one["sample_count"]) for one in grouped["groups"]] == [
        ({"kind": "a"}, 3.5, 2), ({"kind": "b"}, 2.5, 2),
    ]  # fmt: skip
    assert [(one["start"], one["sample_count"]) for one in grouped["buckets"]] == [(AT, 4)]
    assert recording.get("/v1/records", event_type="metric_text").json()["total"] == 1


def test_every_point_counts_also_those_of_one_instant(recording):
    posted(recording, "/v1/metrics", [metric(v, "same") for v in (1, 2, 3)])
    posted(recording, "/v1/metrics", metric(4, "same"))

    assert asked(recording, "same", aggregation="SUM")["same"]["value"] == 10
    # What has an id is itself when it comes again.
    for _ in range(2):
        posted(recording, "/v1/metrics", metric(5, "same", event_id="m-1"))
    assert asked(recording, "same", aggregation="COUNT")["same"]["value"] == 5


def test_both_ends_belong_to_the_range(recording):
    posted(recording, "/v1/metrics", [metric(1, "ends", at=HOUR[end]) for end in HOUR])
    assert asked(recording, "ends", aggregation="COUNT")["ends"]["value"] == 2
    narrow = {"start": "1795312801", "end": "2026-11-22T01:59:59.999999Z"}
    assert asked(recording, "ends", **narrow) == {}


def test_numbers_that_json_lacks_survive(recording):
    body = b"[%s]" % b",".join(
        b'{"metric_name":"odd","metric_value":%s,"timestamp":"%s"}' % (v, AT.encode())
        for v in (b"NaN", b"Infinity", b"-Infinity")
    )
    assert recording.ask("POST", "/v1/metrics", body).json()["accepted"] == 3

    assert asked(recording, "odd")["odd"]["value"] == "NaN"
    assert asked(recording, "odd", aggregation="MAX")["odd"]["value"] == "+Inf"


def test_a_series_is_its_owners(recording):
    recording.place(uid="w-1", pod="p-1", start="2026-11-21T00:00:00Z")
    posted(recording, "/v1/metrics", metric(7, "owned", context={"pod_uid": "p-1", "step": 5}))

    assert recording.points("owned") == {
        (("__name__", "owned"), ("pod_uid", "p-1"), ("step", "5")): [[NOW_MS - 305_000, 7]]
    }
    (labels,) = recording.points("workload_owned")
    assert dict(labels)["workload_uid"] == "w-1"


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"aggregation": "mean"}, "INVALID_AGGREGATION", "aggregation"),
        ({"aggregation": "P100"}, "INVALID_AGGREGATION", "aggregation"),
        ({"start": "noon"}, "invalid", "start"),
        ({"end": "9" * 70}, "invalid", "end"),
        ({"every": "fast"}, "invalid", "every"),
        ({"every": "0"}, "invalid", "every"),
        ({"metric": "x"}, "invalid", "metric"),
        ({"names": ",".join("x" * 1001)}, "invalid", "names"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(recording, query, code, field):
    answer = recording.get("/v1/metrics", **query)
    assert_problem(answer, 400, code=code, field=field)
    assert ("error" in answer.json()) is (code == "INVALID_AGGREGATION")


def test_an_answer_has_so_many_buckets_and_no_more(recording, monkeypatch):
    at = [f"2026-11-22T01:{minute:02}:00Z" for minute in range(10)]
    values = [metric(1, "often", at=one, context={"k": one}) for one in at]
    posted(recording, "/v1/metrics", [*values, metric("x", "often", at=at[3])])
    monkeypatch.setattr(recorder_queries, "BUCKETS_MAX", 11)

    assert len(asked(recording, "often", every="1m")["often"]["buckets"]) == 10
    assert len(asked(recording, "often", every="5m", by="none")["often"]["buckets"]) == 2
    answer = recording.get("/v1/metrics", names="often", every="1m", by="k", **HOUR)
    assert_problem(answer, 400, code="too_large", field="every")
    assert asked(recording, "often", start=HOUR["end"], end=HOUR["start"]) == {}


def test_all_metrics_and_names_with_commas(recording):
    posted(recording, "/v1/metrics", [metric(1, "a,b"), metric(2, "c")])

    assert {"a,b", "c"} <= set(recording.get("/v1/metrics", **HOUR).json()["metrics"])
    assert set(recording.get("/v1/metrics", name="a,b", **HOUR).json()["metrics"]) == {"a,b"}


def test_another_store_answers_the_same(recording):
    values = [metric(v, "remote", context={"k": str(v % 2)}) for v in range(20)]
    posted(recording, "/v1/metrics", [*values, metric("hot", "remote"), metric("hot", "words")])
    core = recording.site.core
    own = recording.get("/v1/metrics", names="remote,words", by="k", aggregation="P90").json()
    # The record store's texts, and samples by questions, as of a store that is not ours.
    queries = EmbeddedQueries(core.segments, core.attributing.spans, "workload_")
    wanted = Asked(
        ["remote", "words"], 0, NOW_NS, aggregation.of("P90", {}), None, ("k",), ("", "")
    )
    other = query.answer(QueriedPoints(queries, core.records), wanted)
    for one in (*own["metrics"].values(), *other.values()):
        del one["time_range"]
    assert other["remote"]["sample_count"] == 21
    assert other == own["metrics"]


class Pages:
    """A store that answers three points a page, and names."""

    def __init__(self, points, names=("m",)):
        self.points, self.names = points, list(names)

    def metrics(self, matchers, limit):
        return self.names[:limit]

    def range(self, query):
        left = [one for one in self.points if query.start_ns <= one[0] * 10**6 < query.end_ns]
        page = left[:3]
        next_ns = left[3][0] * 10**6 if len(left) > 3 else None
        series = SeriesPoints((("__name__", query.metric),), *zip(*page, strict=True))
        return RangeAnswer([series] if page else [], next_ns is not None, next_ns)


class NoRecords:
    def query(self, **_):
        return Page([], 0)


def test_another_store_is_read_page_by_page(monkeypatch):
    points = [(ms, None if ms == 4 else ms / 2) for ms in range(10)]
    source = QueriedPoints(Pages(points), NoRecords())

    (part,) = source.parts(None, 1_000_000, 9_000_000)
    assert part.at_ns == [ms * 10**6 for ms in range(1, 9) if ms != 4]
    assert part.values == [ms / 2 for ms in range(1, 9) if ms != 4]
    monkeypatch.setattr(recorder_queries, "POINTS_MAX", 7)
    with pytest.raises(Refused, match="more than 7 points"):
        list(source.parts(["m"], 1_000_000, 9_000_000))
    many = QueriedPoints(Pages([], map(str, range(1001))), NoRecords())
    with pytest.raises(Refused, match="over 1000 metrics"):
        list(many.parts(None, 0, 1))


@pytest.mark.parametrize("site", [{"limits": {"series": 3}}], indirect=True)
def test_series_beyond_the_limit_are_told_and_counted(site):
    values = [metric(n, "wide", context={"n": str(n)}) for n in range(5)]
    answer = posted(site, "/v1/metrics", values)

    assert (answer["status"], answer["accepted"], answer["rejected"]) == ("partial", 3, 2)
    assert answer["results"][4]["error"]["code"] == "STORAGE_FAILURE"
    counted = site.measured("heliograph_rejected_total")
    assert counted['{protocol="metrics",reason="series_limit"}'] == 2


def test_by_role(guarded):
    tokens = {role: bearer(token) for role, token in guarded.tokens.items()}

    assert guarded.post("/v1/events", EVENT, tokens["ingest"]).status == 200
    assert guarded.post("/v1/metrics", metric(1), tokens["ingest"]).status == 200
    assert guarded.get("/v1/metrics", tokens["viewer"], **HOUR).status == 200
    assert guarded.post("/v1/events", EVENT, tokens["viewer"]).status == 403
    assert guarded.get("/v1/metrics", tokens["ingest"]).status == 403
    assert guarded.post("/v1/metrics", metric(1)).status == 401


def test_what_was_answered_is_there_after_a_restart(tmp_path):
    with running(tmp_path / "data") as site:
        posted(site, "/v1/events", {**EVENT, "event_id": "e", "timestamp": AT})
        posted(site, "/v1/metrics", [metric(1, "kept"), metric(2, "kept"), metric("x", "kept")])
    with running(tmp_path / "data") as site:
        # Sent once more, whole: the same.
        posted(site, "/v1/events", {**EVENT, "event_id": "e", "timestamp": AT})
        assert len(site.records(event_type="COMMAND")) == 1
        assert asked(site, "kept", aggregation="SUM")["kept"]["value"] == 3
        assert asked(site, "kept", aggregation="COUNT")["kept"]["value"] == 3


SHARE = {
    "name": "Failing", "source": "event", "rule_type": "share", "severity": "critical",
    "rule_config": {
        "match": {"event_type": "RUN"}, "part": {"attributes": {"ok": False}},
        "op": ">", "value": 0.5, "least": 4, "window": "1h", "by": ["queue"],
    },
}  # fmt: skip


def runs(site, *oks):
    data = [{"ok": ok, "queue": "q1", "pod_uid": "p-1"} for ok in oks]
    posted(site, "/v1/events", [{**EVENT, "event_type": "RUN", "data": one} for one in data])
    site.records(event_type="RUN")


def alert_of(site, status):
    def found():
        return site.get("/v1/alerts", alert_name="Failing", status=status).json()["items"]

    return until(found, f"the alert {status}", timeout_s=15)[0]


def test_a_share_of_failures_raises_an_alert_across_a_restart(tmp_path):
    with running(tmp_path / "data") as site:
        site.place(uid="w-1", pod="p-1", start="2026-11-21T00:00:00Z")
        assert site.post("/v1/alert-rules", SHARE).status == 201
        runs(site, False, False, True)
    with running(tmp_path / "data") as site:
        runs(site, False)
        alert = alert_of(site, "firing")
        assert (alert["source"], alert["labels"]["queue"]) == ("event", "q1")
        assert alert["workload_uid"] == "w-1"
        assert alert["annotations"]["match_reason"] == "3 of 4 within 1h"
        runs(site, True, True)
        assert alert_of(site, "resolved")["id"] == alert["id"]


def test_instants():
    instants = Instants()
    assert [instants.place(1, 5) for _ in range(4)] == [5, 6, 7, 8]
    assert [instants.place(1, at) for at in (7, 6, 20)] == [9, 10, 20]
    assert instants.place(2, 5) == 5
    assert [instants.place(3, 5, name) for name in ("a", "b", "a", "b")] == [5, 6, 5, 6]


def test_instants_are_bounded():
    instants = Instants(most=10)
    for at in range(100):
        assert instants.place(1, at, f"n{at}") == at
    assert instants.forgotten > 0
    held = [getattr(instants, name) for name in ("_recent", "_older", "_named", "_older_named")]
    assert all(len(one) <= 10 for one in held)
    # The last ten are remembered.
    assert [instants.place(1, 95), instants.place(1, 99, "n99")] == [100, 99]
