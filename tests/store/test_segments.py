"""SegmentStore: the promises one by one; random lives are in test_segments_model."""

import os
import random
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from heliograph.core.errors import Unavailable
from heliograph.core.matcher import parse
from heliograph.core.samples import STALE_BITS
from heliograph.core.summary import of_samples
from heliograph.store.segments import file as segment_file
from heliograph.store.segments import store as segment_store
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import DAY_NS, HOUR_NS, MINUTE_NS

sys.path.insert(0, str(Path(__file__).parent))
from segments_model import Rig, assert_rows, bits_of, labels_of

SECOND = 10**9
FORCED = Retention(raw_ns=5 * SECOND, minute_ns=HOUR_NS, hour_ns=400 * DAY_NS)


def counts(rig):
    return rig.store.stats().counts


def test_what_was_appended_is_read_at_once_and_after_every_step(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    now_ns = clock.now_ns()
    rig.send([(labels_of(1), now_ns, STALE_BITS), (labels_of(2), now_ns - 5, bits_of(-0.0))])
    rig.check()
    rig.send([(labels_of(1), now_ns, bits_of(2.0)), (labels_of(1), now_ns - 1, bits_of(1.0))])
    rig.check()
    rig.seal()
    rig.check()
    rig.reopen()
    rig.check()
    assert rig.store.sealed_seq == 1
    assert counts(rig)["replayed_samples"] == 4


@pytest.mark.parametrize("step_s", [61, 3600])
def test_the_shortest_retention_answers_from_rows(step_s, tmp_path, clock):
    rig = Rig(tmp_path, clock, FORCED)
    for n in range(30):
        at_ns = clock.now_ns()
        rig.send([(labels_of(s), at_ns - 1, bits_of(float(n))) for s in range(3)])
        rig.check()
        clock.advance(5)
        clock.advance(step_s)
        if rig.store.should_seal(clock.now_ns()):
            rig.seal()
        rig.maintain()
        rig.check()
        assert rig.store.raw_floor_ns > at_ns
        assert not any(len(one.at_ns) for one in rig.select().series)


def test_late_samples_are_counted_once_though_raw_has_gone(tmp_path, clock):
    rig = Rig(tmp_path, clock, FORCED)
    rig.increase_is_law = False
    begun_ns = clock.now_ns()
    rig.send([(labels_of(1), begun_ns + n * SECOND, bits_of(n)) for n in range(0, 7200, 9)])
    rig.seal()
    clock.advance(3 * 3600)
    rig.maintain()
    rig.check()
    assert "raw" not in rig.store.stats().files
    for late in range(1, 4):
        late_ns = begun_ns + late * 1000 * SECOND + 1
        rig.send([(labels_of(n), late_ns, bits_of(5.0)) for n in (1, 2)])
        rig.check()
        rig.seal()
        rig.check()
        rig.reopen()
        rig.maintain()
        rig.check()
        rig.maintain()
        rig.check()
    assert "raw" not in rig.store.stats().files


def test_a_whole_day_is_merged_at_each_level(tmp_path, clock):
    rig = Rig(tmp_path, clock, Retention(2 * DAY_NS, 5 * DAY_NS, 30 * DAY_NS))
    for n in range(4 * 24 * 4):
        rig.send([(labels_of(s), clock.now_ns() + s, bits_of(n)) for s in range(3)])
        clock.advance(900)
        if n % 3 == 0:
            rig.seal()
        if n % 16 == 0:
            rig.maintain()
    rig.seal()
    rig.maintain()
    rig.check()
    files = rig.store._catalogue.view.files
    spans = {(n.kind, n.level, (n.end_ns - n.start_ns) // HOUR_NS) for n in files}
    assert {("raw", 2, 24), ("1m", 2, 24), ("1h", 2, 24)} <= spans
    assert len(files) < 60
    # A late sample into a day of roll-ups that stand alone.
    rig.increase_is_law = False
    rig.send([(labels_of(0), clock.now_ns() - 95 * HOUR_NS + 1, bits_of(7.0))])
    rig.check()
    rig.seal()
    rig.maintain()
    rig.check()


def test_history_in_one_seal_and_a_broken_clock_make_few_files(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    rng = random.Random(1)
    now_ns = clock.now_ns()
    rig.increase_is_law = False
    # 61 windows of history, a day apart in part, and instants up to the end of int64.
    past = [now_ns - n * 2 * HOUR_NS - 7 for n in range(61)]
    future = [now_ns + rng.randrange(2 * DAY_NS, 2**62) for _ in range(50)] + [2**63 - 1]
    older = [now_ns - 401 * DAY_NS, -(2**63), 5]
    rig.send([(labels_of(1), at_ns, bits_of(1.0)) for at_ns in [*past, *future]])
    rig.store.append(rig.store._catalogue.view.heads[-1] and _batch(rig, older), 1)
    rig.frames.append((1, []))
    rig.seal()
    assert len(rig.store._catalogue.view.files) <= 7 + 1
    assert counts(rig)["too_old_samples"] == 3
    for n in range(6):
        rig.send([(labels_of(2), future[n] + 1, bits_of(3.0))])
        rig.seal()
        rig.maintain()
        assert sum(name.is_far for name in rig.store._catalogue.view.files) <= 5
    clock.set_wall(sorted(future)[3] - HOUR_NS)
    rig.maintain()
    near = [n for n in rig.store._catalogue.view.raw() if not n.is_far]
    assert near
    got = rig.select(end_ns=2**63)
    at_ns = {at for one in got.series for at in one.at_ns.tolist()}
    assert at_ns >= set(sorted(future)[3:])


def _batch(rig, instants):
    ids = np.array([rig.table.intern(b"\x01a\x01b")] * len(instants), np.uint32)
    return segment_store.SampleBatch(ids, np.array(instants, np.int64), np.zeros(len(instants)))


@pytest.mark.parametrize("sealed", [False, True])
def test_too_much_is_cut_at_an_instant_and_pages_on(sealed, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(segment_file, "BLOCK_ROWS", 32)
    rig = Rig(tmp_path, clock, Retention(3 * HOUR_NS, 40 * HOUR_NS, 400 * DAY_NS))
    for n in range(60):
        rig.send([(labels_of(s), clock.now_ns() + (s % 2), bits_of(n)) for s in range(5)])
        clock.advance(600)
    if sealed:
        rig.seal()
        rig.maintain()
    whole = rig.select()
    pages, start_ns = [], -(2**62)
    while start_ns is not None:
        page = rig.select(start_ns=start_ns, samples_max=17)
        assert sum(len(one.at_ns) + one.rows.rows for one in page.series) <= 17
        assert page.next_ns is None or page.next_ns > start_ns
        pages.append(page)
        start_ns = page.next_ns
    assert len(pages) >= 300 // 17
    for one in whole.series:
        parts = [part for page in pages for part in page.series if part.labels == one.labels]
        assert np.concatenate([p.at_ns for p in parts]).tolist() == one.at_ns.tolist()
        starts = np.concatenate([p.rows.start_ns for p in parts])
        assert starts.tolist() == one.rows.start_ns.tolist()


def test_more_than_fits_at_one_instant_still_gets_on(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    now_ns = clock.now_ns()
    rig.send([(labels_of(s), now_ns + t, bits_of(1)) for s in range(50) for t in range(3)])
    page = rig.select(samples_max=10)

    assert page.next_ns == now_ns + 1
    assert len(page.series) == 50


def test_ten_thousand_series_by_matcher(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    now_ns = clock.now_ns()
    labels = [
        (("Zone", f"z{n % 4}"), ("__name__", f"m{n % 7}"), ("pod", f"llm-{n}"))
        for n in range(10_000)
    ]
    rig.send([(one, now_ns, bits_of(1)) for one in labels[:5000]])
    rig.seal()
    rig.send([(one, now_ns, bits_of(1)) for one in labels[5000:]])
    cases = [
        ('__name__="m3"', lambda of: of["__name__"] == "m3"),
        ('__name__=~"m[12]"', lambda of: of["__name__"] in {"m1", "m2"}),
        ('pod="llm-77"', lambda of: of["pod"] == "llm-77"),
        ('pod!~"llm-.*[1-9]"', lambda of: of["pod"].endswith("0")),
        ('missing=""', lambda of: True),
        ('missing!=""', lambda of: False),
        ('Zone!="z1"', lambda of: of["Zone"] != "z1"),
    ]
    for text, meant in cases:
        expected = sorted(one for one in labels if meant(dict(one)))
        got = rig.select([parse(text)])
        listed = rig.store.label_sets([parse(text)], 0, now_ns + 1)

        assert [one.labels for one in got.series] == expected
        assert listed == (expected, False)
    both = [parse('__name__="m3"'), parse('Zone="z1"')]
    assert len(rig.select(both).series) == sum(n % 7 == 3 and n % 4 == 1 for n in range(10_000))
    assert rig.store.metric_names([], 0, 2**62) == tuple(f"m{n}" for n in range(7))
    assert rig.store.metric_names([parse('pod="llm-8"')], 0, 2**62) == ("m1",)
    listed = rig.store.label_sets([], 0, 2**62, limit=10)
    assert (len(listed.items), listed.truncated) == (10, True)


def filled(tmp_path, clock):
    rig = Rig(tmp_path, clock, Retention(30 * HOUR_NS, 60 * HOUR_NS, 400 * DAY_NS))
    for n in range(300):
        rig.send([(labels_of(s), clock.now_ns() + s, bits_of(n + s / 3)) for s in range(6)])
        clock.advance(600)
        if n % 20 == 19:
            rig.seal()
    rig.seal()
    rig.maintain()
    rig.check()
    return rig


def answer(selection):
    raw = {
        (one.labels, at): bits
        for one in selection.series
        for at, bits in zip(one.at_ns.tolist(), one.value.view(np.uint64).tolist(), strict=True)
    }
    rows = {
        (one.labels, start): row
        for one in selection.series
        for start, row in zip(one.rows.start_ns.tolist(), one.rows.summaries(), strict=True)
    }
    return raw, rows


def test_a_flip_in_every_file_costs_no_more_than_it_hit(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(segment_file, "BLOCK_ROWS", 50)
    rig = filled(tmp_path, clock)
    raw, rows = answer(rig.select())
    rng = random.Random(3)
    files = sorted(tmp_path.glob("*.seg"))
    assert len(files) > 5
    for path in files:
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        path.write_bytes(data)
    rig.open()
    got_raw, got_rows = answer(rig.select())
    stats = rig.store.stats()

    assert got_raw.items() <= raw.items()
    assert got_rows.items() <= rows.items()
    found = stats.counts
    assert found["damaged_files"] + found["damaged_rows"] > 0
    assert found["damaged_files"] == len(list(tmp_path.glob("*.seg.corrupt")))
    if not found["damaged_files"]:
        lost = len(raw) + len(rows) - len(got_raw) - len(got_rows)
        assert lost == found["damaged_rows"]
    rig.send([(labels_of(0), clock.now_ns(), bits_of(1.0))])
    rig.seal()
    rig.maintain()
    again_raw, _ = answer(rig.select())
    assert (labels_of(0), clock.now_ns()) in again_raw


def test_what_is_not_ours_is_set_aside_and_what_is_half_is_deleted(tmp_path, clock):
    rig = filled(tmp_path, clock)
    expected = answer(rig.select())
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "raw-0.0.7200000000000.1.1.77.seg.tmp").write_bytes(b"half")
    (tmp_path / "raw-0.0.7200000000000.900.999.78.seg").write_bytes(b"of a seal that never was")
    rig.open()

    assert answer(rig.select()) == expected
    assert counts(rig) == {"set_aside": 1, "unfinished": 2}
    assert (tmp_path / "notes.txt.corrupt").read_text() == "mine"


def test_a_file_that_vanished_is_counted_and_the_rest_is_read(tmp_path, clock):
    rig = filled(tmp_path, clock)
    raw, _ = answer(rig.select())
    max(tmp_path.glob("raw-*.seg")).unlink()
    got, _ = answer(rig.select())

    assert got.items() < raw.items()
    assert counts(rig)["damaged_files"] == 1


def test_a_full_disk_refuses_the_seal_and_loses_nothing(tmp_path, clock, monkeypatch):
    rig = Rig(tmp_path, clock)
    now_ns = clock.now_ns()
    rig.send([(labels_of(s), now_ns - s * 3 * HOUR_NS, bits_of(s)) for s in range(5)])
    with monkeypatch.context() as patched:
        calls = []

        def full(_fd):
            calls.append(1)
            if len(calls) > 3:
                raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(Unavailable, match="No space left"):
                rig.seal()
            rig.check()
    assert [path.name for path in tmp_path.iterdir()] == ["sealed.-1"]
    rig.send([(labels_of(1), now_ns + 1, bits_of(9))])
    rig.seal()
    rig.check()
    rig.reopen()
    rig.check()


def test_a_first_seal_that_was_cut_short_is_not_taken_for_a_whole_one(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    rig.send([(labels_of(s), clock.now_ns() - s * 3 * HOUR_NS, bits_of(s)) for s in range(5)])
    rig.seal()
    rig.cursor = -1
    (tmp_path / "sealed.0").rename(tmp_path / "sealed.-1")
    min(tmp_path.glob("raw-*.seg")).unlink()
    rig.reopen()
    rig.check()
    assert counts(rig) == {"unfinished": 4}


def test_a_head_that_cannot_be_sealed_refuses_in_the_end(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(segment_store, "HEAD_SAMPLES_MAX", 10)
    rig = Rig(tmp_path, clock)
    for n in range(2):
        rig.send([(labels_of(n), clock.now_ns() + k, bits_of(1)) for k in range(10)])
    assert rig.store.should_seal(clock.now_ns())
    with pytest.raises(Unavailable):
        rig.send([(labels_of(0), clock.now_ns(), bits_of(1))])


def test_sealing_is_due_by_age_and_soon_for_late_samples(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    assert not rig.store.should_seal(clock.now_ns())
    rig.send([(labels_of(0), clock.now_ns(), bits_of(1))])
    clock.advance(200)
    assert not rig.store.should_seal(clock.now_ns())
    clock.advance(100)
    assert rig.store.should_seal(clock.now_ns())
    rig.seal()
    rig.send([(labels_of(0), clock.now_ns() - 8 * DAY_NS, bits_of(1))])
    assert not rig.store.should_seal(clock.now_ns())
    clock.advance(6)
    assert rig.store.should_seal(clock.now_ns())


def test_series_in_the_head_are_in_use(tmp_path, clock):
    rig = Rig(tmp_path, clock)
    rig.send([(labels_of(0), clock.now_ns(), bits_of(1))])

    assert rig.store.series_in_use() == {0}
    rig.seal()
    assert rig.store.series_in_use() == frozenset()


def test_a_range_is_half_open_and_rows_belong_to_their_start(tmp_path, clock):
    rig = Rig(tmp_path, clock, FORCED)
    begun_ns = clock.now_ns()
    rig.send([(labels_of(1), begun_ns + n * 20 * SECOND, bits_of(n)) for n in range(30)])
    rig.seal()
    clock.advance(1800)
    rig.maintain()
    got = rig.select(start_ns=begun_ns + 1, end_ns=begun_ns + 3 * MINUTE_NS)
    rows = {start: row for (_, start), row in answer(got)[1].items()}

    assert_rows(
        rows,
        {
            begun_ns + m * MINUTE_NS: of_samples(
                [(begun_ns + n * 20 * SECOND, float(n)) for n in range(3 * m, 3 * m + 3)]
            )
            for m in (1, 2)
        },
    )


def test_the_floor_waits_for_what_is_not_sealed(tmp_path, clock):
    rig = Rig(tmp_path, clock, FORCED)
    begun_ns = clock.now_ns()
    rig.send([(labels_of(1), begun_ns, bits_of(1))])
    clock.advance(3600)
    rig.maintain()

    assert rig.store.raw_floor_ns <= begun_ns
    rig.check()
    rig.seal()
    rig.maintain()
    assert rig.store.raw_floor_ns == begun_ns + 59 * MINUTE_NS
    rig.check()


def test_a_clock_that_jumps_back_takes_no_floor_with_it(tmp_path, clock):
    rig = filled(tmp_path, clock)
    floor_ns = rig.store.raw_floor_ns
    clock.advance(-3 * 86400)
    rig.maintain()
    rig.check()
    assert rig.store.raw_floor_ns == floor_ns
    rig.reopen()
    rig.check()


@pytest.mark.parametrize("believed_s", [-365 * 86400, 0, 6 * 86400, 8 * 86400])
def test_what_leaves_is_a_matter_of_the_time_that_is_believed(believed_s, tmp_path, clock):
    now_ns = clock.now_ns()
    rig = Rig(tmp_path, clock, believed_ns=lambda: now_ns + believed_s * SECOND)
    rig.send([(labels_of(s), now_ns - s * HOUR_NS, bits_of(s)) for s in range(5)])
    rig.seal()
    clock.advance(500 * 86400)
    rig.maintain()
    rig.check()
    rig.reopen()
    rig.maintain()
    rig.check()
    assert (rig.store.raw_floor_ns > now_ns) == (believed_s > 7 * 86400)
    assert ("raw" not in rig.store.stats().files) == (believed_s > 7 * 86400)


def test_samples_of_the_present_are_not_filed_as_far_where_it_is_not_believed(tmp_path, clock):
    # A machine that began without the time has the right one since, and is believed in a day.
    begun_ns = clock.now_ns()
    rig = Rig(tmp_path, clock, believed_ns=lambda: begun_ns)
    clock.advance(365 * 86400)
    now_ns = clock.now_ns()
    ahead_ns = (0, HOUR_NS, 3 * DAY_NS, 300 * DAY_NS)
    for n in range(6):
        rig.send([(labels_of(n), now_ns + ahead + n, bits_of(n)) for ahead in ahead_ns])
        for work in (rig.seal, rig.maintain):
            work()
            far = [name for name in rig.store._catalogue.view.raw() if name.is_far]
            assert far
            assert min(name.start_ns for name in far) > now_ns + DAY_NS
    rig.check()
    # What is far comes near in time.
    clock.advance(300 * 86400)
    rig.maintain()
    rig.check()
    assert not any(name.is_far for name in rig.store._catalogue.view.raw())


def test_readers_see_every_sample_once_while_all_else_goes_on(tmp_path, clock):
    rig = Rig(tmp_path, clock, Retention(2 * HOUR_NS, 10 * HOUR_NS, 400 * DAY_NS))
    sent, acknowledged, problems = [0], [0], []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            before = acknowledged[0]
            got = rig.select()
            after = sent[0]
            seen = sum(len(one.at_ns) + int(one.rows.count.sum()) for one in got.series)
            if not before <= seen <= after:
                problems.append((before, seen, after))

    def maintain():
        while not stop.is_set():
            rig.maintain()

    threads = [threading.Thread(target=read) for _ in range(3)]
    threads.append(threading.Thread(target=maintain))
    for thread in threads:
        thread.start()
    rng = random.Random(1)
    try:
        for n in range(250):
            late_ns = rng.choice([0, 0, 0, 4, 13]) * HOUR_NS
            samples = [
                (labels_of(s), clock.now_ns() - late_ns + n, bits_of(n)) for s in range(9)
            ]
            sent[0] += 9
            rig.send(samples)
            acknowledged[0] += 9
            clock.advance(300)
            if n % 5 == 0:
                rig.seal()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    rig.increase_is_law = False
    rig.check()
