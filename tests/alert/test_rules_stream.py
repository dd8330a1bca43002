"""Rules over what streams in: what fires, for whom, and what is kept of it."""

import json
import math

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import Said, Trace
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import labels as core_labels
from heliograph.core.duration import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow

S = SECOND_NS
T0 = 1_767_225_600 * S
OOM = "RuntimeError: CUDA out of memory."


def rule(config, **over):
    rule_id = over.pop("id", "r")
    given = {"name": "R", "source": "log", "severity": "warning", **over, "rule_config": config}
    return decode(given, rule_id=rule_id)


def said(text="", at_s=0, pod="p0", workload="w1", **labels):
    context = Context(workload_id=workload, pod_name=pod, pod_id=pod and f"uid-{pod}")
    return Said(T0 + int(at_s * S), f"uid-{pod}", context, labels, text)


def lines(stream, *given, seq=1):
    for one in given:
        hits = stream.match(one.text)
        if hits:
            stream.line(hits, one, seq=seq, arrival_ns=max(one.at_ns, T0) + S)
    return stream.drain()[0]


def stream_of(*rules, **over):
    return RuleStream(rules, since_ns=T0, **over)


def test_a_line_fires_its_rule_and_is_in_the_alert():
    stream = stream_of(rule({"pattern": "NCCL WARN"}, labels={"category": "network"},
                            annotations={"summary": "on {{ .PodName }}: {{ $labels.stream }} {{ $x }}"}))  # fmt: skip
    (post,) = lines(stream, said("NCCL WARN bad", stream="stderr"), seq=7)

    assert dict(post.labels) == {
        "alertname": "R", "severity": "warning", "category": "network", "workload_id": "w1",
        "pod_name": "p0",
    }  # fmt: skip
    assert post.fingerprint == core_labels.fingerprint(post.labels)
    assert dict(post.annotations) == {
        "summary": "on p0: stderr {{ $x }}", "log_line": "NCCL WARN bad",
    }  # fmt: skip
    assert (post.source, post.status, post.seq) == ("log", "firing", 7)
    assert (post.at_ns, post.starts_ns, post.received_ns) == (T0, T0, T0 + S)
    assert post.resolve_after_ns == HOUR_NS
    assert post.hints.pod_id == "uid-p0"
    assert json.loads(post.raw)["log_line"] == "NCCL WARN bad"


def test_lines_that_do_not_match_say_nothing():
    stream = stream_of(rule({"pattern": "NCCL WARN"}))
    assert stream.match("NCCL INFO fine") == ()
    assert lines(stream, said("NCCL INFO fine")) == []


def test_a_clock_that_is_ahead_starts_no_alert_in_the_future():
    stream = stream_of(rule({"pattern": "x"}))
    stream.line(stream.match("x"), said("x", at_s=400 * 86400), seq=1, arrival_ns=T0)
    (post,) = stream.drain()[0]
    assert (post.starts_ns, post.at_ns) == (T0, T0 + 400 * DAY_NS)


def test_three_within_ten_minutes_are_needed_and_counted_over_all_without_by():
    stream = stream_of(rule({"pattern": "NCCL", "threshold": {"count": 3, "window": "10m"}}))
    story = [
        [post.annotations for post in lines(stream, said("NCCL", t, pod=f"p{t}"))]
        for t in (0, 60, 120)
    ]
    assert story[:2] == [[], []]
    assert dict(story[2][0])["match_reason"] == "3 occurrences within 10m"


def test_counts_by_labels_are_apart():
    stream = stream_of(
        rule({"pattern": "x", "threshold": {"count": 2, "window": "10m", "by": ["pod_name"]}})
    )
    given = [said("x", 0, pod="a"), said("x", 1, pod="b"), said("x", 2, pod="a")]
    (post,) = lines(stream, *given)
    assert core_labels.get(post.labels, "pod_name") == "a"
    assert core_labels.get(post.labels, "workload_id") == ""


def test_a_skewed_client_shifts_no_window_of_another():
    stream = stream_of(rule({"pattern": "x", "threshold": {"count": 3, "window": "10m"}}))
    ahead = [said("x", 10_000_000 + 2000 * n, pod="skewed") for n in range(50)]
    assert lines(stream, said("x", 0), *ahead, said("x", 1)) == []
    assert len(lines(stream, said("x", 2, pod="other"))) == 1


def test_many_lines_between_two_drains_are_one_post_of_the_first_line():
    stream = stream_of(rule({"pattern": "x"}))
    for seq in (5, 6):
        stream.line((0,), said(f"x{seq}"), seq=seq, arrival_ns=T0 + seq)
    (post,) = stream.drain()[0]
    assert (dict(post.annotations)["log_line"], post.seq, post.received_ns) == ("x5", 6, T0 + 6)
    assert len(lines(stream, said("x"))) == 1


