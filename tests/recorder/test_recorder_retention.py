"""Retention of a data folder: by size, what a dry run says of it, and with no room on the disk."""

import errno
import os
import random

import pytest

from heliograph.core.duration import DAY_NS
from heliograph.core.errors import Unavailable
from heliograph.recorder.wiring import upkeep
from heliograph.store.segments import compact
from heliograph.store.segments.store import SegmentStore

DAYS = 6
MIB = 1 << 20


@pytest.fixture(autouse=True)
def retained_when_asked(monkeypatch):
    """Upkeep would do the same at its first look, a second after the start."""
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 3600.0)


@pytest.fixture
def filled(made, clock):
    """Has *days* of *metrics* and *events* recorded, and closes; the bytes that are on disk then."""

    def fill(*, metrics, events):
        recorder = made(storage_config={"durability": "buffered"})
        for age in range(DAYS, 0, -1):
            at_s = (clock.now_ns() - age * DAY_NS) / 1e9
            recorder.record_metrics(
                [("m", os.urandom(1)[0] / 7, None, at_s + n) for n in range(metrics)]
            )
            for n in range(events):
                recorder.record_event(
                    {
                        "event_type": "E",
                        "source": "s",
                        "timestamp": at_s + n,
                        "data": {"pad": os.urandom(400).hex()},
                    }
                )
        recorder.close()
        again = made()
        used = again.storage._stores._kept_bytes()
        again.close()
        return used

    return fill


def removed(recorder, **how):
    return recorder.retain(**how)["removed"]


@pytest.mark.parametrize(
    ("metrics", "events"),
    [(4_000, 0), (0, 300), (4_000, 300)],
    ids=["samples", "events", "both"],
)
def test_a_bound_of_size_takes_of_both_what_is_too_much(made, filled, metrics, events):
    used = filled(metrics=metrics, events=events)
    # What a bit more than one of the days is.
    bound = used - 1.2 * used / DAYS
    recorder = made(retention_policy={"max_mb": bound / MIB})
    dry = removed(recorder, dry_run=True)
    gone = removed(recorder)

    assert (dry["metrics"], dry["events"]) == (gone["metrics"], gone["events"])
    assert recorder.storage._stores._kept_bytes() <= bound
    for count, a_day in ((gone["metrics"], metrics), (gone["events"], events)):
        assert a_day <= count <= 3 * a_day
    found = recorder.get_metrics(["m"], aggregation="COUNT")["metrics"]
    assert (found["m"]["value"] if metrics else 0) == DAYS * metrics - gone["metrics"]


def test_a_bound_that_is_kept_takes_nothing(made, filled):
    used = filled(metrics=500, events=50)
    recorder = made(retention_policy={"max_mb": 2 * used / MIB})

    assert removed(recorder) == {"events": 0, "metrics": 0, "size_bytes": 0}


@pytest.mark.parametrize(
    "policy",
    [
        {"metrics": {"duration_days": 2}, "events": {"duration_days": 2}},
        {"max_mb": 0.1},
        {"metrics": {"duration_days": 30}, "max_mb": 0.1},
    ],
    ids=["age", "size", "both"],
)
def test_a_dry_run_says_what_would_go_of_what_was_just_recorded(made, clock, policy):
    recorder, drawn = made(retention_policy=policy), random.Random(1)
    for age in range(2 * DAYS, 0, -1):
        at_s = (clock.now_ns() - age * DAY_NS) / 1e9
        recorder.record_metrics([("m", drawn.random(), None, at_s + n) for n in range(2_000)])
    before = recorder.get_metrics(["m"], aggregation="COUNT")["metrics"]
    dry = removed(recorder, dry_run=True)
    after = recorder.get_metrics(["m"], aggregation="COUNT")["metrics"]
    gone = removed(recorder)

    assert after == before
    assert dry["metrics"] > 0
    assert dry["metrics"] == gone["metrics"]


def test_what_is_too_old_goes_though_nothing_can_be_written(made, clock, monkeypatch):
    policy = {"metrics": {"duration_days": 10}, "events": {"duration_days": 10}}
    recorder = made(retention_policy=policy)
    recorder.record_metrics([("m", float(n)) for n in range(2_000)])
    recorder.record_event({"event_type": "E", "source": "s"})
    recorder.retain()
    clock.advance(11 * 86_400)
    recorder.record_metric("m", 1.0)
    segments = recorder.storage._stores._segments

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_args):
        raise Unavailable("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(compact, "compacted", full)
        patched.setattr(SegmentStore, "seal", refuse)
        assert recorder.retain()["status"] == "error"

    assert segments.stats().files == {}
    assert recorder.storage._stores._records.day_bytes() == {}
    assert recorder.retain()["status"] == "success"


def test_upkeep_makes_room_though_what_comes_before_it_fails(clock):
    done, closed = [], []

    def refuse():
        raise Unavailable("no space left")

    made = upkeep.Upkeep(
        clock,
        tend=refuse,
        maintain=lambda: done.append("maintain"),
        retain=lambda: closed.append("retain"),
    )
    made.close()
    with pytest.raises(Unavailable):
        made._look()

    assert (done, closed) == (["maintain"], ["retain"])
