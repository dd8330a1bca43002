"""Rules over the interface: made, changed, removed, and evaluated on what really comes in."""

import contextlib
import json

import pytest

from heliograph.core import counting
from tests.service.alert_site import RULE, at, in_ledger, listed, named, post_v2, telling
from tests.service.hooks import Hook
from tests.service.live import until
from tests.service.running import NOW_MS, NOW_NS, assert_problem, running

FAST = {"alerting": {"evaluate_every": "200ms"}}
RULES = "/v1/alert-rules"


def made(site, **document):
    """The id of a new rule."""
    given = {"name": "R", "severity": "warning", **document}
    answer = site.post(RULES, given)
    assert answer.status == 201, answer.body
    return answer.json()["rule_id"]


def put(site, rule_id, document):
    body = json.dumps(document).encode()
    return site.ask("PUT", f"{RULES}/{rule_id}", body, {"Content-Type": "application/json"})


def line(text, *, ago_s=1.0, pod="p-1", node="n-1"):
    return {
        "date": NOW_NS / 1e9 - ago_s,
        "log": text,
        "kubernetes": {"pod_name": pod, "pod_id": pod, "namespace_name": "train", "host": node},
    }


def later(site, condition, what):
    return until(condition, what, timeout_s=15)


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    """One service for what does not disturb another."""
    with running(tmp_path_factory.mktemp("rules") / "data", **FAST) as site:
        site.place(uid="w-1", pod="p-1", node="n-1", start="2026-11-01T00:00:00Z")
        yield site
        site.assert_sound()


def test_a_rule_is_made_read_changed_and_removed(ruled):
    rule_id = made(ruled, **{**RULE, "name": "Crud"})
    assert_problem(
        ruled.post(RULES, {**RULE, "name": "Crud"}), 409, code="conflict", field="name"
    )
    shown = ruled.get(f"{RULES}/{rule_id}").json()
    assert (shown["name"], shown["enabled"], shown["builtin"]) == ("Crud", True, False)
    assert shown["created_at"] == shown["updated_at"]
    (newest, *_) = ruled.get(RULES, limit=1).json()["items"]
    assert newest["rule_id"] == rule_id
    assert put(ruled, rule_id, {**RULE, "name": "Crud", "enabled": False}).status == 200
    off = ruled.get(RULES, enabled="false", source="log").json()["items"]
    assert [rule["rule_id"] for rule in off] == [rule_id]
    assert ruled.get(f"{RULES}/{rule_id}").json()["enabled"] is False
    assert ruled.ask("DELETE", f"{RULES}/{rule_id}").status == 204
    for answer in (
        ruled.get(f"{RULES}/{rule_id}"),
        ruled.ask("DELETE", f"{RULES}/{rule_id}"),
        put(ruled, rule_id, {**RULE, "name": "Crud"}),
        put(ruled, rule_id, {**RULE, "name": "OOMDetected"}),
        put(ruled, rule_id, {}),
    ):
        assert_problem(answer, 404, code="not_found")


def test_a_list_of_rules_is_filtered_and_paged(ruled):
    total = ruled.get(RULES).json()["total"]
    by_source = {
        s: ruled.get(RULES, source=s).json()["total"]
        for s in ("log", "metric", "event", "trace")
    }
    assert sum(by_source.values()) == total
    pages = [ruled.get(RULES, offset=o, limit=7).json()["items"] for o in range(0, total, 7)]
    ids = [rule["rule_id"] for page in pages for rule in page]
    assert len(ids) == len(set(ids)) == total
    assert_problem(ruled.get(RULES, enabled="perhaps"), 400, field="enabled")
    assert_problem(ruled.get(RULES, sauce="log"), 400, field="sauce")


