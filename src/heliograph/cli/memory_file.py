"""A file of memory events, read once: the newest that match, and lines of memory over time.

Whatever its size, only what is shown is held.
"""

import heapq
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from heliograph.cli.event_files import EventFile, files_of
from heliograph.cli.memory_lines import (
    BYTES_END,
    COUNTERS,
    Chart,
    Stream,
    Thinned,
    device_name,
    labelled,
)
from heliograph.core import instant
from heliograph.projection.events import (
    project_telemetry_event,
    telemetry_event_from_record,
    telemetry_event_to_dict,
)
from heliograph.projection.record import projected_record_to_dict

STREAMS_MAX = 4096
_VERSIONS = frozenset({2, 3, 4})
_PROJECTED = "projected record"


class Read(NamedTuple):
    """*answer* as the service would give it; the *chart* of one counter, without *left_out* readings
    that are no counts of bytes, or of one stream too many."""

    answer: dict[str, Any]
    chart: Chart
    left_out: int


def read(path: Path, filters: Mapping[str, Any], limit: int, counter: str) -> Read:
    """The *limit* newest events of *path* that match *filters*, and all their readings of *counter*."""
    wanted = _Wanted(filters)
    newest: list[tuple[int, int, dict[str, Any]]] = []
    readings = _Readings(counter)
    total = bad = number = 0
    for one in files_of(path):
        file = EventFile(one)
        try:
            for item in file.items():
                number += 1
                event = _event(item)
                if event is None:
                    bad += 1
                    continue
                if not wanted.takes(event):
                    continue
                total += 1
                # Of those of one instant the last in the file is the newest.
                entry = (event["timestamp_ns"], number, event)
                if len(newest) < limit:
                    heapq.heappush(newest, entry)
                elif entry > newest[0]:
                    heapq.heapreplace(newest, entry)
                readings.add(event)
        finally:
            file.close()
    if bad:
        click.echo(f"{bad:,} of {number:,} items are no memory events", err=True)
    items = [
        _document(event) for _, _, event in sorted(newest, key=lambda e: e[:2], reverse=True)
    ]
    answer = {
        "items": items,
        "total": total,
        "offset": 0,
        "limit": limit,
        "counted": f"{total:,}",
    }
    lines = {stream: thinned.line() for stream, thinned in readings.thinned.items()}
    return Read(answer, labelled(lines), readings.left_out)


class _Readings:
    """The readings of *counter*, thinned; *left_out* are those that cannot be drawn."""

    def __init__(self, counter: str) -> None:
        self._counter = counter
        self.thinned: dict[Stream, Thinned] = {}
        self.left_out = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """That of *event*, where it has one."""
        value = event.get(self._counter)
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            return
        device = device_name(str(event.get("collector")), event.get("device_id"))
        stream = Stream(event["session_id"], str(event.get("rank", 0)), device)
        thinned = self.thinned.get(stream)
        # Not a number, too: no comparison with it holds.
        if not abs(value) < BYTES_END or (thinned is None and len(self.thinned) >= STREAMS_MAX):
            self.left_out += 1
            return
        if thinned is None:
            thinned = self.thinned[stream] = Thinned()
        thinned.add(event["timestamp_ns"], float(value))


def _event(item: bytes) -> dict[str, Any] | None:
    """The event of *item*, older ones read as of version 3; None of what is none."""
    try:
        value = json.loads(item)
        if not isinstance(value, dict):
            return None
        if value.get("schema_version") in _VERSIONS and _plain(value):
            return value
        if value.get("schema_version") == 1 and "record_id" in value and _plain(value):
            return _of_projected(value)
        event = telemetry_event_to_dict(telemetry_event_from_record(value))
        return event if _plain(event) else None
    except (ValueError, RecursionError):
        return None


def _of_projected(record: dict[str, Any]) -> dict[str, Any] | None:
    """A projected record with its readings where events have them; None of what is none."""
    resource, attributes = record.get("resource"), record.get("attributes")
    if not isinstance(resource, dict) or not isinstance(attributes, dict):
        return None
    readings = {
        field: attributes.get(f"memory.{field.replace('_', '.', 1)}")
        for field in COUNTERS.values()
    }
    who = {name: resource.get(name) for name in ("collector", "device_id", "rank")}
    return {**record, **who, **readings, _PROJECTED: record}


def _plain(value: Mapping[str, Any]) -> bool:
    """Whether it can be used without being looked into further."""
    at_ns = value.get("timestamp_ns")
    return (
        type(at_ns) is int
        and instant.AT_NS_MIN <= at_ns <= instant.AT_NS_MAX
        and isinstance(value.get("session_id"), str)
        and isinstance(value.get("event_type"), str)
    )


def _document(event: Mapping[str, Any]) -> dict[str, Any]:
    if _PROJECTED in event:
        absent = dict.fromkeys(("severity", "stage", "body", "source_kind"))
        shown = {"timestamp": instant.text_of(event["timestamp_ns"])}
        return {**shown, **absent, **event[_PROJECTED]}
    try:
        document = projected_record_to_dict(project_telemetry_event(event))
    except ValueError as error:
        raise click.ClickException(f"an event of {event['timestamp_ns']}: {error}") from error
    return {"timestamp": instant.text_of(document["timestamp_ns"]), **document}


class _Wanted:
    """The filters of the command."""

    def __init__(self, filters: Mapping[str, Any]) -> None:
        self._session_id = filters.get("session_id")
        self._event_type = filters.get("event_type")
        self._severity = filters.get("severity")
        self._source_kind = filters.get("source_kind")
        try:
            start, end = filters.get("start"), filters.get("end")
            self._start_ns = instant.parse_any(start) if start else instant.AT_NS_MIN
            self._end_ns = instant.parse_any(end) if end else instant.AT_NS_MAX + 1
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Whether *event* is asked for."""
        if not self._start_ns <= event["timestamp_ns"] < self._end_ns:
            return False
        if self._session_id not in {None, event["session_id"]}:
            return False
        if self._event_type not in {None, event["event_type"]}:
            return False
        if self._severity is None and self._source_kind is None:
            return True
        document = _document(event)
        return self._severity in {None, document["severity"]} and self._source_kind in {
            None,
            document["source_kind"],
        }
