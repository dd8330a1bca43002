"""The journal of Module 3: one JSON object a line, in files that follow each other.

    {"eventId": "…", "timestamp": "…Z", "source": "Bridge_Telemetry", "status": "ERROR",
     "payload": {…}, "logLevel": "ERROR", "message": "…",
     "errorDetails": {"errorCode": "…", "errorMessage": "…", "errorTraceback": "…"}}

    runtime/logs/bridge_logs.jsonl  →  .1  →  .2  →  …  →  .5, which is what goes

Nothing is written before there is something to say. What cannot be written is counted, never raised.
"""

import contextlib
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heliograph.core import instant
from heliograph.core.clock import Clock, SystemClock
from heliograph.core.errors import ConfigError
from heliograph.recorder import forking, ids, loops, plain

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "FATAL")
PATH = "runtime/logs/bridge_logs.jsonl"
FILE_BYTES_MAX = 10 * 1024 * 1024
FILES_KEPT = 5
PAYLOAD_BYTES_MAX = 1024 * 1024
SUMMARY_CHARS = 200
DEPTH_MAX = 100
# So many errors of one code within so long are beyond what retrying mends.
REPEATS_MAX = 3
REPEATS_S = 600.0
EXHAUSTED = "STACK_EXHAUSTION"
REBOOT = "AUTO_REBOOT_TRIGGERED"
# Codes whose errors are counted; they come from a fixed set, but entries are the caller's too.
CODES_MAX = 256
# For another process to move the files, which takes milliseconds; one that is stopped takes for ever.
TURN_S_MAX, TURN_SLICE_S = 0.2, 0.01


class BridgeLogger:
    """Writes the journal that *config* names, which raises ConfigError for what makes no sense.
    Thread-safe; processes may share the files.

    lost   entries that could not be written
    """

    def __init__(
        self, config: Mapping[str, Any] | None = None, clock: Clock | None = None
    ) -> None:
        given = config or {}
        self.path = _path(given.get("log_path", PATH))
        self.lost = 0
        self._clock = clock or SystemClock()
        self._bytes_max = _whole(given, "max_log_size", FILE_BYTES_MAX)
        self._kept = max(0, _whole(given, "log_rotation_count", FILES_KEPT))
        self._console = bool(given.get("enable_console", True))
        self._least = _rank(str(given.get("min_log_level", "DEBUG")))
        self._depth_max = _whole(given, "max_recursion_depth", DEPTH_MAX)
        self._depth = threading.local()
        self._errors: dict[str, deque[float]] = {}
        self.begin_again()
        forking.watch(self)

    def begin_again(self) -> None:
        """In the child of a fork: with a lock of its own, and no events yet."""
        self._lock = threading.RLock()
        self._loops = loops.Loops()

    def log(self, entry: Mapping[str, Any], log_level: str = "INFO") -> str:
        """Write *entry* with an id and the time; its id. Missing keys are empty."""
        depth = getattr(self._depth, "now", 0)
        if depth > self._depth_max:
            self.lost += 1
            return ""
        if depth == self._depth_max:
            # Whoever writes while it is written to would do so for ever.
            entry, log_level = _exhausted(entry, depth), "FATAL"
        self._depth.now = depth + 1
        try:
            return self._log(entry, log_level.upper())
        finally:
            self._depth.now = depth

    def detect_infinite_loop(self, event: Mapping[str, Any]) -> bool:
        """Whether *event* was handed in so often that it must be a loop; counts it."""
        return self._loops.is_loop(event)

    def _log(self, entry: Mapping[str, Any], level: str) -> str:
        if _rank(level) < self._least:
            return ""
        event_id = ids.event_id()
        details = entry.get("errorDetails")
        line = {
            "eventId": event_id,
            "timestamp": instant.text_of(self._clock.now_ns()),
            "source": entry.get("source", ""),
            "status": entry.get("status", ""),
            "payload": entry.get("payload", {}),
            "logLevel": level,
            "message": entry.get("message", ""),
        }
        if details:
            line["errorDetails"] = details
        self._write(_encoded(line))
        if self._console:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"[{level}] {line['source']}: {line['message']}\n")
        if isinstance(details, Mapping) and level == "ERROR":
            self._note_error(str(details.get("errorCode", "")), entry)
        return event_id

    def _note_error(self, code: str, entry: Mapping[str, Any]) -> None:
        now_s = self._clock.monotonic_s()
        with self._lock:
            if code not in self._errors and len(self._errors) >= CODES_MAX:
                self._errors.clear()
            times = self._errors.setdefault(code, deque(maxlen=REPEATS_MAX))
            times.append(now_s)
            if len(times) < REPEATS_MAX or now_s - times[0] > REPEATS_S:
                return
            del self._errors[code]
        words = f"{REPEATS_MAX} errors of {code} within {REPEATS_S:g} s"
        self.log(
            {
                "source": entry.get("source", ""),
                "status": "FATAL",
                "message": words,
                "payload": {"errorCode": code},
                "errorDetails": {
                    "errorCode": REBOOT, "errorMessage": words, "errorTraceback": "",
                },
            },
            log_level="FATAL",
        )  # fmt: skip

    def _write(self, line: bytes) -> None:
        try:
            with self._lock:
                self._append(line)
        except (OSError, ValueError):  # a path that is none is told when it is written to
            self.lost += 1

    def _append(self, line: bytes) -> None:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        size = self.path.stat().st_size if self.path.exists() else 0
        if size and size + len(line) > self._bytes_max:
            with _turn(self.path, self._clock) as is_ours:
                # Another process may have made room while we waited for our turn.
                size = self.path.stat().st_size if self.path.exists() else 0
                if is_ours and size and size + len(line) > self._bytes_max:
                    self._rotate()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def _rotate(self) -> None:
        if not self._kept:
            self.path.unlink(missing_ok=True)
            return
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _path(given: Any) -> Path:
    try:
        return Path(given)
    except TypeError as error:
        raise ConfigError(f"logger_config.log_path: {given!r} is no path") from error


