"""A wall clock that jumps: nothing dies, nothing goes round for ever, nothing kept is deleted, nor
rolled up before its time."""

import numpy as np
import pytest

from heliograph.core import labels as label
from heliograph.core.clock import ManualClock
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.service import applier, maintenance
from heliograph.service.believed_time import DOUBT_S, BelievedTime
from heliograph.service.meters import Meters
from heliograph.service.sealing import Sealing
from heliograph.store.protocol import RangeQuery
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.store import SegmentStore
from heliograph.store.state import training
from tests.service.dying import DAY_NS, HOUR_NS, POD, START_NS, Site, line, saved

YEAR_NS = 365 * DAY_NS
S = 10**9
JUMPS = {
    "an hour ahead and back": (HOUR_NS, -HOUR_NS),
    "an hour back and ahead": (-HOUR_NS, HOUR_NS),
    "a year ahead and back": (YEAR_NS, -YEAR_NS),
    "a year back and ahead": (-YEAR_NS, YEAR_NS),
    "two years ahead and back": (2 * YEAR_NS, -2 * YEAR_NS),
    "to and fro": (HOUR_NS, -2 * HOUR_NS, YEAR_NS, -2 * YEAR_NS, YEAR_NS + HOUR_NS),
}


@pytest.fixture
def quiet(monkeypatch):
    """Applier and maintenance go only when they are told to; put back afterwards."""
    for owner in (applier.Applier, maintenance.Maintenance):
        monkeypatch.setattr(owner, "start", owner.start)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("jumps", JUMPS.values(), ids=JUMPS)
def test_nothing_is_lost_by_jumps(tmp_path, jumps):
    clock = ManualClock(START_NS)
    site = Site(tmp_path / "data", clock)
    site.place()
    sent = 0
    for number, jump_ns in enumerate((0, *jumps), start=1):
        clock.set_wall(clock.now_ns() + jump_ns)
        # Event time is the senders', whose clocks are right.
        site.samples(START_NS + number * 600 * S, range(5))
        sent += 5
        site.lines((number, line(number)[:40], True))
        site.apply()
        site.lines((number, line(number)[40:], False), (number, saved(number), False))
        site.apply()
        site.seal()
        for _ in range(3):
            clock.advance(5)
            site.round()
        assert samples(site) == {(sent, sent)}
    rows = site.core.state.read(
        lambda tx: training.rows(tx, [POD], start_ns=0, end_ns=2**62, limit=100)
    )
    records = site.core.records.query(limit=100).items
    assert sorted(row.iteration for row in rows) == list(range(1, len(jumps) + 2))
    assert len(records) == len(jumps) + 1
    assert "heliograph_bugs_total{" not in site.core.meters.registry.exposition()
    site.site.close()
    again = Site(tmp_path / "data", clock)
    again.apply()
    again.round()
    assert samples(again) == {(sent, sent)}
    again.site.close()


def samples(site):
    """Of each series (how many the windows count, how many are there as they were sent)."""
    span = (START_NS - DAY_NS, START_NS + DAY_NS)
    hourly = site.queries.range(RangeQuery("seq", (), *span, HOUR_NS, "count", 11_000))
    raw = site.queries.range(RangeQuery("seq", (), *span, None, "last", 11_000))
    sizes = {one.labels: len(one.value) for one in raw.series}
    return {(sum(one.value), sizes.get(one.labels, 0)) for one in hourly.series}


def test_a_clock_that_is_ahead_makes_no_sample_late(tmp_path):
    clock = ManualClock(START_NS)
    table = SeriesTable(10)
    store = SegmentStore(tmp_path, table, Retention(), clock)
    sealing = Sealing(store, Meters(), clock, every_s=3600)
    clock.set_wall(START_NS + YEAR_NS)
    number = table.intern(label.pack(label.of({"__name__": "up"})))
    late = SampleBatch(
        np.array([number], np.uint32), np.array([START_NS], np.int64), np.ones(1)
    )
    sealing.append(late, 1)
    clock.advance(60)
    sealing.settle()
    assert store.stats().samples_in_head == 1


def test_deleting_believes_a_jump_ahead_after_a_day():
    clock = ManualClock(START_NS)
    believed = BelievedTime(clock)
    clock.advance(60)
    assert believed.now_ns() == clock.now_ns()
    clock.set_wall(clock.now_ns() + YEAR_NS)
    assert believed.now_ns() == START_NS + 60 * S
    clock.advance(DOUBT_S - 1)
    assert believed.now_ns() == clock.now_ns() - YEAR_NS
    clock.advance(1)
    assert believed.now_ns() == clock.now_ns()


@pytest.mark.parametrize("jump_ns", [HOUR_NS, -HOUR_NS, -YEAR_NS])
def test_deleting_believes_what_deletes_little(jump_ns):
    clock = ManualClock(START_NS)
    believed = BelievedTime(clock)
    clock.set_wall(START_NS + jump_ns)
    assert believed.now_ns() == START_NS + jump_ns


def test_a_doubted_jump_that_is_taken_back_was_none():
    clock = ManualClock(START_NS)
    believed = BelievedTime(clock)
    for _ in range(3):
        clock.set_wall(clock.now_ns() + YEAR_NS)
        clock.advance(DOUBT_S / 2)
        assert believed.now_ns() == clock.now_ns() - YEAR_NS
        clock.set_wall(clock.now_ns() - YEAR_NS)
        assert believed.now_ns() == clock.now_ns()