BAD = [
    ({"name": ""}, "name"),
    ({"name": 7}, "name"),
    ({"source": "smoke"}, "source"),
    ({"rule_type": "duration"}, "rule_type"),
    ({"rule_config": {"pattern": "("}}, "rule_config.pattern"),
    ({"rule_config": {}}, "rule_config.pattern"),
    ({"rule_config": 3}, "rule_config"),
    ({"rule_config": {"pattern": "a", "threshold": {"count": 0}}}, "rule_config.threshold.count"),
    ({"rule_config": {"pattern": "a", "threshold": {"count": 3}}}, "rule_config.threshold.window"),
    ({"rule_config": {"pattern": "a", "threshold": {"count": 3, "window": "soon"}}}, "rule_config.threshold.window"),
    ({"rule_config": {"pattern": "a", "treshold": {}}}, "rule_config.treshold"),
    ({"rule_config": {"pattern": "(?=a)"}}, "rule_config.pattern"),
    ({"rule_config": {"pattern": ".{0,300}a"}}, "rule_config.pattern"),
    ({"rule_config": {"pattern": "a", "exclude": "(a{9}){60}"}}, "rule_config.exclude"),
    ({"labels": ["a"]}, "labels"),
    ({"enabled": "yes"}, "enabled"),
    ({"severity": {}}, "severity"),
    ({"surprise": 1}, "surprise"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), BAD)
def test_what_is_wrong_with_a_rule_is_named(ruled, change, field):
    document = {**RULE, "name": "canary", **change}
    assert_problem(ruled.post(RULES, document), 400, field=field)
    assert_problem(
        ruled.post(f"{RULES}/test", {"rule": document, "lines": []}), 400, field=field
    )


def test_a_pattern_counts_to_its_threshold(ruled):
    made(ruled, name="Thrice", source="log", rule_type="pattern",
         rule_config={"pattern": "link flap", "threshold": {"count": 3, "window": "10m"}})  # fmt: skip
    ruled.log(line("link flap on mlx5_0", ago_s=400), line("link flap", ago_s=300))
    ruled.log(line("no flapping", ago_s=200))
    assert listed(ruled, alert_name="Thrice") == []
    ruled.log(line("again: link flap", ago_s=100))
    (alert,) = listed(ruled, alert_name="Thrice")
    assert (alert["source"], alert["severity"], alert["status"]) == ("log", "warning", "firing")
    assert alert["annotations"]["log_line"] == "again: link flap"
    assert alert["annotations"]["match_reason"] == "3 occurrences within 10m"


def test_a_pattern_counts_by_what_it_is_told_to(ruled):
    made(ruled, name="ByPod", source="log",
         rule_config={"pattern": "fabric (?P<what>error)",
                      "threshold": {"count": 2, "window": "5m", "by": ["pod_name", "what"]}},
         labels={"team": "net"}, annotations={"summary": "{{ $labels.pod_name }}: {{ $value }}"})  # fmt: skip
    ruled.log(
        line("fabric error", pod="p-1"),
        line("fabric error", pod="p-2"),
        line("fabric error", pod="p-2"),
    )
    (alert,) = listed(ruled, alert_name="ByPod")
    assert alert["labels"] == {
        "alertname": "ByPod", "severity": "warning", "team": "net", "pod_name": "p-2", "what": "error",
    }  # fmt: skip
    assert alert["annotations"]["summary"] == "p-2: 2"
    assert alert["pod_name"] == "p-2"


def test_one_skewed_client_does_not_shift_the_others_windows(ruled):
    made(ruled, name="Skew", source="log",
         rule_config={"pattern": "skewed thing", "threshold": {"count": 3, "window": "1m"}})  # fmt: skip
    # A node that lives tomorrow.
    ruled.log(line("skewed thing", ago_s=-86400, node="n-9", pod="p-9"))
    # A pod whose times are read in a wrong zone, on the node of the others.
    ruled.log(line("skewed thing", ago_s=-8 * 3600, pod="p-8"))
    ruled.log(*(line("skewed thing", ago_s=20 - n) for n in range(3)))
    assert len(listed(ruled, alert_name="Skew")) == 1