def test_named_groups_may_be_counted_by_matched_on_and_shown():
    config = {
        "pattern": r"Xid \((?P<pci>[^)]+)\): (?P<xid>\d+), (?P<what>\w+)",
        "match": ['xid=~"79|48"', 'pod_name=~"p.*"'],
        "threshold": {"by": ["pci", "xid"]},
    }
    stream = stream_of(rule(config))
    (post,) = lines(stream, said("Xid (a:b): 79, gone"), said("Xid (a:b): 13, ok"))
    assert dict(post.labels) == {
        "alertname": "R",
        "severity": "warning",
        "pci": "a:b",
        "xid": "79",
    }
    assert dict(post.annotations)["what"] == "gone"


def test_what_is_excluded_does_not_fire():
    stream = stream_of(
        rule({"pattern": "out of memory", "exclude": "avoid", "ignore_case": True})
    )
    assert len(lines(stream, said("to AVOID Out of memory"), said("Out Of Memory"))) == 1


def test_a_disabled_rule_is_not_looked_at():
    stream = stream_of(rule({"pattern": "x"}, enabled=False))
    assert stream.match("x") == ()


@pytest.mark.parametrize("split", range(1, 6))
def test_state_is_taken_up_wherever_the_process_ends(split):
    """The same lines over two lives give the same posts as over one."""
    one = rule({"pattern": "x", "threshold": {"count": 3, "window": "10m", "by": ["pod_name"]}})
    given = [
        said("x", t, pod=p)
        for t, p in ((0, "a"), (1, "b"), (2, "a"), (3, "a"), (4, "b"), (5, "b"))
    ]
    whole = stream_of(one)
    expected = [lines(whole, part, seq=n) for n, part in enumerate(given)]

    first = stream_of(one)
    told, kept = [], {}
    for n, part in enumerate(given):
        if n == split:
            first = stream_of(one, states=list(kept.values()))
        hits = first.match(part.text)
        first.line(hits, part, seq=n, arrival_ns=max(part.at_ns, T0) + S)
        posts, rows = first.drain()
        told.append(posts)
        kept.update({row.key: row for row in rows})
    assert told == expected


def test_a_stream_of_other_rules_takes_up_all_that_is_remembered():
    config = {"pattern": "x", "threshold": {"count": 3, "window": "10m"}}
    silent = {"match": {"fields": ["loss"]}, "window": "10m", "by": ["workload_id"]}
    spike = {"fields": ["loss"], "least": 3, "size": 5, "by": ["workload_id"]}
    rules = [rule(config, id="a"), rule(silent, id="b", name="B", rule_type="absence"),
             rule(spike, id="c", name="C", rule_type="anomaly")]  # fmt: skip
    before = stream_of(*rules)
    lines(before, said("x", 0), said("x", 1))
    for n in range(5):
        before.row(row(n, loss=1.0), said(at_s=n), arrival_ns=T0)
    before.drain()

    after = stream_of(*reversed(rules), states=before.everything())
    assert len(lines(after, said("x", 2))) == 1
    after.row(row(6, loss=9.0), said(at_s=6), arrival_ns=T0)
    after.tick(T0 + 11 * MINUTE_NS)
    assert [dict(post.labels)["alertname"] for post in after.drain()[0]] == ["C", "B"]
    assert not after.bounds()["state_unread"]


def test_a_state_that_no_rule_can_read_is_counted():
    one = rule({"pattern": "x", "threshold": {"count": 2, "window": "1m"}})
    stream = stream_of(one)
    lines(stream, said("x"))
    stream.line((0,), said("x", 0.5), arrival_ns=T0)
    rows = stream.drain()[1]
    silent = rule({"match": {"pattern": "x"}, "window": "1m"}, rule_type="absence")
    assert stream_of(silent, states=rows).bounds()["state_unread"] == 1


def record(event_type="container_exit", severity="error", at_s=0, **attributes):
    return Record("id", T0 + at_s * S, T0, "s", "container", event_type, severity=severity,
                  body="it ended", resource={"node": "n1"}, attributes=attributes)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "fires"),
    [
        (record(exit_code=137, reason="OOMKilled"), True),
        (record(exit_code=0, reason="OOMKilled"), False),
        (record(exit_code=None, reason="OOMKilled"), False),
        (record(exit_code=137, reason="Error"), False),
        (record(exit_code=137, reason="OOMKilled", severity="info"), False),
        (record("other", exit_code=137, reason="OOMKilled"), False),
    ],
)
def test_an_event_that_matches_in_all_fires(given, fires):
    config = {
        "event_type": ["container_exit"], "severity": "error",
        "attributes": {"exit_code": {"op": ">", "value": 0}, "reason": "OOM*"},
    }  # fmt: skip
    stream = stream_of(rule(config, source="event"))
    stream.record(given, Said(T0, "n1"), seq=1, arrival_ns=T0)
    posts = stream.drain()[0]
    assert bool(posts) is fires
    for post in posts:
        assert post.source == "event"
        assert dict(post.labels) == {"alertname": "R", "severity": "warning", "node_name": "n1"}
        assert dict(post.annotations) == {
            "event_type": "container_exit",
            "log_line": "it ended",
        }


