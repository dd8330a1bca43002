"""Files of telemetry events, read one event at a time.

    run.jsonl              an event a line
    run.json               [event, …], {"events": [event, …]}, or one event
    folder/                a sink's folder (`manifest.json`, `segment-000001.jsonl`, …), or any files
                           of the above
    manifest.json          the same as its folder

All are read in pieces, so memory does not grow with the file. A last line that was cut short is left
out, as its writer was stopped in the middle of it; any other fault is a ValueError that names file and
line, or the element of a document.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from heliograph.projection import json_pieces, segments
from heliograph.projection.event import TelemetryEvent
from heliograph.projection.legacy import session_key
from heliograph.projection.reading import project_telemetry_events, telemetry_event_from_record
from heliograph.projection.record import (
    ProjectedTelemetryRecord,
    unique_projected_correlations,
    unique_projected_resources,
)
from heliograph.projection.session import SessionStatus, stable_legacy_session_id

LINE_BYTES_MAX = 16 << 20
_BOM = b"\xef\xbb\xbf"
# What a document that is none raises; nesting without end ends in the second.
_MALFORMED = (ValueError, RecursionError)
_SUFFIXES = {".jsonl", ".ndjson", ".json"}
# Few texts make up the events of a file; each is kept once, up to this many.
_TEXTS_MAX = 10_000


class LoadedTelemetrySession(NamedTuple):
    """The events of one session by time; those of equal times as they were written."""

    session_id: str
    status: SessionStatus
    events: tuple[TelemetryEvent, ...]

    @property
    def started_at_ns(self) -> int | None:
        """When its first event happened; None where it has none."""
        return self.events[0].timestamp_ns if self.events else None

    @property
    def ended_at_ns(self) -> int | None:
        """When its last event happened; None where it has none."""
        return self.events[-1].timestamp_ns if self.events else None

    def telemetry_records(self) -> list[ProjectedTelemetryRecord]:
        """Its events projected."""
        return project_telemetry_events(self.events)

    def resources(self) -> list[dict[str, Any]]:
        """What its events came from, each once."""
        return unique_projected_resources(self.telemetry_records())

    def correlations(self) -> list[dict[str, Any]]:
        """What its events belong to, each once."""
        return unique_projected_correlations(self.telemetry_records())


def load_telemetry_sessions(
    path: str | Path, *, permissive_legacy: bool = True
) -> list[LoadedTelemetrySession]:
    """The sessions of *path* in order of their first event, those without events last.

    All events are held in memory, a kilobyte each; `events` holds one. A sink's manifest tells how a
    session ended; else one whose last event is `stop` is completed, and others are incomplete.
    """
    by_session: dict[str, list[TelemetryEvent]] = {}
    for event in events(path, permissive_legacy=permissive_legacy):
        by_session.setdefault(event.session_id, []).append(event)
    told = segments.statuses(_folder_of(Path(path)))
    loaded = []
    for session_id in {**dict.fromkeys(by_session), **dict.fromkeys(told)}:
        some = by_session.get(session_id, [])
        some.sort(key=lambda event: event.timestamp_ns)
        ended = bool(some) and some[-1].event_type == "stop"
        status = told.get(session_id, "completed" if ended else "incomplete")
        loaded.append(LoadedTelemetrySession(session_id, status, tuple(some)))
    return sorted(loaded, key=lambda one: (not one.events, one.started_at_ns or 0))


def events(path: str | Path, *, permissive_legacy: bool = True) -> Iterator[TelemetryEvent]:
    """The events of *path* in the order of its files. Those without a session that one process of one
    host wrote into one file are one session. ValueError names file and line."""
    texts: dict[str, str] = {}
    for where, number, record in _numbered(Path(path)):
        default = None
        if isinstance(record, dict):
            if "session_id" not in record:
                default = stable_legacy_session_id(where.name, *session_key(record))
            _share_texts(record, texts)
        try:
            yield telemetry_event_from_record(
                record, permissive_legacy, default_session_id=default
            )
        except ValueError as error:
            raise ValueError(f"{where}:{number}: {error}") from error


def records(path: str | Path) -> Iterator[dict[str, Any]]:
    """The events of *path* as they are written, unchecked. ValueError names file and line."""
    for where, number, record in _numbered(Path(path)):
        if not isinstance(record, dict):
            raise ValueError(f"{where}:{number}: not an object")  # noqa: TRY004 - as bad lines
        yield record


def _numbered(path: Path) -> Iterator[tuple[Path, int, Any]]:
    # The number is that of the line, or of the element.
    folder = _folder_of(path)
    for file in [path] if folder is None else _files(folder):
        with file.open("rb") as opened:
            for number, record in _contents(file, opened):
                yield file, number, record


def _folder_of(path: Path) -> Path | None:
    if path.is_dir():
        return path
    return path.parent if path.name == segments.MANIFEST else None


def _files(folder: Path) -> list[Path]:
    """The segments of *folder*; where it has none, all files that could hold events."""
    own = {segments.MANIFEST, segments.ROLLUPS}
    return segments.paths(folder) or sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and path.name not in own and path.is_file()
    )


def _contents(file: Path, opened: BinaryIO) -> Iterator[tuple[int, Any]]:
    head = opened.read(len(_BOM))
    opened.seek(len(head) if head == _BOM else 0)
    begin = opened.tell()
    first = opened.readline(LINE_BYTES_MAX)
    while first.isspace():
        first = opened.readline(LINE_BYTES_MAX)
    opened.seek(begin)
    if _is_line(first):
        yield from _lines(file, opened)
    else:
        yield from _document(file, opened)


def _is_line(first: bytes) -> bool:
    """Whether a file that begins with *first* is one of lines."""
    if first.lstrip().startswith(b"["):
        return False
    try:
        record = json.loads(first)
    except _MALFORMED:
        # A document over several lines or of a very long one, unless the only line was cut short.
        return not first.endswith(b"\n") and len(first) < LINE_BYTES_MAX
    return not (isinstance(record, dict) and isinstance(record.get(json_pieces.EVENTS), list))


def _document(file: Path, opened: BinaryIO) -> Iterator[tuple[int, Any]]:
    try:
        yield from json_pieces.events(opened)
    except _MALFORMED as error:
        raise ValueError(f"{file}: {error}") from error


def _lines(file: Path, opened: BinaryIO) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := opened.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise ValueError(f"{file}:{number}: over {LINE_BYTES_MAX} bytes")
        try:
            record = json.loads(line)
        except _MALFORMED as error:
            if line.isspace():
                continue
            # Cut short, or room that a power cut left unwritten; anything else was never an event.
            if not line.endswith(b"\n") and line.lstrip().startswith((b"{", b"\0")):
                return
            raise ValueError(f"{file}:{number}: {error}") from error
        yield number, record


def _share_texts(record: dict[str, Any], texts: dict[str, str]) -> None:
    if len(texts) < _TEXTS_MAX:
        for name in ("session_id", "event_type", "collector", "host"):
            text = record.get(name)
            if type(text) is str:
                record[name] = texts.setdefault(text, text)
