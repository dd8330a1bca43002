"""Lanes: one owner at a time, numbers that stay few, and what the dead leave behind."""

import os
import subprocess
import sys
import threading

import pytest

from heliograph.core.clock import SystemClock
from heliograph.ship import lane
from heliograph.ship.lane import Lanes, Unusable

URL, OTHER = "http://a/api/v1/write", "http://b/api/v1/write"
LABELS = {"rank": "0"}


def lanes(folder, url=URL, labels=None):
    return Lanes(folder, url, LABELS if labels is None else labels, SystemClock())


def folders(folder):
    return sorted(path.name for path in folder.glob("*/*-*-*"))


def test_what_is_written_is_read_in_order_and_removed(tmp_path):
    made = lanes(tmp_path).make()
    made.write(2, b"two", sync=False)
    made.write(1, b"one", sync=True)

    assert made.waiting() == [(1, 3), (2, 3)]
    assert (made.read(1), made.read(2, 2)) == (b"one", b"tw")
    made.remove(1)
    made.remove(1)
    assert made.waiting() == [(2, 3)]


def test_a_living_lane_is_not_taken_over_and_a_dead_one_once(tmp_path):
    made = lanes(tmp_path).make()
    made.write(1, b"one", sync=False)
    assert lanes(tmp_path).take_over() == []

    made.let_go()
    [taken] = lanes(tmp_path).take_over()

    assert (taken.folder, taken.waiting()) == (made.folder, [(1, 3)])
    assert lanes(tmp_path).take_over() == []
    taken.close()
    assert made.folder.exists()


def test_an_empty_lane_leaves_nothing(tmp_path):
    made = lanes(tmp_path).make()
    (made.folder / "0000000007.new").write_bytes(b"half")
    made.close()

    assert folders(tmp_path) == []
    assert lanes(tmp_path).take_over() == []


def test_a_lane_that_died_half_made_is_taken_over(tmp_path):
    made = lanes(tmp_path).make()
    half = made.folder.with_name(made.folder.name[:-8] + "00000000")
    half.mkdir()

    assert [one.folder for one in lanes(tmp_path).take_over()] == [half]


def test_lanes_of_another_url_are_anothers(tmp_path):
    made = lanes(tmp_path, OTHER).make()
    made.write(1, b"one", sync=False)
    made.let_go()

    assert lanes(tmp_path).take_over() == []
    assert len(lanes(tmp_path, OTHER).take_over()) == 1


def test_numbers_are_the_least_that_no_living_one_has(tmp_path):
    first, second, third = (lanes(tmp_path).make() for _ in range(3))
    other = lanes(tmp_path, labels={"rank": "1"}).make()
    assert [one.number for one in (first, second, third, other)] == [0, 1, 2, 0]

    second.write(1, b"left behind", sync=False)
    second.let_go()
    assert lanes(tmp_path).make().number == 1
    assert lanes(tmp_path).make().number == 3


def test_there_are_only_so_many_of_the_same_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(lane, "WORKERS_MAX", 2)
    kept = [lanes(tmp_path).make() for _ in range(2)]

    with pytest.raises(Unusable, match="2 living processes"):
        lanes(tmp_path).make()
    assert len(kept) == 2


