"""Where episodes go when the state lets them go: files by month, in the data folder.

    archive/alerts-2026-08.0001.jsonl.gz     `zcat` reads it: an alert a line, as `GET /v1/alerts/{id}`

What is appended is on disk before the state deletes it. After a crash in between, an episode stands
there twice; its id tells. Every process begins files of its own, so that what a crash cut short is
the end of a file and costs nothing but itself. The oldest files leave when all are too large together.
"""

import gzip
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from heliograph.alert.model import Alert, Entry
from heliograph.core import instant
from heliograph.core.errors import Unavailable
from heliograph.service import alert_view, problem

FOLDER = "archive"


class AlertArchive:
    """Appends episodes below *data_dir*, at most *bytes_max* in all. Used by one thread."""

    def __init__(self, data_dir: Path, bytes_max: int) -> None:
        self._folder = data_dir / FOLDER
        self._bytes_max = bytes_max
        # Of the last batch: one that is deleted in two steps is not written twice.
        self._written: frozenset[str] = frozenset()
        # Month → the file that this process began for it.
        self._files: dict[str, Path] = {}

    def append(self, episodes: Sequence[tuple[Alert, Sequence[Entry]]]) -> None:
        """Have *episodes* on disk. Raises Unavailable when the disk does not take them."""
        new = [(alert, entries) for alert, entries in episodes if alert.id not in self._written]
        months: dict[str, list[bytes]] = {}
        for alert, entries in new:
            ended_ns = alert.ends_ns or alert.updated_ns
            view = alert_view.alert(alert, ended_ns, notifications=entries)
            line = msgspec.json.encode(problem.plain(view))
            months.setdefault(instant.text_of(ended_ns)[:7], []).append(line)
        try:
            for month, lines in months.items():
                self._append(month, lines)
        except OSError as error:
            raise Unavailable(f"{self._folder}: {error.strerror}", code="disk") from error
        self._written = frozenset(alert.id for alert, _ in episodes)

    def prune(self) -> int:
        """Delete the oldest files above the bound; how many."""
        files = sorted(self._folder.glob("alerts-*.jsonl.gz"), reverse=True)
        kept_bytes = gone = 0
        for path in files:
            kept_bytes += path.stat().st_size
            if kept_bytes > self._bytes_max and path not in self._files.values():
                path.unlink()
                gone += 1
        return gone

    def _append(self, month: str, lines: list[bytes]) -> None:
        path = self._files.get(month) or self._begun(month)
        size_bytes = path.stat().st_size
        with path.open("ab") as file:
            try:
                file.write(gzip.compress(b"\n".join([*lines, b""])))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # Half of it would hide what comes after.
                os.truncate(path, size_bytes)
                raise

    def _begun(self, month: str) -> Path:
        """A new file for *month*, there for good."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        number = 1 + len(list(self._folder.glob(f"alerts-{month}.*.jsonl.gz")))
        path = self._folder / f"alerts-{month}.{number:04d}.jsonl.gz"
        path.touch(mode=0o600)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._files[month] = path
        return path
