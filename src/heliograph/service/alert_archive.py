"""Where episodes go when the state lets them go: files by month, in the data folder.

    archive/alerts-2026-08.0001.jsonl.gz     `zcat` reads it: an alert a line, as `GET /v1/alerts/{id}`

What is appended is on disk before the state deletes it. After a crash in between, an episode stands
there twice; its id tells. Every process begins files of its own, so that what a crash cut short is
the end of a file and costs nothing but itself. The oldest files leave when all are too large together,
all but the one that was written last; so that it is not most of them, one that is large is followed by
another.
"""

import gzip
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from heliograph.alert.model import Alert, Entry
from heliograph.core import instant
from heliograph.core.errors import Unavailable
from heliograph.service import alert_view, problem

FOLDER = "archive"
# A file that has so much is not appended to any more; of a small archive it is a part of this size.
FILE_BYTES_MAX = 32 * 1024 * 1024
PARTS = 8
# Its month, and its number within.
_NAME = re.compile(r"alerts-(\d{4}-\d{2})\.(\d+)\.jsonl\.gz")


class AlertArchive:
    """Appends episodes below *data_dir*, at most *bytes_max* in all. Used by one thread."""

    def __init__(self, data_dir: Path, bytes_max: int) -> None:
        self._folder = data_dir / FOLDER
        self._bytes_max = bytes_max
        self._file_bytes_max = min(FILE_BYTES_MAX, bytes_max // PARTS)
        # Of the last batch: one that is deleted in two steps is not written twice.
        self._written: frozenset[str] = frozenset()
        # Month → the file that this process began for it last.
        self._files: dict[str, Path] = {}
        self._written_last: Path | None = None

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
        last = self._written_last
        kept_bytes = gone = 0
        for _, path in sorted(
            self._there(), key=lambda one: (one[1] == last, one[0]), reverse=True
        ):
            kept_bytes += path.stat().st_size
            if kept_bytes > self._bytes_max and path != last:
                path.unlink()
                gone += 1
        return gone

    def _append(self, month: str, lines: list[bytes]) -> None:
        path = self._files.get(month)
        # It may have been deleted: pruned, or by somebody who needed the room.
        if path is None or not path.exists() or path.stat().st_size >= self._file_bytes_max:
            path = self._begun(month)
        self._written_last = path
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
        # Not how many there are: after the first of them has left, that is one which is there.
        last = max((number for (of, number), _ in self._there() if of == month), default=0)
        path = self._folder / f"alerts-{month}.{last + 1:04d}.jsonl.gz"
        path.touch(mode=0o600, exist_ok=False)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._files[month] = path
        return path

    def _there(self) -> list[tuple[tuple[str, int], Path]]:
        """The files, of whichever process, each with its month and number."""
        found = ((_NAME.fullmatch(path.name), path) for path in self._folder.glob("alerts-*"))
        return [((name[1], int(name[2])), path) for name, path in found if name is not None]
