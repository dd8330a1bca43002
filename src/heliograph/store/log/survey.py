"""What a folder holds, in whatever state it was left: found from names and headers, so that a
start is quick; only the newest file is walked.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from heliograph.store.log import frame, scan
from heliograph.store.log.catalogue import Catalogue
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import (
    CORRUPT_SUFFIX,
    LOG_SUFFIX,
    SIDECAR_SUFFIX,
    LogFile,
    Spot,
    name_of,
)
from heliograph.store.log.frame import FILE_HEADER_BYTES, Counts
from heliograph.store.log.scan import Whole, Window

_SEQ_MAX = 1 << 62
_BLOCK_BYTES = 512


class Survey(NamedTuple):
    """What a folder holds.

    files           by first sequence, ascending
    highest_first   the greatest first sequence that any name or header tells of; -1 without
    foreign         files that are not ours, left alone
    corrupt_bytes   size of what was set aside as damaged
    """

    files: list[LogFile]
    highest_first: int
    foreign: int
    corrupt_bytes: int


class _Found(NamedTuple):
    path: Path
    size: int
    head: bytes
    number: int | None


def survey(folder: Path, disk: Disk) -> Survey:
    """Look at every file in *folder*; reads no more than their heads where these are whole."""
    logs: list[_Found] = []
    sidecars: list[_Found] = []
    foreign, corrupt_bytes, highest = 0, 0, -1
    for path in sorted(folder.iterdir()):
        if path.name.endswith(CORRUPT_SUFFIX):
            corrupt_bytes += path.stat().st_blocks * _BLOCK_BYTES
        elif path.suffix in (LOG_SUFFIX, SIDECAR_SUFFIX) and path.is_file():
            found = _look(path)
            highest = max(highest, -1 if found.number is None else found.number)
            (logs if path.suffix == LOG_SUFFIX else sidecars).append(found)
        else:
            foreign += 1
    files: dict[int, LogFile] = {}
    # Files under their own name come first: a copy under another name is the foreign one.
    for found in sorted(logs, key=lambda f: f.path.name != name_of(_first_seq(f), LOG_SUFFIX)):
        first_seq = _first_seq(found)
        if first_seq < 0 or first_seq in files:
            foreign += 1
            continue
        files[first_seq] = _open_file(found, first_seq, sidecars, disk)
    highest = max([highest, *files])
    return Survey([files[key] for key in sorted(files)], highest, foreign, corrupt_bytes)


def _look(path: Path) -> _Found:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = b""
        with contextlib.suppress(OSError):  # a bad sector is damage, found when it is read
            head = os.pread(fd, FILE_HEADER_BYTES, 0)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    stem = path.stem
    number = int(stem) if stem.isascii() and stem.isdigit() else -1
    return _Found(path, size, head, number if 0 <= number < _SEQ_MAX else None)


def _first_seq(found: _Found) -> int:
    header = frame.unpack_file(found.head, frame.LOG_MAGIC)
    if header is not None:
        return header.first_seq
    return -1 if found.number is None else found.number


def _open_file(
    found: _Found, first_seq: int, sidecars: Iterable[_Found], disk: Disk
) -> LogFile:
    header = frame.unpack_file(found.head, frame.LOG_MAGIC)
    path = found.path
    heads = {s.path: frame.unpack_file(s.head, frame.SIDECAR_MAGIC) for s in sidecars}
    beside = path.with_suffix(SIDECAR_SUFFIX)
    if header is not None:
        file_id = header.file_id
        same = (p for p, head in heads.items() if head is not None and head.file_id == file_id)
        sidecar = next(same, beside)
    else:
        sidecar, head = beside, heads.get(beside)
        file_id = head.file_id if head is not None else _identify(found, disk)
        # The sidecar's head is the second copy of the log's own.
        header = head
    file = LogFile(path, sidecar, first_seq=first_seq, file_id=file_id, header=header)
    file.stop = found.size
    file.sidecar_bytes = next((s.size for s in sidecars if s.path == sidecar), 0)
    return file


def _identify(found: _Found, disk: Disk) -> int:
    fd = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return scan.identify(scan.Window(disk, fd, found.size)) or 0
    finally:
        os.close(fd)


def find_ends(files: list[LogFile], disk: Disk) -> tuple[int, Counts]:
    """Set `last_seq` of each of *files*; the last committed sequence and the entries up to it.

    What follows the last whole frame of the newest file is a torn end: never acknowledged, not
    read, not reported.
    """
    end: Spot | None = None
    for file, following in zip(reversed(files), [None, *reversed(files)], strict=False):
        if following is not None and following.header is not None:
            file.last_seq = max(file.first_seq - 1, following.header.previous_end)
            if end is None:
                end = Spot(0, following.header.previous_end, following.header.before)
            continue
        last = _last_frame(file, disk)
        if last is not None:
            file.torn_bytes = file.stop - last.offset
            file.stop, file.last_seq = last.offset, last.seq
            end = end or last
        else:
            file.torn_bytes = max(0, file.stop - FILE_HEADER_BYTES)
    if end is None and files and files[0].header is not None:
        end = Spot(0, files[0].header.previous_end, files[0].header.before)
    return (end.seq, end.before or Counts()) if end is not None else (0, Counts())


def _last_frame(file: LogFile, disk: Disk) -> Spot | None:
    last = None
    with _reading(file) as fd:
        for step in scan.scan(Window(disk, fd, file.stop), FILE_HEADER_BYTES, file.file_id):
            if isinstance(step, Whole):
                last = Spot(step.end, step.header.seq, step.header.after)
    return last


def counts_through(catalogue: Catalogue, seq: int) -> Counts:
    """Entries of all frames ≤ *seq* there ever were, as headers tell."""
    with catalogue.changed:
        file = next((file for file in catalogue.files if file.last_seq > seq), None)
        if file is None:
            return catalogue.after
        nearest, stop = file.nearest(seq), file.stop
    if nearest.seq >= seq and nearest.before is not None:
        return nearest.before
    with _reading(file) as fd:
        window = Window(catalogue.disk, fd, stop)
        for step in scan.scan(window, nearest.offset, file.file_id, verify=False):
            if isinstance(step, Whole):
                if step.header.seq > seq:
                    return step.header.before
                nearest = Spot(step.end, step.header.seq, step.header.after)
    return nearest.before or Counts()


@contextlib.contextmanager
def _reading(file: LogFile) -> Iterator[int]:
    try:
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield fd
    finally:
        os.close(fd)
