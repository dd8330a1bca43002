"""The configuration as amtool reads it (`config.original` of the status): routes as they are taken.

    route:
      receiver: default
      routes:
      - receiver: api/7        # routes of the API come first …
        matchers: [severity="critical"]
      - receiver: default      # … then the file's tree, whole
        routes: […]

Receivers keep their names and those of their channels that amtool knows; URLs that hold secrets are
`https://secret.invalid/`, other secrets are left out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from heliograph.alert.inhibition import Inhibition
from heliograph.alert.intervals import Interval, Intervals
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import Route, Tree
from heliograph.core import duration
from heliograph.core.matcher import Matcher

NOBODY = "nobody"
SECRET_URL = "https://secret.invalid/"  # noqa: S105 - what stands in for one

_CLASSIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z", re.ASCII)
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def text_of(
    *,
    tree: Tree,
    receivers: Mapping[str, Receiver],
    inhibitions: Sequence[Inhibition] = (),
    intervals: Mapping[str, Intervals],
    templates: Sequence[str] = (),
    resolve_timeout_ns: int,
) -> str:
    """YAML of these parts of a setup that amtool takes."""
    document: dict[str, Any] = {
        "global": {"resolve_timeout": _duration(resolve_timeout_ns)},
        "route": _top(tree),
    }
    # amtool knows no rules with several sources.
    rules = [_inhibition(rule) for rule in inhibitions if len(rule.sources) == 1]
    if rules:
        document["inhibit_rules"] = rules
    document["receivers"] = [_receiver(one) for one in receivers.values()]
    if document["route"]["receiver"] not in receivers:
        document["receivers"].append({"name": document["route"]["receiver"]})
    if intervals:
        document["time_intervals"] = [
            {"name": name, "time_intervals": [_interval(one) for one in named]}
            for name, named in intervals.items()
        ]
    document["templates"] = list(templates)
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )


class _Dumper(yaml.SafeDumper):
    """Without anchors, which a reader of the text need not follow."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the dumper's signature
        return True


def matcher_text(matcher: Matcher) -> str:
    """*matcher* as a route writes it; a name that needs it is quoted (amtool 0.27 and later)."""
    text = str(matcher)
    if _CLASSIC_NAME.match(matcher.name):
        return text
    name = matcher.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{name}"{text.removeprefix(matcher.name)}'


def _top(tree: Tree) -> dict[str, Any]:
    if not tree.api:
        return {"receiver": NOBODY} if tree.file is None else _route(tree.file, is_top=True)
    receiver = NOBODY if tree.file is None else tree.file.receiver
    routes = [_route(one) for one in tree.api]
    if tree.file is not None:
        routes.append(_route(tree.file))
    return {"receiver": receiver, "routes": routes}


def _route(route: Route, *, is_top: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {"receiver": route.receiver}
    if route.group_by is None:
        document["group_by"] = ["..."]
    elif route.group_by:
        document["group_by"] = list(route.group_by)
    if route.matchers:
        document["matchers"] = [matcher_text(one) for one in route.matchers]
    document["group_wait"] = _duration(route.group_wait_ns)
    document["group_interval"] = _duration(route.group_interval_ns)
    document["repeat_interval"] = _duration(route.repeat_interval_ns)
    if route.mute_time_intervals:
        document["mute_time_intervals"] = list(route.mute_time_intervals)
    if route.active_time_intervals:
        document["active_time_intervals"] = list(route.active_time_intervals)
    if not is_top:
        document["continue"] = route.continue_
    if route.routes:
        document["routes"] = [_route(one) for one in route.routes]
    return document


def _duration(span_ns: int) -> str:
    text = duration.format_ns(span_ns)
    return "0s" if text == "0" else text


def _inhibition(rule: Inhibition) -> dict[str, Any]:
    source = rule.sources[0]
    document: dict[str, Any] = {
        "source_matchers": [matcher_text(one) for one in source.matchers],
        "target_matchers": [matcher_text(one) for one in rule.targets],
    }
    if source.equal:
        document["equal"] = list(source.equal)
    return document


def _receiver(receiver: Receiver) -> dict[str, Any]:
    document: dict[str, Any] = {"name": receiver.name}
    for integration in receiver.integrations:
        written = _WRITTEN.get(integration.kind)
        if written is not None:
            key, settings = written[0], written[1](integration)
            settings["send_resolved"] = integration.send_resolved
            document.setdefault(key, []).append(settings)
    return document


def _webhook(_: Integration) -> dict[str, Any]:
    # The URL may hold a token; amtool takes the placeholder only where it knows a secret.
    return {"url": SECRET_URL}


def _email(integration: Integration) -> dict[str, Any]:
    settings = integration.settings
    return {
        "to": str(settings.get("to", "")),
        "from": str(settings.get("from", "")),
        "smarthost": str(settings.get("smarthost", "")) or "localhost:25",
    }


def _slack(integration: Integration) -> dict[str, Any]:
    channel = integration.settings.get("channel")
    return {"api_url": SECRET_URL} | ({"channel": str(channel)} if channel else {})


_WRITTEN = {
    "webhook": ("webhook_configs", _webhook),
    "email": ("email_configs", _email),
    "slack": ("slack_configs", _slack),
}


def _interval(interval: Interval) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if interval.times:
        document["times"] = [
            {"start_time": _clock(start), "end_time": _clock(end)}
            for start, end in interval.times
        ]
    if interval.weekdays:
        document["weekdays"] = [
            f"{_WEEKDAYS[first]}:{_WEEKDAYS[last]}" for first, last in interval.weekdays
        ]
    for key in ("days_of_month", "months", "years"):
        spans = getattr(interval, key)
        if spans:
            document[key] = [f"{first}:{last}" for first, last in spans]
    if interval.zone != "UTC":
        document["location"] = interval.zone
    return document


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
