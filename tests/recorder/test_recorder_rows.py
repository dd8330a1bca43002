# ruff: noqa: DTZ001 - what has no zone is told too
"""The rows that a buffered recorder takes numbers with: the compiled kernel and its plain twin alike."""

import gc
import random
import threading
import tracemalloc
from array import array
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.kernels import metric_rows
from heliograph.recorder import moments
from heliograph.recorder.points import labels_of
from heliograph.recorder.wiring import folder as folders
from heliograph.recorder.wiring import series
from tests.conftest import NEW_YEAR_NS
from tests.twins import plain

PLAIN = plain("metric_rows")
KERNELS = {"plain": PLAIN} | ({"compiled": metric_rows} if metric_rows.COMPILED else {})
PREFIX = "f47ac10b-58cc-4372-a567-"


@pytest.fixture(params=KERNELS)
def kernel(request):
    return KERNELS[request.param]


def rows_of(kernel, *, now_ns=NEW_YEAR_NS, rows_max=1000, group_max=100):
    stamps = moments.Stamps()
    return kernel.Rows(
        lambda: now_ns, stamps.text, moments.at_ns_of, PREFIX, 0xFFFF_FFFF_FFFE,
        rows_max=rows_max, group_max=group_max,
    )  # fmt: skip


def taken(rows):
    """All that waits, as (key, at_ns, value)."""
    found = []
    while (part := rows.take()) is not None:
        columns = (
            np.frombuffer(part.slots, np.uint32).tolist(),
            np.frombuffer(part.at_ns, np.int64).tolist(),
            np.frombuffer(part.values, np.float64).tolist(),
        )
        assert {len(column) for column in columns} == {part.size}
        found += [
            (part.keys[slot], at, value) for slot, at, value in zip(*columns, strict=True)
        ]
    return found


def test_a_row_and_its_answer(kernel):
    rows = rows_of(kernel)
    rows.put("m", 5, 0.5)

    answers = [rows.record("m", value, None, None) for value in (1.5, 2)]

    told = "2026-01-01T00:00:00.000000"
    assert answers == [
        {"status": "success", "event_id": f"{PREFIX}ffffffffffff", "timestamp": told},
        {"status": "success", "event_id": f"{PREFIX}000000000000", "timestamp": told},
    ]
    assert (rows.recorded, rows.waiting) == (2, 3)
    assert taken(rows) == [("m", 5, 0.5), ("m", NEW_YEAR_NS, 1.5), ("m", NEW_YEAR_NS, 2.0)]
    assert (rows.recorded, rows.waiting, rows.take()) == (2, 0, None)


class Text(str):
    """Text of a kind of its own."""

    __slots__ = ()


@pytest.mark.parametrize(
    ("name", "value", "context", "timestamp"),
    [
        ("unknown", 1.0, None, None),
        ("", 1.0, None, None),
        (Text("m"), 1.0, None, None),
        (["m"], 1.0, None, None),
        ("m", True, None, None),
        ("m", "word", None, None),
        ("m", None, None, None),
        ("m", 10**400, None, None),
        ("m", np.float32(1), None, None),
        ("m", 1.0, {"unknown": "x"}, None),
        ("m", 1.0, {1: "x"}, None),
        ("m", 1.0, {"k": ["x"]}, None),
        ("m", 1.0, {"k": "x" * 1025}, None),
        ("m", 1.0, {"k": 10**400}, None),
        ("m", 1.0, {str(n): "x" for n in range(33)}, None),
        ("m", 1.0, [("k", "x")], None),
        ("m", 1.0, "k", None),
        ("m", 1.0, None, "yesterday"),
        ("m", 1.0, None, float("nan")),
        ("m", 1.0, None, 1e300),
        ("m", 1.0, None, 10**30),
        ("m", 1.0, None, True),
        ("m", 1.0, None, date(2026, 1, 1)),
        ("m", 1.0, None, datetime.max.replace(tzinfo=UTC)),
        ("m", 1.0, None, datetime(1600, 1, 1, tzinfo=UTC)),
        ("m", 1.0, None, Text("2026-01-01")),
        ("m", 1.0, None, object()),
    ],
    ids=lambda one: repr(one)[:20],
)
def test_what_is_not_usual_is_for_somebody_else(kernel, name, value, context, timestamp):
    rows = rows_of(kernel)
    rows.put("m", 0, 0.0)
    rows.take()

    assert rows.record(name, value, context, timestamp) is None
    assert (rows.recorded, rows.waiting) == (0, 0)


