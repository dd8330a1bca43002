"""Trying a rule over given input, without keeping anything: `POST /v1/alert-rules/test`.

    {"rule": {…as in POST /v1/alert-rules…},
     "lines": ["NCCL error …", {"message": "…", "date": "2026-01-01T00:00:00Z", "pod_name": "p0"},
               {"log": "…\n", "date": 1767225600500, "kubernetes": {"pod_name": "p0", …}}],
     "records": [{"event_type": "oom", "timestamp": …, "attributes": {…}, "resource": {…}}],
     "traces": [{"service_name": "dataloader", "operation": "load", "duration": 5000}],
     "rows": [{"fields": {"lm_loss": 3.1}, "timestamp": …}],
     "series": [{"labels": {…}, "points": [[t_ms, 1.5], [t_ms, null], …]}], "step": "30s", "now": …}
    → {"matched": 3, "evaluated": 4, "alerts": [{"status", "labels", "annotations", "at", …}],
       "warnings": ["rows: a field rule looks at these, and none are given"]}

Input without a time is one second after the one before it, from *now* backwards. Lines, and whose
they and all else are, are read as what streams in is (`Reading`): a line is an entry of
`POST /v1/logs`, and placements say whose its pod is. What an input names of that itself
(`pod_name`, `node_name`, `workload_id`, …) is taken as it says; no other key of it is a label, as
none is of what streams in. A point of null is a stale marker. A rule that is disabled is tried all
the same. Absences are looked at every `step`, up to *now*.
"""

from typing import Any

import msgspec
from msgspec import structs

from heliograph.alert.model import Post
from heliograph.alert.rules import decode as rule_decode
from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules import trial_inputs
from heliograph.alert.rules.fields import Part
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    FieldTest,
    LinePattern,
    MetricThreshold,
    Rule,
    Series,
    SeriesMatch,
    TraceDuration,
)
from heliograph.alert.rules.stream import RuleStream
from heliograph.alert.rules.trial_inputs import Reading
from heliograph.core import instant
from heliograph.core import labels as core_labels
from heliograph.core.duration import DAY_NS, SECOND_NS
from heliograph.core.samples import STALE

POINTS_MAX = 100_000
STEPS_MAX = 2_000
ALERTS_MAX = 100
_KEYS = {"rule", "lines", "records", "traces", "rows", "series", "step", "now"}


def trial(document: Any, *, now_ns: int, reading: Reading) -> dict[str, Any]:
    """What the rule of *document* says of its input. Raises Refused that names the field."""
    top = Part.of(document, "")
    top.only(_KEYS)
    rule = rule_decode.decode(top.part("rule").values, rule_id="trial")
    rule = structs.replace(rule, enabled=True)
    if "now" in top.values:
        now_ns = trial_inputs.moment(top, "now", now_ns)
    if rule_metrics.query(rule, now_ns) is None:
        found = _over_stream(rule, top, now_ns, reading)
    else:
        found = _over_series(rule, top, now_ns, reading)
    return {**found, "warnings": _warnings(rule, top)}


def _warnings(rule: Rule, top: Part) -> list[str]:
    """What the rule looks at, where nothing of that kind is given."""
    looked_at = _looked_at(rule)
    if any(top.values.get(kind) for kind in looked_at):
        return []
    kind = f"{'an' if rule.rule_type[0] == 'a' else 'a'} {rule.rule_type}"
    return [f"{' or '.join(looked_at)}: {kind} rule looks at these, and none are given"]


def _looked_at(rule: Rule) -> tuple[str, ...]:
    match rule.body.what if isinstance(rule.body, Absence) else rule.body:
        case LinePattern():
            return ("lines",)
        case MetricThreshold() | SeriesMatch():
            return ("series",)
        case Anomaly(metric=metric):
            return ("series",) if metric else ("rows",)
        case FieldTest():
            return ("rows",)
        case TraceDuration():
            return ("traces", "records")
        case _:
            return ("records",)


