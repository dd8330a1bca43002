"""`alerting:` of the configuration: alertmanager.yml's own keys, so that one can be pasted.

    route: {receiver: oncall, group_by: [alertname], routes: [{matchers: [severity="info"], …}]}
    receivers: [{name: oncall, slack_configs: [{api_url: …}], dingtalk_configs: [{webhook_url: …}]}]
    inhibit_rules: [{source_matchers: […], target_matchers: […], equal: [node]}]
    time_intervals: [{name: nights, time_intervals: [{times: […]}]}]
    global: {resolve_timeout: 5m, smtp_smarthost: …, slack_api_url: …}
    resolve_after: 1h

What Alertmanager refuses is refused, with the path of what is wrong; so is a kind of receiver that
we lack, by its name. Beyond Alertmanager: `dingtalk_configs`, `wecom_configs`,
`alertmanager_configs`. `tracing` is its own business and passed over, `resolve_after` the service's.
`labels` of routes, which its later versions have, do nothing here, and `unheeded` says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import structs

from heliograph.alert import grammar, intervals
from heliograph.alert.config import fields, http_client, receivers, setup
from heliograph.alert.config.fields import PlaceError, fail
from heliograph.alert.config.setup import Setup
from heliograph.alert.inhibition import Inhibition, Source
from heliograph.alert.intervals import Intervals
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import API, FILE, Route, Tree, child_id
from heliograph.core.duration import MINUTE_NS
from heliograph.core.matcher import Matcher

PLACE = "alerting"

_TOP = (
    "global", "route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals",
    "templates", "tracing", "resolve_after",
)  # fmt: skip
_ROUTE = (
    "receiver", "group_by", "group_wait", "group_interval", "repeat_interval", "match",
    "match_re", "matchers", "mute_time_intervals", "active_time_intervals", "continue",
    "routes", "labels",
)  # fmt: skip
_INHIBIT = (
    "name", "source_match", "source_match_re", "source_matchers", "sources", "target_match",
    "target_match_re", "target_matchers", "equal",
)  # fmt: skip
# The name that greets the mail server; a duration, which "" is none of.
_MAY_BE_EMPTY = ("smtp_hello", "resolve_timeout")
_GLOBAL: dict[str, fields.Read] = {
    "resolve_timeout": fields.span_ns,
    "http_config": http_client.http_config,
    "slack_api_url": receivers.KINDS["slack"].read["api_url"],
    "slack_api_url_file": fields.text,
    "slack_app_token": fields.text,
    "slack_app_token_file": fields.text,
    "slack_app_url": receivers.KINDS["slack"].read["app_url"],
}  # fmt: skip
# What is said of each receiver, not of the mail server.
_OF_A_MAIL = {"to", "headers", "html", "text", "threading"}
# Settings of kinds of receivers that we lack do no harm without such a receiver.
_GLOBAL_OTHERS = tuple(f"{kind}_" for kind in receivers.LACKING)


def parse(document: Any, *, external_url: str = "", place: str = PLACE) -> Setup:
    """The setup that *document* (decoded YAML; None is nothing) describes.

    Raises ConfigError that names the path below *place*.
    """
    top = fields.mapping(document, place, _TOP)
    defaults = _global(top.get("global"), f"{place}.global")
    named = _intervals(top, place)
    found = _receivers(top.get("receivers"), defaults, f"{place}.receivers")
    route = None
    if top.get("route") is not None:
        route = _root(top["route"], f"{place}.route")
        _check_names(route, found, named, f"{place}.route")
    elif found:
        fail(f"{place}.route", "required: receivers without a route are told nothing")
    rules = fields.items(top.get("inhibit_rules"), f"{place}.inhibit_rules")
    return setup.completed(
        Setup(
            tree=Tree(file=route),
            receivers=found,
            inhibitions=tuple(
                _inhibition(rule, f"{place}.inhibit_rules[{i}]") for i, rule in enumerate(rules)
            ),
            intervals=named,
            resolve_timeout_ns=defaults.get("resolve_timeout", 5 * MINUTE_NS),
            external_url=external_url,
            templates=tuple(fields.texts(top.get("templates"), f"{place}.templates")),
            defaults=defaults,
        )
    )


def unheeded(document: Mapping[str, Any], *, place: str = PLACE) -> list[str]:
    """What a *document* that `parse` takes asks for in vain, for whoever wrote it."""
    found = list(_labelled(document.get("route"), f"{place}.route"))
    if not found:
        return []
    more = f"; there are {len(found)} routes with some" if len(found) > 1 else ""
    return [f"{found[0]}.labels: labels of routes do nothing here{more}"]


def _labelled(route: Any, place: str) -> Iterator[str]:
    """The places of *route* and those below it that have labels."""
    given = fields.mapping(route, place)
    if given.get("labels"):
        yield place
    for index, child in enumerate(fields.items(given.get("routes"), f"{place}.routes")):
        yield from _labelled(child, f"{place}.routes[{index}]")


def matchers_of(document: Mapping[str, Any], prefix: str, place: str) -> tuple[Matcher, ...]:
    """The matchers of `<prefix>match`, `<prefix>match_re` and `<prefix>matchers` together."""
    found: list[Matcher] = []
    for key, op in ((f"{prefix}match", "="), (f"{prefix}match_re", "=~")):
        here = f"{place}.{key}"
        for name, value in fields.mapping(document.get(key), here).items():
            if not name.isascii() or not name.isidentifier():
                fail(here, f"invalid label name {name!r}")
            if value is None and op == "=~":
                fail(f"{here}.{name}", "a pattern is missing")
            one = _matcher(name, op, fields.text(value, here), f"{here}.{name}")
            if key == "match_re":
                # So has it Alertmanager, in the keys of groups too.
                one = _matcher(name, op, f"^(?:{one.value})$", f"{here}.{name}")
            found.append(one)
    here = f"{place}.{prefix}matchers"
    for index, line in enumerate(fields.texts(document.get(f"{prefix}matchers"), here)):
        try:
            found += grammar.matchers(line)
        except ValueError as error:
            raise PlaceError(f"{here}[{index}]", str(error)) from error
    return tuple(found)


def _matcher(name: str, op: str, value: str, place: str) -> Matcher:
    try:
        return Matcher(name, op, value)
    except ValueError as error:
        raise PlaceError(place, str(error)) from error


def _global(document: Any, place: str) -> dict[str, Any]:
    defaults: dict[str, Any] = {"smtp_hello": "localhost", "smtp_require_tls": True}
    smtp = {
        f"smtp_{key}": read
        for key, read in receivers.KINDS["email"].read.items()
        if key not in _OF_A_MAIL
    }
    read = smtp | _GLOBAL
    for key, value in fields.mapping(document, place).items():
        if key in read:
            # "" counts as not given, where it is not a name or a number of its own.
            if value is not None and (value != "" or key in _MAY_BE_EMPTY):
                defaults[key] = read[key](value, f"{place}.{key}")
        elif not key.startswith(_GLOBAL_OTHERS):
            fail(place, f"unknown key {key}")
    for secret in (
        "smtp_auth_password",
        "smtp_auth_secret",
        "slack_api_url",
        "slack_app_token",
    ):
        fields.at_most_one(defaults, place, secret, f"{secret}_file")
    token = defaults.get("slack_app_token") or defaults.get("slack_app_token_file")
    url = defaults.get("slack_api_url") or defaults.get("slack_api_url_file")
    if token and url and url != defaults.get("slack_app_url", receivers.SLACK_APP_URL):
        fail(place, "at most one of slack_api_url and slack_app_token may be given")
    return defaults


def _intervals(top: Mapping[str, Any], place: str) -> dict[str, Intervals]:
    named: dict[str, Intervals] = {}
    for key in ("mute_time_intervals", "time_intervals"):
        for index, entry in enumerate(fields.items(top.get(key), f"{place}.{key}")):
            here = f"{place}.{key}[{index}]"
            document = fields.mapping(entry, here, ("name", "time_intervals"))
            name = fields.text(document.get("name"), f"{here}.name")
            if not name:
                fail(f"{here}.name", "required")
            if name in named:
                fail(f"{here}.name", f"time interval {name!r} is defined twice")
            named[name] = intervals.parse(
                document.get("time_intervals") or [], place=f"{here}.time_intervals"
            )
    return named


def _receivers(document: Any, defaults: Mapping[str, Any], place: str) -> dict[str, Receiver]:
    found: dict[str, Receiver] = {}
    for index, entry in enumerate(fields.items(document, place)):
        receiver = _receiver(entry, defaults, f"{place}[{index}]")
        if receiver.name in found:
            fail(f"{place}[{index}].name", f"receiver {receiver.name!r} is defined twice")
        found[receiver.name] = receiver
    return found


def _receiver(document: Any, defaults: Mapping[str, Any], place: str) -> Receiver:
    given = fields.mapping(document, place)
    name = fields.text(given.get("name"), f"{place}.name")
    if not name:
        fail(f"{place}.name", "required")
    if name.startswith(API):
        fail(f"{place}.name", f"names beginning with {API} are those of the API's routes")
    integrations: list[Integration] = []
    for key, entries in given.items():
        if key == "name":
            continue
        kind = key.removesuffix("_configs")
        if kind == key or kind not in receivers.KINDS:
            _unknown_kind(key, kind, place)
        for index, entry in enumerate(fields.items(entries, f"{place}.{key}")):
            here = f"{place}.{key}[{index}]"
            if entry is None:
                fail(here, "expected a mapping of keys, got nothing")
            settings, send_resolved = receivers.decode(kind, entry, defaults, here)
            integrations.append(
                Integration(f"{name}/{kind}[{index}]", name, kind, settings, send_resolved)
            )
    return Receiver(name, tuple(integrations))


def _unknown_kind(key: str, kind: str, place: str) -> None:
    have = ", ".join(f"{one}_configs" for one in receivers.KINDS)
    if kind != key and kind in receivers.LACKING:
        hint = "; the robot of WeCom is wecom_configs" if kind == "wechat" else ""
        fail(f"{place}.{key}", f"we have no channel {kind} (we have: {have}{hint})")
    fail(place, f"unknown key {key} (known: name, {have})")


def _root(document: Any, place: str) -> Route:
    given = fields.mapping(document, place, _ROUTE)
    for key in ("match", "match_re", "matchers"):
        if given.get(key):
            fail(f"{place}.{key}", "the root route matches all, so it has no matchers")
    # Nothing, which may be nothing of the wrong kind.
    matchers_of(given, "", place)
    for key in ("mute_time_intervals", "active_time_intervals"):
        if given.get(key):
            fail(f"{place}.{key}", "the root route has no time intervals")
    if not given.get("receiver"):
        fail(f"{place}.receiver", "required: the root route names the default receiver")
    if _continues(given, place):
        fail(f"{place}.continue", "nothing follows the root route")
    return _route(given, Route(id=FILE, receiver=""), FILE, (), place)


def _route(
    given: Mapping[str, Any],
    parent: Route,
    route_id: str,
    matchers: tuple[Matcher, ...],
    place: str,
) -> Route:
    """The route of *given*, which inherits from *parent*, with all below it."""
    spans = {
        key: parent_ns
        if given.get(key) is None
        else fields.span_ns(given[key], f"{place}.{key}")
        for key, parent_ns in (
            ("group_wait", parent.group_wait_ns),
            ("group_interval", parent.group_interval_ns),
            ("repeat_interval", parent.repeat_interval_ns),
        )
    }
    for key in ("group_interval", "repeat_interval"):
        if spans[key] == 0:
            fail(f"{place}.{key}", "cannot be zero")
    _check_labels(given.get("labels"), f"{place}.labels")
    route = Route(
        id=route_id,
        receiver=fields.text(given.get("receiver"), f"{place}.receiver") or parent.receiver,
        matchers=matchers,
        group_by=group_by(given.get("group_by"), parent.group_by, f"{place}.group_by"),
        group_wait_ns=spans["group_wait"],
        group_interval_ns=spans["group_interval"],
        repeat_interval_ns=spans["repeat_interval"],
        mute_time_intervals=_names(given, "mute_time_intervals", place),
        active_time_intervals=_names(given, "active_time_intervals", place),
        continue_=_continues(given, place),
    )
    below: dict[str, Route] = {}
    for index, child in enumerate(fields.items(given.get("routes"), f"{place}.routes")):
        here = f"{place}.routes[{index}]"
        own = matchers_of(fields.mapping(child, here, _ROUTE), "", here)
        its_id = child_id(route_id, own, below)
        below[its_id] = _route(fields.mapping(child, here), route, its_id, own, here)
    return structs.replace(route, routes=tuple(below.values()))


def _continues(given: Mapping[str, Any], place: str) -> bool:
    value = given.get("continue")
    return value is not None and fields.flag(value, f"{place}.continue")


def group_by(
    value: Any, inherited: tuple[str, ...] | None, place: str
) -> tuple[str, ...] | None:
    """Names of `group_by`, sorted; None for `...`. An empty list says nothing, as upstream."""
    names = fields.texts(value, place)
    if not names:
        return inherited
    if "..." in names:
        if len(names) > 1:
            fail(place, "'...' stands alone")
        return None
    if "" in names:
        fail(place, "a label name is empty")
    if len(set(names)) < len(names):
        fail(place, "a label occurs twice")
    return tuple(sorted(names))


def _check_labels(value: Any, place: str) -> None:
    for name, one in fields.mapping(value, place).items():
        fields.text(one, f"{place}.{name}")


def _names(given: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    return tuple(fields.texts(given.get(key), f"{place}.{key}"))


def _check_names(
    route: Route,
    found: Mapping[str, Receiver],
    named: Mapping[str, Intervals],
    place: str,
) -> None:
    """What *route* and those below it name must exist."""
    if route.receiver not in found:
        fail(f"{place}.receiver", f"receiver {route.receiver!r} is not defined")
    for name in (*route.mute_time_intervals, *route.active_time_intervals):
        if name not in named:
            fail(place, f"time interval {name!r} is not defined")
    for index, child in enumerate(route.routes):
        _check_names(child, found, named, f"{place}.routes[{index}]")


def _inhibition(document: Any, place: str) -> Inhibition:
    given = fields.mapping(document, place, _INHIBIT)
    own = matchers_of(given, "source_", place)
    equal = _equal(given, place)
    several = fields.items(given.get("sources"), f"{place}.sources")
    if several and (own or equal):
        fail(f"{place}.sources", "stands instead of source_match, source_matchers and equal")
    sources = [_source(one, f"{place}.sources[{i}]") for i, one in enumerate(several)]
    return Inhibition(
        sources=tuple(sources) or (Source(own, equal),),
        targets=matchers_of(given, "target_", place),
        name=fields.text(given.get("name"), f"{place}.name"),
    )


def _source(document: Any, place: str) -> Source:
    given = fields.mapping(document, place, ("matchers", "equal"))
    matchers = matchers_of(given, "", place)
    if all(matcher.matches("") for matcher in matchers):
        fail(f"{place}.matchers", "at least one matcher must not match the empty string")
    return Source(matchers, _equal(given, place))


def _equal(given: Mapping[str, Any], place: str) -> tuple[str, ...]:
    names = tuple(fields.texts(given.get("equal"), f"{place}.equal"))
    if "" in names:
        fail(f"{place}.equal", "a label name is empty")
    return names
