"""TelemetrySink: an append-only folder of telemetry events, written beside a training step.

    with TelemetrySink(Path("telemetry")) as sink:
        sink.start_session()
        sink.append(event)

`append` costs microseconds and never fails for the disk's sake: events wait in memory, and every 50 or
every two seconds a thread makes them durable. What a failing disk does not take is tried again, later
and later; beyond `buffer_events_max` waiting events new ones are dropped and counted.
"""

import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from heliograph.core.clock import Clock, SystemClock
from heliograph.kernels.canonical import canonical
from heliograph.projection import segments
from heliograph.projection.collector_health import collector_retry_delay_seconds
from heliograph.projection.event import TelemetryEvent
from heliograph.projection.folderlock import FolderLock
from heliograph.projection.identity_digest import json_bytes
from heliograph.projection.reading import telemetry_event_from_record, zip_fields
from heliograph.projection.segment_writer import Bounds, SegmentWriter
from heliograph.projection.segments import SessionEntry
from heliograph.projection.session import new_session_id

# Sessions that the manifest remembers; the oldest go first.
SESSIONS_MAX = 1000
_RETRY = {"initial_delay_s": 1.0, "factor": 2.0, "max_delay_s": 60.0}


@dataclass(frozen=True, kw_only=True)
class SinkConfig:
    """How a sink writes. ValueError where a number is below 1, *flush_interval_s* not above 0.

    flush_events, flush_interval_s           events or seconds after which waiting ones are written
    fsync                                    every flush on the platter; without it power cuts may cost
    segment_bytes_max, segment_events_max    a new segment is begun beyond them
    retain_files, retain_bytes               segments are deleted beyond them, oldest first
    buffer_events_max                        events that wait for a failing disk
    """

    flush_events: int = 50
    flush_interval_s: float = 2.0
    fsync: bool = True
    segment_bytes_max: int = 64 << 20
    segment_events_max: int = 10_000
    retain_files: int = 8
    retain_bytes: int = 512 << 20
    buffer_events_max: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "flush_interval_s":
                if not value > 0:
                    raise ValueError("flush_interval_s must be > 0")
            elif field.name != "fsync" and value < 1:
                raise ValueError(f"{field.name} must be >= 1")


