"""Alertmanager's v2 read API, well enough that `amtool` and dashboards work unmodified.

Only what is active is listed, as there: an alert that has resolved is not. Source: Alertmanager's
OpenAPI document, v2.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import msgspec
import re2
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from heliograph import __version__
from heliograph.alert.document import foreign_fingerprint
from heliograph.alert.engine.views import Told
from heliograph.alert.model import Alert, Suppression
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher, compile_pattern
from heliograph.service import alert_view, problem
from heliograph.service.alerting import Alerting, Turn
from heliograph.service.endpoints.foreign import endpoint
from heliograph.service.endpoints.silences import FILTER, filters
from heliograph.service.http import Endpoint, Parameter

T = TypeVar("T")

# Alerts of one answer; Alertmanager has no limit, and its clients no paging.
ALERTS_MAX = 20_000
# What Alertmanager takes for true; anything else is false.
_TRUE = {"true", "t", "1", "yes", "y", "ok", "on", "selected", "checked", "enabled"}


class Wanted(NamedTuple):
    """Which alerts an answer is about."""

    matchers: Sequence[Matcher]
    receiver: "re2._Regexp[str] | None"
    active: bool
    silenced: bool
    inhibited: bool
    muted: bool

    def has(self, suppression: Suppression) -> bool:
        """Whether an alert so suppressed is wanted."""
        # What only a time interval holds back is active, to these questions.
        is_active = not (suppression.silences or suppression.inhibitors)
        return (
            (self.active or not is_active)
            and (self.silenced or not suppression.silences)
            and (self.inhibited or not suppression.inhibitors)
            and (self.muted or not suppression.mutes)
        )

    @property
    def everything(self) -> bool:
        """Whether there is no alert that is not wanted."""
        shown = self.active and self.silenced and self.inhibited and self.muted
        return shown and not self.matchers and self.receiver is None

    @property
    def told(self) -> Told | None:
        """Whether a receiver is asked for; None: all are."""
        pattern = self.receiver
        return None if pattern is None else lambda name: pattern.fullmatch(name) is not None


class _View(NamedTuple):
    """An alert as the API has it: as text at once, for a whole list of them outgrows the caches."""

    fingerprint: str
    text: msgspec.Raw


class Reading(NamedTuple):
    """What the endpoints of this module work with."""

    alerting: Alerting
    started_ns: int

    async def ask(self, work: Callable[[Turn], T]) -> T:
        """Run *work* on the engine's thread."""
        return await self.alerting.ask(work)


def endpoints(reading: Reading) -> list[Endpoint]:
    """`GET /api/v2/{status,alerts,alerts/groups,receivers}`."""

    async def status(_: Request) -> Response:
        original = await reading.ask(lambda turn: turn.engine.setup.original)
        return problem.answer(_status(original, reading.started_ns))

    async def alerts(request: Request) -> Response:
        wanted = _wanted(request)
        return problem.wordy(await reading.ask(lambda turn: _alerts(turn, wanted)))

    async def groups(request: Request) -> Response:
        wanted = _wanted(request)
        return problem.wordy(await reading.ask(lambda turn: _groups(turn, wanted)))

    async def receivers(_: Request) -> Response:
        names = await reading.ask(lambda turn: [*turn.engine.setup.receivers])
        return problem.answer([{"name": name} for name in names])

    choosing = (
        FILTER,
        Parameter("receiver", "pattern of a receiver's name"),
        Parameter("active", "false leaves out what may be told"),
        Parameter("silenced", "false leaves out what a silence holds back"),
        Parameter("inhibited", "false leaves out what another alert holds back"),
        Parameter(
            "unprocessed", "taken, and means nothing: all that is stored has been processed"
        ),
        Parameter("muted", "false leaves out what a time interval holds back"),
    )
    return [
        endpoint(
            "GET", path, "view", f"{text} (Alertmanager v2).", answer, parameters=parameters
        )
        for path, text, answer, parameters in (
            ("status", "Version and configuration", status, ()),
            ("alerts", "Active alerts", alerts, choosing),
            ("alerts/groups", "Active alerts by group", groups, choosing),
            ("receivers", "Names of receivers", receivers, ()),
        )
    ]


def _wanted(request: Request) -> Wanted:
    def flag(name: str) -> bool:
        given = request.query_params.get(name)
        # An empty one is as good as none.
        return not given or given.lower() in _TRUE

    receiver = request.query_params.get("receiver")
    try:
        pattern = compile_pattern(receiver) if receiver else None
    except ValueError as error:
        raise Refused(f"failed to parse receiver param: {error}", field="receiver") from error
    return Wanted(
        matchers=filters(request),
        receiver=pattern,
        active=flag("active"),
        silenced=flag("silenced"),
        inhibited=flag("inhibited"),
        muted=flag("muted"),
    )


