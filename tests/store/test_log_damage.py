"""The durable log on damaged state: only the frames that the damage touches are lost."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from heliograph.core import labels
from heliograph.core.clock import ManualClock
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import name_of
from heliograph.store.log.frame import FILE_HEADER_BYTES, Counts, Kind
from heliograph.store.log.log import Log, LogLimits
from heliograph.store.log.scan import Whole, Window, scan

ALL = 1 << 30
LIMITS = LogLimits(file_bytes_max=24_000, memory_bytes_max=0)


def opened(folder, table=None, limits=LIMITS, disk=None):
    table = SeriesTable(100_000) if table is None else table
    log = Log(folder, table, ManualClock(5), limits, disk=disk)
    log.open()
    return log


def fill(folder, frames, size=900, seed=0):
    """Frames of all kinds, half of them the first to use some series."""
    rng = random.Random(seed)
    table = SeriesTable(100_000)
    log = opened(folder, table)
    for number in range(frames):
        if number % 3 == 0:
            log.append_lines(rng.randbytes(size), number % 5)
        elif number % 7 == 0:
            log.append_records(rng.randbytes(size // 2), 1)
        else:
            log.append_samples(batch(table, range(number, number + 20), number))
        log.commit()
    log.close()


def batch(table, numbers, at_ns):
    packed = [labels.pack((("__name__", "m"), ("n", str(n)))) for n in numbers]
    ids = [table.intern(p, beyond_limit=True) for p in packed]
    n = len(ids)
    return SampleBatch(np.array(ids, np.uint32), np.full(n, at_ns), np.arange(n) * 0.5)


def contents(folder, limits=LIMITS):
    """{sequence: what the frame says}, with labels instead of ids, and the log that read it."""
    table = SeriesTable(100_000)
    log = opened(folder, table, limits)
    seen = {}
    reader = log.reader(0)
    while frames := reader.read(bytes_max=5000):
        for f in frames:
            assert f.seq not in seen
            said = f.payload
            if f.samples is not None:
                series = [table.labels(int(s)) for s in f.samples.series]
                said = (series, f.samples.at_ns.tolist(), f.samples.value.tolist())
            seen[f.seq] = (f.kind, f.count, said)
    assert list(seen) == sorted(seen)
    assert reader.position == log.end
    return seen, log


def places(path):
    """(sequence, start, end) of each frame of a whole file."""
    file = Path(path)
    head = file.read_bytes()[8:16]
    with file.open("rb") as f:
        window = Window(Disk(), f.fileno(), file.stat().st_size)
        steps = list(scan(window, FILE_HEADER_BYTES, int.from_bytes(head, "little")))
    assert all(isinstance(step, Whole) for step in steps)
    return [(step.header.seq, step.offset, step.end) for step in steps]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder of two process starts and several files, and what is in it."""
    folder = tmp_path_factory.mktemp("sound")
    fill(folder, 70, seed=1)
    fill(folder, 50, seed=2)
    return folder, contents(folder)[0]


def lost_counts(whole, missing):
    by_kind = dict.fromkeys((Kind.SAMPLES, Kind.LINES, Kind.RECORDS), 0)
    for seq in missing:
        kind, count, _ = whole[seq]
        by_kind[kind] += count
    return Counts(*by_kind.values())


def flip(data, rng):
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return at, at + 1


def zero_block(data, rng):
    start = rng.randrange(len(data))
    end = min(len(data), start + 4096)
    data[start:end] = bytes(end - start)
    return start, end


def garbage_block(data, rng):
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randrange(1, 4096))
    data[start:end] = rng.randbytes(end - start)
    return start, end


def cut(data, rng):
    start, end = rng.randrange(len(data)), len(data)
    del data[start:]
    return start, end


@pytest.mark.parametrize("mutate", [flip, zero_block, garbage_block, cut])
def test_any_damage_costs_only_the_frames_it_touches(tmp_path, sound, mutate):
    folder, whole = sound
    rng = random.Random(mutate.__name__)
    names = sorted(p.name for p in folder.iterdir())
    newest = max(n for n in names if n.endswith(".log"))
    copy = tmp_path / "copy"
    for _ in range(120):
        shutil.copytree(folder, copy)
        path = copy / rng.choice(names)
        data = bytearray(path.read_bytes())
        start, end = mutate(data, rng)
        touched = set()
        if path.suffix == ".log":
            touched = {s for s, a, b in places(folder / path.name) if a < end and b > start}
        path.write_bytes(data)
        seen, log = contents(copy)
        assert seen == {seq: said for seq, said in whole.items() if seq not in touched}
        tail = path.name == newest and touched and max(touched) == max(whole)
        if not tail:
            assert log.tally.damaged_frames == len(touched)
            assert log.tally.lost == lost_counts(whole, touched)
        elif mutate is not cut:
            assert log.tally.damaged_frames + bool(log.tally.torn_bytes) > 0
        assert log.tally.undefined_samples == 0
        end_before = max(whole)
        log.append_lines(b"after", 1)
        log.commit()
        assert log.end > end_before
        shutil.rmtree(copy)