def test_restarts_are_counted():
    config = {
        "event_type": "start",
        "threshold": {"count": 3, "window": "5m", "by": ["pod_name"]},
    }
    stream = stream_of(rule(config, source="event"))
    for n in range(3):
        stream.record(record("start", "info", n), said(at_s=n), arrival_ns=T0)
    (post,) = stream.drain()[0]
    assert dict(post.annotations)["match_reason"] == "3 occurrences within 5m"


@pytest.mark.parametrize(
    ("trace", "fires"),
    [
        (Trace("dataloader", "load_batch", 5000.0, "t1", "s1"), True),
        (Trace("dataloader", "load_batch", 1000.0), False),
        (Trace("other", "load_batch", 5000.0), False),
        (Trace("dataloader", "init", 5000.0), False),
    ],
)
def test_a_slow_operation_fires(trace, fires):
    config = {"service_name": "dataloader", "operation": "load_batch", "value_ms": 1000}
    stream = stream_of(rule(config, source="trace"))
    stream.trace(trace, said(), arrival_ns=T0)
    posts = stream.drain()[0]
    assert bool(posts) is fires
    if fires:
        assert dict(posts[0].annotations) == {
            "service_name": "dataloader", "operation": "load_batch", "trace_id": "t1",
            "span_id": "s1", "duration_ms": "5000",
        }  # fmt: skip


def test_a_record_that_tells_an_operation_is_a_trace():
    stream = stream_of(rule({"operation": "save", "value_ms": 10}, source="trace"))
    stream.record(
        record("op", operation="save", service_name="ckpt", duration_ms=11),
        said(),
        arrival_ns=T0,
    )
    assert len(stream.drain()[0]) == 1


def row(at_s=0, source="log", **fields):
    iteration = fields.pop("iteration", None)
    return TrainingRow("uid-p0", source, "", T0 + at_s * S, iteration, None, "x", fields)


@pytest.mark.parametrize(
    ("config", "fields", "fires"),
    [
        ({"field": "lm_loss", "op": "nan"}, {"lm_loss": math.nan}, True),
        ({"field": "lm_loss", "op": "nan"}, {"lm_loss": 2.0}, False),
        ({"field": "lm_loss", "op": "inf"}, {"lm_loss": -math.inf}, True),
        ({"fields": ["a", "mfu"], "op": "<", "value": 20}, {"mfu": 10.0}, True),
        ({"fields": ["a", "mfu"], "op": "<", "value": 20}, {"mfu": 30.0}, False),
    ],
)
def test_fields_of_training_rows(config, fields, fires):
    stream = stream_of(rule(config, rule_type="field"))
    stream.row(row(**fields), said(), arrival_ns=T0)
    assert bool(stream.drain()[0]) is fires


def test_silence_fires_lasts_and_ends_when_heard_again():
    config = {
        "match": {"fields": ["current_iteration"]},
        "window": "10m",
        "by": ["workload_id"],
    }
    stream = stream_of(
        rule(config, rule_type="absence", annotations={"summary": "{{ $value }} s"})
    )
    stream.row(row(current_iteration=1), said(), arrival_ns=T0)

    def tick(at_ns):
        stream.tick(at_ns)
        return [(p.status, p.seq) for p in stream.drain()[0]]

    assert tick(T0 + 10 * MINUTE_NS) == []
    stream.tick(T0 + 11 * MINUTE_NS)
    (post,) = stream.drain()[0]
    assert (post.status, dict(post.labels)) == (
        "firing", {"alertname": "R", "severity": "warning", "workload_id": "w1"},
    )  # fmt: skip
    assert post.starts_ns == T0 + 10 * MINUTE_NS
    assert dict(post.annotations)["summary"] == "660 s"
    assert tick(T0 + 12 * MINUTE_NS) == [("firing", -1)]
    stream.row(row(current_iteration=2), said(), seq=9, arrival_ns=T0 + 13 * MINUTE_NS)
    (over,) = stream.drain()[0]
    assert (over.status, over.ends_ns, over.seq, over.fingerprint) == (
        "resolved", T0 + 13 * MINUTE_NS, 9, post.fingerprint,
    )  # fmt: skip
    assert tick(T0 + 14 * MINUTE_NS) == []