MOMENTS = [
    0, -1, 1767225600, 1767225600.25, -0.5, 9_000_000_000.125, 0.1, 1e-9,
    "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01t00:00:00.5z", "2026-01-01 00:00:00",
    "2026-01-01T00:00:00.123456+08:00", "2026-01-01T00:00:00.1234567Z",
    "2026-01-01T00:00:00.123456789-02:30", "2026-01-01T23:59:60Z", " 2026-01-01T00:00:00Z ",
    "2026-01-01T00:00:00,25Z", "20260101T000000Z", "2026-W01-1", "2026-01-01T00:00:00UTC",
    datetime(2026, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 999_999), datetime(1969, 7, 20),
    datetime(2026, 1, 1, tzinfo=UTC), datetime(1700, 3, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30, microseconds=7))),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
]  # fmt: skip


@pytest.mark.parametrize("when", MOMENTS, ids=str)
def test_an_instant_is_what_the_recorder_says_it_is(kernel, when):
    rows = rows_of(kernel)
    rows.put("m", 0, 0.0)
    rows.take()

    answer = rows.record("m", 1.0, None, when)

    assert answer["timestamp"] == moments.again_of(when)
    assert taken(rows) == [("m", moments.at_ns_of(when), 1.0)]


@given(st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31)), st.floats(-9e9, 9e9))
def test_any_day_and_any_second(when, seconds):
    for kernel in KERNELS.values():
        rows = rows_of(kernel)
        rows.put("m", 0, 0.0)
        rows.take()
        given_ = (when, when.isoformat(), seconds, when.replace(tzinfo=UTC))
        for one in given_:
            assert rows.record("m", 1.0, None, one)["timestamp"] == moments.again_of(one)
        wanted = [moments.at_ns_of(one) for one in given_]
        assert [at_ns for _, at_ns, _ in taken(rows)] == wanted


@given(
    st.integers(-3 * 10**9, 4 * 10**18),
    st.lists(st.integers(-(10**9), 2 * 10**9), max_size=5),
)
def test_the_time_of_now_is_told_as_the_recorder_tells_it(start_ns, steps):
    for kernel in KERNELS.values():
        now = [start_ns]
        rows = kernel.Rows(
            lambda now=now: now[0], moments.Stamps().text, moments.at_ns_of, PREFIX, 0,
            rows_max=100, group_max=10,
        )  # fmt: skip
        rows.put("m", 0, 0.0)
        for step in [0, *steps]:
            now[0] += step
            told = rows.record("m", 1.0, None, None)["timestamp"]
            assert told == moments.text_of(now[0])


PLAIN_VALUES = st.one_of(
    st.text(max_size=3), st.integers(), st.floats(), st.booleans(), st.none()
)


@given(st.dictionaries(st.text(max_size=3), PLAIN_VALUES, max_size=4))
def test_a_context_is_the_series_that_it_always_was(context):
    keys = {name: kernel.key_of("m", context) for name, kernel in KERNELS.items()}
    assert len(set(map(repr, keys.values()))) == 1

    key = series.key_of("m", context)
    meant = None if isinstance(key, str) else dict(zip(key[1::2], key[2::2], strict=True))
    assert labels_of("m", meant) == labels_of("m", context)


