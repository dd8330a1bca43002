"""The HTTP store: what is recorded goes to a service, and is asked of it.

    storage_config: {"backend": "timeseries_db", "connection_string": "http://heliograph:8989",
                     "token": "…", "edit_token": "…", "timeout_s": 10,
                     "durability": "durable", "max_buffered": 100_000}

Durable is what the service answered 2xx: it is on its disk; threads that wait share requests. Every
item has an id, so that what is sent twice counts once. With `durability: "buffered"` calls return at
once and a thread sends; lost is what waits in memory when the process dies, at most `max_buffered`
items and no more than about FLUSH_EVERY_S of them while the service answers. A full buffer says so,
and drops nothing silently.

The token is the configured one, else that of the environment (HELIOGRAPH_TOKEN); a service that asks
for tokens wants one of role ingest to record, and another, `edit_token`, of role editor to ask for
metrics and to make rules (viewer, to ask alone). One of role admin does for both.

A monitor becomes an alert rule of the service (`rule_documents`), where it watches whoever records.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from heliograph.core import duration, instant
from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.kernels.metric_rows import Rows
from heliograph.recorder import forking, plain, rule_documents
from heliograph.recorder.exchange import TIMEOUT_S, Exchange, encoded
from heliograph.recorder.monitors import Definition
from heliograph.recorder.outbox import BUFFERED_MAX, Outbox, SomeRefused
from heliograph.recorder.points import Event, Point, label_text
from heliograph.recorder.store import Asked, Expired, Policy, Usage
from heliograph.recorder.together import Together

EVENTS_PATH, METRICS_PATH, RULES_PATH = "/v1/events", "/v1/metrics", "/v1/alert-rules"
# Of one request; the service takes twice as many.
ITEMS_MAX = 5_000
QUERY_CHARS_MAX = 8_000
# A body that is too large is sent in halves.
TOO_LARGE = 413
RULES_PAGE = 1_000
FROM_ENVIRONMENT = "HELIOGRAPH_TOKEN"
_NUMBERS = {"NaN": float("nan"), "+Inf": float("inf"), "-Inf": float("-inf")}

Result = dict[str, Any]


class RemoteStore:
    """A `RecorderStore` over HTTP. Raises ConfigError for settings that make no sense."""

    def __init__(
        self,
        url: str,
        given: Mapping[str, Any],
        clock: Clock,  # noqa: ARG002 - as other stores have it
        session_id: str,
    ) -> None:
        token = str(given.get("token") or os.environ.get(FROM_ENVIRONMENT, ""))
        timeout_s = given.get("timeout_s", TIMEOUT_S)
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
            raise ConfigError(f"storage_config.timeout_s: {timeout_s!r} is no number")
        if not 0 < timeout_s <= 3600:
            raise ConfigError(f"storage_config.timeout_s: {timeout_s!r} is not within 3600")
        durability = given.get("durability", "durable")
        if durability not in {"durable", "buffered"}:
            raise ConfigError(
                f"storage_config.durability: {durability!r} is none of durable, buffered"
            )
        most = given.get("max_buffered", BUFFERED_MAX)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigError(f"storage_config.max_buffered: {most!r} is no positive number")
        self._exchange = self._asking = Exchange(url, token=token, timeout_s=float(timeout_s))
        if given.get("edit_token"):
            other = str(given["edit_token"])
            self._asking = Exchange(url, token=other, timeout_s=float(timeout_s))
        self._session_id = session_id
        self.rows: Rows | None = None
        self._together = Together(self._post, items_max=ITEMS_MAX)
        self._outbox: Outbox | None = None
        if durability == "buffered":
            self._outbox = Outbox(
                self._send, items_max=most, batch_max=ITEMS_MAX, closing_s=timeout_s
            )
        forking.watch(self)

    def add_point(self, point: Point) -> None:
        """As the port has it."""
        self._add(METRICS_PATH, [self._of_point(point)])

    def add_points(self, points: Sequence[Point]) -> None:
        """As the port has it, but beyond ITEMS_MAX points are several requests, of which the first may
        be kept. Series that the service has no room for are refused alone; Refused says how many."""
        self._add(METRICS_PATH, [self._of_point(point) for point in points])

    def add_event(self, event: Event) -> None:
        """As the port has it."""
        item = {
            "session_id": self._session_id,
            **_jsonable(event.extra),
            "event_type": event.event_type,
            "source": event.source,
            "event_id": event.event_id,
            "timestamp": instant.text_of(event.at_ns),
            "data": _jsonable(event.data),
        }
        # Encoded at once: what the caller changes afterwards is not what was recorded.
        self._add(EVENTS_PATH, [encoded(item)])

    def metrics(self, asked: Asked) -> dict[str, Any]:
        """As the port has it. Refused for a user's own aggregation: the data is elsewhere."""
        if asked.aggregation.function is not None:
            words = f"{asked.aggregation.name} is this process's own, and the data is elsewhere"
            raise Refused(words)
        wanted = asked.names
        if wanted is not None:
            # No other can be; and without any, a service would answer all.
            wanted = [name for name in wanted if isinstance(name, str) and name]
            if not wanted:
                return {}
        found: dict[str, Any] = {}
        for names in _pieces(wanted):
            answer = self._asking.ask("GET", f"{METRICS_PATH}?{_query(asked, names)}")
            found.update(_part(answer, "metrics", dict))
        start, end = asked.told
        for one in found.values():
            _thaw(one)
            one["time_range"] = {"start": start, "end": end}
        return found

    def usage(self) -> Usage:
        """How full the buffer is; the service's own store is the service's to tell."""
        return Usage(0.0, {}) if self._outbox is None else self._outbox.usage()

    def retain(self, policy: Policy, now_ns: int, *, dry_run: bool) -> Expired:  # noqa: ARG002
        """Nothing: the service keeps by its own retention, and others record there too."""
        return Expired()

    def flush(self) -> None:
        """Return when all is answered. Raises Unavailable when the service does not take it."""
        if self._outbox is not None:
            self._outbox.flush()

    def close(self) -> None:
        """Send what waits, for as long as one request may last, and let go."""
        if self._outbox is not None:
            self._outbox.close()
        for exchange in {self._exchange, self._asking}:
            exchange.close()

    def register_monitor(self, definition: Definition) -> str:
        """The id of the alert rule that *definition* is now; one of its name is replaced.

        Needs the token of an editor. Raises Refused for what no rule can say, Unavailable.
        """
        document = rule_documents.of(definition)
        try:
            made = self._asking.ask("POST", RULES_PATH, encoded(document))
        except Refused as refused:
            there = self._rule_id(definition.name) if refused.status == 409 else ""
            if not there:
                raise
            made = self._asking.ask(
                "PUT", f"{RULES_PATH}/{quote(there, safe='')}", encoded(document)
            )
        return str(_part(made, "rule_id", str))

    def remove_monitor(self, name: str) -> bool:
        """Remove the alert rule of the monitor *name*; whether there was one. Raises as above."""
        there = self._rule_id(name)
        if there:
            self._asking.ask("DELETE", f"{RULES_PATH}/{quote(there, safe='')}")
        return bool(there)

    def begin_again(self) -> None:
        """For a child that was forked: share nothing with the parent."""
        for exchange in {self._exchange, self._asking}:
            exchange.begin_again()
        self._together.begin_again()
        if self._outbox is not None:
            self._outbox.begin_again()

    def _rule_id(self, name: str) -> str:
        """The id of the rule of that name which a monitor made, "" where there is none."""
        offset = 0
        while True:
            page = self._asking.ask("GET", f"{RULES_PATH}?offset={offset}&limit={RULES_PAGE}")
            items = _part(page, "items", list)
            for one in items:
                if one["name"] == name and rule_documents.is_of_monitor(one):
                    return str(one["rule_id"])
            offset += len(items)
            if not items or offset >= _part(page, "total", int):
                return ""

    def _add(self, path: str, items: list[bytes]) -> None:
        if self._outbox is not None:
            self._outbox.put([(path, item) for item in items])
            return
        for at in range(0, len(items), ITEMS_MAX):
            piece = items[at : at + ITEMS_MAX]
            _check(self._together.send(path, piece), len(piece))

    def _send(self, path: str, items: Sequence[bytes]) -> None:
        """Raises Refused, telling how many were, and Unavailable."""
        _check(self._post(path, items), len(items))

    def _post(self, path: str, items: Sequence[bytes]) -> Sequence[Result]:
        """What became of each of *items*; () when all were taken."""
        try:
            answer = self._exchange.ask("POST", path, b"[%b]" % b",".join(items))
        except Refused as refused:
            if refused.status != TOO_LARGE:
                raise
            if len(items) == 1:
                error = {"code": refused.code, "message": refused.detail}
                return [{"status": "error", "error": error}]
            half = len(items) // 2
            halves = items[:half], items[half:]
            return [
                one
                for part in halves
                for one in self._post(path, part) or [{"status": "success"}] * len(part)
            ]
        if not _part(answer, "rejected", int):
            return ()
        results: Sequence[Result] = _part(answer, "results", list)
        return results

    def _of_point(self, point: Point) -> bytes:
        item: dict[str, Any] = {
            "metric_name": point.name,
            "metric_value": point.value,
            "timestamp": instant.text_of(point.at_ns),
            "event_id": point.event_id,
            "session_id": self._session_id,
        }
        if point.context:
            item["context"] = {
                str(key): value if _is_scalar(value) else label_text(value)
                for key, value in point.context.items()
            }
        return encoded(item)


