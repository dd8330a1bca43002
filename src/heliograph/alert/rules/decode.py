"""Rules as documents: the body of `/v1/alert-rules` → `Rule`, refused with the field at fault.

    {"name": "NCCLError", "source": "log", "enabled": true, "rule_type": "pattern",
     "rule_config": {"pattern": "NCCL error|NCCL WARN", "threshold": {"count": 3, "window": "10m"}},
     "severity": "warning", "labels": {"category": "network"}, "annotations": {"summary": "…"}}

rule_config by rule_type; what stands under the type's own name may also stand directly in it:
    pattern     pattern, ignore_case, exclude, match: [matchers], threshold: {count, window, by}
    threshold   metric, match: ['job="x"'], agg, window, op, value, for
    duration    service_name, operation, op, value_ms, threshold
    match       event_type, severity (one or a list), attributes: {name: value}, threshold
                a value is what the attribute equals, a glob, or {"op": ">", "value": 3}
    field       fields (or field), op (also `nan`, `inf`), value, threshold: on training rows
    share       match: {event_type …}, of which part: {severity …}; op, value (0.05 is 5 %), window,
                least, by
    absence     match: {pattern …} | {metric …} | {event_type …} | {fields …}, window, by, until
    anomaly     metric or fields, of (`value`, or `change`: per second), z, direction, size, least,
                window, for, by
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from heliograph.alert import matching
from heliograph.alert.rules import fields
from heliograph.alert.rules.fields import Part
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    AttributeTest,
    Body,
    EventMatch,
    EventShare,
    FieldTest,
    LinePattern,
    MetricThreshold,
    Rule,
    SeriesMatch,
    Threshold,
    TraceDuration,
    What,
)
from heliograph.core.duration import DAY_NS, MINUTE_NS
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.rules import anomaly, condition, window
from heliograph.rules.patterns import Pattern

TYPES = ("pattern", "threshold", "duration", "match", "share", "field", "absence", "anomaly")
# Which types each source may have; the first is what it is when nobody says.
TYPES_OF = {
    "log": ("pattern", "field", "absence", "anomaly"),
    "metric": ("threshold", "absence", "anomaly"),
    "trace": ("duration", "absence"),
    "event": ("match", "share", "field", "absence", "anomaly"),
}
WINDOW_NS_MAX = 7 * DAY_NS
# Categories of Unicode: controls, halves of pairs, ends of lines.
_NOT_ON_A_LINE = {"Cc", "Cs", "Zl", "Zp"}
# What of a share counts as failed, when nobody says.
_ERRORS = ("error", "critical", "fatal")
_TOP = {
    *("id", "rule_id", "name", "source", "enabled", "rule_type", "rule_config", "severity"),
    *(
        "labels",
        "annotations",
        "description",
        "created_at",
        "updated_at",
        "created_by",
        "builtin",
    ),
    *("route_config", "inhibit_rules", "version"),
}


def decode(
    document: Any, *, rule_id: str = "", builtin: bool = False, kept: bool = False
) -> Rule:
    """The rule of *document*. Raises Refused that names the field.

    Its severity is the one of its labels where it says none itself. Of a *kept* one is passed over
    what was, before it was refused: labels that say another name or severity than the rule, and words
    that nobody can mean.
    """
    top = Part.of(document, "")
    top.only(_TOP)
    name = top.text("name", chars_max=200)
    source = top.text("source", default="")
    if source not in TYPES_OF:
        top.refuse("source", f"{source!r} is none of {', '.join(TYPES_OF)}")
    types = TYPES_OF[source]
    rule_type = top.text("rule_type", default=types[0])
    if rule_type not in types:
        top.refuse(
            "rule_type", f"{rule_type!r} is none of {', '.join(types)} of source {source}"
        )
    labels = top.labels("labels")
    annotations = top.labels("annotations", chars_max=4096)
    if not kept:
        _check_words(top, annotations)
    severity = _severity(top, dict(labels), kept=kept)
    return Rule(
        id=rule_id or top.text("id", default="") or top.text("rule_id", default=""),
        name=name,
        source=source,
        rule_type=rule_type,
        severity=severity,
        body=_body(rule_type, _config(top, rule_type)),
        labels=labels,
        annotations=annotations,
        enabled=top.flag("enabled", default=True),
        builtin=builtin,
    )


def _check_words(top: Part, annotations: Labels) -> None:
    """Refuse a name of several lines, a severity of nothing, a placeholder that does not end."""
    if any(unicodedata.category(char) in _NOT_ON_A_LINE for char in top.values["name"]):
        top.refuse("name", "has characters that cannot be shown on a line")
    if top.values.get("severity") == "":
        top.refuse("severity", "expected text; without the key it is that of the labels")
    for name, text in annotations:
        if text.rfind("{{") > text.rfind("}}"):
            top.refuse(f"annotations.{name}"[:200], "a {{ without its }}")


def _severity(top: Part, labels: Mapping[str, str], *, kept: bool) -> str:
    """The severity of a rule with *labels*, which may say no other name and severity than it does."""
    own = top.text("severity", default="", chars_max=64)
    given = Part({"severity": labels.get("severity", "")}, "labels")
    if not kept:
        said = labels.get("alertname", "")
        if said and said != top.values["name"]:
            given.refuse("alertname", f"{said!r}, and the alert of a rule has the rule's name")
        if own and given.values["severity"] not in {"", own}:
            given.refuse("severity", f"{given.values['severity']!r}, and severity is {own!r}")
    return own or given.text("severity", default="warning", chars_max=64)


def _config(top: Part, rule_type: str) -> Part:
    config = top.part("rule_config")
    nested = config.values.get(rule_type)
    if isinstance(nested, Mapping) and rule_type != "match":
        # Beside the type's own part nothing else may stand, or it would be silently unread.
        config.only({rule_type})
        return config.part(rule_type)
    if rule_type == "match" and isinstance(nested, Mapping):
        config.only({rule_type, "threshold"})
        inner = config.part(rule_type)
        if "threshold" in config.values and "threshold" not in inner.values:
            inner.values["threshold"] = config.values["threshold"]
        return inner
    return config


def _body(rule_type: str, config: Part) -> Body:
    match rule_type:
        case "pattern":
            return _pattern(config)
        case "threshold":
            return _metric(config)
        case "duration":
            return _duration(config)
        case "match":
            return _event(config)
        case "share":
            return _share(config)
        case "field":
            return _field(config)
        case "absence":
            return _absence(config)
        case _:
            return _anomaly(config)


def _pattern(config: Part) -> LinePattern:
    config.only({"pattern", "ignore_case", "exclude", "match", "threshold"})
    ignore_case = config.flag("ignore_case", default=False)
    pattern = _compiled(config, "pattern", ignore_case=ignore_case)
    if pattern is None:
        config.refuse("pattern", "required", code="missing")
    return LinePattern(
        pattern=pattern,
        exclude=_compiled(config, "exclude", ignore_case=ignore_case),
        match=_matchers(config),
        threshold=_threshold(config),
    )


def _compiled(config: Part, key: str, *, ignore_case: bool) -> Pattern | None:
    text = config.text(key, default="", chars_max=4096)
    if not text:
        return None
    try:
        return Pattern(text, ignore_case=ignore_case)
    except ValueError as error:
        config.refuse(key, str(error))


def _metric(config: Part) -> MetricThreshold:
    config.only({"metric", "match", "agg", "window", "op", "value", "for"})
    return MetricThreshold(
        metric=config.text("metric", chars_max=200),
        match=_matchers(config),
        agg=config.choice("agg", condition.AGGREGATES, default="last"),
        window_ns=_window(config, default_ns=5 * MINUTE_NS),
        op=_op(config),
        value=config.number("value"),
        for_ns=config.duration("for", default_ns=0, most_ns=WINDOW_NS_MAX),
    )


def _duration(config: Part) -> TraceDuration:
    config.only({"service_name", "operation", "op", "value_ms", "match", "threshold"})
    return TraceDuration(
        service_name=config.text("service_name", default=""),
        operation=config.text("operation", default=""),
        op=_op(config),
        value_ms=config.number("value_ms"),
        match=_matchers(config),
        threshold=_threshold(config),
    )


def _event(config: Part, *, counted: bool = True) -> EventMatch:
    keys = {"event_type", "severity", "attributes", "match"}
    config.only({*keys, "threshold"} if counted else keys)
    event = EventMatch(
        event_types=config.texts("event_type"),
        severities=config.texts("severity"),
        attributes=_attributes(config),
        match=_matchers(config),
        threshold=_threshold(config) if counted else Threshold(),
    )
    if not (event.event_types or event.severities or event.attributes or event.match):
        config.refuse("event_type", "a rule must name what it is about", code="missing")
    return event


def _share(config: Part) -> EventShare:
    config.only({"match", "part", "op", "value", "window", "least", "by"})
    # Without `match` it is of all records.
    whole = (
        _event(config.part("match"), counted=False)
        if config.values.get("match")
        else EventMatch()
    )
    return EventShare(
        whole=whole,
        part=_event(config.part("part", default={"severity": list(_ERRORS)}), counted=False),
        window_ns=_window(config, default_ns=5 * MINUTE_NS),
        op=_op(config),
        value=config.number("value"),
        least=config.whole("least", default=20, least=1, most=1_000_000),
        by=config.texts("by"),
    )


def _attributes(config: Part) -> tuple[AttributeTest, ...]:
    part = config.part("attributes", default={})
    tests = []
    for name, value in part.values.items():
        if isinstance(value, Mapping):
            inner = part.part(name)
            inner.only({"op", "value"})
            tests.append(AttributeTest(name, _op(inner), number=inner.number("value")))
        elif isinstance(value, str) and ("*" in value or "?" in value):
            tests.append(AttributeTest(name, "=~", text=_glob(part, name, value)))
        elif isinstance(value, str | int | float | bool) or value is None:
            tests.append(AttributeTest(name, "=", text=Matcher(name, "=", fields.shown(value))))
        else:
            part.refuse(name, "expected a value, a glob, or {op, value}")
    return tuple(tests)


def _glob(part: Part, name: str, value: str) -> Matcher:
    try:
        return Matcher(name, "=~", matching.glob_pattern(value))
    except ValueError as error:
        part.refuse(name, str(error))


def _field(config: Part) -> FieldTest:
    config.only({"field", "fields", "op", "value", "match", "threshold"})
    op = config.choice("op", (*condition.OPERATORS, "nan", "inf"), default=">")
    return FieldTest(
        fields=_field_names(config),
        op=op,
        value=0.0 if op in {"nan", "inf"} else config.number("value"),
        match=_matchers(config),
        threshold=_threshold(config),
    )


def _field_names(config: Part) -> tuple[str, ...]:
    names = config.texts("fields") or config.texts("field")
    if not names:
        config.refuse("fields", "required", code="missing")
    return names


def _absence(config: Part) -> Absence:
    config.only({"match", "window", "by", "until", "forget"})
    window_ns = _window(config, default_ns=None)
    return Absence(
        what=_what(config.part("match")),
        window_ns=window_ns,
        by=config.texts("by"),
        until=_event(config.part("until"), counted=False) if "until" in config.values else None,
        forget_ns=config.duration(
            "forget", default_ns=max(DAY_NS, 10 * window_ns), most_ns=100 * DAY_NS
        ),
    )


def _what(match: Part) -> What:
    if "pattern" in match.values:
        return _pattern(match)
    if "metric" in match.values:
        match.only({"metric", "match"})
        return SeriesMatch(metric=match.text("metric", chars_max=200), match=_matchers(match))
    if "fields" in match.values or "field" in match.values:
        match.only({"field", "fields", "match"})
        return FieldTest(fields=_field_names(match), op="any", match=_matchers(match))
    if "service_name" in match.values or "operation" in match.values:
        match.only({"service_name", "operation", "match"})
        return TraceDuration(
            service_name=match.text("service_name", default=""),
            operation=match.text("operation", default=""),
            op=">=",
            value_ms=float("-inf"),
            match=_matchers(match),
        )
    return _event(match, counted=False)


def _anomaly(config: Part) -> Anomaly:
    config.only(
        {"metric", "field", "fields", "match", "of", "z", "direction", "size", "least"}
        | {"window", "for", "by"}
    )
    metric = config.text("metric", default="", chars_max=200)
    names = config.texts("fields") or config.texts("field")
    if bool(metric) == bool(names):
        config.refuse("metric", "either a metric or fields", code="missing")
    least = config.whole("least", default=20, least=3, most=anomaly.PAST_MAX)
    return Anomaly(
        metric=metric,
        fields=names,
        match=_matchers(config),
        z=config.number("z", default=6.0),
        direction=config.choice("direction", anomaly.DIRECTIONS, default="up"),
        least=least,
        size=config.whole("size", default=max(100, least), least=least, most=anomaly.PAST_MAX),
        window_ns=_window(config, default_ns=60 * MINUTE_NS),
        for_ns=config.duration("for", default_ns=0, most_ns=WINDOW_NS_MAX),
        by=config.texts("by") if "by" in config.values else None,
        of=config.choice("of", anomaly.OF, default=anomaly.OF[0]),
    )


def _threshold(config: Part) -> Threshold:
    part = config.part("threshold", default={})
    part.only({"count", "window", "by"})
    count = part.whole("count", default=1, least=1, most=window.COUNT_MAX)
    if count > 1 and "window" not in part.values:
        part.refuse("window", "required with a count", code="missing")
    return Threshold(
        count=count,
        window_ns=_window(part, default_ns=0),
        by=part.texts("by") if part.values.get("by") is not None else None,
    )


def _window(part: Part, *, default_ns: int | None) -> int:
    return part.duration(
        "window", default_ns=default_ns, most_ns=WINDOW_NS_MAX, least_ns=1_000_000
    )


def _op(part: Part) -> str:
    return part.choice("op", tuple(condition.OPERATORS), default=">")


def _matchers(part: Part) -> tuple[Matcher, ...]:
    given = part.values.get("match")
    if given is None:
        return ()
    found, _ = matching.from_documents(
        [given] if isinstance(given, str) else given, field=part.at("match")
    )
    return found