def test_equal_numbers_of_other_kinds_are_other_contexts(kernel):
    rows = rows_of(kernel)
    values = [1, True, 1.0, "1.0", None, "null", float("nan"), float("-inf")]
    for value in values:
        rows.put(kernel.key_of("m", {"k": value}), 0, 0.0)
        assert rows.record("m", 1.0, {"k": value}, None)

    labels = [key[2] for key, _, _ in taken(rows)[::2]]
    assert labels == [1, "true", "1.0", "1.0", "null", "null", "NaN", "-Infinity"]


def test_it_takes_nothing_while_it_is_shut_or_watched(kernel):
    rows = rows_of(kernel)
    for name in ("m", "n"):
        rows.put(name, 0, 0.0)
    took = []
    for is_open, watched in [
        (True, frozenset()), (False, frozenset()), (True, frozenset({"m"})), (True, None),
    ]:  # fmt: skip
        rows.open, rows.watched = is_open, watched
        took.append([rows.record(name, 1.0, None, None) is not None for name in ("m", "n")])

    assert took == [[True, True], [False, False], [False, True], [False, False]]


def test_the_room_is_shared_with_what_is_held_beside(kernel):
    rows = rows_of(kernel, rows_max=5)
    rows.put("m", 0, 0.0)
    rows.hold(2)

    assert [rows.record("m", 1.0, None, None) is None for _ in range(3)] == [False, False, True]
    rows.hold(-2)
    assert rows.record("m", 1.0, None, None) is not None
    assert (rows.waiting, len(taken(rows)), rows.waiting) == (4, 4, 0)


def test_groups_come_in_order_and_what_is_given_back_comes_first(kernel):
    rows = rows_of(kernel, group_max=3)
    for n in range(8):
        rows.put("m", n, 0.0)
    first = rows.take()
    rows.give_back(first)

    assert (first.size, rows.waiting) == (3, 8)
    assert [at for _, at, _ in taken(rows)] == list(range(8))


def test_series_beyond_the_bound_begin_anew(kernel):
    rows = rows_of(kernel, rows_max=10**6)
    for n in range(kernel.KEYS_MAX + 1):
        rows.put(str(n), n, 0.0)

    assert rows.record("0", 1.0, None, None) is None
    assert rows.record(str(kernel.KEYS_MAX), 1.0, None, 7) is not None
    found = taken(rows)
    assert [key for key, _, _ in found[:-1]] == [str(n) for n in range(kernel.KEYS_MAX + 1)]
    assert found[-1] == (str(kernel.KEYS_MAX), 7 * 10**9, 1.0)


def test_what_is_forgotten_is_looked_at_again_and_what_waits_is_kept(kernel):
    rows = rows_of(kernel)
    rows.put("m", 1, 0.0)
    rows.forget()

    assert rows.record("m", 1.0, None, None) is None
    rows.put("other", 2, 0.0)
    rows.put("m", 3, 0.0)
    assert taken(rows) == [("m", 1, 0.0), ("other", 2, 0.0), ("m", 3, 0.0)]


def test_who_sleeps_is_woken_once(kernel):
    rows, woken = rows_of(kernel), []
    rows.wake = lambda: woken.append(rows.waiting)
    rows.put("m", 0, 0.0)
    for _ in range(2):
        rows.asleep = True
        for _ in range(3):
            rows.record("m", 1.0, None, None)
    rows.asleep = True
    rows.put("m", 0, 0.0)

    assert woken == [2, 5, 8]


