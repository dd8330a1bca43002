"""Events and metrics on their way into the log: one commit a request, an answer for each item.

a number   → a sample of its series, beside a body's other samples in one frame
a text     → a record `metric_text`
an event   → a record
"""

from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from heliograph.core.clock import Clock
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.receive import json_body
from heliograph.receive import recorder as received
from heliograph.receive.recorder import GivenEvent, GivenPoint, RecorderLimits, Told
from heliograph.recorder.checks import Fault
from heliograph.service import record_frames
from heliograph.service.ingest import Ingest
from heliograph.service.meters import Meters
from heliograph.service.recorder_instants import Instants
from heliograph.store.log.log import Log

EVENTS, METRICS = "events", "metrics"
STORAGE_FAILURE = "STORAGE_FAILURE"
# Where a result stands in the answer of a list.
OK = "success"
ERROR = "error"
# Of faults whose details, as spec 002 has them, are empty.
_PARTS = {"INVALID_METRIC_NAME": "metric_name", "INVALID_METRIC_VALUE": "metric_value"}

Payload = tuple[bytes, int]
Result = dict[str, Any]


class Read(NamedTuple):
    """A body, read: an answer for each item, in order; what of it goes into the log.

    placed     the place in the body of each of *points*
    payloads   records, encoded
    """

    results: list[Result]
    alone: bool
    points: list[GivenPoint]
    placed: list[int]
    payloads: list[Payload]


class Taking:
    """Takes bodies. `events` and `metrics` for the thread of lines; `append` for any."""

    def __init__(
        self,
        ingest: Ingest,
        log: Log,
        table: SeriesTable,
        clock: Clock,
        meters: Meters,
        limits: RecorderLimits,
    ) -> None:
        self._ingest = ingest
        self._log = log
        self._table = table
        self._clock = clock
        self._meters = meters
        self._limits = limits
        self._instants = Instants()
        meters.registry.gauge(
            "heliograph_recorder_places_forgotten",
            "Instants of recorded points that are no longer told apart, since the start.",
            lambda: [((), float(self._instants.forgotten))],
        )

    def events(self, body: bytes, encoding: str | None) -> Read:
        """The events of *body*. Raises Refused when nothing of it can be read."""
        now_ns = self._clock.now_ns()
        told = received.events(
            body, content_encoding=encoding, arrival_ns=now_ns, limits=self._limits
        )
        records = [
            received.record_of(one, now_ns) for one in told.items if not isinstance(one, Fault)
        ]
        self._count(told, EVENTS)
        results = [
            _refused(place, one) if isinstance(one, Fault) else _recorded(one.event)
            for place, one in enumerate(told.items)
        ]
        return Read(results, told.alone, [], [], record_frames.payloads(records))

    def metrics(self, body: bytes, encoding: str | None) -> Read:
        """The points of *body*, as `events`."""
        now_ns = self._clock.now_ns()
        told = received.metrics(
            body, content_encoding=encoding, arrival_ns=now_ns, limits=self._limits
        )
        self._count(told, METRICS)
        self._meters.dropped.add(told.keys_cut, "context_keys", "keys_max")
        results: list[Result] = []
        points: list[GivenPoint] = []
        placed: list[int] = []
        records = []
        for place, one in enumerate(told.items):
            if isinstance(one, Fault):
                results.append(_refused(place, one))
                continue
            results.append(_recorded(one.point))
            if one.packed:
                points.append(one)
                placed.append(place)
            else:
                records.append(received.record_of_text(one, now_ns))
        payloads = record_frames.payloads(records)
        return Read(results, told.alone, points, placed, payloads)

    def append(self, read: Read) -> "Future[list[int]]":
        """Make *read* durable; places of the points whose series is one too many, when it is.

        Raises Unavailable; the future does too.
        """
        return self._ingest.submit(lambda: self._append(read))

    def beyond(self, read: Read, places: list[int]) -> None:
        """Say in the results of *read* that the series at *places* are too many."""
        words = f"more than {self._table.limit} series"
        for place in places:
            read.results[place] = _refused(place, Fault(STORAGE_FAILURE, words, {}))
        self._meters.rejected.add(len(places), METRICS, "series_limit")

    def _append(self, read: Read) -> list[int]:
        """On the ingest thread, where nobody makes the table forget."""
        intern, place = self._table.intern, self._instants.place
        series: list[int] = []
        at_ns: list[int] = []
        values: list[float | str] = []
        beyond: list[int] = []
        for one, index in zip(read.points, read.placed, strict=True):
            number = intern(one.packed)
            if number is None:
                beyond.append(index)
                continue
            point = one.point
            series.append(number)
            at_ns.append(place(number, point.at_ns, point.event_id if one.named else ""))
            values.append(point.value)
        if series:
            self._table.touch(list(set(series)), self._clock.now_ns())
            self._log.append_samples(
                SampleBatch(
                    np.array(series, np.uint32),
                    np.array(at_ns, np.int64),
                    np.array(values, np.float64),
                )
            )
        for payload, count in read.payloads:
            self._log.append_records(payload, count)
        return beyond

    def _count(self, told: Told[GivenEvent] | Told[GivenPoint], protocol: str) -> None:
        self._meters.received.add(len(told.items), protocol, protocol)
        for one in told.items:
            if isinstance(one, Fault):
                self._meters.rejected.add(1, protocol, one.code.lower())


def errors(read: Read) -> list[dict[str, str]]:
    """What is wrong with items of *read*: `[3].metric_name`; of one alone `metric_name`, or `body`."""
    return [
        {"field": _place(one, read.alone), "message": one["error"]["message"]}
        for one in read.results
        if one["status"] == ERROR
    ]


def _place(refused: Result, alone: bool) -> str:
    part = _part(refused["error"])
    if alone:
        return part or json_body.FIELD
    return f"[{refused['index']}].{part}".rstrip(".")


def _part(error: dict[str, Any]) -> str:
    """The part of an item that *error* is about, "" for the whole of it."""
    details = error["details"].get("validation_errors", error["details"])
    if missing := details.get("missing_fields"):
        return str(missing[0])
    told = (details[key] for key in ("invalid_type", "too_long", "field") if key in details)
    return str(next(told, _PARTS.get(error["code"], "")))


def _recorded(told: Any) -> Result:
    return {"status": OK, "event_id": told.event_id, "timestamp": told.told}


def _refused(place: int, fault: Fault) -> Result:
    return {"status": ERROR, "index": place, "error": fault._asdict()}
