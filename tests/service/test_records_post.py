"""`POST /v1/records` in a whole service: durable, searchable, charted, ruled on, and by the right role."""

import gzip
import json

import pytest

from tests.service.running import NOW_MS, NOW_NS, assert_problem, bearer


def event(place=0, **more):
    return {
        "schema_version": 3, "session_id": "s-1", "timestamp_ns": NOW_NS + place * 10**9,
        "event_type": "sample", "collector": "heliograph.memory.cuda", "sampling_interval_ms": 100,
        "pid": 1, "host": "h", "job_id": "job-7", "rank": 3, "local_rank": 3, "world_size": 8,
        "device_id": 3, "allocator_allocated_bytes": 10 + place, "allocator_reserved_bytes": 20,
        "allocator_active_bytes": None, "allocator_inactive_bytes": None,
        "allocator_change_bytes": 0, "device_used_bytes": 20, "device_free_bytes": 80,
        "device_total_bytes": 100, "context": None, "metadata": {}, **more,
    }  # fmt: skip


def posted(site, *events, **more):
    answer = site.post("/v1/records", list(events), **more)
    assert answer.status == 200, answer.body
    return answer.json()


def test_events_are_records_and_samples(site):
    events = [event(place) for place in range(3)]

    assert posted(site, *events) == {"received": 3, "accepted": 3, "rejected": []}
    # A sender that did not hear the answer sends again.
    assert posted(site, *events)["accepted"] == 3

    kept = site.records(session_id="s-1")
    assert [one["attributes"]["memory.allocator.allocated_bytes"] for one in kept] == [
        12,
        11,
        10,
    ]
    assert [one["source_kind"] for one in kept] == ["cuda"] * 3
    labels = {
        "__name__": "memory_allocator_allocated_bytes", "collector": "heliograph.memory.cuda",
        "device_id": "3", "host": "h", "job_id": "job-7", "rank": "3", "session_id": "s-1",
    }  # fmt: skip
    assert site.points("memory_allocator_allocated_bytes") == {
        tuple(sorted(labels.items())): [
            [NOW_MS + place * 1000, 10 + place] for place in range(3)
        ]
    }
    metrics = site.get("/v1/query/metrics").json()["items"]
    assert [name for name in metrics if name.startswith("memory_")] == [
        "memory_allocator_allocated_bytes", "memory_allocator_change_bytes",
        "memory_allocator_reserved_bytes", "memory_device_free_bytes",
        "memory_device_total_bytes", "memory_device_used_bytes",
    ]  # fmt: skip
    assert (
        site.measured("heliograph_received_total")['{protocol="records",kind="samples"}'] == 36
    )
    site.assert_sound()


def test_a_bad_one_costs_itself(site):
    told = posted(site, event(), event(1, rank=9), {"nonsense": 1}, event(2))

    assert (told["received"], told["accepted"]) == (4, 2)
    assert [(one["index"], one["field"], one["reason"]) for one in told["rejected"]] == [
        (1, "rank", "invalid"),
        (2, told["rejected"][1]["field"], "invalid"),
    ]
    assert told["rejected"][0]["detail"] == "rank must be < world_size"
    assert len(site.records()) == 2
    assert (
        site.measured("heliograph_rejected_total")['{protocol="records",reason="invalid"}'] == 2
    )


def test_lines_in_gzip_are_taken(site):
    body = gzip.compress("\n".join(json.dumps(event(place)) for place in range(5)).encode())
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}

    answer = site.ask("POST", "/v1/records", body, headers)

    assert answer.json() == {"received": 5, "accepted": 5, "rejected": []}


@pytest.mark.parametrize("site", [{"limits": {"decoded_mb": 1}}], indirect=True)
def test_what_cannot_be_read_is_refused_whole(site):
    json_type = {"Content-Type": "application/json"}
    packed = gzip.compress(b" " * (2 << 20))

    assert_problem(site.ask("POST", "/v1/records", b"nonsense", json_type), 400, field="body")
    assert_problem(
        site.ask("POST", "/v1/records", packed, {**json_type, "Content-Encoding": "gzip"}), 413
    )
    assert_problem(
        site.ask("POST", "/v1/records", b"[]", {**json_type, "Content-Encoding": "br"}), 415
    )
    site.assert_sound()


def test_a_projected_record_comes_back_as_it_went_in(site):
    posted(site, event(context="a word", metadata={"x": float("nan"), "big": 2**70}))
    (first,) = site.records()
    again = {**first, "record_id": "telemetry-" + "0" * 32, "session_id": "s-2"}
    del again["timestamp"]

    posted(site, again)

    (second,) = site.records(session_id="s-2")
    assert second == {**first, "record_id": again["record_id"], "session_id": "s-2"}
    site.assert_sound()


def test_filters_and_the_order(site):
    posted(
        site,
        event(0),
        event(1, event_type="warning", context="nearly full"),
        event(2, collector="heliograph.memory.cpu", session_id="s-2"),
        event(
            3, session_id="s-3", metadata={"pod_uid": "u-3", "pod_name": "p", "namespace": "n"}
        ),
    )

    def at(**query):
        return [(one["timestamp_ns"] - NOW_NS) // 10**9 for one in site.records(**query)]

    assert at() == [3, 2, 1, 0]
    assert at(order="oldest") == [0, 1, 2, 3]
    assert at(session_id="s-1") == [1, 0]
    assert at(session_id="s-3") == at(session_id="u-3") == [3]
    assert at(event_type="warning") == at(severity="warning") == [1]
    assert at(source_kind="cpu") == [2]
    assert at(start=NOW_NS / 10**9 + 1, end=NOW_NS / 10**9 + 3) == [2, 1]
    assert_problem(site.get("/v1/records", order="sideways"), 400, field="order")


def test_old_events_are_taken_and_said_to_be_gone_soon(site):
    old = event(-400 * 86400, allocator_allocated_bytes=1)

    assert posted(site, old, event())["expired"] == 1


def test_rules_over_records_see_them(site):
    match = {"event_type": "critical", "attributes": {"alert": "device_memory"}}
    rule = {
        "name": "memory full", "source": "event", "rule_type": "match", "severity": "critical",
        "rule_config": {"match": match, "threshold": {"count": 1}},
    }  # fmt: skip
    made = site.post("/v1/alert-rules", rule)
    assert made.status == 201, made.body

    metadata = {"alert": "device_memory", "severity": "critical"}
    posted(site, event(event_type="critical", context="97% full", metadata=metadata))
    site.records()

    alerts = site.get("/v1/alerts", alert_name="memory full").json()["items"]
    assert [one["status"] for one in alerts] == ["firing"]


def test_ingest_may_and_viewers_may_not(guarded):
    for role, status in (("ingest", 200), ("viewer", 403), ("editor", 403), ("admin", 200)):
        answer = guarded.post("/v1/records", [event()], headers=bearer(guarded.tokens[role]))
        assert answer.status == status, role
    assert guarded.post("/v1/records", [event()]).status == 401
