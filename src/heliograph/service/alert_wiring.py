"""The alert side of a service: engine, rules, routes and channels, built and taken down.

Part of the composition root: here, and nowhere else, channels are named.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from heliograph.alert.config import configuration
from heliograph.alert.config.setup import Setup
from heliograph.alert.correlation import causes
from heliograph.alert.correlation.correlate import Correlator
from heliograph.alert.engine.engine import Engine
from heliograph.alert.model import Integration, Post
from heliograph.alert.rules import pack as rule_pack
from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify import channels
from heliograph.notify.guard import Guard
from heliograph.service.alert_bodies_v2 import BodiesV2
from heliograph.service.alert_context import AlertContext
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alert_posts import AlertPosts, ResolveAfter
from heliograph.service.alerting import Alerting
from heliograph.service.applier import RuleApplying
from heliograph.service.config import Config, alert_setup, span_ns
from heliograph.service.deliveries import Deliveries
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.route_book import RouteBook
from heliograph.service.rule_book import RuleBook
from heliograph.service.rule_feed import RuleFeed
from heliograph.service.rule_ticker import RuleTicker
from heliograph.service.storable import put_storable
from heliograph.service.supervisor import Supervisor
from heliograph.store.protocol import SampleQueries
from heliograph.store.state import alert_events, alerts
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

# What `global` calls a kind's settings by.
_GLOBAL_PREFIXES = {"email": "smtp_", "slack": "slack_"}


class Around(NamedTuple):
    """What the alert side works with, of the rest."""

    config: Config
    clock: Clock
    state: State
    supervisor: Supervisor
    meters: Meters
    owners: Owners
    queries: SampleQueries


class Prepared(NamedTuple):
    """What the configuration comes to, before anything is opened.

    templates   texts of the template files, by path
    warnings    what can be served and does nothing
    """

    file: Setup
    guard: Guard
    templates: Mapping[str, str]
    causes: causes.Table
    warnings: Sequence[str]


class AlertSide(NamedTuple):
    """The parts that endpoints and the applier use."""

    alerting: Alerting
    posts: AlertPosts
    bodies: BodiesV2
    deliveries: Deliveries
    correlator: Correlator
    channels: channels.Channels
    rules: RuleBook
    routes: RouteBook
    ticker: RuleTicker
    applying: RuleApplying
    meters: AlertMeters


def build(around: Around, opened: ExitStack) -> AlertSide:
    """Open the alert side; *opened* closes it, senders before the engine. Raises ConfigError."""
    config, clock, state = around.config, around.clock, around.state
    file, guard, templates, table, warnings = prepared(config)
    for told in warnings:
        log.warning("a part of the configuration does nothing", extra={"why": told})
    open_channels = channels.open_channels(guard, clock, templates)
    opened.callback(open_channels.close)
    routes = RouteBook(state, file, lambda one: channels.check(one.kind, one.settings, guard))
    meters = AlertMeters(around.meters.registry)
    setup = routes.setup()
    open_channels.open({one.kind for one in setup.integrations()})
    correlator = Correlator(table)
    engine = Engine.load(setup, state.read(alerts.load), clock.now_ns(), correlator=correlator)
    deliveries = Deliveries(
        open_channels,
        around.supervisor,
        meters,
        clock,
        whole=lambda ids: {
            alert.id: alert
            for alert in state.read(lambda tx: alert_events.many(tx, ids, documents=True))
        },
    )
    deliveries.recall(setup, state)
    alerting = Alerting(engine, state, around.supervisor, meters, clock, deliveries=deliveries)
    opened.callback(alerting.close)
    opened.callback(deliveries.close)
    context = AlertContext(around.owners.directory)
    after = ResolveAfter(
        file.resolve_timeout_ns,
        span_ns(config.alerting.resolve_after, "alerting.resolve_after"),
    )
    posts = AlertPosts(alerting, context, lambda: after)
    bodies = BodiesV2(alerting, context, lambda: after.v2_ns)
    rules = _rules(around)
    ticker = _ticker(around, rules, alerting, context, meters, after)
    opened.callback(ticker.close)
    applying = _applying(around, rules, posts, context, meters, after)
    alerting.start()
    alerting.submit(routes.sweep, alone=True)
    ticker.start()
    return AlertSide(
        alerting,
        posts,
        bodies,
        deliveries,
        correlator,
        open_channels,
        rules,
        routes,
        ticker,
        applying,
        meters,
    )


def prepared(config: Config) -> Prepared:
    """All that a start makes of *config* for alerts before it touches a disk or a net, other than
    the files it names: `config check` does no more and no less. Raises ConfigError naming the key."""
    file = alert_setup(config)
    told = _check_channels(config, file)
    templates, warnings = _templates(file)
    warnings += told
    warnings += configuration.unheeded({"route": config.alerting.route})
    return Prepared(file, _guard(config, file), templates, _causes(config), warnings)


def _guard(config: Config, file: Setup) -> Guard:
    # The operator's own mail server may be told by a route of the API, wherever it is.
    smarthost = file.defaults.get("smtp_smarthost")
    return Guard(config.notify.allow_private, mail_hosts=[str(smarthost)] if smarthost else [])


def _ticker(
    around: Around,
    rules: RuleBook,
    alerting: Alerting,
    context: AlertContext,
    meters: AlertMeters,
    after: ResolveAfter,
) -> RuleTicker:
    every_ns = span_ns(around.config.alerting.evaluate_every, "alerting.evaluate_every")
    return RuleTicker(
        rules,
        around.queries,
        alerting,
        context,
        around.state,
        around.supervisor,
        meters,
        around.clock,
        every_s=every_ns / 1e9,
        resolve_after_ns=after.other_ns,
    )


def _applying(
    around: Around,
    rules: RuleBook,
    posts: AlertPosts,
    context: AlertContext,
    meters: AlertMeters,
    after: ResolveAfter,
) -> RuleApplying:
    feed = RuleFeed(
        rules,
        around.state,
        around.clock,
        resolve_after_ns=after.other_ns,
        owner=context.of_pod,
        moment=around.owners.directory,
    )

    def put(said: Sequence[Post]) -> None:
        posts.take(list(said)).result()
        meters.rule_firings.add(len(said), "stream")

    def dropped(_: Post, refused: Refused) -> None:
        around.meters.dropped.add(1, "alerts", "cannot_be_stored")
        log.warning("a rule's alert is dropped", extra={"why": refused.detail})

    def take(said: Sequence[Post]) -> None:
        put_storable(said, put, dropped)

    return RuleApplying(feed, take)


def _check_channels(config: Config, file: Setup) -> list[str]:
    """Refuse channels of the configuration that can never be delivered to; warnings of templates
    that cannot be read. Raises ConfigError."""
    warnings: list[str] = []
    for number, receiver in enumerate(file.receivers.values()):
        seen: Counter[str] = Counter()
        for one in receiver.integrations:
            key = f"{one.kind}_configs"
            given = config.alerting.receivers[number][key][seen[key]]
            place = f"alerting.receivers[{number}].{key}[{seen[key]}]"
            warnings += [f"{place}.{told}" for told in _check(one, given, place)]
            seen[key] += 1
    return warnings


def _check(one: Integration, given: Mapping[str, Any], place: str) -> list[str]:
    """Refuse *one*, which the file has as *given* at *place*, or warn of it."""
    try:
        return channels.check(one.kind, one.settings)
    except Refused as refused:
        setting = refused.field.partition(".")[0]
        before = f"{place}."
        if not given.get(setting) and setting in one.settings:
            prefix = "" if setting == "http_config" else _GLOBAL_PREFIXES.get(one.kind, "")
            before = f"alerting.global.{prefix}"
        why = refused.detail.removeprefix(f"{refused.field}: ")
        raise ConfigError(f"{before}{refused.field}: {why}") from refused


def _templates(file: Setup) -> tuple[dict[str, str], list[str]]:
    """The template files, and warnings. Raises ConfigError for one that is none, by its path."""
    texts: dict[str, str] = {}
    warnings: list[str] = []
    for number, pattern in enumerate(file.templates):
        place = f"alerting.templates[{number}]"
        try:
            found = channels.template_files((pattern,), Path.cwd()) if pattern else {}
        except ConfigError as error:
            raise ConfigError(f"alerting.{error}") from error
        except (ValueError, IndexError) as error:
            # What `Path.glob` says of a pattern that it does not read, and of one of a root alone.
            raise ConfigError(f"{place}: {pattern!r} is no pattern for files") from error
        if not found:
            warnings.append(f"{place}: {pattern!r} matches no file")
        texts |= found
    if not texts:
        return texts, warnings
    # Late: who has no templates does without them.
    from heliograph.notify.templates import BEYOND, Templates

    for path, fault in Templates(texts).faults.items():
        if not fault.endswith(BEYOND):
            raise ConfigError(f"alerting.templates: {path}: {fault}")
        # Alertmanager takes it. What it defines is not there, and messages have the default text.
        warnings.append(f"alerting.templates: {path}: {fault}")
    return texts, warnings


def _causes(config: Config) -> causes.Table:
    try:
        return causes.decode(config.alerting.causes, field="alerting.causes")
    except Refused as refused:
        raise ConfigError(refused.detail) from refused


def _rules(around: Around) -> RuleBook:
    if not around.config.alerting.builtin_rules:
        return RuleBook(around.state, around.clock, {}, ())
    return RuleBook(around.state, around.clock, rule_pack.documents(), rule_pack.rules())