def _whole(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"logger_config.{name}: {value!r} is no whole number") from error


@contextlib.contextmanager
def _turn(path: Path, clock: Clock) -> Iterator[bool]:
    """One process at a time moves the files; where there are no such locks, it goes without.

    Whether it is our turn: not while another has it for TURN_S_MAX.
    """
    try:
        import fcntl  # not on every system
    except ImportError:
        yield True
        return
    fd = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    until_s = clock.monotonic_s() + TURN_S_MAX
    is_ours = False
    try:
        while not is_ours and clock.monotonic_s() <= until_s:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_ours = True
            except BlockingIOError:
                clock.sleep(TURN_SLICE_S)
        yield is_ours
    finally:
        # By its name: a child that was forked meanwhile has a copy of the descriptor.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _exhausted(entry: Mapping[str, Any], depth: int) -> dict[str, Any]:
    words = f"the journal was written to while it was written to, {depth} deep"
    details = {"errorCode": EXHAUSTED, "errorMessage": words, "errorTraceback": ""}
    source = entry.get("source", "")
    return {"source": source, "status": "FATAL", "message": words, "errorDetails": details}


def _encoded(line: dict[str, Any]) -> bytes:
    payload = line["payload"]
    text = plain.canonical(payload)
    if len(text) > PAYLOAD_BYTES_MAX:
        line["payload"] = {
            "truncated": True,
            "original_size": len(text),
            "summary": text[:SUMMARY_CHARS],
        }
    elif not plain.is_plain(payload):
        line["payload"] = plain.of(payload)
    try:
        return json.dumps(line).encode() + b"\n"
    except (TypeError, ValueError):
        return json.dumps(plain.of(line)).encode() + b"\n"


def _rank(level: str) -> int:
    try:
        return LEVELS.index(level.upper())
    except ValueError:
        return LEVELS.index("INFO")