def test_silence_after_an_end_is_none():
    config = {"match": {"fields": ["current_iteration"]}, "window": "10m", "by": ["workload_id"],
              "until": {"event_type": "training_end"}}  # fmt: skip
    stream = stream_of(rule(config, rule_type="absence"))
    stream.row(row(current_iteration=1), said(), arrival_ns=T0)
    stream.record(record("training_end"), said(), arrival_ns=T0 + S)
    stream.tick(T0 + HOUR_NS)
    assert stream.drain()[0] == []


def test_without_by_it_is_expected_from_the_beginning():
    stream = stream_of(
        rule({"match": {"pattern": "alive"}, "window": "10m"}, rule_type="absence")
    )
    stream.tick(T0 + 11 * MINUTE_NS)
    assert [post.status for post in stream.drain()[0]] == ["firing"]
    assert [post.status for post in lines(stream, said("alive", 700))] == ["resolved"]


def test_an_absence_outlives_the_process_and_its_rule_ends_it():
    config = {"match": {"fields": ["loss"]}, "window": "10m", "by": ["workload_id"]}
    one = rule(config, rule_type="absence")
    stream = stream_of(one)
    stream.row(row(loss=1.0), said(), arrival_ns=T0)
    stream.tick(T0 + 11 * MINUTE_NS)
    rows = stream.drain()[1]
    later = RuleStream([one], since_ns=T0 + HOUR_NS, states=rows)
    later.tick(T0 + HOUR_NS + MINUTE_NS)
    assert later.drain()[0] == []
    later.tick(T0 + HOUR_NS + 11 * MINUTE_NS)
    assert [post.status for post in later.drain()[0]] == ["firing"]
    later.retire(T0 + 2 * HOUR_NS)
    assert [post.status for post in later.drain()[0]] == ["resolved"]


def selector(given):
    key, values = given["key"], given["values"]
    match given["operator"]:
        case "eq":
            return [f'{key}="{values[0]}"']
        case "ne":
            return [f'{key}!="{values[0]}"', f'{key}!=""']
        case "in":
            return [f'{key}=~"{"|".join(values)}"']
        case "notin":
            return [f'{key}!~"{"|".join(values)}"']
        case "exists":
            return [f'{key}!=""']
        case "notexists":
            return [f'{key}=""']
        case "regex":
            return [
                f'{key}=~".*(?:{values[0]}).*"'
                if not values[0].startswith("^")
                else f'{key}=~"{values[0]}"'
            ]


def test_the_reference_engines_cases(shared_data):
    told = json.loads((shared_data / "lens_vectors/log_alert_rules.json").read_text())
    for case in told["cases"]:
        if case["kind"] == "threshold":
            given = case["rule"]
            config = {
                "pattern": given["pattern"], "ignore_case": given["ignore_case"],
                "threshold": {"count": given["count_threshold"], "window": given["time_window"],
                              "by": given["aggregate_by"]},
            }  # fmt: skip
            stream = stream_of(rule(config))
            fired = [
                event["t"]
                for event in case["events"]
                if lines(
                    stream, said(event["message"], event["t"], event["pod"], event["workload"])
                )
            ]
            assert fired == case["observed_fired_at"], case["id"]
        elif case["kind"] == "selector":
            context = case["context"]
            one = rule({"pattern": "x", "match": selector(case["selector"])})
            stream = stream_of(one)
            flat = {**context.pop("labels"), **context}
            stream.line((0,), Said(T0, "c", labels=flat, text="x"), arrival_ns=T0)
            expected = case["observed"]
            if case["id"] == "notexists-template":
                expected = (
                    False  # The namespace is there; "match all" is the template without it.
                )
            assert bool(stream.drain()[0]) is expected, case["id"]


def test_of_changes_a_jump_of_a_field_fires_and_its_past_outlives_the_process():
    config = {"fields": ["lr"], "z": 8, "least": 5, "of": "change", "direction": "both"}
    one = rule(config, rule_type="anomaly")
    climb = [
        0,
        2.3,
        4.1,
        6.4,
        7.9,
        10,
        12.2,
        13.9,
        16.3,
        18,
        20.2,
        21.8,
        24.1,
        26,
        28,
        58,
        60.1,
    ]
    stream, fired = stream_of(one), []
    for n, value in enumerate(climb):
        if n == 9:
            stream = stream_of(one, states=stream.everything())
        stream.row(row(n, lr=value), said(at_s=n), arrival_ns=T0)
        fired += [n for _ in stream.drain()[0]]

    assert fired == [15]
