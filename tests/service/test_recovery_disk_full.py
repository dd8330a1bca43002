"""A full disk: writers are told to come again, nothing acknowledged is lost, and space is enough to
go on. On a tmpfs of the test's own, so only root can run it.
"""

import os
import subprocess

import pytest

from tests.service.live import until
from tests.service.lives import CLOCK, Life, is_root

MIB = 1024 * 1024
SIZE_MIB = 200
RECOVERY_S_MAX = 10


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a medium of SIZE_MIB."""
    if not is_root():
        pytest.skip("only root can mount a tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={SIZE_MIB}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot mount a tmpfs: {done.stderr}")
        pytest.skip(f"cannot mount a tmpfs: {done.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, *, but_bytes=0):
    """Take all space of *folder* but *but_bytes*."""
    path = folder / "filler"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    size = MIB
    while size >= 512:
        try:
            os.write(fd, bytes(size))
        except OSError:
            size //= 2
    os.close(fd)
    os.truncate(path, max(0, path.stat().st_size - but_bytes))


def free(folder):
    """Give the space back."""
    (folder / "filler").unlink(missing_ok=True)


class Writer:
    """Writes numbered samples and lines, one request each, and notes how each was answered."""

    def __init__(self, life):
        self.life = life
        self.start_ms = CLOCK.now_ns() // 10**6 - 600_000
        self.number = 0
        self.acked, self.refused = [], []
        self.rows_acked, self.rows_refused = [], []

    def write(self, times):
        """*times* samples and lines."""
        for _ in range(times):
            self.number += 1
            at_ms = self.start_ms + self.number
            answer = self.life.write([({"__name__": "n"}, [(at_ms, float(self.number))])])
            self._note(answer, 204, 429, self.acked, self.refused)
            entry = {
                "log": f" iteration {self.number}/ 500000 | consumed samples: 5 | "
                "elapsed time per iteration (ms): 9270.6 | learning rate: 1.0E-04 |",
                "date": at_ms / 1000, "kubernetes": {"pod_id": "p-1"},
            }  # fmt: skip
            answer = self.life.post("/v1/logs", [entry])
            self._note(answer, 200, 503, self.rows_acked, self.rows_refused)

    def _note(self, answer, taken, busy, acked, refused):
        assert answer.status in (taken, busy), answer
        if answer.status == busy:
            assert 0 < int(answer.headers["retry-after"]) <= 60, answer
        (acked if answer.status == taken else refused).append(self.number)

    def check(self):
        """All acknowledged is there; nothing refused is."""
        found = self.life.points("n")
        values = [value for points in found.values() for _, value in points]
        assert values == [float(n) for n in self.acked]
        rows = self.life.items("/v1/workloads/w/training")
        assert sorted(row["iteration"] for row in rows) == self.rows_acked


def placed(life):
    """Place the pod that logs."""
    document = {
        "workloads": [{"uid": "w", "name": "w"}],
        "pods": [{"uid": "p-1", "name": "p-1", "workload_uid": "w",
                  "start": "2026-01-01T00:00:00Z"}],
    }  # fmt: skip
    assert life.post("/v1/placements", document).status == 200
    return life


def recovered(writer):
    """Write until all is taken again."""
    started_s = CLOCK.monotonic_s()
    while True:
        refused = len(writer.refused) + len(writer.rows_refused)
        writer.write(1)
        if len(writer.refused) + len(writer.rows_refused) == refused:
            return CLOCK.monotonic_s() - started_s
        assert CLOCK.monotonic_s() - started_s < RECOVERY_S_MAX, writer.life.words()
        CLOCK.sleep(0.1)


def seals(life):
    """How often a seal was tried, whatever came of it."""
    return life.measured("heliograph_stage_seconds_count").get('{stage="seal"}', 0)


@pytest.mark.timeout(120)
def test_a_full_disk_costs_nothing_that_was_acknowledged(small_disk):
    life = placed(Life(small_disk / "data", samples={"seal": "1s"}).start())
    try:
        writer = Writer(life)
        for but_bytes in (0, 8192, 65536):
            writer.write(20)
            tried = seals(life)
            fill(small_disk, but_bytes=but_bytes)
            before = len(writer.refused)
            for _ in range(150):
                writer.write(5)
                if len(writer.refused) > before + 5:
                    break
            assert len(writer.refused) > before, "the disk never was full"
            # Reading goes on, and says what is the matter.
            assert "n" in life.get("/v1/query/metrics")["items"]
            assert life.ask("GET", "/healthz").status == 200
            assert life.checks()["disk"][0] == "bad"
            until(lambda: seals(life) > tried, "a try to seal")  # noqa: B023
            free(small_disk)
            recovered(writer)
            life.settled()
            writer.check()
        assert life.measured("heliograph_bugs_total") == {}
        life.kill()
        life.start().settled()
        writer.check()
    finally:
        life.end()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_it_starts_on_a_full_disk(small_disk, how):
    life = placed(Life(small_disk / "data").start())
    try:
        writer = Writer(life)
        writer.write(5)
        if how == "killed":
            life.kill()
        else:
            assert life.stop() == 0
        fill(small_disk)
        life.start(ready=False)
        assert life.checks()["disk"][0] == "bad"
        # What the start gave up to open its stores fills again.
        fill(small_disk)
        for _ in range(150):
            writer.write(5)
            if len(writer.refused) > 5:
                break
        assert writer.refused, "the disk never was full"
        assert "n" in life.get("/v1/query/metrics")["items"]
        free(small_disk)
        recovered(writer)
        life.settled()
        writer.check()
    finally:
        life.end()
