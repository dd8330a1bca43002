"""What a kill, a second process, a damaged file and a backup do to the state on SQLite."""

import sqlite3
import stat
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import ConfigError, Unavailable
from heliograph.store.state import cursors, meta, sqlite_file
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

CHILD = """
import sys
from pathlib import Path
from sqlalchemy import text
from heliograph.core.clock import ManualClock
from heliograph.store.state import cursors
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
state = State.open(None, Path(sys.argv[1]), ManualClock(1))
print("open", flush=True)
def both(tx, n):
    cursors.advance(tx, "left", n)
    print("half", n, flush=True)
    cursors.advance(tx, "right", n)
n = 0
while True:
    n += 1
    state.write(lambda tx: both(tx, n), lane=Lane.APPLIER).result()
    print("whole", n, flush=True)
"""


def child(folder):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("lines", [2, 3, 8, 31, 60])
def test_kill_leaves_all_or_nothing(tmp_path, clock, lines):
    process = child(tmp_path)
    heard = [process.stdout.readline() for _ in range(lines)]
    process.kill()
    heard += process.communicate()[0].splitlines(keepends=True)
    told = [line.split() for line in heard if line.endswith("\n")]
    whole = max((int(t[1]) for t in told if t[0] == "whole"), default=0)

    state = State.open(None, tmp_path, clock)
    kept = state.read(cursors.get_all)
    state.close()
    assert kept.get("left") == kept.get("right")
    assert whole <= kept.get("left", 0) <= whole + 1


def test_kill_while_the_schema_is_made_leaves_none(tmp_path, clock):
    """The file of a killed first start is opened as if it were new."""
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from heliograph.core.clock import ManualClock\n"
        "from heliograph.store.state import meta\nfrom heliograph.store.state.state import State\n"
        "meta.put = lambda *_: os.kill(os.getpid(), 9)\n"
        "State.open(None, Path(sys.argv[1]), ManualClock(1))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode
        == -9
    )
    state = State.open(None, tmp_path, clock)
    assert state.read(lambda tx: meta.get(tx, meta.INSTANCE_ID))
    assert state.mended is None
    state.close()


def test_a_second_process_is_refused_in_words(tmp_path, clock):
    process = child(tmp_path)
    process.stdout.readline()
    with pytest.raises(
        ConfigError, match=f"in use by another heliograph \\(process {process.pid}\\)"
    ):
        State.open(None, tmp_path, clock)
    process.kill()
    process.communicate()
    State.open(None, tmp_path, clock).close()


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path, clock):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data_dir"):
        State.open(None, tmp_path / "file" / "data", clock)


def put(state, name, seq):
    state.write(lambda tx: cursors.advance(tx, name, seq), lane=Lane.APPLIER).result(10)


def test_the_file_is_private(tmp_path, clock):
    state = State.open(None, tmp_path, clock)
    put(state, "x", 1)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob("state.db*")}
    state.close()
    assert modes == {0o600}


def test_a_backup_under_load_is_whole(tmp_path, clock):
    state = State.open(None, tmp_path / "data", clock)
    stop = threading.Event()

    def load():
        n = 0
        while not stop.is_set():
            n += 1

            def both(tx, n=n):
                cursors.advance(tx, "left", n)
                cursors.advance(tx, "right", n)

            state.write(both, lane=Lane.APPLIER).result(10)

    thread = threading.Thread(target=load)
    thread.start()
    before = 0
    for _ in range(5):
        state.backup(tmp_path / "copy" / "state.db")
        copied = State.open(None, tmp_path / "copy", clock)
        kept = copied.read(cursors.get_all)
        copied.close()
        assert kept.get("left", 0) == kept.get("right", 0) >= before
        before = kept.get("left", 0)
        (tmp_path / "copy" / "state.db").unlink()
    stop.set()
    thread.join()
    state.close()


def garble(path):
    path.write_bytes(b"\xa5" * path.stat().st_size)


def test_a_damaged_file_gives_way_to_the_hourly_copy(tmp_path, clock):
    state = State.open(None, tmp_path, clock)
    put(state, "x", 1)
    state.backup()
    put(state, "x", 2)
    state.close()
    garble(tmp_path / "state.db")

    state = State.open(None, tmp_path, clock)
    assert state.read(cursors.get_all) == {"x": 1}
    assert "hourly copy" in state.mended
    state.close()
    assert (tmp_path / "state.db.corrupt").exists()


def test_a_damaged_file_without_a_copy_begins_empty(tmp_path, clock):
    state = State.open(None, tmp_path, clock)
    put(state, "x", 1)
    state.close()
    garble(tmp_path / "state.db")

    state = State.open(None, tmp_path, clock)
    assert state.read(cursors.get_all) == {}
    assert "empty" in state.mended
    state.close()


def test_damage_seen_while_running_is_mended_at_the_next_start(tmp_path):
    clock = ManualClock(1)
    state = State.open(None, tmp_path, clock)
    for n in range(300):
        state.write(lambda tx, n=n: cursors.advance(tx, f"{n}" * 50, n), lane=Lane.CONTROL)
    put(state, "x", 1)
    state.backup()
    state.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name='cursors'").fetchone()[
            0
        ]
        page = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xa5" * page)

    state = State.open(None, tmp_path, clock)
    assert state.mended is None
    with pytest.raises(Unavailable):
        state.read(cursors.get_all)
    state.close()
    state = State.open(None, tmp_path, clock)
    assert state.read(cursors.get_all)["x"] == 1
    assert state.mended is not None
    state.close()
    assert not (tmp_path / "state.db.damaged").exists()


def test_a_damaged_file_does_not_take_the_place_of_its_copy(tmp_path, clock):
    """Though nobody had read what is damaged."""
    state = State.open(None, tmp_path, clock)
    for n in range(300):
        state.write(lambda tx, n=n: cursors.advance(tx, f"{n}" * 50, n), lane=Lane.CONTROL)
    put(state, "x", 1)
    state.backup()
    state.close()
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek(-3 * 4096, 2)
        file.write(b"\xa5" * 2 * 4096)

    state = State.open(None, tmp_path, clock)
    assert (state.mended, state.damaged) == (None, False)
    with pytest.raises(Unavailable, match="damaged"):
        state.backup()
    assert state.damaged
    state.close()
    assert [one.name for one in (tmp_path / "backups").iterdir()] == ["state.db"]
    state = State.open(None, tmp_path, clock)
    assert "hourly copy" in state.mended
    assert state.read(cursors.get_all)["x"] == 1
    state.close()


def test_a_copy_for_which_there_is_no_room_is_not_begun(tmp_path, clock, monkeypatch):
    state = State.open(None, tmp_path, clock)
    room = SimpleNamespace(free=(tmp_path / "state.db").stat().st_size - 1)
    monkeypatch.setattr(sqlite_file.shutil, "disk_usage", lambda _: room)
    monkeypatch.setattr(sqlite_file, "create_private", lambda path: pytest.fail(str(path)))
    with pytest.raises(Unavailable, match="No space"):
        state.backup()
    state.close()


def test_a_copy_that_fails_leaves_the_old_copy(tmp_path, clock, monkeypatch):
    state = State.open(None, tmp_path, clock)
    put(state, "x", 1)
    state.backup()
    good = (tmp_path / "backups" / "state.db").read_bytes()

    def full(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite_file, "_sync", full)
    with pytest.raises(Unavailable, match="No space"):
        state.backup()
    state.close()
    assert (tmp_path / "backups" / "state.db").read_bytes() == good