def test_what_is_damaged_is_set_aside_once(tmp_path, sound):
    folder, whole = sound
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = sorted(copy.glob("*.log"))[1]
    data = bytearray(path.read_bytes())
    seq, start, end = places(path)[3]
    data[start + 100] ^= 0xFF
    path.write_bytes(data)
    for _ in range(2):
        seen, log = contents(copy)
        assert set(whole) - set(seen) == {seq}
        assert (log.tally.damaged_ranges, log.tally.damaged_frames) == (1, 1)
        again = log.reader(0)
        while again.read(bytes_max=ALL):
            pass
        assert (log.tally.damaged_ranges, log.tally.damaged_frames) == (1, 1)
        aside = path.with_name(path.name + ".corrupt")
        assert [p for p in copy.iterdir() if p.suffix == ".corrupt"] == [aside]
        kept = aside.read_bytes()
        assert (len(kept), kept[start:]) == (end, data[start:end])
    limits = LogLimits(memory_bytes_max=0, quarantine_bytes_max=0)
    aside.unlink()
    _, log = contents(copy, limits)
    assert (log.tally.unquarantined, aside.exists()) == (1, False)


def test_every_cut_of_a_small_log_keeps_all_whole_frames(tmp_path):
    folder = tmp_path / "sound"
    fill(folder, 8, size=40)
    whole, _ = contents(folder)
    [path] = folder.glob("*.log")
    [sidecar] = folder.glob("*.series")
    data, series = path.read_bytes(), sidecar.read_bytes()
    ends = {seq: end for seq, _, end in places(path)}
    for size in range(len(data)):
        path.write_bytes(data[:size])
        seen, log = contents(folder)
        assert seen == {seq: said for seq, said in whole.items() if ends[seq] <= size}
        assert (log.tally.damaged_ranges, log.tally.undefined_samples) == (0, 0)
    path.write_bytes(data)
    for size in range(0, len(series), 7):
        sidecar.write_bytes(series[:size])
        assert contents(folder)[0] == whole


def test_a_torn_end_is_no_damage_even_when_it_is_no_longer_the_newest(tmp_path):
    fill(tmp_path, 8)
    [path] = tmp_path.glob("*.log")
    with path.open("ab") as f:
        f.write(path.read_bytes()[FILE_HEADER_BYTES:][:500])
    whole, log = contents(tmp_path)
    assert (list(whole), log.tally.torn_bytes) == (list(range(1, 9)), 500)
    fill(tmp_path, 1)
    seen, log = contents(tmp_path)
    assert (len(seen), log.tally.damaged_ranges, log.tally.damaged_frames) == (9, 0, 0)


def test_missing_and_stale_sidecars_cost_nothing(tmp_path, sound):
    folder, whole = sound
    other = tmp_path / "other"
    fill(other, 70, seed=1)  # the same names, another file id, other refs
    fill(other, 50, seed=9)
    for suffix_from in (None, other):
        copy = tmp_path / f"copy-{suffix_from is None}"
        shutil.copytree(folder, copy)
        for sidecar in copy.glob("*.series"):
            sidecar.unlink()
            if suffix_from is not None and (suffix_from / sidecar.name).exists():
                shutil.copy(suffix_from / sidecar.name, sidecar)
        assert contents(copy)[0] == whole
        # A reader that begins in the middle of a file finds the labels of the frames before it.
        log = opened(copy)
        got = [f for f in log.reader(20).read(bytes_max=ALL) if f.samples is not None]
        assert [len(f.samples.series) for f in got] == [20] * len(got)
        assert got
        assert log.tally.undefined_samples == 0


