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

Input without a time is one second after the one before it, from *now* backwards. A line is read as
an entry of `POST /v1/logs` is: its block `kubernetes`, the unit of a numeric `date` by magnitude,
and one line for each that its text has. Its other keys are labels: `pod_name`, `workload_id`,
`namespace`, `node_name`, … A point of null is a stale marker. A rule that is disabled is tried all
the same. Absences are looked at every `step`, up to *now*.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import chain, islice
from typing import Any

import msgspec
from msgspec import structs

from heliograph.alert.model import Context, Post
from heliograph.alert.rules import decode as rule_decode
from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules.fields import Part, shown
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    FieldTest,
    LinePattern,
    MetricThreshold,
    Rule,
    Said,
    Series,
    SeriesMatch,
    Trace,
    TraceDuration,
)
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import instant
from heliograph.core import labels as core_labels
from heliograph.core.duration import DAY_NS, SECOND_NS
from heliograph.core.record import Record
from heliograph.core.samples import STALE
from heliograph.core.training import TrainingRow

INPUTS_MAX = 10_000
POINTS_MAX = 100_000
STEPS_MAX = 2_000
ALERTS_MAX = 100
_KEYS = {"rule", "lines", "records", "traces", "rows", "series", "step", "now"}
_TIMES = ("date", "timestamp", "at", "log_time", "time", "timestamp_ns")
# From there on a number counts thousandths of seconds, their thousandths, or theirs: no input is
# older than 1973, as in `receive.log_time`.
_SECONDS_BELOW = 10**11
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_TEXTS = ("message", "log", "MESSAGE", "text")
# Of the block that Fluent Bit's filter `kubernetes` makes, what each is called here.
_POD = {
    "pod_name": "pod_name",
    "pod_id": "pod_id",
    "namespace_name": "namespace",
    "host": "node_name",
    "container_name": "container",
}
_CONTEXT = structs.fields(Context)


def trial(document: Any, *, now_ns: int, seen: Callable[[str], str] = str) -> dict[str, Any]:
    """What the rule of *document* says of its input. Raises Refused that names the field."""
    top = Part.of(document, "")
    top.only(_KEYS)
    rule = rule_decode.decode(top.part("rule").values, rule_id="trial")
    rule = structs.replace(rule, enabled=True)
    if "now" in top.values:
        now_ns = _instant(top, "now", now_ns)
    if rule_metrics.query(rule, now_ns) is None:
        found = _over_stream(rule, top, now_ns, seen)
    else:
        found = _over_series(rule, top, now_ns)
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


