"""Alerts out: lists, one alert with who was told, what belongs together, statistics, the ledger."""

import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from heliograph.alert.config.channel_numbers import TYPES
from heliograph.alert.document import NO_SUPPRESSION
from heliograph.alert.engine.flush import INHIBIT, MUTE, ROUTE, SILENCE
from heliograph.alert.engine.telling import COMPARE, RATE
from heliograph.alert.engine.waiting import GROUP_INTERVAL, GROUP_WAIT
from heliograph.alert.model import SOURCES, Alert, Entry, Status, Suppression
from heliograph.core import instant
from heliograph.core.errors import Refused, Unavailable
from heliograph.core.matcher import Matcher
from heliograph.service import alert_view, params, problem
from heliograph.service.alerting import Alerting, Turn
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter
from heliograph.store.state import (
    alert_correlations,
    alert_counts,
    alert_events,
    alert_ledger,
    alert_pages,
    alert_statistics,
)
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

# Lines of the ledger that are shown with one alert.
ENTRIES_MAX = 200
# So long statistics wait for one transaction that counts; then they are a little old.
COUNTED_S = 5.0
# So many transactions (2 s) count what waits, for one who asks.
FOLDS_MAX = 100
# Severities that the engine calls urgent, as they are written; found by its index.
URGENT = ("critical", "Critical", "CRITICAL", "page", "Page", "PAGE")
# Of so many urgent ones the newest are shown: each is made to be looked at.
URGENT_MAX = 1000
# All names together are fewer.
GROUP_BY_CHARS_MAX = 200
EQUALS = (
    "source", "alert_name", "severity", "workload_id", "pod_name", "node_name", "cluster_name",
)  # fmt: skip
FILTERS = (*EQUALS, "status", "starts_after", "starts_before", "offset", "limit")
COUNTED = ("alert_name", "source", "severity", "workload_id", "cluster_name")
STATISTICS = (*COUNTED, "date_from", "date_to", "group_by", "offset", "limit")
NOTED = ("alert_id", "receiver", "integration", "channel", "kind", "stage")
LEDGER = (*NOTED, "start", "end", "offset", "limit")
STATUSES = ("", "firing", "resolved")
# Of a line of the ledger.
KINDS = ("", "sent", "failed", "dead", "held")
STAGES = (
    "", INHIBIT, MUTE, SILENCE, RATE, COMPARE, ROUTE, GROUP_WAIT, GROUP_INTERVAL,
)  # fmt: skip
# What has but these values, by parameter.
_CHOICES = {"source": ("", *SOURCES), "kind": KINDS, "stage": STAGES}
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)


class Reading(NamedTuple):
    """What the endpoints of this module work with."""

    state: State
    alerting: Alerting
    reads: Reads
    list_max: int


def endpoints(reading: Reading) -> list[Endpoint]:
    """`/v1/alerts`, what is below it, and `/v1/notifications`."""
    bound = _Bound(reading)

    def only(*names: str) -> tuple[Parameter, ...]:
        return tuple(Parameter(name, f"only of this {name}") for name in names)

    paging = (Parameter("offset", "items to leave out"), Parameter("limit", "items at most"))
    return [
        Endpoint(
            "GET", "/v1/alerts", "view", "Alerts, newest first.", bound.listed,
            (
                *only(*EQUALS, "status"),
                Parameter("starts_after", "only those that began at or after this instant"),
                Parameter("starts_before", "only those that began before this instant"),
                *paging,
            ),
        ),
        Endpoint(
            "GET", "/v1/alerts/statistics", "view", "How many fired and resolved, and how long.",
            bound.statistics,
            (
                *only(*COUNTED),
                Parameter("date_from", "a date or an instant"),
                Parameter("date_to", "a date, which is included, or an instant, which is not"),
                Parameter("group_by", f"some of {', '.join(alert_statistics.GROUP_BY)}, by commas"),
                *paging,
            ),
        ),
        Endpoint("GET", "/v1/alerts/{alert_id}", "view", "One alert, and who was told.", bound.one),
        Endpoint(
            "GET", "/v1/alerts/{alert_id}/correlations", "view", "What it belongs together with.",
            bound.correlations,
        ),
        Endpoint(
            "GET", "/v1/notifications", "view",
            "The ledger: what was sent of every alert, and what held it.", bound.ledger,
            (
                *only(*NOTED),
                Parameter("start", "not before"),
                Parameter("end", "before"),
                *paging,
            ),
        ),
    ]  # fmt: skip


