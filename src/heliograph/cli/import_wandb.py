"""Folders of wandb runs, offline ones too, into a running service: `heliograph import wandb/`.

Every `*.wandb` file below a folder is a run, or a part of one that was resumed. Runs are read and
sent side by side, by processes of their own; each run in order. Again is once: what is in already
changes nothing.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from heliograph.cli.import_files import Loaded, Tell
from heliograph.cli.upload import Upload

SUFFIX = ".wandb"
WORKERS_MAX = 8
NOTES_MAX = 20


class _Done(NamedTuple):
    """What became of one file; *note* is what a person should know of it."""

    path: Path
    size_bytes: int
    read: int
    note: str


def recognizes(path: Path) -> bool:
    """Whether *path* is a run's file, or a folder with one in it."""
    return next(_files(path), None) is not None


def load(path: Path, to: Upload, *, skip: int, tell: Tell) -> Loaded:
    """Send all runs of *path*; *skip* means nothing here, as a run that is in costs nothing."""
    del skip
    files = sorted(_files(path))
    read = read_bytes = 0
    notes: list[str] = []
    for done in _each(files, to.url):
        read += done.read
        read_bytes += done.size_bytes
        tell(read_bytes, read)
        if done.note:
            notes.append(f"{done.path.name}: {done.note}")
    said = [f"{len({file.name for file in files}):,} runs in {len(files):,} files"]
    more = len(notes) - NOTES_MAX
    said += notes[:NOTES_MAX] + ([f"and {more:,} more"] if more > 0 else [])
    return Loaded(read, read, said)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.suffix == SUFFIX:
            yield path
        return
    seen = set()
    for found in path.rglob(f"*{SUFFIX}"):
        # `latest-run` is a link to one of the others.
        real = found.resolve()
        if real.is_file() and real not in seen:
            seen.add(real)
            yield real


def _each(files: Sequence[Path], url: str) -> Iterator[_Done]:
    """What becomes of each of *files*, by two processes a processor: one reads while one waits."""
    runs: dict[str, list[Path]] = {}
    for path in files:
        # Files of one run have one name, in folders by the time at which each part began.
        runs.setdefault(path.name, []).append(path)
    workers = min(WORKERS_MAX, 2 * (os.cpu_count() or 1), len(runs))
    send = partial(_sent_in_order, url=url)
    if workers < 2:
        yield from chain.from_iterable(map(send, runs.values()))
        return
    # A fork would take the progress bar's thread along.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from chain.from_iterable(pool.map(send, runs.values()))


@lru_cache(maxsize=1)
def _connection(url: str) -> Upload:
    """One a process, until it ends: to make one costs more than to send a run."""
    return Upload(url)


def _sent_in_order(paths: Sequence[Path], url: str) -> list[_Done]:
    return [_sent(path, url) for path in paths]


def _sent(path: Path, url: str) -> _Done:
    """Read and send one run, in a process of a pool or here."""
    from heliograph.core.errors import Refused
    from heliograph.service.wandb_import import Reading

    size_bytes = path.stat().st_size
    read = 0
    to = _connection(url)
    with path.open("rb") as file:
        reading = Reading(file)
        try:
            for post in reading.posts():
                # What a query is answered has data; a part of a run, an empty object.
                shape = {"data": dict} if post.path == "/graphql" else {}
                to.post(post.path, post.body, shape=shape)
                read += post.items
        except Refused as refused:
            return _Done(path, size_bytes, read, refused.detail)
    said = reading.file
    notes = [f"{said.damaged} damaged blocks were left out"] if said.damaged else []
    notes += [f"{said.unknown} records could not be read"] if said.unknown else []
    notes += ["its end is missing: all before it was read"] if said.torn else []
    return _Done(path, size_bytes, read, "; ".join(notes))
