"""What a trial says of a rule is what the service says of it, over the same lines, events and operations."""

import pytest

from tests.service.alert_site import listed
from tests.service.running import NOW_NS, running
from tests.service.test_alerts_rules import RULES, later, line, made


@pytest.fixture(scope="module")
def ruled(tmp_path_factory):
    """One service, with a job of which rules know more than its lines say."""
    with running(tmp_path_factory.mktemp("trials") / "data") as site:
        site.place(
            uid="w-1",
            pod="placed-0",
            namespace="train",
            node="n-7",
            start="2026-11-01T00:00:00Z",
        )
        yield site
        site.assert_sound()


def lines(*texts, pod="p", **more):
    return [{**line(text, ago_s=9 - n, pod=pod), **more} for n, text in enumerate(texts)]


def named_only(*texts, pod):
    """Of a shipper that knows a pod by its name."""
    given = lines(*texts, pod=pod)
    for one in given:
        del one["kubernetes"]["pod_id"], one["kubernetes"]["host"]
    return given


def parts(*texts, pod):
    *first, last = lines(*texts, pod=pod)
    return [*({**one, "logtag": "P", "date": last["date"]} for one in first), last]


def twice_by(*names):
    return {"count": 2, "window": "5m", "by": list(names)}


CASES = {
    "a rank of each line": (
        {"pattern": "boom", "threshold": twice_by("rank")},
        lines("[rank0]: boom", "[rank1]: boom"), 0),
    "the same rank twice": (
        {"pattern": "boom", "threshold": twice_by("rank")},
        lines("[rank0]: boom", "[rank1]: boom", "[rank1]: boom again"), 1),
    "a rank that is matched": (
        {"pattern": "boom", "match": ['rank="0"'], "threshold": {"by": ["rank"]}},
        lines("[rank0]: boom", "[rank1]: boom"), 1),
    "rank and device in words": (
        {"pattern": "out of memory"},
        lines("[rank3]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. "
              "GPU 1 has a total capacity"), 1),
    "whose a placed pod is": (
        {"pattern": "boom", "match": ['workload_name="w-1"']}, named_only("boom", pod="placed-0"), 1),
    "counted by the workload": (
        {"pattern": "boom", "threshold": twice_by("workload_id")},
        named_only("boom", "boom", pod="placed-0"), 1),
    "a line in parts": ({"pattern": "boom"}, parts("bo", "om", pod="p"), 1),
    "a part without its end": (
        {"pattern": "bo"}, [{**one, "logtag": "P"} for one in lines("bo", pod="endless")], 0),
    "a key beside the text": (
        {"pattern": "boom", "match": ['level="error"']}, lines("boom", level="error"), 0),
    "a label of the pod": (
        {"pattern": "boom", "match": ['app="x"']},
        [{**one, "kubernetes": {**one["kubernetes"], "labels": {"app": "x"}}} for one in lines("boom")],
        0),
    "stream, container and namespace": (
        {"pattern": "boom", "match": ['stream="stderr"', 'namespace="train"', 'container=""']},
        lines("boom", stream="stderr"), 1),
    "several lines of an entry": ({"pattern": "^boom$"}, lines("a\nboom\r\n\n  \nboom b\n"), 1),
    "a text that is none": ({"pattern": "3"}, [{**lines("")[0], "log": 3}], 0),
    "what is after 64 KiB": ({"pattern": "boom$"}, lines("x" * 70_000 + "boom"), 0),
    "equal lines": (
        {"pattern": "boom", "threshold": twice_by("pod_name")}, lines("boom") * 2, 1),
}  # fmt: skip
WORDS = {
    "summary": "{{ $labels.rank }}/{{ $labels.device }} of {{ .WorkloadName }} on {{ .NodeName }}"
}


@pytest.mark.parametrize(("config", "given", "fires"), CASES.values(), ids=CASES)
def test_a_trial_of_lines_says_what_the_service_says(ruled, request, config, given, fires):
    name = request.node.callspec.id
    # Of its own pod, so that no case is another's.
    document = {
        "name": name, "source": "log", "severity": "warning", "annotations": WORDS,
        "rule_config": {**config, "match": [*config.get("match", ()), 'container!="none"']},
    }  # fmt: skip
    tried = ruled.post(f"{RULES}/test", {"rule": document, "lines": given}).json()
    rule_id = made(ruled, **document)
    assert ruled.log(*given).status == 200
    ruled.log(line("the end", pod="end"))
    real = [shown(one) for one in listed(ruled, alert_name=name)]
    assert ruled.ask("DELETE", f"{RULES}/{rule_id}").status == 204
    assert [shown(one) for one in tried["alerts"]] == real
    assert len(real) == fires