def _over_stream(rule: Rule, top: Part, now_ns: int, reading: Reading) -> dict[str, Any]:
    inputs = trial_inputs.read(top, now_ns, reading)
    first_ns = min((one.at_ns for one in inputs), default=now_ns)
    stream = RuleStream([rule], since_ns=min(first_ns, now_ns))
    step_ns = top.duration(
        "step", default_ns=max(SECOND_NS, (now_ns - first_ns) // STEPS_MAX), most_ns=DAY_NS
    )
    posts: list[Post] = []
    tick_ns = first_ns
    matched = 0
    for at_ns, told in inputs:
        while rule.rule_type == "absence" and tick_ns < at_ns:
            stream.tick(tick_ns)
            tick_ns += max(step_ns, SECOND_NS)
        # Of absences, what is heard counts when it came: in a trial, at its own time.
        matched += told(stream, at_ns if stream.listens else max(now_ns, at_ns))
        posts += stream.drain()[0]
    if rule.rule_type == "absence":
        while tick_ns < now_ns:
            stream.tick(tick_ns)
            tick_ns += max(step_ns, (now_ns - first_ns) // STEPS_MAX, SECOND_NS)
        stream.tick(now_ns)
        posts += stream.drain()[0]
    return _answer(posts, evaluated=len(inputs), matched=matched)


def _over_series(rule: Rule, top: Part, now_ns: int, reading: Reading) -> dict[str, Any]:
    series = [_series(part) for part in trial_inputs.listed(top, "series")]
    points = sum(len(one.points) for one in series)
    if points > POINTS_MAX:
        top.refuse("series", f"{points} points, limit {POINTS_MAX}")
    ends = [at_ns for one in series for at_ns, _ in one.points]
    first_ns = min(ends, default=now_ns)
    if "now" not in top.values and ends:
        now_ns = max(ends)
    step_ns = max(
        top.duration("step", default_ns=30 * SECOND_NS, most_ns=DAY_NS),
        (now_ns - first_ns) // STEPS_MAX,
        1_000_000,
    )
    posts: list[Post] = []
    state, at_ns, evaluated = b"", first_ns, 0
    while True:
        asked = rule_metrics.query(rule, at_ns)
        assert asked is not None
        window = [
            Series(one.labels, inside)
            for one in series
            if _asked(asked, one)
            and (inside := [p for p in one.points if asked.start_ns <= p[0] < asked.end_ns])
        ]
        answer = rule_metrics.evaluate(
            rule, state, window, now_ns=at_ns, since_ns=first_ns, whose=reading.whose
        )
        state, evaluated = answer.state, evaluated + 1
        posts += answer.posts
        if at_ns >= now_ns:
            break
        at_ns = min(at_ns + step_ns, now_ns)
    return _answer(posts, evaluated=evaluated, matched=len(series))


def _asked(asked: rule_metrics.Query, series: Series) -> bool:
    values = dict(series.labels)
    if values.get(core_labels.NAME, asked.metric) != asked.metric:
        return False
    return all(matcher.matches(values.get(matcher.name, "")) for matcher in asked.match)


def _answer(posts: list[Post], *, evaluated: int, matched: int) -> dict[str, Any]:
    """The alerts in order; a repetition is counted with the one that it repeats."""
    alerts: list[dict[str, Any]] = []
    last: dict[str, dict[str, Any]] = {}
    for post in posts:
        before = last.get(post.fingerprint)
        if before is not None and before["status"] == post.status:
            before["count"] += 1
            continue
        shown_as = {
            "status": post.status,
            "labels": dict(post.labels),
            "annotations": dict(post.annotations),
            "at": instant.text_of(post.at_ns),
            "starts_at": None if post.starts_ns is None else instant.text_of(post.starts_ns),
            "ends_at": None if post.ends_ns is None else instant.text_of(post.ends_ns),
            "count": 1,
        }
        last[post.fingerprint] = shown_as
        alerts.append(shown_as)
    return {
        "evaluated": evaluated,
        "matched": matched,
        "fires": any(one["status"] == "firing" for one in alerts),
        "alerts": alerts[:ALERTS_MAX],
        "truncated": len(alerts) > ALERTS_MAX,
    }


def _series(part: Part) -> Series:
    labels = part.labels("labels")
    points = part.values.get("points")
    try:
        found = msgspec.convert(points, list[tuple[float, float | str | None]], strict=True)
        pairs = sorted(
            (round(t_ms * 1e6), float(STALE if value is None else value))
            for t_ms, value in found
        )
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        part.refuse("points", f"expected [[t_ms, value], …]: {error}")
    return Series(labels, pairs)
