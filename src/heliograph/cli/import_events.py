"""Files of memory events and of records into `POST /v1/records`, as they stand there.

The service reads and checks them; an id is made of the event itself, so that the same file twice is
once. Nothing but the request in work is held.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from heliograph.cli.event_files import EventFile, files_of
from heliograph.cli.import_files import Loaded, Stopped, Tell
from heliograph.cli.upload import Upload

BODY_BYTES_MAX = 2 << 20
BODY_ITEMS_MAX = 2000
REJECTED_SHOWN_MAX = 10
_TAKEN = {
    "received": int, "accepted": int, "rejected": [{"index": int, "field": str, "detail": str}],
}  # fmt: skip


def recognizes(path: Path) -> bool:
    """Whether *path* looks like it; anything that is not somebody else's is tried."""
    return path.name.endswith((".jsonl", ".ndjson", ".json", ".gz")) or path.is_dir()


def load(path: Path, to: Upload, *, skip: int, tell: Tell) -> Loaded:
    """Send all of *path* but its first *skip* items. Raises Stopped, UnreadableEvents."""
    read = accepted = expired = rejected = 0
    shown: list[str] = []
    for count, body, done in _bodies(path, skip):
        if not body:
            read += count
            continue
        try:
            answer = to.post("/v1/records", body, "application/x-ndjson", shape=_TAKEN)
        except click.ClickException as error:
            raise Stopped(error.message, read) from error
        accepted += answer["accepted"]
        rejected += answer["received"] - answer["accepted"]
        expired += answer.get("expired", 0)
        shown += [
            f"item {read + one['index']}: {one['field']} {one['detail']}".strip()
            for one in answer["rejected"][: REJECTED_SHOWN_MAX - len(shown)]
        ]
        read += count
        tell(done, read)
    notes = [f"{rejected:,} rejected, the first of them:", *shown] if rejected else []
    if expired:
        notes.append(
            f"{expired:,} are older than the service keeps records (retention.records): "
            "they will be gone in a moment"
        )
    return Loaded(read, accepted, notes)


def _bodies(path: Path, skip: int) -> Iterator[tuple[int, bytes, int]]:
    """(items, body, bytes of the files read so far); the first *skip* items without their body."""
    before = 0
    for each in files_of(path):
        file = EventFile(each)
        try:
            lines: list[bytes] = []
            size = 0
            for item in file.items():
                if skip:
                    skip -= 1
                    yield 1, b"", before + file.read_bytes()
                    continue
                lines.append(item)
                size += len(item) + 1
                if size >= BODY_BYTES_MAX or len(lines) >= BODY_ITEMS_MAX:
                    yield len(lines), b"\n".join(lines), before + file.read_bytes()
                    lines, size = [], 0
            if lines:
                yield len(lines), b"\n".join(lines), before + file.read_bytes()
            before += file.size_bytes
        finally:
            file.close()
