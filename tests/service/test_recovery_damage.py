"""Damaged files after kill -9: the service starts, says what it found, and lost only what was hit."""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from heliograph.service.applier import EFFECTS
from heliograph.store.state.engines import read_only_uri
from tests.service.live import until
from tests.service.lives import CLOCK, FAST, Life

BATCHES = 40
SERIES = 5
ROWS = 30
BLOCK_BYTES = 4096
QUICK_BACKUP = FAST + "m.BACKUP_EVERY_S = 0.5\n"


class Left:
    """What a killed service left in *folder*: samples sealed and not, rows, records, pods."""

    def __init__(self, folder, *, prelude):
        self.folder = folder
        self.prelude = prelude
        self.start_ms = CLOCK.now_ns() // 10**6 - 600_000
        life = Life(folder, samples={"seal": "1s"}, prelude=prelude).start()
        try:
            self._fill(life)
            life.kill()
        finally:
            life.end()

    def _fill(self, life):
        pods = [
            {
                "uid": f"p-{n}",
                "name": f"p-{n}",
                "workload_uid": "w",
                "start": "2026-01-01T00:00:00Z",
            }
            for n in range(3)
        ]
        document = {"workloads": [{"uid": "w", "name": "w"}], "pods": pods}
        assert life.post("/v1/placements", document).status == 200
        for half in (0, 1):
            for batch in range(half * BATCHES // 2, (half + 1) * BATCHES // 2):
                at_ms = self.start_ms + batch
                series = [
                    ({"__name__": "n", "s": str(s)}, [(at_ms, float(batch))])
                    for s in range(SERIES)
                ]
                assert life.write(series).status == 204
            if not half:
                self._lines(life)
                until(lambda: life.measured("heliograph_head_samples") == {"": 0}, "a seal")
                # The first to come may have been begun before all was there.
                for _ in range(2):
                    self._copied()
                # The other half is in a file of its own.
                life.kill()
                life.config.write_text(life.config.read_text().replace("1s", "1h"))
                life.start()
        life.settled()
        (end,) = life.measured("heliograph_log_end").values()
        until(lambda: self._told() >= end, "the cursor in state, which follows samples")

    def _copied(self):
        """Wait for an hourly copy, which the prelude makes quick."""
        path = self.folder / "backups" / "state.db"
        before = stamp(path)
        until(lambda: stamp(path) != before, "a copy of the state")

    def _told(self):
        """How far state knows the log."""
        uri = read_only_uri(self.folder / "state.db")
        with closing(sqlite3.connect(uri, uri=True)) as state:
            sql = "SELECT seq FROM cursors WHERE name = ?"
            (seq,) = state.execute(sql, [EFFECTS]).fetchone() or [0]
            return seq

    def _lines(self, life):
        entries = []
        for n in range(1, ROWS + 1):
            stamp = {"date": (self.start_ms + n) / 1000, "kubernetes": {"pod_id": f"p-{n % 3}"}}
            text = (
                f" iteration {n}/ 500000 | consumed samples: 5 | "
                "elapsed time per iteration (ms): 9270.6 | learning rate: 1.0E-04 |"
            )
            said = f"successfully saved checkpoint from iteration {n} to /ckpt"
            entries += [{"log": text, **stamp}, {"log": said, **stamp}]
        assert life.post("/v1/logs", entries).json()["performance"] == ROWS
        life.settled()


class Found:
    """What a service started on a copy has: sets, after checking that nothing is doubled."""

    def __init__(self, life):
        whole = [[value for _, value in points] for points in life.points("n").values()]
        assert all(values == sorted(set(values)) for values in whole)
        self.samples = [len(values) for values in whole]
        self.rows = (
            [row["iteration"] for row in life.items("/v1/workloads/w/training")]
            if (life.ask("GET", "/v1/workloads/w").status == 200)
            else []
        )
        assert len(self.rows) == len(set(self.rows))
        span = {"start": 0, "end": CLOCK.now_ns() / 1e9 + 86400}
        self.records = [one["record_id"] for one in life.items("/v1/records", **span)]
        assert len(self.records) == len(set(self.records))
        self.pods = len(life.get("/v1/pods/workload/cache"))


def stamp(path):
    """What is another one when *path* was written again."""
    return path.stat().st_mtime_ns if path.exists() else None


def truncate(path, rng):
    """Cut *path* somewhere."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flip(path, rng):
    """Flip one bit of *path*."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def zero(path, rng):
    """Zero a block of *path*."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(0, len(content), BLOCK_BYTES)
    size = min(BLOCK_BYTES, len(content) - at)
    content[at : at + size] = bytes(size)
    path.write_bytes(content)


DAMAGES = (truncate, flip, zero)


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A folder as a kill left it."""
    return Left(tmp_path_factory.mktemp("left") / "data", prelude=QUICK_BACKUP)


@pytest.fixture
def copy(left, tmp_path):
    """A service on a copy of `left`, not started yet."""
    shutil.copytree(left.folder, tmp_path / "data")
    life = Life(tmp_path / "data", samples={"seal": "1h"})
    yield life
    life.end()


def started(life):
    """Start *life*; it must be ready, take data, and have no bug."""
    life.start().settled()
    assert life.write([({"__name__": "after"}, [(CLOCK.now_ns() // 10**6, 1.0)])]).status == 204
    assert life.points("after")
    assert life.measured("heliograph_bugs_total") == {}
    return Found(life)


def test_without_damage_all_is_there(copy):
    found = started(copy)
    assert found.samples == [BATCHES] * SERIES
    assert (len(found.rows), len(found.records), found.pods) == (ROWS, ROWS, 3)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log(copy, damage):
    newest = max(copy.folder.glob("log/*.log"))
    damage(newest, random.Random(1))
    found = started(copy)
    # What is sealed and applied does not depend on the log.
    assert (len(found.rows), len(found.records), found.pods) == (ROWS, ROWS, 3)
    assert len(set(found.samples)) == 1
    lost = BATCHES - found.samples[0]
    # The cursors are beyond what was lost, so that even a cut end is known to be one.
    damaged = copy.measured("heliograph_log_tally")['{what="damaged_frames"}']
    assert bool(damaged) == bool(lost)
    assert damaged >= lost
    assert ("damaged frames" in copy.checks()["log"][1]) == bool(lost)
    if damage is flip:
        assert lost <= 1
    assert lost <= BATCHES // 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sidecar_costs_nothing(copy, damage):
    damage(max(copy.folder.glob("log/*.series")), random.Random(3))
    assert started(copy).samples == [BATCHES] * SERIES


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_costs_its_own(copy, damage):
    damage(min(copy.folder.glob("segments/raw*.seg")), random.Random(4))
    found = started(copy)
    assert (len(found.rows), len(found.records), found.pods) == (ROWS, ROWS, 3)
    # The half that is still in the log is not touched.
    assert len(found.samples) == SERIES
    assert all(BATCHES // 2 <= count <= BATCHES for count in found.samples)
    tally = copy.measured("heliograph_segment_tally")
    whole = found.samples == [BATCHES] * SERIES
    assert whole or sum(v for k, v in tally.items() if "damaged" in k or "aside" in k), tally


def test_a_lost_seal_mark_costs_nothing(copy):
    for mark in copy.folder.glob("segments/sealed.*"):
        mark.unlink()
    assert started(copy).samples == [BATCHES] * SERIES


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_day_of_records_costs_that_day(copy, damage):
    damage(min(copy.folder.glob("records/*.db")), random.Random(5))
    found = started(copy)
    assert found.samples == [BATCHES] * SERIES
    assert (len(found.rows), found.pods) == (ROWS, 3)
    whole = len(found.records) == ROWS
    assert whole or copy.measured("heliograph_records_tally")['{what="days_corrupt"}'] == 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("copied", [True, False], ids=["with_copy", "without"])
def test_a_damaged_state(copy, damage, copied):
    # Without the write-ahead log, which would heal what it has a page of.
    fold_in(copy.folder / "state.db")
    damage(copy.folder / "state.db", random.Random(6))
    if not copied:
        shutil.rmtree(copy.folder / "backups")
    check_state(copy, copied=copied)


@pytest.mark.parametrize("copied", [True, False], ids=["with_copy", "without"])
def test_a_destroyed_state(copy, copied):
    fold_in(copy.folder / "state.db")
    (copy.folder / "state.db").write_bytes(random.Random(7).randbytes(100_000))
    if not copied:
        shutil.rmtree(copy.folder / "backups")
    found = check_state(copy, copied=copied)
    assert (copy.folder / "state.db.corrupt").exists()
    assert found.pods == (3 if copied else 0)


def check_state(life, *, copied):
    """What is not in state is all there; state is whole, the copy's, or empty, and it says which."""
    found = started(life)
    assert found.samples == [BATCHES] * SERIES
    assert len(found.records) == ROWS
    said = life.checks().get("state")
    if said is not None and said[0] == "bad":
        # A page that only a question reads: it says so, and the next start mends.
        assert life.stop() == 0
        found = started(life)
        said = life.checks()["state"]
    if said is None:
        assert (len(found.rows), found.pods) == (ROWS, 3)
    else:
        assert said[0] == "warn"
        assert ("hourly copy" if copied else "empty") in said[1]
        moved = life.measured("heliograph_state_damage")
        assert moved == {'{what="seen"}': 0, '{what="replaced"}': 1}
    if copied:
        assert (len(found.rows), found.pods) == (ROWS, 3)
    # It is not a matter of every start.
    assert life.stop() == 0
    life.start()
    assert "state" not in life.checks()
    return found


def fold_in(path):
    """Fold the write-ahead log of *path* in."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