def _status(original: str, started_ns: int) -> dict[str, Any]:
    return {
        "cluster": {"status": "disabled", "peers": []},
        "config": {"original": original},
        "uptime": alert_view.ms_text(started_ns),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
            "revision": "",
            "version": f"heliograph {__version__}",
        },
    }


def _alerts(turn: Turn, wanted: Wanted) -> list[msgspec.Raw]:
    _check_all(turn, wanted)
    views = (
        view
        for alert in turn.engine.find(wanted.matchers, turn.now_ns, wanted.told)
        if (view := _view(turn, alert, wanted)) is not None
    )
    # The engine does nothing else meanwhile, so no list is made that is too long to be given.
    found = list(islice(views, ALERTS_MAX + 1))
    _check_count(len(found))
    return _in_order(found)


def _in_order(views: list[_View]) -> list[msgspec.Raw]:
    views.sort(key=attrgetter("fingerprint"))
    return [view.text for view in views]


def _check_all(turn: Turn, wanted: Wanted) -> None:
    """Refuse to list everything, where that is too much, before any of it is made."""
    if wanted.everything:
        _check_count(len(turn.engine))


def _check_count(count: int) -> None:
    if count > ALERTS_MAX:
        raise Refused(
            f"more than {ALERTS_MAX} alerts: narrow the filter",
            field="filter",
            code="too_many",
            status=413,
        )


def _view(
    turn: Turn,
    alert: Alert,
    wanted: Wanted,
    told: Told | None = None,
    *,
    in_group: str | None = None,
) -> _View | None:
    """*alert* as the API has it, where it is wanted, with the receivers that are *told*: one for each
    of its groups, in the order of their routes, or *in_group* by name."""
    engine = turn.engine
    groups = engine.groups_of(alert.id)
    receivers = [one.receiver for one in groups if told is None or told(one.receiver)]
    if in_group is not None:
        receivers.sort()
    suppression = engine.suppression(alert.id, turn.now_ns, in_group)
    if not wanted.has(suppression):
        return None
    if suppression.inhibitors:
        suppression = structs.replace(
            suppression, inhibitors=_fingerprints(turn, suppression.inhibitors)
        )
    horizon_ns = engine.setup.resolve_timeout_ns
    view = alert_view.alert_v2(alert, turn.now_ns, suppression, receivers, horizon_ns)
    return _View(view["fingerprint"], msgspec.Raw(problem.worded(view)))


def _fingerprints(turn: Turn, alert_ids: Sequence[str]) -> tuple[str, ...]:
    found = (turn.engine.alert(one) for one in alert_ids)
    return tuple(foreign_fingerprint(one.labels) for one in found if one is not None)


def _groups(turn: Turn, wanted: Wanted) -> list[Mapping[str, Any]]:
    _check_all(turn, wanted)
    found: list[dict[str, Any]] = []
    count, told = 0, wanted.told
    for group, members in turn.engine.groups(turn.now_ns, wanted.matchers, told):
        # Of other receivers, nothing is said here: so has it Alertmanager.
        asked = (_view(turn, alert, wanted, told, in_group=group.key) for alert in members)
        chosen = (view for view in asked if view is not None)
        views = list(islice(chosen, ALERTS_MAX + 1 - count))
        # An alert counts in each of its groups, for it is shown in each.
        count += len(views)
        _check_count(count)
        if views:
            found.append(
                {
                    "labels": dict(group.labels),
                    "receiver": {"name": group.receiver},
                    "alerts": _in_order(views),
                }
            )
    return sorted(found, key=cmp_to_key(_compared))


def _compared(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """-1 where Alertmanager lists the group *one* before *other*, 1 where after it: by labels (fewer
    before, then name by name: what lacks it, what has less), then by receiver."""
    ours, theirs = one["labels"], other["labels"]
    if len(ours) != len(theirs):
        return -1 if len(ours) < len(theirs) else 1
    for name in sorted({*ours, *theirs}):
        value, its = ours.get(name), theirs.get(name)
        if value != its:
            return -1 if value is None or (its is not None and value < its) else 1
    name, its = str(one["receiver"]["name"]), str(other["receiver"]["name"])
    return (name > its) - (name < its)
