"""The folder of a sink: segments of lines, and a manifest of what they are.

    .lock                   held by the one writer
    segment-000001.jsonl    an event a line, keys sorted; complete up to its last line end
    manifest.json           {"schema_version": 2, "format": "heliograph.append_only_telemetry_sink",
                             "sessions": [{"session_id", "status", "started_at_ns", "ended_at_ns",
                             "event_count"}], "segments": [{"file", "event_count", "bytes"}]}

The segments are what counts; the manifest adds how sessions ended, and is replaced whole. A manifest
of others that lists its sessions likewise is read as well.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from heliograph.projection.session import SessionStatus

MANIFEST = "manifest.json"
ROLLUPS = "rollups.json"
FORMAT = "heliograph.append_only_telemetry_sink"
SCHEMA_VERSION = 2
_NAME = re.compile(r"segment-(\d{6,})\.jsonl")
_READ_BYTES = 1 << 20
_STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)


class SessionEntry(NamedTuple):
    """A session as the manifest tells of it; times as the sink's clock told them."""

    session_id: str
    status: SessionStatus
    started_at_ns: int
    ended_at_ns: int | None = None
    event_count: int = 0


class Segment(NamedTuple):
    """One file of events: its number, and how much of it is durable."""

    number: int
    event_count: int
    size_bytes: int

    @property
    def name(self) -> str:
        """Its file's name."""
        return f"segment-{self.number:06d}.jsonl"


def paths(folder: Path) -> list[Path]:
    """The segment files of *folder* in order."""
    found = {int(named[1]): p for p in folder.iterdir() if (named := _NAME.fullmatch(p.name))}
    return [found[number] for number in sorted(found)]


def statuses(folder: Path | None) -> dict[str, SessionStatus]:
    """How each session of the manifest of *folder* ended; {} without one."""
    return {
        entry["session_id"]: entry["status"]
        for entry in _entries(folder)
        if isinstance(entry.get("session_id"), str) and entry.get("status") in _STATUSES
    }


def sessions(folder: Path) -> list[SessionEntry]:
    """The sessions of the manifest of *folder*, as it lists them."""
    return [
        SessionEntry(
            entry["session_id"],
            entry["status"],
            _integer(entry.get("started_at_ns")) or 0,
            _integer(entry.get("ended_at_ns")),
            _integer(entry.get("event_count")) or 0,
        )
        for entry in _entries(folder)
        if isinstance(entry.get("session_id"), str) and entry.get("status") in _STATUSES
    ]


def write_manifest(
    folder: Path, sessions: Sequence[SessionEntry], segments: Sequence[Segment]
) -> None:
    """Replace the manifest of *folder*: whole, and on disk when this returns. Raises OSError."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "format": FORMAT,
        "sessions": [entry._asdict() for entry in sessions],
        "segments": [
            {"file": one.name, "event_count": one.event_count, "bytes": one.size_bytes}
            for one in segments
        ],
    }
    beside = folder / f".{MANIFEST}.new"
    with beside.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / MANIFEST)
    sync_folder(folder)


def recovered(folder: Path) -> list[Segment]:
    """The segments of *folder*; what a writer left of a line at the end of the last is cut off.
    Raises OSError."""
    found = []
    files = paths(folder)
    for path in files:
        count, whole_bytes = _measured(path)
        if path is files[-1] and whole_bytes < path.stat().st_size:
            os.truncate(path, whole_bytes)
        named = _NAME.fullmatch(path.name)
        assert named is not None
        found.append(Segment(int(named[1]), count, whole_bytes))
    return found


def sync_folder(folder: Path) -> None:
    """Have the names in *folder* on disk, where folders can be synced."""
    with contextlib.suppress(PermissionError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _measured(path: Path) -> tuple[int, int]:
    """Lines of *path*, and bytes up to the end of the last whole one."""
    count = end = at = 0
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            count += piece.count(b"\n")
            if (last := piece.rfind(b"\n")) >= 0:
                end = at + last + 1
            at += len(piece)
    return count, end


def _entries(folder: Path | None) -> list[Mapping[str, Any]]:
    if folder is None:
        return []
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    told = document.get("sessions") if isinstance(document, dict) else None
    if isinstance(told, dict):
        told = [
            {"session_id": key, **one} for key, one in told.items() if isinstance(one, dict)
        ]
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
