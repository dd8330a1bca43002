"""Whose samples are, counted as they come: by series, by time, under the directory of the moment."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from heliograph.core import labels as label
from heliograph.core.clock import ManualClock
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich import identity
from heliograph.enrich.attribute import span_at
from heliograph.enrich.attribution import Attribution
from heliograph.service import series_identities
from heliograph.service.attributing import Attributing
from heliograph.service.meters import Meters
from heliograph.service.series_identities import SeriesIdentities
from heliograph.workloads.directory import Directory

T_NS = 1_767_225_600_000_000_000


class Owners:
    """What `Attributing` sees of the owners: a directory that a test changes."""

    def __init__(self, directory):
        self.changed = 0
        self._directory = directory

    def directory(self):
        return self._directory

    def change(self, directory):
        self._directory = directory
        self.changed += 1


def directory_of(*holds):
    """Each a (pod uid, gpu, start, end) in seconds after T."""
    pods = [
        Pod(uid, uid, "ns", "n1", "w", T_NS, None) for uid in dict.fromkeys(h[0] for h in holds)
    ]
    held = [
        Hold(uid, "n1", Device("gpu", gpu), T_NS + start * 10**9, end and T_NS + end * 10**9)
        for uid, gpu, start, end in holds
    ]
    return Directory([Workload("w", "llm", "Job")], pods, held)


def labels_of(metric, gpu):
    return label.of({"__name__": f"m{metric}", "node": "n1", "gpu": gpu})


@pytest.fixture
def site():
    table, meters = SeriesTable(1000), Meters()
    owners = Owners(directory_of(("p1", "0", 0, 100), ("p2", "0", 100, None)))
    clock = ManualClock(T_NS)
    return SimpleNamespace(
        table=table,
        meters=meters,
        owners=owners,
        clock=clock,
        attributing=Attributing(owners, table, clock, meters),
    )


def batch_of(table, rows):
    """Rows are (labels, seconds after T)."""
    ids = [table.intern(label.pack(labels)) for labels, _ in rows]
    at_ns = [T_NS + round(at_s * 10**9) for _, at_s in rows]
    return SampleBatch(np.array(ids, np.uint32), np.array(at_ns, np.int64), np.zeros(len(rows)))


def counted(meters):
    return {
        key: int(count)
        for counter in (meters.attributed, meters.unattributed)
        for key, count in counter.items()
    }


def test_each_sample_counts_at_its_own_time(site):
    rows = [(labels_of(metric, "0"), at_s) for metric in (1, 2) for at_s in (50, 100, 150, -1)]
    rows += [(labels_of(1, "7"), 50), (label.of({"__name__": "up"}), 50)]

    site.attributing.count(batch_of(site.table, rows))

    assert counted(site.meters) == {
        ("samples", "device"): 6,
        ("samples", "not_held"): 2,
        ("samples", "unknown_device"): 1,
        ("samples", "no_identity"): 1,
    }


def test_an_empty_batch_counts_nothing(site):
    site.attributing.count(batch_of(site.table, []))

    assert counted(site.meters) == {}


def test_a_change_of_owners_counts_from_the_next_batch(site):
    batch = batch_of(site.table, [(labels_of(1, "0"), 50), (labels_of(1, "1"), 50)])
    site.attributing.count(batch)
    assert counted(site.meters) == {("samples", "device"): 1, ("samples", "unknown_device"): 1}

    site.owners.change(directory_of(("p1", "1", 0, None), ("p3", "0", 60, None)))
    site.attributing.count(batch)

    assert counted(site.meters) == {
        ("samples", "device"): 2,
        ("samples", "unknown_device"): 1,
        ("samples", "not_held"): 1,
    }


def test_as_one_sample_at_a_time_would_be_counted(site):
    rng = np.random.default_rng(5)
    holds, at_s = [], 0
    for number in range(40):
        at_s += int(rng.integers(1, 5))
        holds.append((f"p{number}", str(number % 3), at_s, at_s + int(rng.integers(1, 6))))
    site.owners.change(directory_of(*holds))
    attribution = Attribution(site.owners.directory())
    expected = {}

    for _ in range(20):
        rows = [
            (labels_of(int(rng.integers(4)), str(rng.integers(4))), int(rng.integers(-5, 150)))
            for _ in range(60)
        ]
        site.attributing.count(batch_of(site.table, rows))
        for labels, at in rows:
            span = span_at(attribution.spans_of(labels), T_NS + at * 10**9)
            key = ("samples", span.by or span.reason)
            expected[key] = expected.get(key, 0) + 1

    assert counted(site.meters) == expected


def test_census_of_all_series(site):
    batch_of(site.table, [(labels_of(m, g), 0) for m in (1, 2) for g in ("0", "5")])

    census = site.attributing.census()

    assert census.owned == 2
    assert census.unowned == {"unknown_device": (2, labels_of(1, "5"))}


def test_series_of_one_device_have_one_number():
    table = SeriesTable(1000)
    batch = batch_of(table, [(labels_of(m, g), 0) for m in (1, 2) for g in ("0", "1")])

    numbers, identities = SeriesIdentities(table.labels).of(batch.series)

    assert numbers.tolist() == [0, 1, 0, 1]
    assert identities == [identity.of(labels_of(1, "0")), identity.of(labels_of(1, "1"))]


def test_series_that_share_a_slot_are_told_apart(monkeypatch):
    monkeypatch.setattr(series_identities, "SLOTS", 2)
    table = SeriesTable(1000)
    batch = batch_of(table, [(labels_of(1, str(gpu)), 0) for gpu in range(7)])
    kept = SeriesIdentities(table.labels)

    for _ in range(2):
        assert kept.of(batch.series).numbers.tolist() == list(range(7))
    assert kept.of(batch.series[::-1]).numbers.tolist() == list(range(6, -1, -1))


def test_too_many_identities_start_afresh(monkeypatch, site):
    monkeypatch.setattr(series_identities, "IDENTITIES_MAX", 3)
    for start in range(0, 12, 4):
        rows = [(labels_of(1, str(gpu)), 50) for gpu in range(start, start + 4)]
        site.attributing.count(batch_of(site.table, rows))

    assert counted(site.meters) == {("samples", "device"): 1, ("samples", "unknown_device"): 11}
    assert len(site.attributing._identities._identities) == 4


def test_a_forgotten_series_says_nothing():
    table = SeriesTable(1000)

    assert SeriesIdentities(table.labels).of(np.array([9], np.uint32)).identities == [
        identity.Identity()
    ]


class Watched:
    """A lock that sets *waits* when somebody has to wait for it."""

    def __init__(self, waits):
        self._lock = threading.Lock()
        self._waits = waits

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            self._waits.set()
            self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_a_slow_reader_does_not_bring_back_an_older_directory(site, monkeypatch):
    older, newer = directory_of(("p3", "0", 0, None)), directory_of(("p4", "0", 0, None))
    begun, overtaken, ended = threading.Event(), threading.Event(), threading.Event()
    real = site.attributing._attribution.swap

    def swap(directory):
        if directory is older:
            begun.set()
            assert overtaken.wait(60)
            real(directory)
        else:
            real(directory)
            overtaken.set()
            assert ended.wait(60)

    def slow():
        site.attributing.spans(())
        ended.set()

    monkeypatch.setattr(site.attributing._attribution, "swap", swap)
    site.attributing._swapping = Watched(overtaken)
    site.owners.change(older)
    first = threading.Thread(target=slow)
    first.start()
    assert begun.wait(60)
    site.owners.change(newer)
    second = threading.Thread(target=site.attributing.spans, args=((),))
    second.start()
    first.join()
    second.join()
    (span,) = site.attributing.spans(labels_of(1, "0"))[1:]
    assert span.pod_uid == "p4"
