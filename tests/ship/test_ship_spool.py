"""The spool: order, bounds, what the disk does not take, what the dead left, what is damaged."""

import errno

import pytest

from heliograph.core.clock import SystemClock
from heliograph.ship import frame, spool
from heliograph.ship.counts import Counts
from heliograph.ship.frame import Frame
from heliograph.ship.lane import Lane, Lanes
from heliograph.ship.spool import Spool

BLOCK = 4096


def lanes(folder):
    return Lanes(folder, "http://a", {}, SystemClock())


def numbered(n, items=10):
    return Frame(frame.SAMPLES, items, b"frame %d" % n)


def opened(folder=None, bytes_max=100 * BLOCK):
    made = Spool(Counts(), bytes_max=bytes_max)
    if folder is not None:
        made.use(lanes(folder).make())
    return made


def drained(one):
    found = []
    while (taken := one.take()) is not None:
        entry, got = taken
        found.append(int(got.raw.split()[1]))
        one.done(entry)
    return found


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    return tmp_path if request.param == "disk" else None


def test_first_in_first_out(place):
    one = opened(place)
    for n in range(5):
        one.append(numbered(n))

    assert (one.frames, one.bytes_waiting) == (5, 5 * BLOCK)
    assert one.durable == (place is not None)
    assert drained(one) == [0, 1, 2, 3, 4]
    assert (one.frames, one.bytes_waiting, one.durable) == (0, 0, True)


def test_what_is_put_back_is_the_oldest_again(place):
    one = opened(place)
    for n in range(3):
        one.append(numbered(n))
    entry, _ = one.take()
    assert one.frames == 3
    one.put_back(entry)

    assert drained(one) == [0, 1, 2]


def test_the_oldest_is_dropped_and_its_samples_counted(place):
    one = opened(place, bytes_max=3 * BLOCK)
    for n in range(10):
        one.append(numbered(n, items=n))
        assert one.bytes_waiting <= 3 * BLOCK

    assert one._counts.dropped == sum(range(7))
    assert drained(one) == [7, 8, 9]


def test_what_is_on_its_way_is_not_dropped(place):
    one = opened(place, bytes_max=2 * BLOCK)
    one.append(numbered(0))
    entry, _ = one.take()
    for n in range(1, 5):
        one.append(numbered(n))
    one.put_back(entry)

    assert drained(one) == [0, 4]
    assert one._counts.dropped == 30


def test_one_frame_beyond_the_bound_is_dropped(place):
    one = opened(place, bytes_max=1)
    one.append(numbered(0))

    assert (one.frames, one.bytes_waiting, one._counts.dropped) == (0, 0, 10)


def test_the_disk_holds_no_more_than_the_bound(tmp_path):
    one = opened(tmp_path, bytes_max=5 * BLOCK)
    for n in range(50):
        one.append(numbered(n))

    assert len(list(tmp_path.rglob("*.frame"))) == 5


def test_what_a_dead_process_left_comes_first(tmp_path):
    dead = opened(tmp_path)
    for n in range(3):
        dead.append(numbered(n))
    dead._own.let_go()
    one = opened(tmp_path)
    one.append(numbered(10))
    one.adopt(lanes(tmp_path).take_over())

    assert one._counts.adopted_frames == 3
    assert (one.frames, one.bytes_waiting) == (4, 4 * BLOCK)
    assert drained(one) == [0, 1, 2, 10]
    one.close()
    assert list(tmp_path.rglob("*-*-*")) == []


def test_what_was_adopted_is_dropped_first_with_its_samples(tmp_path):
    dead = opened(tmp_path)
    for n in range(5):
        dead.append(numbered(n, items=7))
    dead._own.let_go()
    one = opened(tmp_path, bytes_max=3 * BLOCK)
    one.adopt(lanes(tmp_path).take_over())
    one.append(numbered(10))

    assert one._counts.dropped == 21
    assert drained(one) == [3, 4, 10]


def test_what_is_left_at_the_end_is_for_the_next(tmp_path):
    dead = opened(tmp_path)
    dead.append(numbered(0))
    dead._own.let_go()
    one = opened(tmp_path)
    one.append(numbered(1))
    one.adopt(lanes(tmp_path).take_over())
    one.close()
    following = opened(tmp_path)
    following.adopt(lanes(tmp_path).take_over())

    assert drained(following) == [0, 1]


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "gone"])
def test_damage_costs_the_frame_alone(tmp_path, damage):
    dead = opened(tmp_path)
    for n in range(3):
        dead.append(numbered(n))
    dead._own.let_go()
    path = max(tmp_path.rglob("*.frame"))
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = whole[:-1] + bytes([whole[-1] ^ 1])
        path.write_bytes({"cut": whole[:-3], "empty": b"", "changed": changed}[damage])
    one = opened(tmp_path)
    one.adopt(lanes(tmp_path).take_over())

    assert drained(one) == [0, 1]
    assert one._counts.damaged_frames == (damage != "gone")
    assert one.bytes_waiting == 0


def test_what_the_disk_does_not_take_waits_in_memory_under_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "MEMORY_BYTES_MAX", 2 * BLOCK)
    one = opened(tmp_path)
    one.append(numbered(0))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as broken:
        broken.setattr(Lane, "write", full)
        for n in range(1, 5):
            one.append(numbered(n))
    one.append(numbered(5))

    assert one._counts.spool_errors == 4
    assert (one._counts.dropped, one.durable) == (20, False)
    assert drained(one) == [0, 3, 4, 5]


def test_memory_alone_has_its_own_bound(monkeypatch):
    monkeypatch.setattr(spool, "MEMORY_BYTES_MAX", 2 * BLOCK)
    one = opened(None, bytes_max=100 * BLOCK)
    for n in range(5):
        one.append(numbered(n))

    assert one.bytes_max == 2 * BLOCK
    assert drained(one) == [3, 4]


def test_a_forked_child_touches_nothing(tmp_path):
    one = opened(tmp_path)
    one.append(numbered(0))
    [path] = tmp_path.rglob("*.frame")
    one._lock.acquire()
    twin = one
    twin.forget()

    assert path.exists()
    assert (twin.frames, twin.take()) == (0, None)
