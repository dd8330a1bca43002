"""Lines of any log file: plain or gzip, a file or standard input; text, what a container runtime
keeps of it, or Fluent Bit's JSON lines.

[2025-08-13 03:42:28] iteration 50/ 50 | …                        the line itself
2025-08-13T03:42:28.608123456Z stdout F iteration 50/ 50 | …     `P` where the line goes on
{"date": 1755056548.25, "log": "iteration 50/ 50 | …", "kubernetes": {"pod_id": "p-1", …}}
"""

import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from heliograph.core import instant

# A longer line is cut into pieces of this many bytes; training lines have some hundred.
LINE_BYTES_MAX = 1 << 20
HEAD_BYTES = 8192
GZIP_MAGIC = b"\x1f\x8b"
# What PowerShell's `>` writes.
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CRI = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP]) ?"
)
_DATES = ("date", "time", "@timestamp", "timestamp")


class Unreadable(click.ClickException):
    """The file cannot be read as a log; the message says why."""

    exit_code = 2


class LogLine(NamedTuple):
    """One line.

    number    place in the file, from 1
    text      without its newline
    at_ns     event time where the shipper gave one, else None
    pod_uid   where the shipper gave one, else ""
    pod       (namespace, name) where the shipper gave them, else None
    """

    number: int
    text: str
    at_ns: int | None
    pod_uid: str
    pod: tuple[str, str] | None


class LogFile:
    """An open log; iterate `lines()` once, then `close()`.

    size_bytes   of the file on disk, None for standard input
    """

    def __init__(self, name: str) -> None:
        """Opens *name*; `-` is standard input. Raises Unreadable: missing, empty, binary."""
        self.size_bytes: int | None = None
        self._name = name
        try:
            self._disk = _opened(name)
        except OSError as error:
            raise Unreadable(f"{name}: {error.strerror or error}") from error
        if name != "-":
            self.size_bytes = Path(name).stat().st_size
        self._text: io.BufferedReader | gzip.GzipFile = self._disk
        try:
            if self._disk.peek(2)[:2] == GZIP_MAGIC:
                self._text = gzip.GzipFile(fileobj=self._disk)
            head = self._text.peek(HEAD_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            self.close()
            raise Unreadable(f"{name}: damaged: {error}") from error
        if not head or b"\0" in head:
            self.close()
            why = "not a text file (it holds zero bytes)" if head else "the file is empty"
            if head.startswith(UTF16_MARKS):
                why = "UTF-16 text; make it UTF-8 first: iconv -f UTF-16 -t UTF-8"
            raise Unreadable(f"{name}: {why}")

    def lines(self) -> Iterator[LogLine]:
        """The lines, blank ones left out. Raises Unreadable when a gzip file is damaged.

        A progress bar redraws its line with carriage returns: each drawing is a line. Pieces of a
        line of one stream are joined.
        """
        number = 0
        pieces: dict[str, str] = {}
        try:
            while raw := self._text.readline(LINE_BYTES_MAX):
                number += 1
                whole = raw.decode("utf-8", "replace").rstrip("\n")
                at_ns = None
                if (kept := _CRI.match(whole)) is not None:
                    at_ns, stream = _instant(kept[1]), kept[2]
                    whole = pieces.pop(stream, "") + whole[kept.end() :]
                    if kept[3] == "P" and len(whole) < LINE_BYTES_MAX:
                        pieces[stream] = whole
                        continue
                for text in _drawn(whole):
                    line = _line(number, text)
                    yield line._replace(at_ns=at_ns) if line.at_ns is None else line
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"{self._name}: damaged after line {number}: {error}") from error

    def read_bytes(self) -> int:
        """How much of the file on disk has been read."""
        return self._disk.tell() if self._disk.seekable() else 0

    def close(self) -> None:
        """Closes the file; standard input stays open."""
        if self.size_bytes is not None:
            self._disk.close()


def _opened(name: str) -> io.BufferedReader:
    if name != "-":
        return Path(name).open("rb")
    given = sys.stdin.buffer
    if isinstance(given, io.BufferedReader):
        return given
    # Not a real standard input: a program that runs us handed its own bytes.
    return io.BufferedReader(io.BytesIO(given.read()))


def _drawn(text: str) -> list[str]:
    """The drawings of *text*, blank ones left out; values that were printed over a bar stand beside
    it, for it tells their step."""
    parts = [part for part in text.split("\r") if part and not part.isspace()]
    if len(parts) > 1 and parts[-1].lstrip().startswith("{"):
        parts[-1] = f"{parts[-2]}\r{parts[-1]}"
    return parts


def _line(number: int, text: str) -> LogLine:
    if text.startswith("{") and ('"log"' in text or '"message"' in text):
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return _shipped(number, text, document)
    return LogLine(number, text, None, "", None)


def _shipped(number: int, text: str, document: dict[str, Any]) -> LogLine:
    said = document.get("log") or document.get("message")
    if not isinstance(said, str):
        return LogLine(number, text, None, "", None)
    at_ns = None
    for date in _DATES:
        if (at_ns := _instant(document.get(date))) is not None:
            break
    kubernetes = document.get("kubernetes")
    if not isinstance(kubernetes, dict):
        return LogLine(number, said.rstrip("\n"), at_ns, "", None)
    uid, name = kubernetes.get("pod_id"), kubernetes.get("pod_name")
    pod = (str(kubernetes.get("namespace_name", "")), str(name)) if name else None
    return LogLine(number, said.rstrip("\n"), at_ns, str(uid or ""), pod)


def _instant(value: object) -> int | None:
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            # Shippers write seconds or milliseconds; seconds reach 1e11 in the year 5138.
            return instant.of_seconds(value / 1000 if value > 1e11 else value)
        return instant.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