def test_labels_lost_in_both_copies_leave_out_their_samples_and_count_them(tmp_path):
    table = SeriesTable(10)
    log = opened(tmp_path, table)
    for numbers in ([1], [1, 2], [2, 1]):
        log.append_samples(batch(table, numbers, 0))
        log.commit()
    log.close()
    [path], [sidecar] = tmp_path.glob("*.log"), tmp_path.glob("*.series")
    sidecar.unlink()
    data = bytearray(path.read_bytes())
    data[places(path)[0][1] + 80] ^= 1
    path.write_bytes(data)
    table = SeriesTable(10)
    log = opened(tmp_path, table)
    for _ in range(2):
        frames = log.reader(0).read(bytes_max=ALL)
        assert [
            (f.seq, f.count, [table.labels(int(s))[1][1] for s in f.samples.series])
            for f in frames
        ] == [(2, 2, ["2"]), (3, 2, ["2"])]
        assert (log.tally.undefined_samples, log.tally.damaged_frames) == (2, 1)


def test_empty_foreign_and_renamed_files(tmp_path, sound):
    folder, whole = sound
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    logs = sorted(copy.glob("*.log"))
    logs[0].rename(copy / "00000000000000099999.log")
    logs[1].rename(copy / "renamed by hand.log")
    shutil.copy(logs[2], copy / "a copy.log")
    (copy / name_of(2**61, ".log")).touch()
    (copy / name_of(10**19, ".log")).touch()
    (copy / "not ours.log").write_bytes(b"hello" * 1000)
    (copy / "README").write_text("x")
    (copy / "folder.log").mkdir()
    seen, log = contents(copy)
    assert seen == whole
    assert (log.tally.foreign_files, log.tally.damaged_ranges) == (5, 0)
    log.append_lines(b"x", 1)
    log.commit()
    assert log.end > 2**61
    log.trim(log.end)
    left = sorted(p.name for p in copy.iterdir())
    assert {"README", "a copy.log", "folder.log", "not ours.log"} < set(left)


def test_a_file_deleted_by_hand_costs_its_frames_alone(tmp_path, sound):
    folder, whole = sound
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = sorted(copy.glob("*.log"))[1]
    gone = {seq for seq, _, _ in places(path)}
    log = opened(copy)
    path.unlink()
    left = []
    reader = log.reader(0)
    while frames := reader.read(bytes_max=ALL):
        left += [f.seq for f in frames]
    assert left == [seq for seq in whole if seq not in gone]
    assert log.tally.damaged_frames == len(gone)
    assert contents(copy)[0].keys() == set(left)


def test_a_sender_cannot_plant_a_frame_in_a_line(tmp_path):
    other = tmp_path / "other"
    fill(other, 8)
    [source] = other.glob("*.log")
    log = opened(tmp_path / "log")
    log.append_lines(source.read_bytes(), 1)
    log.append_lines(b"next", 1)
    log.commit()
    log.close()
    [path] = (tmp_path / "log").glob("*.log")
    data = bytearray(path.read_bytes())
    data[FILE_HEADER_BYTES + 30] ^= 1
    path.write_bytes(data)
    seen, log = contents(tmp_path / "log")
    assert seen == {2: (Kind.LINES, 1, b"next")}
    assert log.tally.lost == Counts(lines=1)


def test_a_sector_that_cannot_be_read_is_damage(tmp_path, sound):
    folder, whole = sound
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = min(copy.glob("*.log"))
    bad = 8192

    class BadSector(Disk):
        def read(self, fd, length, offset):
            inode_matches = Path(f"/proc/self/fd/{fd}").resolve() == path
            if inode_matches and offset < bad + 4096 and offset + length > bad:
                raise OSError(5, "Input/output error")
            return super().read(fd, length, offset)

    log = opened(copy, disk=BadSector())
    seen = []
    reader = log.reader(0)
    while frames := reader.read(bytes_max=ALL):
        seen += [f.seq for f in frames]
    lost = [seq for seq in whole if seq not in seen]
    # Reads go sector by sector from where the read began, so a neighbour may be lost with it.
    near = {s for s, a, b in places(path) if a < bad + 8192 and b > bad - 4096}
    assert lost
    assert set(lost) <= near
    assert log.tally.damaged_frames == len(lost)


def test_the_next_frame_is_found_wherever_the_reads_are_cut(tmp_path, monkeypatch):
    fill(tmp_path, 4, size=40)
    whole, _ = contents(tmp_path)
    [path] = tmp_path.glob("*.log")
    data = bytearray(path.read_bytes())
    data[places(path)[1][1] + 5] ^= 1
    path.write_bytes(data)
    rest = {seq: said for seq, said in whole.items() if seq != 2}
    for read_bytes in range(80, 400):
        monkeypatch.setattr("heliograph.store.log.scan.READ_AHEAD_BYTES", read_bytes)
        assert contents(tmp_path)[0] == rest