def _check(results: Sequence[Result], count: int) -> None:
    """Raise SomeRefused when one of the *results* of *count* items is an error."""
    errors = [
        _part(one, "error", dict) for one in results if _part(one, "status", str) == "error"
    ]
    if errors:
        words = f"{len(errors)} of {count} refused: {errors[0].get('message')}"
        raise SomeRefused(words, code=str(errors[0].get("code")), count=len(errors))


def _part(answer: Any, key: str, kind: type) -> Any:
    """What a service's answer has under *key*. Raises Unavailable: somebody else answered."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, kind):
        raise Unavailable(f"an answer without {key}: is it a Heliograph?", code="answer")
    return found


def _query(asked: Asked, names: Sequence[str]) -> str:
    # The service's end is inclusive, and of whole microseconds holds all of the last one.
    pairs = [("name", name) for name in names]
    pairs += [("by", name) for name in asked.by]
    pairs += [
        ("start", _decimal(asked.start_ns)),
        ("end", _decimal(asked.end_ns - 1)),
        ("aggregation", asked.aggregation.name),
    ]
    if asked.every_ns is not None:
        pairs.append(("every", duration.format_ns(asked.every_ns)))
    return urlencode(pairs)


def _decimal(at_ns: int) -> str:
    """Epoch seconds, exact to the nanosecond."""
    sign, at_ns = ("-", -at_ns) if at_ns < 0 else ("", at_ns)
    return f"{sign}{at_ns // 10**9}.{at_ns % 10**9:09d}"


def _pieces(names: Sequence[str] | None) -> list[list[str]]:
    """Names of one request each: a URL has its length. One empty piece for all metrics."""
    pieces: list[list[str]] = [[]]
    chars = 0
    for name in names or ():
        chars += 3 * len(name) + 6
        if chars > QUERY_CHARS_MAX and pieces[-1]:
            pieces.append([])
            chars = 3 * len(name) + 6
        pieces[-1].append(name)
    return pieces


def _thaw(answer: dict[str, Any]) -> None:
    """Numbers that JSON lacks, of a metric's answer, its buckets and its groups."""
    value = answer.get("value")
    if isinstance(value, str):
        answer["value"] = _NUMBERS.get(value, value)
    for key in ("buckets", "groups"):
        for one in answer.get(key, ()):
            _thaw(one)


def _jsonable(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values if plain.is_plain(values) else plain.of(values)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