def test_a_series_that_stays_beyond_its_bound(ruled):
    made(ruled, name="Hot", source="metric", rule_type="threshold",
         rule_config={"metric": "gpu_hot_c", "match": ['gpu="3"'], "agg": "last", "window": "5m",
                      "op": ">", "value": 90, "for": "600ms"},
         annotations={"summary": "{{ $labels.gpu }} at {{ $value }}"})  # fmt: skip

    def feed(value):
        now_ms = NOW_MS + round((ruled.site.core.clock.now_ns() - NOW_NS) / 1e6)
        ruled.write([
            ({"__name__": "gpu_hot_c", "gpu": gpu, "node": "n-1"}, [(now_ms, value)]) for gpu in ("3", "4")
        ])  # fmt: skip

    feed(95.0)
    (alert,) = named(ruled, "Hot")
    assert (alert["labels"]["gpu"], alert["status"], alert["source"]) == (
        "3",
        "firing",
        "metric",
    )
    assert alert["annotations"]["summary"] == "3 at 95"
    assert alert["node_name"] == "n-1"
    feed(60.0)
    (over,) = later(
        ruled, lambda: listed(ruled, alert_name="Hot", status="resolved"), "it cooled down"
    )
    assert over["id"] == alert["id"]
    feed(99.0)
    again = later(ruled, lambda: listed(ruled, alert_name="Hot", status="firing"), "hot again")
    assert again[0]["id"] != alert["id"]


def test_a_series_that_is_silent(ruled):
    made(ruled, name="Gone", source="metric", rule_type="absence",
         rule_config={"match": {"metric": "heartbeat"}, "window": "1s", "by": ["node"]})  # fmt: skip
    beat = lambda: ruled.write([({"__name__": "heartbeat", "node": "n-1"}, [(  # noqa: E731
        round(ruled.site.core.clock.now_ns() / 1e6), 1.0)])])  # fmt: skip
    beat()
    (alert,) = named(ruled, "Gone")
    assert alert["labels"]["node"] == "n-1"
    later(
        ruled,
        lambda: beat() and listed(ruled, alert_name="Gone", status="resolved"),
        "it beats again",
    )


def test_a_series_far_from_its_own_past(ruled):
    made(ruled, name="Odd", source="metric", rule_type="anomaly",
         rule_config={"metric": "watts", "z": 8, "least": 20, "window": "10m"})  # fmt: skip
    calm = [(NOW_MS - (40 - n) * 1000, 300.0 + n % 5) for n in range(38)]
    ruled.write([({"__name__": "watts", "gpu": g}, calm) for g in ("0", "1")])
    now_ms = round(ruled.site.core.clock.now_ns() / 1e6)
    ruled.write([({"__name__": "watts", "gpu": "0"}, [(now_ms, 900.0)]),
                 ({"__name__": "watts", "gpu": "1"}, [(now_ms, 303.0)])])  # fmt: skip
    assert [alert["labels"]["gpu"] for alert in named(ruled, "Odd")] == ["0"]


SLOW = {
    "rule_name": "Told",
    "service_name": "dataloader",
    "operation": "load",
    "duration": 9000,
}


def test_traces_that_take_too_long(ruled):
    made(ruled, name="SlowLoad", source="trace", rule_type="duration",
         rule_config={"service_name": "dataloader", "operation": "load", "op": ">", "value_ms": 5000,
                      "threshold": {"count": 2, "window": "10m"}})  # fmt: skip
    first = ruled.post(
        "/v1/alerts/trace", {**SLOW, "trace_id": "t-1", "span_id": "s-1", "workload_id": "w-1"}
    )
    assert first.status == 201
    # The same operation, told again: it counts once.
    ruled.post(
        "/v1/alerts/trace", {**SLOW, "trace_id": "t-1", "span_id": "s-1", "workload_id": "w-1"}
    )
    ruled.post("/v1/alerts/trace", {**SLOW, "trace_id": "t-2", "duration": 10})
    assert listed(ruled, alert_name="SlowLoad") == []
    ruled.post("/v1/alerts/trace", {**SLOW, "trace_id": "t-3", "workload_id": "w-1"})
    (alert,) = listed(ruled, alert_name="SlowLoad")
    assert (alert["source"], alert["workload_id"]) == ("trace", "w-1")
    assert alert["annotations"]["duration_ms"] == "9000"
    (record, *_) = ruled.records(source_kind="trace")
    assert record["attributes"] == {
        "service_name": "dataloader", "operation": "load", "duration_ms": 9000, "trace_id": "t-3",
    }  # fmt: skip


