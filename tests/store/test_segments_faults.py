"""SegmentStore on a medium that fails: refused in words, nothing lost, nothing left behind."""

import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from heliograph.core.errors import Unavailable
from heliograph.core.matcher import parse
from heliograph.store.segments import view
from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.file import SegmentWriter
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import HOUR_NS, MINUTE_NS

sys.path.insert(0, str(Path(__file__).parent))
from segments_model import FOREVER, Rig, bits_of, labels_of

# Where maintenance makes what it wrote durable.
FULL_AT = ((SegmentWriter, "finish"), (Catalogue, "sync"))


def test_a_file_system_that_turned_read_only_refuses_the_seal(tmp_path, clock, monkeypatch):
    rig = Rig(tmp_path, clock)
    rig.send([(labels_of(s), clock.now_ns() - s * 3 * HOUR_NS, bits_of(s)) for s in range(5)])
    with monkeypatch.context() as patched:

        def refuse(path, *_args, **_more):
            # unlink too, whether the file is there or not.
            raise OSError(errno.EROFS, "Read-only file system", str(path))

        for name in ("open", "touch", "unlink"):
            patched.setattr(Path, name, refuse)
        with pytest.raises(Unavailable, match="Read-only"):
            rig.seal()
    rig.check()
    rig.seal()
    rig.check()
    rig.reopen()
    rig.check()


def test_a_seal_whose_mark_cannot_be_taken_back_keeps_its_files(tmp_path, clock, monkeypatch):
    rig = Rig(tmp_path, clock)
    rig.send([(labels_of(0), clock.now_ns(), bits_of(1))])
    with monkeypatch.context() as patched:

        def refuse(*_args, **_more):
            raise OSError(errno.EIO, "Input/output error")

        def mark(catalogue, kind, number):
            (catalogue.folder / f"{kind}.{number}").write_bytes(b"")
            patched.setattr(Path, "unlink", refuse)
            refuse()

        patched.setattr(Catalogue, "mark", mark)
        with pytest.raises(Unavailable):
            rig.seal()
    rig.check()
    rig.cursor = 0
    rig.reopen(again=0)
    rig.check()


class Due(NamedTuple):
    """What maintenance will have to do: samples *ahead_ns* of now, sealed *times*, and *wait_s*."""

    ahead_ns: Sequence[int]
    times: int = 1
    wait_s: float = 0.0
    retention: Retention = Retention()


ROLL_UPS = Due(
    [-5 * HOUR_NS + n * MINUTE_NS for n in range(100)], retention=Retention(raw_ns=HOUR_NS)
)
ONE_WINDOW = Due([-3 * HOUR_NS], times=3)
COME_NEAR = Due([48 * HOUR_NS + n * MINUTE_NS for n in range(600)], wait_s=40 * 3600)


@pytest.mark.parametrize(
    ("due", "written"),
    [
        (ROLL_UPS, 0),
        (ROLL_UPS, 1),
        (ROLL_UPS, 2),
        (ONE_WINDOW, 0),
        (ONE_WINDOW, 1),
        (COME_NEAR, 1),
        (COME_NEAR, 4),
    ],
)
def test_maintenance_that_a_full_disk_stops_leaves_no_file(
    due, written, tmp_path, clock, monkeypatch
):
    rig = Rig(tmp_path, clock, due.retention)
    for n in range(due.times):
        rig.send([(labels_of(n), clock.now_ns() + ahead, bits_of(n)) for ahead in due.ahead_ns])
        rig.seal()
    clock.advance(due.wait_s)
    before = sorted(path.name for path in tmp_path.glob("*.seg"))
    plain = {owner: getattr(owner, name) for owner, name in FULL_AT}
    finished = []

    def refuse_or(owner, one):
        if len(finished) == written:
            raise OSError(errno.ENOSPC, "No space left on device")
        finished.extend([1] if owner is SegmentWriter else [])
        return plain[owner](one)

    with monkeypatch.context() as patched:
        for owner, name in FULL_AT:
            patched.setattr(owner, name, lambda one, owner=owner: refuse_or(owner, one))
        for _ in range(2):
            finished.clear()
            with pytest.raises(Unavailable, match="No space left"):
                rig.maintain()
            assert sorted(path.name for path in tmp_path.glob("*.seg")) == before
            rig.check()
    assert rig.maintain().files
    rig.check()


@pytest.mark.parametrize(
    "read",
    [
        lambda store, wanted: store.select(wanted, **FOREVER),
        lambda store, wanted: store.label_sets(wanted, -(2**62), 2**62),
        lambda store, wanted: store.metric_names(wanted, -(2**62), 2**62),
        lambda store, _wanted: store.metric_names([], -(2**62), 2**62),
    ],
    ids=["samples", "label sets", "names of some", "names of all"],
)
def test_too_many_open_files_are_told_as_unavailable(read, tmp_path, clock, monkeypatch):
    rig = Rig(tmp_path, clock)
    rig.send([(labels_of(1), clock.now_ns(), bits_of(1))])
    rig.seal()
    rig.reopen(again=0)

    def refuse(_path):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(view, "read_index", refuse)
    with pytest.raises(Unavailable, match="Too many open files"):
        read(rig.store, [parse('n="1"')])