def newest(
    reading: Reading,
) -> Callable[[int], tuple[list[tuple[Alert, Suppression]], int]]:
    """A function of a limit: alerts that fire, what is urgent before the rest and each newest first,
    what holds each back, and how many fire."""

    def work(turn: Turn, limit: int) -> tuple[list[tuple[Alert, Suppression]], int]:
        engine, now_ns = turn.engine, turn.now_ns
        found = _urgent(turn, limit)
        known = {one.id for one in found}
        found += [one for one in engine.newest(limit, now_ns) if one.id not in known]
        shown = found[:limit]
        return [(one, engine.suppression(one.id, now_ns)) for one in shown], len(engine)

    return lambda limit: reading.alerting.asked(lambda turn: work(turn, limit))


def _urgent(turn: Turn, limit: int) -> list[Alert]:
    """The *limit* urgent alerts that began last; of very many, of some of them."""
    found = (
        one
        for word in URGENT
        for one in turn.engine.find([Matcher("severity", "=", word)], turn.now_ns)
    )
    return nlargest(limit, islice(found, URGENT_MAX), key=lambda one: one.starts_ns)


def shown(reading: Reading) -> Callable[[Sequence[Alert]], list[dict[str, Any]]]:
    """A function of stored alerts: each as the list shows it."""
    return _Bound(reading).views


class _Live(NamedTuple):
    """An alert as the engine has it now, and what holds it back."""

    alert: Alert
    suppression: Suppression


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, have: Reading) -> None:
        self._have = have

    async def listed(self, request: Request) -> Response:
        """A page of alerts."""

        def found() -> Response:
            params.known(request, FILTERS)
            offset, limit = params.page(request, self._have.list_max)
            status = params.choice(request, "status", STATUSES, "")
            filters = alert_pages.Filters(
                **_equal(request, EQUALS),
                status=Status(status) if status else None,
                start_ns=_instant(request, "starts_after"),
                end_ns=_instant(request, "starts_before"),
            )
            now_ns, _ = self._live(())
            page = self._have.state.read(
                lambda tx: alert_pages.page(
                    tx, filters, now_ns=now_ns, offset=offset, limit=limit
                )
            )
            return problem.listing(self.views(page.items), page.total, offset, limit)

        return await self._have.reads.answer(found)

    async def one(self, request: Request) -> Response:
        """Everything of one alert."""

        def found() -> Response:
            params.known(request, ())
            alert_id = request.path_params["alert_id"]
            stored = self._known(alert_id)
            filters = alert_ledger.Filters(alert_id=alert_id)
            entries, _ = self._have.state.read(
                lambda tx: alert_ledger.page(tx, filters, limit=ENTRIES_MAX)
            )
            now_ns, live = self._live([alert_id])
            alert, suppression = _newer(stored, live.get(alert_id))
            entries = [*self._waiting(alert_id), *entries]
            return problem.answer(alert_view.alert(alert, now_ns, suppression, entries))

        return await self._have.reads.answer(found)

    async def correlations(self, request: Request) -> Response:
        """The groups that an alert is a member of."""

        def found() -> Response:
            params.known(request, ())
            alert_id = request.path_params["alert_id"]
            self._known(alert_id)
            groups = self._have.state.read(lambda tx: alert_correlations.of(tx, alert_id))
            items = [
                alert_view.correlation(
                    one.correlation, {alert.id: alert for alert in one.alerts}
                )
                for one in groups
            ]
            return problem.listing(items, len(items), 0, alert_correlations.SHOWN_MAX)

        return await self._have.reads.answer(found)

    async def statistics(self, request: Request) -> Response:
        """Counts by what they are grouped by."""

        def found() -> Response:
            params.known(request, STATISTICS)
            offset, limit = params.page(request, self._have.list_max)
            given = ",".join(request.query_params.getlist("group_by"))
            if len(given) > GROUP_BY_CHARS_MAX:
                raise Refused(f"over {GROUP_BY_CHARS_MAX} characters", field="group_by")
            group_by = [name.strip() for name in given.split(",")] if given else []
            filters = alert_statistics.Filters(
                **_equal(request, COUNTED),
                start_ns=_day(request, "date_from", inclusive=False),
                end_ns=_day(request, "date_to", inclusive=True),
            )
            self._count_up()
            groups, total = self._have.state.read(
                lambda tx: alert_statistics.table(
                    tx, group_by, filters, offset=offset, limit=limit
                )
            )
            return problem.listing([_group(one) for one in groups], total, offset, limit)

        return await self._have.reads.answer(found)

    def _count_up(self) -> None:
        """Have what was noted so far in the statistics; where nothing can be written now, or very
        much waits, they are a little old."""
        state = self._have.state
        with contextlib.suppress(Unavailable, TimeoutError):
            if not state.read(alert_counts.waits):
                return
            # Not for as long as anything waits: under load something always does.
            for _ in range(FOLDS_MAX):
                if not state.write(alert_counts.fold, lane=Lane.CONTROL).result(COUNTED_S):
                    return

    async def ledger(self, request: Request) -> Response:
        """A page of the ledger."""

        def found() -> Response:
            params.known(request, LEDGER)
            offset, limit = params.page(request, self._have.list_max)
            filters = alert_ledger.Filters(
                **_equal(request, NOTED),
                start_ns=_instant(request, "start"),
                end_ns=_instant(request, "end"),
            )
            waiting = [
                one
                for one in self._waiting(filters.alert_id or "")
                if alert_ledger.matches(filters, one)
            ]
            now = waiting[offset : offset + limit]
            behind, rest = max(0, offset - len(waiting)), limit - len(now)
            entries, total = self._have.state.read(
                lambda tx: alert_ledger.page(tx, filters, offset=behind, limit=rest)
            )
            items = [alert_view.entry(one) for one in (*now, *entries)]
            return problem.listing(items, total + len(waiting), offset, limit)

        return await self._have.reads.answer(found)

    def _known(self, alert_id: str) -> Alert:
        stored = self._have.state.read(lambda tx: alert_events.one(tx, alert_id))
        if stored is None:
            raise Refused(f"no alert {alert_id[:100]!r}", code="not_found", status=404)
        return stored

    def views(self, stored: Sequence[Alert]) -> list[dict[str, Any]]:
        """*stored* as the list shows them."""
        now_ns, live = self._live([alert.id for alert in stored])
        return [
            alert_view.alert(alert, now_ns, suppression)
            for alert, suppression in (_newer(one, live.get(one.id)) for one in stored)
        ]

    def _waiting(self, alert_id: str) -> list[Entry]:
        """What of an alert waits for a look at its group, which the ledger has no lines of."""
        return self._have.alerting.asked(
            lambda turn: turn.engine.waiting(alert_id, turn.now_ns)
        )

    def _live(self, alert_ids: Sequence[str]) -> tuple[int, dict[str, _Live]]:
        """The engine's time, and what it knows of *alert_ids*: it is ahead of the store by repeats."""

        def work(turn: Turn) -> tuple[int, dict[str, _Live]]:
            engine = turn.engine
            found = {
                alert_id: _Live(alert, engine.suppression(alert_id, turn.now_ns))
                for alert_id in alert_ids
                if (alert := engine.alert(alert_id)) is not None
            }
            return turn.now_ns, found

        return self._have.alerting.asked(work)