def test_events_of_containers(ruled):
    made(ruled, name="Died", source="event", rule_type="match",
         rule_config={"match": {"event_type": "container_die", "attributes": {"exit_code": {"op": ">", "value": 100}}},
                      "threshold": {"count": 1}})  # fmt: skip
    event = {"type": "die", "source": "docker", "node": "n-1", "container_id": "c-1"}
    for code in (0, 139):
        answer = ruled.post(
            "/v1/container-events",
            {**event, "container_id": f"c-{code}", "data": {"exit_code": code}},
        )
        assert answer.status == 200, answer.body
    alerts = listed(ruled, alert_name="Died")
    assert len(alerts) == 1, ruled.records(source_kind="container")
    assert (alerts[0]["source"], alerts[0]["node_name"]) == ("event", "n-1")


def test_a_disabled_rule_stops_and_an_enabled_one_starts(ruled):
    document = {"name": "Switch", "source": "log", "severity": "info",
                "rule_config": {"pattern": "switch me", "threshold": {"by": ["pod_name"]}}}  # fmt: skip

    def told(pod):
        """The pods of alerts, once the line of *pod* is applied: a list waits for that."""
        ruled.log(line("switch me", pod=pod))
        return {alert["pod_name"] for alert in listed(ruled, alert_name="Switch")}

    rule_id = made(ruled, **document)
    assert told("a") == {"a"}
    put(ruled, rule_id, {**document, "enabled": False})
    assert told("b") == {"a"}
    put(ruled, rule_id, {**document, "enabled": True})
    assert told("c") == {"a", "c"}
    ruled.ask("DELETE", f"{RULES}/{rule_id}")
    assert told("d") == {"a", "c"}


def test_a_metric_rule_that_is_removed_says_no_more(ruled):
    document = {"name": "Brief", "source": "metric", "rule_type": "threshold",
                "rule_config": {"metric": "brief_v", "op": ">", "value": 0, "window": "1h"}}  # fmt: skip
    rule_id = made(ruled, **document)
    ruled.write([({"__name__": "brief_v"}, [(NOW_MS, 1.0)])])
    (alert,) = named(ruled, "Brief")
    assert ruled.ask("DELETE", f"{RULES}/{rule_id}").status == 204
    later(
        ruled,
        lambda: listed(ruled, alert_name="Brief", status="resolved"),
        "what it said ends with it",
    )
    assert [one["id"] for one in listed(ruled, alert_name="Brief")] == [alert["id"]]


def test_a_rule_is_tried_without_storing_anything(ruled):
    before = ruled.get("/v1/alerts").json()["total"]
    tried = ruled.post(
        f"{RULES}/test",
        {"rule": RULE, "lines": ["NCCL error 1", "fine", "NCCL WARN", "NCCL error"]},
    )
    assert tried.status == 200
    found = tried.json()
    assert (found["fires"], found["matched"], found["evaluated"]) == (True, 3, 4)
    assert [one["labels"]["category"] for one in found["alerts"]] == ["network"]
    not_enough = ruled.post(
        f"{RULES}/test", {"rule": RULE, "lines": ["NCCL error 1"] * 2}
    ).json()
    assert not_enough["fires"] is False
    metric = {"name": "M", "source": "metric", "rule_type": "threshold", "severity": "x",
              "rule_config": {"metric": "m", "op": ">", "value": 5, "for": "1m"}}  # fmt: skip
    points = [[NOW_MS + n * 30_000, 9.0] for n in range(6)]
    tried = ruled.post(
        f"{RULES}/test",
        {"rule": metric, "series": [{"labels": {"__name__": "m"}, "points": points}]},
    )
    assert tried.json()["fires"] is True
    trace = {
        "name": "T",
        "source": "trace",
        "rule_type": "duration",
        "rule_config": {"op": ">", "value_ms": 1},
    }
    tried = ruled.post(f"{RULES}/test", {"rule": trace, "traces": [SLOW]})
    assert tried.json()["fires"] is True, tried.body
    assert ruled.get("/v1/alerts").json()["total"] == before


def test_a_built_in_rule_is_disabled_and_comes_back(site):
    rule = next(
        r for r in site.get(RULES, limit=100).json()["items"] if r["name"] == "OOMDetected"
    )
    document = {
        key: rule[key] for key in ("name", "source", "rule_type", "rule_config", "severity")
    }
    oom = "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"
    assert put(site, rule["rule_id"], {**document, "enabled": False}).status == 200
    site.log(line(oom))
    assert listed(site, alert_name="OOMDetected") == []
    assert site.ask("DELETE", f"{RULES}/{rule['rule_id']}").status == 204
    site.log(line(oom))
    assert len(listed(site, alert_name="OOMDetected")) == 1
    assert_problem(site.ask("DELETE", f"{RULES}/{rule['rule_id']}"), 409, code="builtin")


