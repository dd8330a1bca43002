import gzip
import json
import random

import pytest

from heliograph.alert.model import Alert, Entry, Status
from heliograph.core import instant
from heliograph.core.errors import Unavailable
from heliograph.service.alert_archive import AlertArchive

JUNE = instant.parse("2026-06-30T23:59:59Z")
DAY_NS = 86_400 * 10**9


def episode(name, ends_ns, more=""):
    labels = (("alertname", name), ("more", more))
    alert = Alert(name, "f", "log", labels, (), ends_ns - DAY_NS, ends_ns, False, 1, 2)
    entry = Entry(name, "g", "r", "r/webhook[0]", "webhook", ends_ns, "sent", Status.RESOLVED)
    return alert, [entry]


def lines(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_a_file_a_month_that_zcat_reads(tmp_path):
    archive = AlertArchive(tmp_path, 10**6)
    archive.append([episode("a", JUNE), episode("b", JUNE + DAY_NS)])
    archive.append([episode("b", JUNE + DAY_NS), episode("c", JUNE + DAY_NS)])

    folder = tmp_path / "archive"
    assert sorted(path.name for path in folder.iterdir()) == [
        "alerts-2026-06.0001.jsonl.gz",
        "alerts-2026-07.0001.jsonl.gz",
    ]
    july = lines(folder / "alerts-2026-07.0001.jsonl.gz")
    assert [(one["id"], one["status"], len(one["notifications"])) for one in july] == [
        ("b", "resolved", 1),
        ("c", "resolved", 1),
    ]


def test_what_a_crash_cut_short_costs_itself_alone(tmp_path):
    AlertArchive(tmp_path, 10**6).append([episode("a", JUNE), episode("b", JUNE)])
    torn = tmp_path / "archive" / "alerts-2026-06.0001.jsonl.gz"
    torn.write_bytes(torn.read_bytes()[:-9])

    AlertArchive(tmp_path, 10**6).append([episode("c", JUNE)])

    after = lines(tmp_path / "archive" / "alerts-2026-06.0002.jsonl.gz")
    assert [one["id"] for one in after] == ["c"]


def test_the_oldest_files_go_beyond_the_bound_and_those_in_use_never(tmp_path):
    days = [episode("a", JUNE), episode("b", JUNE + DAY_NS), episode("c", JUNE + 60 * DAY_NS)]
    AlertArchive(tmp_path, 1).append(days)
    archive = AlertArchive(tmp_path, 1)
    archive.append([episode("d", JUNE + 60 * DAY_NS)])

    assert archive.prune() == 3
    left = [path.name for path in (tmp_path / "archive").iterdir()]
    assert left == ["alerts-2026-08.0002.jsonl.gz"]
    assert archive.prune() == 0


def noise(seed):
    """Text that does not become much smaller."""
    return random.Random(seed).randbytes(4000).hex()


@pytest.mark.parametrize(("months", "each"), [(24, 1), (1, 24), (3, 8)])
def test_the_bound_holds_for_a_process_that_lives_long(tmp_path, months, each):
    bound = 40_000
    archive = AlertArchive(tmp_path, bound)
    ids = []
    for month in range(months):
        for n in range(each):
            ids.append(f"{month}-{n}")
            ends_ns = JUNE + month * 31 * DAY_NS
            archive.append([episode(ids[-1], ends_ns, noise(len(ids)))])
            archive.prune()

    files = sorted((tmp_path / "archive").iterdir())
    assert sum(path.stat().st_size for path in files) <= bound
    kept = [one["id"] for path in files for one in lines(path)]
    assert len(kept) > 4
    assert kept == ids[-len(kept) :]


def test_an_old_month_written_last_stays_and_another_file_is_begun_for_one_that_went(tmp_path):
    archive = AlertArchive(tmp_path, 1)
    archive.append([episode("new", JUNE + 60 * DAY_NS)])
    archive.append([episode("late", JUNE)])
    assert archive.prune() == 1
    archive.append([episode("newer", JUNE + 60 * DAY_NS)])

    kept = {path.name: lines(path)[0]["id"] for path in (tmp_path / "archive").iterdir()}
    assert kept == {
        "alerts-2026-06.0001.jsonl.gz": "late",
        "alerts-2026-08.0001.jsonl.gz": "newer",
    }


def test_a_file_that_somebody_deleted_is_begun_anew(tmp_path):
    archive = AlertArchive(tmp_path, 10**6)
    archive.append([episode("a", JUNE)])
    (path,) = (tmp_path / "archive").iterdir()
    path.unlink()
    archive.append([episode("b", JUNE)])
    assert [one["id"] for one in lines(path)] == ["b"]


def test_after_a_prune_the_next_process_begins_a_file_of_its_own(tmp_path):
    for name in "abc":
        AlertArchive(tmp_path, 10**6).append([episode(name, JUNE)])
    folder = tmp_path / "archive"
    torn = folder / "alerts-2026-06.0003.jsonl.gz"
    torn.write_bytes(torn.read_bytes() + gzip.compress(b"cut short")[:15])
    two = sum(path.stat().st_size for path in sorted(folder.iterdir())[1:])
    following = AlertArchive(tmp_path, two)
    assert following.prune() == 1

    following.append([episode("d", JUNE)])
    assert [one["id"] for one in lines(folder / "alerts-2026-06.0004.jsonl.gz")] == ["d"]


def test_a_disk_that_takes_nothing_is_unavailable(tmp_path):
    (tmp_path / "archive").write_text("in the way")
    with pytest.raises(Unavailable):
        AlertArchive(tmp_path, 1).append([episode("a", JUNE)])