class TelemetrySink:
    """The one writer of *folder*, thread-safe, until `close`. A fork's child does not own it.

    Opening marks sessions that another writer left running as interrupted. Raises SinkBusyError while
    another writer lives, OSError where the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        config: SinkConfig | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._folder = Path(folder)
        self._config = config or SinkConfig()
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._waiting: deque[bytes] = deque()
        self._session: SessionEntry | None = None
        self._counts = {"events_written": 0, "events_dropped": 0, "flush_failures": 0}
        self._failures = 0
        self._last_error: str | None = None
        self._next_flush_s = self._clock.monotonic_s() + self._config.flush_interval_s
        self._over = threading.Event()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held: FolderLock | None = FolderLock(self._folder)
        try:
            self._past = [
                entry._replace(status="interrupted") if entry.status == "running" else entry
                for entry in segments.sessions(self._folder)
            ]
            bounds = Bounds(*(getattr(self._config, name) for name in Bounds._fields))
            self._writer = SegmentWriter(self._folder, bounds, fsync=self._config.fsync)
            self._write_manifest()
        except OSError:
            self._held.close()
            raise
        self._thread: threading.Thread | None = None
        atexit.register(self._at_exit)

    @property
    def current_session(self) -> str | None:
        """The id of the running session, if any."""
        session = self._session
        return None if session is None else session.session_id

    def start_session(self, session_id: str | None = None) -> str:
        """Begin a session, by default with a new id, and return its id; one that runs is completed.

        ValueError for a blank id; OSError where it cannot be written down.
        """
        session_id = new_session_id() if session_id is None else session_id
        if not (isinstance(session_id, str) and session_id.strip()):
            raise ValueError("session_id must be a non-empty string")
        with self._owned():
            if self._session is not None:
                self._end_session("completed")
            self._past = [one for one in self._past if one.session_id != session_id]
            self._session = SessionEntry(session_id, "running", self._clock.now_ns())
            self._write_manifest()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="heliograph-sink", daemon=True
                )
                self._thread.start()
        return session_id

    def append(self, event: TelemetryEvent | Mapping[str, Any]) -> None:
        """Take *event*, to be durable by the next flush. ValueError, naming the field, for one that is
        not valid or not of the running session."""
        if not isinstance(event, TelemetryEvent):
            event = telemetry_event_from_record(event)
        record = zip_fields(event)
        line = (canonical(record) or json_bytes(record)) + b"\n"
        with self._owned():
            session = self._session
            if session is None or event.session_id != session.session_id:
                raise ValueError(
                    f"session_id {event.session_id!r} is not the running session "
                    f"{self.current_session!r}"
                )
            if len(self._waiting) >= self._config.buffer_events_max:
                self._counts["events_dropped"] += 1
            else:
                self._waiting.append(line)
                self._session = session._replace(event_count=session.event_count + 1)
            full = len(self._waiting) >= self._config.flush_events and not self._failures
            if full or self._due():
                # Counted; the next attempt is the thread's or a later append's.
                with contextlib.suppress(OSError):
                    self._flush()

    def flush(self, force: bool = True) -> None:
        """Make everything taken so far durable; without *force* only when it is time to. OSError when
        the disk does not take it: it still waits."""
        with self._owned():
            if force or self._due():
                self._flush()

    def close(self, session_status: Literal["completed", "interrupted"] = "completed") -> None:
        """Flush, end the session with *session_status*, and let go of the folder. Once closed, nothing
        happens. OSError when the last flush failed; the folder is let go of all the same."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._held is None:
                return
            self._over.set()
            try:
                self._flush()
                if self._session is not None:
                    self._end_session(session_status)
                self._write_manifest()
            finally:
                self._writer.close()
                self._held.close()
                self._held = None
                atexit.unregister(self._at_exit)

    def get_diagnostics(self) -> dict[str, Any]:
        """What it wrote, dropped and deleted so far, and what is on disk."""
        with self._lock:
            kept = self._writer.segments
            return {
                **self._counts,
                "events_waiting": len(self._waiting),
                "rollover_count": self._writer.rollover_count,
                "pruned_segment_count": self._writer.pruned_segment_count,
                "pruned_bytes": self._writer.pruned_bytes,
                "final_retained_files": len(kept),
                "final_retained_bytes": sum(segment.size_bytes for segment in kept),
                "last_error": self._last_error,
            }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close("completed" if kind is None else "interrupted")

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        # Before the lock, which a fork may have left held for ever.
        if os.getpid() != self._pid:
            raise ValueError(f"the sink belongs to process {self._pid}")
        with self._lock:
            if self._held is None:
                raise ValueError("the sink is closed")
            yield

    def _due(self) -> bool:
        return self._clock.monotonic_s() >= self._next_flush_s

    def _flush(self) -> None:
        waited = len(self._waiting)
        try:
            if self._writer.write(self._waiting):
                self._write_manifest()
        except OSError as error:
            self._failures += 1
            self._counts["flush_failures"] += 1
            self._last_error = str(error)
            self._schedule(collector_retry_delay_seconds(self._failures, **_RETRY))
            raise
        else:
            self._failures = 0
            self._schedule(self._config.flush_interval_s)
        finally:
            self._counts["events_written"] += waited - len(self._waiting)

    def _schedule(self, after_s: float) -> None:
        self._next_flush_s = self._clock.monotonic_s() + after_s

    def _end_session(self, status: Literal["completed", "interrupted"]) -> None:
        assert self._session is not None
        ended = self._session._replace(status=status, ended_at_ns=self._clock.now_ns())
        self._past = [*self._past, ended][-SESSIONS_MAX:]
        self._session = None

    def _write_manifest(self) -> None:
        running = [] if self._session is None else [self._session]
        segments.write_manifest(self._folder, [*self._past, *running], self._writer.segments)

    def _run(self) -> None:
        while not self._over.wait(self._config.flush_interval_s):
            with self._lock, contextlib.suppress(OSError):
                if self._held is not None and self._waiting and self._due():
                    self._flush()

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            with self._lock, contextlib.suppress(OSError):
                if self._held is not None:
                    # The session stays running: nobody said that it ended.
                    self._flush()