def test_a_rule_of_ours_takes_the_place_of_a_built_in_one_of_its_name(site):
    rule_id = made(site, **RULE)
    site.log(line("NCCL error: unhandled"))
    assert listed(site, alert_name="NCCLError") == []
    rules = [r for r in site.get(RULES, limit=100).json()["items"] if r["name"] == "NCCLError"]
    assert [(r["builtin"], r["enabled"]) for r in rules] == [(False, True), (True, False)]
    site.ask("DELETE", f"{RULES}/{rule_id}")
    site.log(line("NCCL error: unhandled"))
    assert len(listed(site, alert_name="NCCLError")) == 1


# Kinds of lines of the shared collection, and the built-in rule that each should wake.
WAKES = {"oom": "OOMDetected", "nccl": "NCCLError"}


def test_the_built_in_rules_on_real_lines(site, shared_data):
    lines = [
        json.loads(text) for text in (shared_data / "loglines.jsonl").read_text().splitlines()
    ]
    for one in lines:
        # A pod of its own for each, so that one wakes no other's rule.
        site.log(line(one["line"], pod=one["id"]))
    fired = {}
    for alert in listed(site):
        fired.setdefault(alert["pod_name"], set()).add(alert["alert_name"])
    healthy = [one for one in lines if one["kind"] in {"perf", "start", "checkpoint"}]
    assert len(healthy) > 20
    assert [(one["id"], fired[one["id"]]) for one in healthy if one["id"] in fired] == []
    for kind, name in WAKES.items():
        missed = [
            one["line"][:150]
            for one in lines
            if one["kind"] == kind and name not in fired.get(one["id"], ())
        ]
        assert missed == [], (kind, missed)


PRIMUS = (
    " [2026-11-22 01:34:{:02d}] iteration {:8d}/     500 | consumed samples: {:12d} | elapsed time per "
    "iteration (ms): 1420.1 | learning rate: 1.0E-05 | global batch size: 16 | lm loss: 1.1{:d}E+00 | "
    "loss scale: 1.0 | grad norm: 0.5 | num zeros: 0 | number of skipped iterations: 0 | "
    "number of nan iterations:   {} |"
)


def test_healthy_primus_lines_wake_nobody_and_a_sick_one_does(site):
    site.log(
        *(line(PRIMUS.format(n % 60, n, n * 16, n % 10, 0), ago_s=60 - n) for n in range(1, 50))
    )
    assert listed(site) == []
    site.log(line(PRIMUS.format(59, 51, 51 * 16, 1, 2)))
    assert [alert["alert_name"] for alert in listed(site)] == ["NaNLoss"]


@pytest.mark.parametrize("other_words", [False, True])
def test_rules_and_what_they_remember_survive_a_restart(tmp_path, other_words):
    kept = {**RULE, "name": "Kept"}
    with running(tmp_path / "data") as site:
        rule_id = made(site, **kept)
        site.log(line("NCCL error 1", ago_s=30), line("NCCL error 2", ago_s=20))
        assert listed(site, alert_name="Kept") == []
        if other_words:
            assert put(site, rule_id, {**kept, "annotations": {"summary": "x"}}).status == 200
    with running(tmp_path / "data") as site:
        site.log(line("NCCL error 3", ago_s=10))
        (alert,) = listed(site, alert_name="Kept")
        assert alert["annotations"]["match_reason"] == "3 occurrences within 10m"
        site.assert_sound()


