r"""Files of memory events, and of records: their items as they stand there, a piece at a time.

    {"schema_version": 3, …}\n{"schema_version": 3, …}\n       lines, also in gzip
    [{…}, {…}]   {"events": [{…}, {…}]}   {…}                    JSON
    <folder>/manifest.json, segment-000001.jsonl, …             what `TelemetrySink` writes

Nothing is held but the piece in work, whatever the size of the file: a list is taken apart as it is
read. Items are not looked into; what cannot be told apart comes out as it is.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

PIECE_BYTES = 1 << 20
# A longer line, or an item of a list, is no event.
ITEM_BYTES_MAX = 16 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_SEGMENT = re.compile(r"segment-\d+\.jsonl(\.gz)?\Z")
_WRAPPED = re.compile(rb'\A\s*\{\s*"events"\s*:\s*\[')
_SPACE = b" \t\r\n"


class UnreadableEvents(click.ClickException):
    """The file holds no events; the message says why."""

    exit_code = 2


def files_of(path: Path) -> list[Path]:
    """The files that *path* stands for: itself, or the segments of a sink's folder, in order."""
    if path.name == "manifest.json":
        path = path.parent
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.iterdir() if _SEGMENT.match(one.name))
    if not found:
        raise UnreadableEvents(f"{path}: no segments of events in this folder")
    return found


class EventFile:
    """An open file; iterate `items()` once, then `close()`. Raises UnreadableEvents."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._disk = path.open("rb")
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise UnreadableEvents(f"{path}: {error.strerror or error}") from error
        self._text: IO[bytes] = self._disk
        if self._disk.peek(2)[:2] == _GZIP_MAGIC:
            self._text = io.BufferedReader(gzip.GzipFile(fileobj=self._disk))

    def read_bytes(self) -> int:
        """How much of the file on disk has been read."""
        return self._disk.tell()

    def close(self) -> None:
        """Close it."""
        self._disk.close()

    def items(self) -> Iterator[bytes]:
        """Each event as JSON of one line, or whatever stands in its place; blanks are left out.

        A last line without its end that is no whole item is one that is still being written, and is
        left out too; but a file that is nothing else, and no segment of a sink, is none of events.
        """
        try:
            head = self._text.peek(PIECE_BYTES)[:PIECE_BYTES]  # type: ignore[attr-defined]
            if b"\0" in head:
                raise UnreadableEvents(f"{self._path}: not text")
            wrapped = _WRAPPED.match(head)
            if wrapped:
                self._text.read(wrapped.end())
                yield from self._listed()
            elif head.lstrip()[:1] == b"[":
                self._text.read(head.index(b"[") + 1)
                yield from self._listed()
            elif _is_one(head):
                yield from self._one()
            else:
                yield from self._lines()
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableEvents(f"{self._path}: damaged: {error}") from error

    def _lines(self) -> Iterator[bytes]:
        is_first = not _SEGMENT.match(self._path.name)
        while raw := self._text.readline(ITEM_BYTES_MAX):
            line = raw.strip()
            if not line:
                continue
            if not raw.endswith(b"\n") and not _is_whole(line):
                if is_first:
                    text = line[:60].decode("utf-8", "replace")
                    raise UnreadableEvents(f"{self._path}: no events: {text!r}")
                continue
            is_first = False
            yield line

    def _one(self) -> Iterator[bytes]:
        """One object over many lines, or such a one around a list."""
        raw = self._text.read(ITEM_BYTES_MAX + 1)
        if len(raw) > ITEM_BYTES_MAX:
            raise UnreadableEvents(
                f"{self._path}: one object of over {ITEM_BYTES_MAX >> 20} MiB: write lines"
            )
        try:
            document = json.loads(raw)
        except ValueError:
            yield raw.replace(b"\n", b" ")
            return
        events = document.get("events") if isinstance(document, dict) else None
        if isinstance(events, list) and "timestamp_ns" not in document:
            for event in events:
                yield json.dumps(event).encode()
        else:
            yield json.dumps(document).encode()

    def _listed(self) -> Iterator[bytes]:
        """Items up to the bracket that ends the list; what follows it is of no interest."""
        decoder = json.JSONDecoder()
        text, ended = "", False
        decoding = io.TextIOWrapper(self._text, "utf-8", errors="replace")
        try:
            while True:
                more = decoding.read(PIECE_BYTES)
                ended = not more
                text += more
                text, found, over = _taken(decoder, text)
                yield from found
                if over:
                    return
                if ended or len(text) > ITEM_BYTES_MAX:
                    raise UnreadableEvents(f"{self._path}: the list is broken at {text[:60]!r}")
        finally:
            decoding.detach()


def _taken(decoder: json.JSONDecoder, text: str) -> tuple[str, list[bytes], bool]:
    """(what is left of *text*, the whole items in front of it, whether the list is over)."""
    found: list[bytes] = []
    at, size = 0, len(text)
    while True:
        while at < size and text[at] in " \t\r\n,":
            at += 1
        if at < size and text[at] == "]":
            return text[at:], found, True
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return text[at:], found, False
        if end == size:
            # A number may go on in the next piece.
            return text[at:], found, False
        found.append(text[at:end].replace("\n", " ").encode())
        at = end


def _is_one(head: bytes) -> bool:
    """Whether *head* begins one object that takes several lines."""
    first, newline, _ = head.lstrip(_SPACE).partition(b"\n")
    return bool(newline) and first.strip() == b"{"


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
