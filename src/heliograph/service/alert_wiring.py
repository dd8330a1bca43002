"""The alert side of a service: engine, rules, routes and channels, built and taken down.

Part of the composition root: here, and nowhere else, channels are named.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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


class Around(NamedTuple):
    """What the alert side works with, of the rest."""

    config: Config
    clock: Clock
    state: State
    supervisor: Supervisor
    meters: Meters
    owners: Owners
    queries: SampleQueries


class AlertSide(NamedTuple):
    """The parts that endpoints and the applier use."""

    alerting: Alerting
    posts: AlertPosts
    bodies: BodiesV2
    deliveries: Deliveries
    channels: channels.Channels
    rules: RuleBook
    routes: RouteBook
    ticker: RuleTicker
    applying: RuleApplying
    meters: AlertMeters


def build(around: Around, opened: ExitStack) -> AlertSide:
    """Open the alert side; *opened* closes it, senders before the engine. Raises ConfigError."""
    config, clock, state = around.config, around.clock, around.state
    file = alert_setup(config)
    guard = _guard(config, file)
    open_channels = channels.open_channels(guard, clock, _templates(file))
    opened.callback(open_channels.close)
    check_file(file)
    routes = RouteBook(state, file, lambda one: channels.check(one.kind, one.settings, guard))
    meters = AlertMeters(around.meters.registry)
    setup = routes.setup()
    open_channels.open(
        {one.kind for receiver in setup.receivers.values() for one in receiver.integrations}
    )
    engine = Engine.load(
        setup,
        state.read(alerts.load),
        clock.now_ns(),
        correlator=Correlator(_causes(config)),
    )
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
    ticker.start()
    return AlertSide(
        alerting,
        posts,
        bodies,
        deliveries,
        open_channels,
        rules,
        routes,
        ticker,
        applying,
        meters,
    )


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


def check_file(file: Setup) -> None:
    """Refuse channels of the configuration that can never be delivered to. Raises ConfigError."""
    for receiver in file.receivers.values():
        for one in receiver.integrations:
            _check(one)


def _check(one: Integration) -> None:
    try:
        channels.check(one.kind, one.settings)
    except Refused as refused:
        raise ConfigError(f"alerting.receivers: {one.id}: {refused.detail}") from refused


def _templates(file: Setup) -> dict[str, str]:
    return channels.template_files(file.templates, Path.cwd())


def _causes(config: Config) -> causes.Table:
    try:
        return causes.decode(config.alerting.causes, field="alerting.causes")
    except Refused as refused:
        raise ConfigError(refused.detail) from refused


def _rules(around: Around) -> RuleBook:
    if not around.config.alerting.builtin_rules:
        return RuleBook(around.state, around.clock, {}, ())
    return RuleBook(around.state, around.clock, rule_pack.documents(), rule_pack.rules())