def test_rows_of_pods_that_nobody_placed_are_of_the_pods_that_their_lines_name(site):
    step = " iteration {:8d}/  100 | lm loss: 9.0E+00 | number of nan iterations:   0 |"
    each = {
        "fields": ["lm_loss"],
        "op": ">",
        "value": 5,
        "threshold": {"count": 2, "window": "10m", "by": ["pod_name"]},
    }
    made(site, name="Each", source="log", rule_type="field", rule_config=each)
    one = {**each, "match": ['pod_name="p-8"'], "threshold": {"count": 1}}
    made(site, name="One", source="log", rule_type="field", rule_config=one)
    site.log(*(line(step.format(1), pod=pod) for pod in ("p-7", "p-8", "p-9")))
    site.log(line(step.format(2), pod="p-8", ago_s=0.5))
    (each,) = later(site, lambda: listed(site, alert_name="Each"), "two of one pod")
    (one,) = later(site, lambda: listed(site, alert_name="One"), "the matched pod")
    assert (each["pod_name"], one["pod_name"], each["node_name"]) == ("p-8", "p-8", "n-1")


def test_lines_have_their_colours_off_when_they_come_in_and_when_a_rule_is_tried(site):
    far = {"name": "Red", "source": "log", "rule_type": "pattern",
           "rule_config": {"pattern": "^lost the way$"}}  # fmt: skip
    made(site, **far)
    coloured = ["\x1b[31mlost \x1b[1mthe way\x1b[0m", "[31mlost the way[0m"]
    tried = site.post(
        f"{RULES}/test", {"rule": far, "lines": [*coloured, {"message": coloured[0]}]}
    ).json()
    assert (len(tried["alerts"]), tried["matched"]) == (1, 3)
    site.log(line(coloured[0], pod="p-1"))
    later(site, lambda: listed(site, alert_name="Red"), "the alert")


def test_a_stored_rule_that_is_allowed_no_more_is_told_of_and_kept(
    tmp_path, monkeypatch, caplog
):
    with running(tmp_path / "data") as site:
        rule_id = made(site, name="Far", source="log", rule_type="pattern",
                       rule_config={"pattern": "a.{90}b"})  # fmt: skip
    with monkeypatch.context() as patched, running(tmp_path / "data") as site:
        patched.setattr(counting, "COUNTED_MAX", 50)
        made(site, **{**RULE, "name": "Near"})
        assert site.get(f"{RULES}/{rule_id}").status == 404
    (told,) = [one for one in caplog.records if one.msg == "rule left out"]
    assert (told.rule, "counts too far: 89" in told.why) == ("Far", True)
    with running(tmp_path / "data") as site:
        assert site.get(f"{RULES}/{rule_id}").json()["name"] == "Far"


def test_the_timeline_of_a_workload_has_its_alerts(site):
    site.place(uid="w-1", pod="p-1", node="n-1", start="2026-11-01T00:00:00Z")
    for seconds in (-500, -300, -100):
        site.log(
            line(
                f"saving checkpoint at iteration {-seconds} to /ckpt in torch format",
                ago_s=-seconds,
            )
        )
    for n, seconds in enumerate((-400, -200, -600)):
        post_v2(
            site,
            {"labels": {"alertname": f"A{n}", "workload_id": "w-1"}, "startsAt": at(seconds)},
        )
    post_v2(site, {"labels": {"alertname": "Other", "workload_id": "w-2"}, "startsAt": at(-50)})

    def timeline(**query):
        answer = site.get("/v1/workloads/w-1/timeline", **query)
        assert answer.status == 200, answer.body
        return answer.json()

    whole = timeline(limit=1000)
    times = [item["timestamp"] for item in whole["items"]]
    assert times == sorted(times)
    assert whole["total"] == len(whole["items"])
    told = [
        item["alert_name"] if item["event_type"] == "alert" else item["event_type"]
        for item in whole["items"]
    ]
    save = "checkpoint_save_start"
    assert told == ["A2", save, "A0", save, "A1", save]
    for limit in (1, 2, 3):
        paged = []
        for offset in range(0, whole["total"], limit):
            paged += timeline(offset=offset, limit=limit)["items"]
        assert paged == whole["items"]
    between = timeline(start=at(-450), end=at(-250))["items"]
    assert [item["event_type"] for item in between] == ["alert", save]


def test_what_a_rule_says_is_in_the_ledger(tmp_path):
    hook = Hook()
    with contextlib.closing(hook), running(tmp_path / "data", alerting=telling(hook)) as site:
        made(site, name="Noted", source="log", rule_config={"pattern": "note me"})
        site.log(line("note me"))
        (alert,) = named(site, "Noted")
        entry = in_ledger(site, alert["id"], "it is told", kind="sent")
    assert (entry["alert_id"], entry["channel"]) == (alert["id"], "webhook")
    (told,) = hook.alerts("firing")
    assert told["labels"]["alertname"] == "Noted"