def _newer(stored: Alert, live: _Live | None) -> tuple[Alert, Suppression]:
    """*stored* with what only the engine knows yet."""
    if live is None:
        return stored, NO_SUPPRESSION
    now = live.alert
    alert = structs.replace(
        stored, ends_ns=now.ends_ns, updated_ns=now.updated_ns, count=now.count
    )
    return alert, live.suppression


def _equal(request: Request, names: Sequence[str]) -> dict[str, str | None]:
    """What each of *names* must equal; None: anything."""
    given = {name: params.text(request, name) or None for name in names}
    for name in _CHOICES.keys() & given.keys():
        params.choice(request, name, _CHOICES[name], "")
    if channel := given.get("channel"):
        given["channel"] = TYPES.get(channel, channel)
    return given


def _instant(request: Request, name: str) -> int | None:
    return params.instant_ns(request, name, 0) if params.text(request, name) else None


def _day(request: Request, name: str, *, inclusive: bool) -> int | None:
    """A date as its first instant, or as the one after its last; an instant as it is."""
    given = params.text(request, name)
    if not _DATE.match(given):
        return _instant(request, name)
    try:
        day = date.fromisoformat(given) + timedelta(days=inclusive)
        # A year may have no 64 bits of nanoseconds.
        return instant.parse(f"{day.isoformat()}T00:00:00Z")
    except (ValueError, OverflowError) as error:
        raise Refused(f"not a date: {given!r}", field=name) from error


def _group(one: alert_statistics.Group) -> dict[str, Any]:
    names = {
        name: instant.text_of(value) if isinstance(value, int) else value
        for name, value in one.names.items()
    }
    if "day" in names:
        names["day"] = names["day"].partition("T")[0]
    seconds = one.duration_ns / 1e9
    return {
        "group": names,
        "firing_count": one.firing,
        "resolved_count": one.resolved,
        "total_duration_seconds": seconds,
        "avg_duration_seconds": seconds / one.resolved if one.resolved else 0.0,
    }
