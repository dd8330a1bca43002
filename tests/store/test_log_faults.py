"""The durable log when the disk refuses, and when the process is killed."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from heliograph.core import labels
from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log.disk import Disk
from heliograph.store.log.log import Log, LogLimits

ALL = 1 << 30
LIMITS = LogLimits(file_bytes_max=3000, memory_bytes_max=500)


def opened(folder, table=None, limits=LIMITS, disk=None):
    table = SeriesTable(100_000) if table is None else table
    log = Log(folder, table, ManualClock(5), limits, disk=disk)
    log.open()
    return log


def batch(table, numbers):
    packed = [labels.pack((("n", str(n)),)) for n in numbers]
    ids = [table.intern(p, beyond_limit=True) for p in packed]
    n = len(ids)
    return SampleBatch(np.array(ids, np.uint32), np.arange(n), np.arange(n) * 0.5)


def said(log, table):
    """What each frame says, in order, and that nothing was counted as damage."""
    out, reader = [], log.reader(0)
    while frames := reader.read(bytes_max=700):
        for f in frames:
            if f.samples is None:
                out.append(int(f.payload))
            else:
                assert len(f.samples.series) == 2
                out.append(int(table.labels(int(f.samples.series[0]))[0][1]))
    assert (log.tally.damaged_ranges, log.tally.undefined_samples) == (0, 0)
    return out


class FailingDisk(Disk):
    """Fails the *first*th call, and the *more* after it; *half* of a failing write is written.

    With *stuck*, what would clean up fails too, for as long as anything has failed.
    """

    def __init__(self, first, more, code, *, half=False, stuck=False):
        self.first, self.more, self.code, self.half, self.stuck = first, more, code, half, stuck
        self.calls, self.armed = 0, False

    def _call(self):
        self.calls += self.armed
        if self.armed and self.first <= self.calls <= self.first + self.more:
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path):
        self._call()
        return super().create(path)

    def write(self, fd, content):
        try:
            self._call()
        except OSError:
            if self.half:
                super().write(fd, content[: len(content) * 2 // 3])
            raise
        super().write(fd, content)

    def sync(self, fd):
        super().sync(fd)
        self._call()

    def sync_folder(self, folder):
        super().sync_folder(folder)
        self._call()

    def truncate(self, path, size):
        if self.stuck:
            raise OSError(self.code, os.strerror(self.code))
        super().truncate(path, size)

    def remove(self, path):
        if self.stuck:
            raise OSError(self.code, os.strerror(self.code))
        super().remove(path)


@pytest.mark.parametrize("stuck", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("code", "more"), [(errno.ENOSPC, 3), (errno.EIO, 0)])
def test_a_refused_frame_never_appears_and_an_accepted_one_always(
    tmp_path, code, more, half, stuck
):
    for first in range(1, 70):
        folder = tmp_path / str(first)
        table, disk = SeriesTable(1000), FailingDisk(first, more, code, half=half, stuck=stuck)
        log = opened(folder, table, disk=disk)
        disk.armed = True
        accepted, refused, codes = [], [], set()
        for number in range(0, 48, 2):
            log.append_samples(batch(table, [number, number // 5]))
            log.append_lines(str(number + 1).encode().ljust(150), 1)
            try:
                log.commit()
            except Unavailable as error:
                codes.add(error.code)
                refused += [number, number + 1]
            else:
                accepted += [number, number + 1]
        if disk.calls >= first + more:
            assert refused
            assert codes == {"disk_full" if code == errno.ENOSPC else "log_unwritable"}
        assert accepted[-1] == 47
        assert log.tally.refused_frames == len(refused)
        assert said(log, table) == accepted
        assert log.counts(after=0, through=log.end) == (len(accepted), len(accepted) // 2, 0)
        log.close()
        table = SeriesTable(1000)
        log = opened(folder, table)
        assert said(log, table) == accepted
        assert log.counts(after=0, through=log.end) == (len(accepted), len(accepted) // 2, 0)


def test_after_a_failed_sync_the_file_is_not_written_again(tmp_path):
    class OneBadSync(Disk):
        fail, written = False, []

        def create(self, path):
            fd = super().create(path)
            self.path = path
            return fd

        def write(self, fd, content):
            self.written.append(os.path.realpath(f"/proc/self/fd/{fd}"))
            super().write(fd, content)

        def sync(self, fd):
            if self.fail:
                raise OSError(errno.EIO, "Input/output error")
            super().sync(fd)

    disk = OneBadSync()
    log = opened(tmp_path, limits=LogLimits(), disk=disk)
    log.append_lines(b"1", 1)
    log.commit()
    [first] = tmp_path.glob("*.log")
    disk.fail = True
    log.append_lines(b"2", 1)
    with pytest.raises(Unavailable):
        log.commit()
    disk.fail = False
    disk.written.clear()
    log.append_lines(b"3", 1)
    log.commit()
    assert str(first) not in disk.written
    assert [(f.seq, f.payload) for f in log.reader(0).read(bytes_max=ALL)] == [
        (1, b"1"),
        (2, b"3"),
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("before", [0, 3])
def test_a_frame_refused_last_of_all_does_not_appear_after_a_restart(tmp_path, code, before):
    # The first sync of a new file is its sidecar's: the log itself is written, and then fails.
    disk = FailingDisk(1 if before else 2, ALL, code)
    log = opened(tmp_path, disk=disk)
    for number in range(before):
        log.append_lines(str(number).encode(), 1)
        log.commit()
    disk.sync = lambda fd: disk._call()
    disk.armed, disk.create = True, super(FailingDisk, disk).create
    disk.write = super(FailingDisk, disk).write
    log.append_lines(b"77", 1)
    with pytest.raises(Unavailable):
        log.commit()
    log.close()
    table = SeriesTable(10)
    assert said(opened(tmp_path, table), table) == list(range(before))


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small tmpfs cannot be mounted here: needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_real_full_disk(tiny_disk):
    limits = LogLimits(memory_bytes_max=0)
    folder, accepted = tiny_disk / "log", []

    def append(log, *numbers):
        for number in numbers:
            log.append_lines(str(number).encode().ljust(30_000), 1)
            log.commit()
            accepted.append(number)

    def payloads(log, after):
        reader, out = log.reader(after), []
        while frames := reader.read(bytes_max=100_000):
            out += [int(f.payload) for f in frames]
        return out

    log = opened(folder, limits=limits)
    with pytest.raises(Unavailable) as full:
        append(log, *range(100))
    assert full.value.code == "disk_full"
    assert payloads(log, 0) == accepted
    for _ in range(5):
        with pytest.raises(Unavailable):
            append(log, -1)
    # Space returns by trimming, without a restart, even where all of it was one file's.
    cursor = log.end
    log.trim(cursor)
    already = len(accepted)
    with pytest.raises(Unavailable):
        append(log, *range(200, 300))
    assert len(accepted) - already > 25
    assert payloads(log, cursor) == accepted[already:]
    # A filler leaves not one block free: a start works, reads work, writes are refused.
    log.close()
    filler = tiny_disk / "filler"
    with filler.open("wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    log = opened(folder, limits=limits)
    assert payloads(log, cursor) == accepted[already:]
    with pytest.raises(Unavailable):
        append(log, -1)
    filler.unlink()
    log.trim(log.end)
    append(log, 400)
    assert payloads(opened(folder, limits=limits), cursor)[-1] == 400
    assert -1 not in payloads(log, 0)


CHILD = textwrap.dedent(
    """
    import os, random, sys
    from pathlib import Path
    import numpy as np
    from heliograph.core import labels
    from heliograph.core.clock import SystemClock
    from heliograph.core.samples import SampleBatch
    from heliograph.core.series import SeriesTable
    from heliograph.store.log.log import Log, LogLimits

    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    rng, table = random.Random(number), SeriesTable(10**6)
    log = Log(folder, table, SystemClock(), LogLimits(file_bytes_max=200_000))
    log.open()
    while True:
        said = []
        for _ in range(rng.randrange(1, 4)):
            if rng.random() < 0.5:
                ids = [table.intern(labels.pack((("n", str(n)),))) for n in (number, number // 9)]
                batch = SampleBatch(np.array(ids, np.uint32), np.arange(2), np.arange(2) * 0.5)
                seq = log.append_samples(batch)
            else:
                seq = log.append_lines(str(number).encode().ljust(rng.randrange(20, 9000)), 1)
            said.append(f"{seq}:{number}")
            number += 1
        log.commit()
        os.write(1, (" ".join(said) + "\\n").encode())
    """
)


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    rng = random.Random(7)
    folder, acknowledged, number = tmp_path / "log", [], 0
    for _ in range(10):
        command = [sys.executable, "-c", CHILD, str(folder), str(number)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        heard = b"".join(child.stdout.readline() for _ in range(rng.randrange(1, 60)))
        time.sleep(rng.random() * 0.01)  # noqa: TID251 - a real process runs for a real time
        os.kill(child.pid, signal.SIGKILL)
        told = (heard + child.stdout.read()).decode()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        # A line cut by the kill was not heard by anyone.
        for line in told.split("\n")[:-1]:
            acknowledged += [tuple(map(int, part.split(":"))) for part in line.split()]
        number = acknowledged[-1][1] + 1000
        table = SeriesTable(10**6)
        log = opened(folder, table)
        numbers = said(log, table)
        frames, reader = [], log.reader(0)
        while part := reader.read(bytes_max=ALL):
            frames += part
        found = dict(zip((f.seq for f in frames), numbers, strict=True))
        assert len(found) == len(frames)
        assert list(found) == sorted(found)
        assert [(seq, found.get(seq)) for seq, _ in acknowledged] == acknowledged
        log.close()
    assert len(acknowledged) > 200