def _over_stream(
    rule: Rule, top: Part, now_ns: int, seen: Callable[[str], str]
) -> dict[str, Any]:
    kinds = ("records", "traces", "rows")
    others = ((kind, one) for kind in kinds for one in _list(top, kind))
    given = chain((("lines", one) for one in _lines(top, seen)), others)
    inputs = list(islice(given, INPUTS_MAX + 1))
    if len(inputs) > INPUTS_MAX:
        top.refuse("lines", f"more than {INPUTS_MAX} inputs")
    timed = []
    for number, (kind, part) in enumerate(inputs):
        default_ns = now_ns - (len(inputs) - number) * SECOND_NS
        timed.append((_time(part, default_ns), kind, part))
    first_ns = min((at_ns for at_ns, _, _ in timed), default=now_ns)
    stream = RuleStream([rule], since_ns=min(first_ns, now_ns))
    step_ns = top.duration(
        "step", default_ns=max(SECOND_NS, (now_ns - first_ns) // STEPS_MAX), most_ns=DAY_NS
    )
    posts: list[Post] = []
    tick_ns = first_ns
    matched = 0
    for at_ns, kind, part in timed:
        while rule.rule_type == "absence" and tick_ns < at_ns:
            stream.tick(tick_ns)
            tick_ns += max(step_ns, SECOND_NS)
        matched += _feed(stream, kind, part, at_ns, max(now_ns, at_ns))
        posts += stream.drain()[0]
    if rule.rule_type == "absence":
        while tick_ns < now_ns:
            stream.tick(tick_ns)
            tick_ns += max(step_ns, (now_ns - first_ns) // STEPS_MAX, SECOND_NS)
        stream.tick(now_ns)
        posts += stream.drain()[0]
    return _answer(posts, evaluated=len(inputs), matched=matched)


def _feed(stream: RuleStream, kind: str, part: Part, at_ns: int, arrival_ns: int) -> bool:
    said = _said(part, at_ns)
    # Of absences, what is heard counts when it came: in a trial, at its own time.
    arrival_ns = at_ns if stream.listens else arrival_ns
    match kind:
        case "lines":
            hits = stream.match(said.text)
            stream.line(hits, said, arrival_ns=arrival_ns)
            return bool(hits)
        case "records":
            record = _record(part, at_ns)
            stream.record(record, said, arrival_ns=arrival_ns)
        case "traces":
            trace = Trace(
                part.text("service_name", default=""),
                part.text("operation", default=""),
                part.number("duration_ms" if "duration_ms" in part.values else "duration"),
                part.text("trace_id", default=""),
                part.text("span_id", default=""),
            )
            stream.trace(trace, said, arrival_ns=arrival_ns)
        case _:
            stream.row(_row(part, at_ns), said, arrival_ns=arrival_ns)
    return stream.fired


def _over_series(rule: Rule, top: Part, now_ns: int) -> dict[str, Any]:
    series = [_series(part) for part in _list(top, "series")]
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
        answer = rule_metrics.evaluate(rule, state, window, now_ns=at_ns, since_ns=first_ns)
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


def _list(top: Part, key: str) -> Iterator[Part]:
    value = top.values.get(key)
    if value is None:
        return
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        top.refuse(key, "expected a list")
    for number, one in enumerate(value):
        text = {"message": one} if isinstance(one, str) else one
        yield Part.of(text, f"{key}[{number}]")


def _lines(top: Part, seen: Callable[[str], str]) -> Iterator[Part]:
    """The physical lines of what is given as such, as they are *seen*, each with what its entry
    says."""
    for part in _list(top, "lines"):
        values = part.values
        texts = [shown(one) for name in _TEXTS if _scalar(one := values.pop(name, None))]
        node = values.get("_HOSTNAME") or values.get("hostname")
        if node and "node_name" not in values:
            values["node_name"] = node
        pod = values.pop("kubernetes", None)
        if isinstance(pod, Mapping):
            values |= {ours: pod[name] for name, ours in _POD.items() if pod.get(name)}
        text = next(filter(None, texts), "").removesuffix("\n")
        physical = [one.removesuffix("\r") for one in text.split("\n", INPUTS_MAX + 1)]
        for one in [one for one in physical if one and not one.isspace()] or [""]:
            yield Part({**values, "message": seen(one)}, part.path)


def _time(part: Part, default_ns: int) -> int:
    for key in _TIMES:
        if part.values.get(key) is not None:
            return _instant(part, key, default_ns)
    return default_ns


def _instant(part: Part, key: str, default_ns: int) -> int:
    value = part.values.get(key, default_ns)
    try:
        if key.endswith("_ns") and isinstance(value, int):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            part.refuse(key, "expected an instant")
        text = value.strip() if isinstance(value, str) else f"{Decimal(repr(value)):f}"
        if _NUMBER.fullmatch(text):
            seconds = Decimal(text)
            for _ in range(3):
                if seconds >= _SECONDS_BELOW:
                    seconds = seconds.scaleb(-3)
            text = f"{seconds:f}"
        return instant.parse_any(text)
    except ValueError as error:
        part.refuse(key, str(error))


def _said(part: Part, at_ns: int) -> Said:
    values = {name: shown(one) for name, one in part.values.items() if _scalar(one)}
    text = values.pop("message", "") or values.pop("log", "") or values.pop("text", "")
    context = Context(**{f.name: values[f.name] for f in _CONTEXT if f.name in values})
    labels = {
        name: one for name, one in values.items() if name not in _TIMES and len(one) < 1024
    }
    client = context.pod_id or context.pod_name or context.node_name
    return Said(at_ns, client, context, labels, text)


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _record(part: Part, at_ns: int) -> Record:
    return Record(
        record_id="trial",
        timestamp_ns=at_ns,
        observed_timestamp_ns=at_ns,
        session_id="trial",
        source_kind=part.text("source_kind", default="trial"),
        event_type=part.text("event_type"),
        severity=part.text("severity", default="") or None,
        body=part.text("body", default="", chars_max=65_536) or None,
        resource=part.part("resource", default={}).values,
        attributes=part.part("attributes", default={}).values,
        correlation=part.part("correlation", default={}).values,
    )


def _row(part: Part, at_ns: int) -> TrainingRow:
    given = part.part("fields").values
    fields = {}
    for name, one in given.items():
        try:
            fields[name] = float(one)
        except (TypeError, ValueError):
            part.refuse(f"fields.{name}", "expected a number")
    iteration = fields.get("current_iteration")
    known = None if iteration is None or iteration - iteration != 0 else int(iteration)
    return TrainingRow("", "trial", "", at_ns, known, None, "unknown", fields)


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