def test_an_absence_in_an_idle_service_is_one_episode_and_ends_with_its_rule(site):
    rule_id = made(site, name="Quiet", source="log", rule_type="absence",
                   rule_config={"match": {"pattern": "never"}, "window": "1s"})  # fmt: skip
    (alert,) = named(site, "Quiet")
    assert site.ask("DELETE", f"{RULES}/{rule_id}").status == 204
    later(
        site,
        lambda: listed(site, alert_name="Quiet", status="resolved"),
        "what it said ends with it",
    )
    until_s = site.site.core.clock.monotonic_s() + 1.5
    while site.site.core.clock.monotonic_s() < until_s:
        assert [one["id"] for one in listed(site, alert_name="Quiet")] == [alert["id"]]


def test_bounds_that_rules_reach_are_measured(site):
    made(site, name="Thrice", source="log",
         rule_config={"pattern": "flap", "threshold": {"count": 3, "window": "10m"}})  # fmt: skip
    site.log(line("flap"), line("flap", ago_s=7200))
    listed(site)
    tally = site.measured("heliograph_alerts_rules_tally")
    assert tally['{what="late"}'] == 1


def test_a_rule_over_series_names_whose_an_alert_is(ruled):
    words = {
        "summary": "{{ .PodName }} of {{ .WorkloadName }} on {{ .NodeName }} {{ $labels.gpu }}"
    }
    over = {"name": "RawOver", "source": "metric", "rule_type": "threshold", "annotations": words,
            "rule_config": {"metric": "raw_v", "op": ">", "value": 0, "window": "1h"}}  # fmt: skip
    gone = {**over, "name": "RawGone", "rule_type": "absence",
            "rule_config": {"match": {"metric": "raw_v"}, "window": "2s", "by": ["pod"]}}  # fmt: skip
    given = {
        "labels": {"pod": "p-1", "gpu": "3"},
        "points": [[NOW_MS - 30_000, 1], [NOW_MS, 1]],
    }
    tried = ruled.post(f"{RULES}/test", {"rule": over, "series": [given]}).json()
    rule_id = made(ruled, **over)
    made(ruled, **gone)
    # A silence is told of what was heard within its window.
    at_ms = round(ruled.site.core.clock.now_ns() / 1e6)
    ruled.write([({"__name__": "raw_v", "pod": "p-1", "gpu": "3"}, [(at_ms, 1.0)])])
    (fired,) = named(ruled, "RawOver")
    assert fired["annotations"]["summary"] == "p-1 of w-1 on n-1 3"
    assert tried["alerts"][0]["annotations"] == fired["annotations"]
    (silent,) = named(ruled, "RawGone")
    assert silent["annotations"]["summary"] == "p-1 of w-1 on n-1 "
    ruled.ask("DELETE", f"{RULES}/{rule_id}")
    (over,) = later(
        ruled, lambda: listed(ruled, alert_name="RawOver", status="resolved"), "it is over"
    )
    assert over["annotations"]["summary"] == "p-1 of w-1 on n-1 3"


def test_a_severity_that_only_the_labels_say_is_the_alerts(site):
    labels = {"severity": "critical", "team": "a"}
    given = {"name": "Labelled", "source": "log", "rule_config": {"pattern": "labelled"}}
    answer = site.post(RULES, {**given, "labels": labels})
    assert answer.status == 201, answer.body
    shown = site.get(f"{RULES}/{answer.json()['rule_id']}").json()
    assert (shown["severity"], shown["labels"]) == ("critical", labels)
    assert put(site, shown["rule_id"], shown).status == 200
    site.log(line("labelled"))
    (alert,) = later(site, lambda: listed(site, alert_name="Labelled"), "the alert")
    assert (alert["severity"], alert["labels"]["severity"]) == ("critical", "critical")
    for more, field in (
        ({"severity": "info", "labels": labels}, "labels.severity"),
        ({"labels": {"alertname": "Other"}}, "labels.alertname"),
    ):
        assert_problem(site.post(RULES, {**given, "name": "L2", **more}), 400, field=field)
