"""The durable log in good health: round trips, starts, readers, trimming, counting."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from heliograph.core import labels
from heliograph.core.clock import ManualClock
from heliograph.core.errors import ConfigError, Unavailable
from heliograph.core.samples import STALE_BITS, SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log import frame
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import FILE_FRAMES_MAX
from heliograph.store.log.frame import Counts, Kind
from heliograph.store.log.log import Log, LogLimits

SMALL = LogLimits(file_bytes_max=4096, memory_bytes_max=0)
ALL = 1 << 30


def name(number):
    return (("__name__", "load"), ("pod", f"p{number}"))


def batch(table, numbers, at_ns=7, value=1.5):
    ids = [table.intern(labels.pack(name(n)), beyond_limit=True) for n in numbers]
    n = len(ids)
    return SampleBatch(np.array(ids, np.uint32), np.full(n, at_ns), np.full(n, value))


def opened(folder, limits=None, *, table=None, disk=None, floor=0):
    table = SeriesTable(1000) if table is None else table
    log = Log(folder, table, ManualClock(5), limits, disk=disk)
    log.open(floor=floor)
    return log


def append_lines(log, count, size=400, start=0):
    for number in range(start, start + count):
        log.append_lines(f"{number}".encode().ljust(size), 1)
        log.commit()


def numbers(frames):
    return [int(f.payload) for f in frames]


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
def test_every_kind_comes_back_as_it_went(tmp_path, memory_bytes):
    table = SeriesTable(10)
    log = opened(tmp_path, LogLimits(memory_bytes_max=memory_bytes), table=table)
    bits = np.array([STALE_BITS, 0x7FF8000000000000, 0x7FF800000000BEEF, 1 << 63], np.uint64)
    sent = batch(table, range(4))._replace(value=bits.view(np.float64))
    assert [
        log.append_samples(sent),
        log.append_lines(b"l", 2),
        log.append_records(b"", 0),
    ] == [
        1,
        2,
        3,
    ]
    assert (log.end, log.reader(0).read(bytes_max=ALL)) == (0, [])
    log.commit()
    frames = log.reader(0).read(bytes_max=ALL)
    assert [(f.seq, f.kind, f.count, f.arrival_ns) for f in frames] == [
        (1, Kind.SAMPLES, 4, 5),
        (2, Kind.LINES, 2, 5),
        (3, Kind.RECORDS, 0, 5),
    ]
    assert [f.payload for f in frames[1:]] == [b"l", b""]
    got = frames[0].samples
    assert got.series.tolist() == sent.series.tolist()
    assert got.at_ns.tolist() == sent.at_ns.tolist()
    assert got.value.view(np.uint64).tolist() == bits.tolist()
    from_memory = 3 if memory_bytes else 0
    assert (log.tally.frames_from_memory, log.tally.frames_from_disk) == (
        from_memory,
        3 - from_memory,
    )


def test_another_process_reads_labels_not_ids(tmp_path):
    first = SeriesTable(10)
    log = opened(tmp_path, table=first)
    for numbers_ in ([0, 1, 2], [2, 3], [0, 3]):
        log.append_samples(batch(first, numbers_))
        log.commit()
    log.close()
    second = SeriesTable(1)
    second.intern(labels.pack(name(99)))
    log = opened(tmp_path, table=second)
    frames = log.reader(0).read(bytes_max=ALL)
    assert [[second.labels(s) for s in f.samples.series.tolist()] for f in frames] == [
        [name(0), name(1), name(2)],
        [name(2), name(3)],
        [name(0), name(3)],
    ]
    assert len(second) == 5  # the limit is for senders, not for replay


def test_a_forgotten_series_is_interned_again(tmp_path):
    table = SeriesTable(10)
    log = opened(tmp_path, SMALL, table=table)
    for _ in range(2):
        log.append_samples(batch(table, [1]))
        log.commit()
    reader = log.reader(0)
    before = reader.read(bytes_max=1)[0].samples.series[0]
    table.touch([int(before)], 1)
    table.forget(idle_since_ns=2, in_use=frozenset())
    after = reader.read(bytes_max=1)[0].samples.series[0]
    assert before != after
    assert table.labels(int(after)) == name(1)


def test_a_start_begins_a_file_and_leaves_room_in_the_sequence(tmp_path):
    log = opened(tmp_path)
    append_lines(log, 3)
    log.close()
    log = opened(tmp_path)
    assert log.end == 3
    append_lines(log, 1, start=3)
    assert log.end == 1 + FILE_FRAMES_MAX
    assert numbers(read_all(log)) == [0, 1, 2, 3]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [
        ".log",
        ".log",
        ".series",
        ".series",
    ]


def read_all(log, after=0, bytes_max=ALL):
    reader, frames = log.reader(after), []
    while part := reader.read(bytes_max=bytes_max):
        frames += part
    return frames


def test_nothing_is_on_disk_before_the_first_commit(tmp_path):
    log = opened(tmp_path / "log")
    log.append_lines(b"x", 1)
    assert list((tmp_path / "log").iterdir()) == []
    log.close()
    assert (log.end, log.disk_bytes) == (0, 0)


def test_no_sequence_is_given_twice_after_everything_was_trimmed(tmp_path):
    log = opened(tmp_path, SMALL)
    append_lines(log, 30)
    end = log.end
    log.trim(end)
    log.close()
    log = opened(tmp_path, SMALL)
    log.trim(end)
    append_lines(log, 1)
    assert log.end > end
    assert numbers(read_all(log, after=end)) == [0]


def test_an_emptied_folder_starts_above_the_floor(tmp_path):
    log = opened(tmp_path, floor=41)
    assert log.end == 41
    append_lines(log, 1)
    assert log.end == 42


def test_rotation_keeps_sequence_and_counts(tmp_path):
    log = opened(tmp_path, SMALL)
    append_lines(log, 40)
    assert len(list(tmp_path.glob("*.log"))) > 3
    assert log.end == 40
    for limit in (1, 1000, ALL):
        assert numbers(read_all(log, bytes_max=limit)) == list(range(40))
    assert log.counts(after=13, through=29) == Counts(lines=16)
    assert log.disk_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_read_gives_at_most_the_asked_bytes_but_at_least_one_frame(tmp_path):
    for limits in (SMALL, LogLimits()):
        log = opened(tmp_path / str(limits.memory_bytes_max), limits)
        append_lines(log, 5)
        reader = log.reader(0)
        assert [len(reader.read(bytes_max=b)) for b in (0, 399, 800, 801, 1)] == [1, 1, 2, 1, 0]


@pytest.mark.parametrize("memory_bytes", [0, 2000, 1 << 20])
def test_a_reader_begins_anywhere(tmp_path, memory_bytes):
    log = opened(tmp_path, LogLimits(file_bytes_max=4096, memory_bytes_max=memory_bytes))
    append_lines(log, 40)
    for after in range(41):
        assert numbers(read_all(log, after)) == list(range(after, 40))


def test_a_reader_close_behind_does_not_read_again_what_it_has_read(tmp_path):
    class Counting(Disk):
        read_bytes = 0

        def read(self, fd, length, offset):
            part = super().read(fd, length, offset)
            self.read_bytes += len(part)
            return part

    disk = Counting()
    log = opened(tmp_path, LogLimits(memory_bytes_max=0), disk=disk)
    reader = log.reader(0)
    for number in range(50):
        append_lines(log, 1, size=10_000, start=number)
        assert numbers(reader.read(bytes_max=ALL)) == [number]
    assert disk.read_bytes < 2 * log.disk_bytes


def test_a_far_reader_does_not_walk_the_file_from_its_start(tmp_path):
    log = opened(tmp_path, LogLimits(memory_bytes_max=0))
    append_lines(log, 40, size=50_000)
    file = log._catalogue.files[0]
    assert file.nearest(39).offset > 1_500_000


def test_trim_deletes_whole_files_and_only_those(tmp_path):
    log = opened(tmp_path, SMALL)
    append_lines(log, 40)
    for through in (0, 5, 8, 23):
        log.trim(through)
        left = numbers(read_all(log, after=through))
        assert left == list(range(through, 40))
        first = min(int(p.stem) for p in tmp_path.glob("*.log"))
        assert first <= through + 1
        assert log.disk_bytes == sum(p.stat().st_size for p in tmp_path.iterdir())
    log.trim(40)
    assert len(list(tmp_path.iterdir())) == 2
    append_lines(log, 1, start=40)
    assert numbers(read_all(log, after=40)) == [40]


def test_dropping_the_oldest_is_counted_to_the_unit(tmp_path):
    table = SeriesTable(10)
    log = opened(tmp_path, LogLimits(file_bytes_max=3000), table=table)
    for number in range(30):
        log.append_samples(batch(table, range(number % 7 + 1)))
        log.append_lines(bytes(200), number)
        log.append_records(bytes(10), 2)
        log.commit()
    frames = read_all(log)
    before = log.disk_bytes
    cursor = 20
    through = log.droppable(before // 2)
    lost = log.counts(after=cursor, through=through)
    log.trim(through)
    assert 20 < through < log.end
    assert log.disk_bytes <= before // 2
    gone = [f for f in frames if cursor < f.seq <= through]
    assert lost == Counts(
        *(
            sum(f.count for f in gone if f.kind == kind)
            for kind in (Kind.SAMPLES, Kind.LINES, Kind.RECORDS)
        )
    )
    left = read_all(log, after=cursor)
    assert [f.seq for f in left] == [f.seq for f in frames if f.seq > through]
    assert log.droppable(before) == 0
    assert log.tally.damaged_ranges == 0


def test_counts_go_on_after_a_start(tmp_path):
    log = opened(tmp_path, SMALL)
    append_lines(log, 20)
    log.close()
    log = opened(tmp_path, SMALL)
    append_lines(log, 20, start=20)
    assert log.counts(after=0, through=log.end) == Counts(lines=40)
    assert log.counts(after=15, through=20) == Counts(lines=5)


def test_two_readers_while_one_thread_appends(tmp_path):
    table = SeriesTable(100)
    log = opened(tmp_path, LogLimits(file_bytes_max=20_000, memory_bytes_max=3000), table=table)
    total, seen, errors = 400, {"fast": [], "slow": []}, []

    def consume(who, bytes_max):
        try:
            reader = log.reader(0)
            while reader.position < total:
                log.wait(reader.position, timeout_s=5)
                for got in reader.read(bytes_max=bytes_max):
                    seen[who].append((got.seq, [table.labels(s) for s in got.samples.series]))
        except BaseException as error:
            errors.append(error)
            raise

    threads = [
        threading.Thread(target=consume, args=("fast", ALL)),
        threading.Thread(target=consume, args=("slow", 1)),
    ]
    for thread in threads:
        thread.start()
    for number in range(total):
        log.append_samples(batch(table, [number % 50, (number + 1) % 50]))
        log.commit()
    for thread in threads:
        thread.join(60)
    assert errors == []
    expected = [(n + 1, [name(n % 50), name((n + 1) % 50)]) for n in range(total)]
    assert seen == {"fast": expected, "slow": expected}
    assert log.tally.damaged_ranges == 0


def test_wait_tells_whether_there_is_more(tmp_path):
    log = opened(tmp_path)
    assert log.wait(0, timeout_s=0) is False
    append_lines(log, 1)
    assert log.wait(0, timeout_s=0) is True


def test_too_much_pending_is_unavailable_and_keeps_what_there_is(tmp_path):
    log = opened(tmp_path, LogLimits(pending_bytes_max=1000))
    log.append_lines(bytes(2000), 1)
    with pytest.raises(Unavailable) as refused:
        log.append_lines(b"x", 1)
    assert refused.value.code == "log_busy"
    log.commit()
    log.append_lines(b"x", 1)
    log.commit()
    assert [f.payload for f in read_all(log)] == [bytes(2000), b"x"]


def test_a_payload_beyond_the_limit_is_a_bug(tmp_path, monkeypatch):
    monkeypatch.setattr("heliograph.store.log.active.PAYLOAD_BYTES_MAX", 10)
    log = opened(tmp_path)
    with pytest.raises(AssertionError, match="frame of 11 bytes, limit 10"):
        log.append_lines(bytes(11), 1)


def test_labels_are_durable_before_the_frame_that_uses_them(tmp_path):
    class Recording(Disk):
        def __init__(self):
            self.calls, self.names = [], {}

        def create(self, path):
            fd = super().create(path)
            self.names[fd] = path.suffix
            return fd

        def write(self, fd, content):
            self.calls.append(f"write {self.names[fd]}")
            super().write(fd, content)

        def sync(self, fd):
            self.calls.append(f"sync {self.names[fd]}")
            super().sync(fd)

        def sync_folder(self, folder):
            self.calls.append("sync folder")
            super().sync_folder(folder)

    disk, table = Recording(), SeriesTable(10)
    log = opened(tmp_path, table=table, disk=disk)
    for numbers_ in ([1], [1], [1, 2]):
        log.append_samples(batch(table, numbers_))
        log.commit()
    labels_ = ["write .series", "sync .series"]
    frames = ["write .log", "sync .log"]
    assert disk.calls == [
        "sync folder",
        *labels_,
        *frames,
        "sync folder",
        *frames,
        *labels_,
        *frames,
    ]


def test_large_frames_are_written_uncopied_and_in_order(tmp_path, monkeypatch):
    class Recording(Disk):
        def __init__(self):
            self.sizes = []

        def write(self, fd, content):
            self.sizes.append(len(content))
            super().write(fd, content)

    monkeypatch.setattr("heliograph.store.log.active._COPIED_BYTES_MAX", 1000)
    disk = Recording()
    log = opened(tmp_path, disk=disk)
    payloads = [bytes([n]) * size for n, size in enumerate([10, 2000, 20, 30, 1001, 1000])]
    for payload in payloads:
        log.append_lines(payload, 1)
    log.commit()
    head = frame.FRAME_HEADER_BYTES
    # The heads of both files, and the first frame's, with the frame; what is small comes together.
    assert disk.sizes[-5:] == [
        frame.FILE_HEADER_BYTES + 2 * head + 10,
        2000,
        3 * head + 20 + 30,
        1001,
        head + 1000,
    ]
    log.close()
    assert [f.payload for f in read_all(opened(tmp_path))] == payloads


def test_the_headers_are_as_documented():
    before = Counts(1, 2, 3)
    head = frame.FileHeader(2**64 - 1, 7, 6, before)
    packed = frame.pack_file(head, frame.LOG_MAGIC)
    assert (len(packed), frame.unpack_file(packed, frame.LOG_MAGIC)) == (64, head)
    assert frame.unpack_file(packed, frame.SIDECAR_MAGIC) is None
    one = frame.FrameHeader(5, Kind.LINES, 9, 4, 3, before, -1, 77)
    packed = frame.pack_frame(one)
    assert (len(packed), frame.unpack_frame(packed, 5)) == (72, one)
    assert frame.unpack_frame(packed, 6) is None
    assert one.after == Counts(1, 6, 3)
    for at in range(72):
        flipped = bytearray(packed)
        flipped[at] ^= 1
        assert frame.unpack_frame(bytes(flipped), None) is None


def test_a_folder_that_cannot_be_used_is_the_operators_to_mend(tmp_path):
    (tmp_path / "log").write_text("a file")
    with pytest.raises(ConfigError, match="log cannot be used"):
        opened(tmp_path / "log")


def test_who_waits_no_more_is_let_go(tmp_path):
    log, over = opened(tmp_path), threading.Event()
    with ThreadPoolExecutor(1) as waiter:
        waits = waiter.submit(log.wait, 0, timeout_s=20, unless=over.is_set)
        log.nudge()
        over.set()
        log.nudge()
        assert waits.result(10) is False
    log.close()