def test_threads_lose_and_double_nothing(kernel):
    rows = rows_of(kernel, rows_max=10**6, group_max=64)
    for thread in range(4):
        rows.put(("m", "t", thread), 0, -1.0)
    rows.put("m", 0, -1.0)
    ends = threading.Event()
    ids, found = [], []

    def record(thread):
        mine = []
        for n in range(2_000):
            answer = None
            while answer is None:
                answer = rows.record("m", float(n), {"t": thread}, n)
                if answer is None:
                    rows.put(("m", "t", thread), 0, -1.0)
            mine.append(answer["event_id"])
        ids.extend(mine)

    def take():
        while not ends.is_set():
            part = rows.take()
            if part is not None:
                rows.give_back(part)
                found.extend(taken(rows))
                rows.forget()

    taker = threading.Thread(target=take)
    recording = [threading.Thread(target=record, args=(n,)) for n in range(4)]
    for thread in [taker, *recording]:
        thread.start()
    for thread in recording:
        thread.join()
    ends.set()
    taker.join()
    found += taken(rows)

    assert len(set(ids)) == 8_000
    for thread in range(4):
        mine = [value for key, _, value in found if key == ("m", "t", thread) and value >= 0]
        assert mine == [float(n) for n in range(2_000)]


def test_what_is_taken_is_let_go_of(kernel):
    rows = rows_of(kernel, rows_max=10**6, group_max=1000)
    rows.put("m", 0, 0.0)
    context = {"a": "b"}
    rows.put(("m", "a", "b"), 0, 0.0)

    def work():
        for n in range(2_500):
            rows.record("m", 1.0, context if n % 2 else None, n)
            rows.record("m", 1.0, {"a": n}, n)
            rows.record("m", 1.0, {"a": 0.5, "b": [n]}, n)
        while rows.take() is not None:
            pass

    work()
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(3):
        work()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 60_000


def test_a_recorder_is_the_same_with_either(kernel, made, monkeypatch):
    monkeypatch.setattr(folders, "metric_rows", kernel)
    recorder = made("folder", storage_config={"durability": "buffered", "max_buffered": 10_000})
    rng = random.Random(4)
    contexts = [None, {}, {"a": "b"}, {"a": "b", "n": 1}, {"n": 1, "a": "b"}, {"l": [1]}]
    for n in range(600):
        value = rng.choice([n, n / 2, float("nan"), "word", True])
        recorder.record_metric(
            "m", value, rng.choice(contexts), rng.choice([None, 5, "1970-01-01T00:00:05Z"])
        )
    recorder.record_metrics([("m", 1), ("m", 2.0, {"a": "b"})])

    found = recorder.get_metrics(
        ["m"], ("1970-01-01", "2100-01-01"), "COUNT", by=["a", "n", "l"]
    )
    counts = [one["value"] for one in found["metrics"]["m"]["groups"]]
    assert (sum(counts), len(counts)) == (602, 4)
    assert recorder.health_check()["stats"]["metrics_recorded"] == 602


def test_who_watches_sees_all_and_whoever_is_not_watched_is_not_slowed(made):
    recorder = made("folder", storage_config={"durability": "buffered"})
    rows, told = recorder.storage.rows, []
    recorder.record_metric("m", 1.0)
    recorder.record_metric("other", 1.0)
    recorder.add_monitor("high", metric="m", op=">", value=5, callback=told.append)
    recorder.record_metric("m", 9.0)
    recorder.record_metric("other", 9.0)
    with recorder.subscribe(events=()) as stream:
        recorder.record_metric("other", 2.0)
        recorder.record_metric("m", 2.0)
        seen = [stream.get() for _ in range(2)]
    recorder.record_metric("m", 3.0)
    recorder.record_metric("other", 3.0)
    recorder.remove_monitor("high")
    recorder.record_metric("m", 4.0)

    assert [one.state for one in told] == ["firing", "resolved"]
    assert [(point.name, point.value) for point in seen] == [("other", 2.0), ("m", 2.0)]
    assert rows.recorded == 3
    found = recorder.get_metrics(["m", "other"], aggregation="SUM")["metrics"]
    assert {name: one["value"] for name, one in found.items()} == {"m": 19.0, "other": 15.0}


def test_the_plain_columns_are_of_the_widths_that_are_told():
    assert [array(kind).itemsize for kind in "Iqd"] == [4, 8, 8]