def shown(alert):
    return alert["labels"], alert["annotations"], alert["starts_at"]


STEP = "[rank{0}]: iteration {1:8d}/  100 | lm loss: 9.0E+00 | number of nan iterations:   0 |"


def test_a_rule_over_fields_knows_the_rank_of_a_row(ruled):
    field = {"fields": ["lm_loss"], "op": ">", "value": 5}
    rules = {
        "Third": {**field, "match": ['rank="3"']},
        "EachRank": {**field, "threshold": {"count": 2, "window": "10m", "by": ["rank"]}},
    }
    row = {"fields": {"lm_loss": 9.0}, "rank": 3}
    for name, config in rules.items():
        document = {"name": name, "source": "log", "rule_type": "field", "rule_config": config,
                    "annotations": {"summary": "rank {{ $labels.rank }}"}}  # fmt: skip
        tried = ruled.post(
            f"{RULES}/test", {"rule": document, "rows": [row, {**row, "rank": 4}, row]}
        )
        assert [one["annotations"]["rank"] for one in tried.json()["alerts"]] == ["3"]
        made(ruled, **document)
    ruled.log(*lines(STEP.format(3, 1), STEP.format(4, 1), STEP.format(3, 2), pod="ranked"))
    for name in rules:
        (alert,) = later(ruled, lambda name=name: listed(ruled, alert_name=name), name)
        assert alert["annotations"]["summary"] == "rank 3"
    assert alert["labels"]["rank"] == "3"
    # A row that names its rank as a value only.
    ruled.log(*lines('{"rank": 7, "step": 1, "lm_loss": 9.0}', '{"rank": 6, "step": 2, "lm_loss": 9.0}',
                     '{"rank": 7, "step": 3, "lm_loss": 9.0}', pod="told"))  # fmt: skip
    found = later(
        ruled,
        lambda: (found := listed(ruled, alert_name="EachRank"))[1:] and found,
        "the other rank",
    )
    assert {one["labels"]["rank"] for one in found} == {"3", "7"}


def test_a_trial_of_records_and_operations_knows_whose_they_are(ruled):
    at = {"timestamp": NOW_NS / 1e9 - 30}
    event = {"name": "E", "source": "event", "rule_config": {
        "event_type": "e", "match": ['workload_id="w-1"', 'severity=""', 'record_severity="error"']}}  # fmt: skip
    record = {"event_type": "e", "severity": "error", "resource": {"pod_uid": "placed-0"}, **at}
    slow = {"name": "S", "source": "trace", "rule_config": {
        "value_ms": 5, "match": ['pod_name="placed-0"', 'node_name="n-7"', 'status=""']}}  # fmt: skip
    trace = {
        "operation": "o",
        "duration": 9,
        "pod_id": "placed-0",
        "status": "x",
        "trace_id": "t",
    }
    for rule, given in ((event, {"records": [record]}), (slow, {"traces": [trace]})):
        tried = ruled.post(f"{RULES}/test", {"rule": rule, **given})
        assert tried.json()["fires"] is True, tried.body


SEVERITIES = [
    ({"severity": "error"}, "error"),
    ({"severity": "Critical", "data": {}}, "critical"),
    ({"severity": "error", "data": {"severity": "warning"}}, "warning"),
    ({"severity": "error", "data": {"status": "ok"}}, "error"),
    ({"data": {"severity": "error"}}, "error"),
    ({"severity": "odd"}, "info"),
    ({}, "info"),
]


@pytest.mark.parametrize(("given", "severity"), SEVERITIES)
def test_an_event_may_say_its_severity_beside_its_data(ruled, request, given, severity):
    event_type = f"told {request.node.callspec.id}"
    answer = ruled.post("/v1/events", {"event_type": event_type, "source": "core", **given})
    assert answer.status == 200
    (record,) = ruled.records(event_type=event_type)
    assert record["severity"] == severity