def test_threads_and_processes_get_numbers_of_their_own(tmp_path):
    script = (
        "import sys; from pathlib import Path; from heliograph.core.clock import SystemClock\n"
        "from heliograph.ship.lane import Lanes\n"
        "made = Lanes(Path(sys.argv[1]), sys.argv[2], {'rank': '0'}, SystemClock()).make()\n"
        "print(made.number, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), URL]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(lanes(tmp_path).make())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [int(one.stdout.readline()) for one in running]
    for one in running:
        one.communicate("")

    assert sorted([*numbers, *(made.number for made in found)]) == list(range(7))


def test_a_held_door_is_waited_for_and_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(lane, "DOOR_S_MAX", 0.1)
    made = lanes(tmp_path).make()
    door = lane._try_lock(made.folder.parent / "door")

    with pytest.raises(Unusable, match="door is held"):
        lanes(tmp_path).make()
    assert lanes(tmp_path).take_over() == []
    os.close(door)
    assert lanes(tmp_path).make().number == 1


def test_old_lanes_of_forgotten_destinations_are_swept(tmp_path):
    kept, old, living = (lanes(tmp_path, f"http://{n}") for n in range(3))
    young = kept.make()
    young.write(1, b"one", sync=False)
    young.let_go()
    gone = old.make()
    gone.write(1, b"one", sync=False)
    gone.let_go()
    held = living.make()
    eight_days_ago = SystemClock().now_ns() // 10**9 - 8 * 86_400
    for one in (gone, held):
        os.utime(one.folder, (eight_days_ago, eight_days_ago))
    own = lanes(tmp_path)
    made = own.make()

    assert own.sweep() == 1
    assert not gone.folder.parent.exists()
    assert all(one.folder.exists() for one in (young, held, made))


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(lane.os, "getuid", lambda: 12345)

    with pytest.raises(Unusable, match="another user"):
        lanes(tmp_path).make()


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(Unusable, match="a link"):
        lanes(tmp_path / "link").make()


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(Unusable, match="file"):
        lanes(tmp_path / "file" / "below").make()


def test_no_locks_no_lane(tmp_path, monkeypatch):
    monkeypatch.setattr(lane, "fcntl", None)

    with pytest.raises(Unusable, match="no file locks"):
        lanes(tmp_path).make()


def test_a_lane_that_was_cleaned_away_is_told(tmp_path):
    made = lanes(tmp_path).make()
    assert made.keep()
    (made.folder / "lock").unlink()
    assert not made.keep()
    [taken] = lanes(tmp_path).take_over()
    assert taken.keep()
    assert not made.keep()


def test_a_fork_in_the_middle_of_things_holds_no_lock(tmp_path):
    """The child lives on with copies of descriptors; what is let go of is free all the same."""
    given = lanes(tmp_path)
    made = given.make()
    with given._door():
        taken = lane._try_lock(made.folder.parent / "other", make=True)
        if (child := os.fork()) == 0:
            SystemClock().sleep(20)
            os._exit(0)
    lane._unlock(taken)
    made.let_go()
    try:
        assert [one.folder for one in lanes(tmp_path).take_over()] == [made.folder]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_fork_waits_for_a_lock_that_is_being_opened(tmp_path):
    """A copy that the child knows nothing of would keep the lane from falling free."""
    program = """
import os, sys, threading, time
from pathlib import Path
from heliograph.core.clock import SystemClock
from heliograph.ship import lane, shipper
opening, real = threading.Event(), os.open
def slowly(*given):
    lock = real(*given)
    opening.set()
    time.sleep(0.1)
    return lock
lane.os.open = slowly
shipper._watch_the_process()
given = lane.Lanes(Path(sys.argv[1]), "http://a", {}, SystemClock())
thread = threading.Thread(target=given.make)
thread.start()
opening.wait()
if not os.fork():
    left = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    os._exit(any(sys.argv[1] in name and name.endswith(("/lock", "/door")) for name in left))
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], timeout=20, check=False
    )
    assert done.returncode == 0


def test_a_child_closes_its_copies(tmp_path):
    made = lanes(tmp_path).make()
    if (child := os.fork()) == 0:
        try:
            lane.forget_all()
            os.fstat(made._lock)
        except OSError:
            os._exit(7)
        os._exit(0)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert lanes(tmp_path).take_over() == []


def test_the_default_place(tmp_path):
    assert lane.default_spool({"HELIOGRAPH_SPOOL_DIR": str(tmp_path)}) == tmp_path
    assert lane.default_spool({}).name == f"heliograph-spool-{os.getuid()}"
