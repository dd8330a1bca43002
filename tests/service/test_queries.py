"""Queries over HTTP against a model in plain Python: windows, aggregates, pages, matchers, lists."""

import json
import math
import random
import struct

import numpy as np
import pytest

from heliograph.core.clock import ManualClock
from heliograph.wire import remote_write, snappy
from tests.service.running import assert_problem
from tests.service.stories import (
    END_MS,
    HOUR_MS,
    MINUTE_MS,
    T0_MS,
    at,
    gpu,
    placements,
    posted,
    seal,
    told,
    upkeep,
    written,
)

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
NAN, INF = math.nan, math.inf
AGGREGATES = ("mean", "sum", "min", "max", "count", "last")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SPAN = {"start": T0_MS / 1000, "end": END_MS / 1000}


def is_stale(value):
    return struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)[:8]


def irregular(rng, count):
    """Instants that no interval explains, of values of all kinds."""
    special = [NAN, INF, -INF, STALE, 0.0, -0.0, -1.5, 1e300, -1e-300]
    instants = sorted(rng.sample(range(T0_MS, END_MS), count))
    return [
        (ms, rng.choice(special) if rng.random() < 0.3 else rng.uniform(-100, 100))
        for ms in instants
    ]


def model(samples, agg, step_ms, start_ms, end_ms):
    """[[window, value], …]; a stale marker is no sample, NaN counts and adds nothing."""
    windows = {}
    for ms, value in samples:
        if start_ms <= ms < end_ms and not is_stale(value):
            windows.setdefault(ms - ms % step_ms, []).append(value)
    return [[window, aggregate(values, agg)] for window, values in sorted(windows.items())]


def aggregate(values, agg):
    if agg == "count":
        return float(len(values))
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return NAN
    if agg in QUANTILES:
        return quantile(sorted(known), QUANTILES[agg])
    law = {"min": min, "max": max, "last": lambda v: v[-1], "sum": total}
    law["mean"] = lambda v: total(v) / len(v)
    return law[agg](known)


def total(values):
    infinite = {value for value in values if math.isinf(value)}
    if len(infinite) == 2:
        return NAN
    return infinite.pop() if infinite else math.fsum(values)


def quantile(ordered, share):
    place = (len(ordered) - 1) * share
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    if low == high:
        return low
    return low + (high - low) * (place - math.floor(place))


def value_of(shown):
    return {"NaN": NAN, "+Inf": INF, "-Inf": -INF}[shown] if isinstance(shown, str) else shown


def assert_alike(found, expected, why):
    assert [window for window, _ in found] == [window for window, _ in expected], why
    for (window, shown), (_, wanted) in zip(found, expected, strict=True):
        value = value_of(shown)
        same = (math.isnan(value) and math.isnan(wanted)) or math.isclose(
            value, wanted, rel_tol=1e-9, abs_tol=1e-9
        )
        assert same, (why, window, shown, wanted)


@pytest.fixture
def clock():
    return ManualClock(END_MS * 10**6)


@pytest.fixture
def site(tmp_path, clock):
    with told(tmp_path / "data", clock) as asked:
        yield asked


def one(site, metric, **query):
    """The points of the one series that is found; [] where there is none."""
    answer = site.get("/v1/query/range", metric=metric, **{**SPAN, **query})
    assert answer.status == 200, answer.body[:500]
    series = answer.json()["series"]
    assert len(series) < 2
    return series[0]["points"] if series else []


@pytest.mark.parametrize("seed", [1, 2])
def test_every_aggregate_is_the_models(site, clock, seed):
    rng = random.Random(seed)
    samples = irregular(rng, 700)
    shuffled = samples[:]
    rng.shuffle(shuffled)
    for start in range(0, len(shuffled), 100):
        written(site, [({"__name__": "m", "n": "1"}, sorted(shuffled[start : start + 100]))])
        if start == 300:
            seal(site, clock)
    for _ in range(2):
        for step_ms in (1_000, 7_300, 60_000, 1_800_000, 7_200_000):
            start_ms = rng.choice([T0_MS, T0_MS + rng.randrange(3_000_000)])
            end_ms = min(END_MS, start_ms + 10_000 * step_ms - rng.randrange(5))
            for agg in (*AGGREGATES, *QUANTILES):
                found = one(
                    site, "m", start=start_ms / 1000, end=end_ms / 1000,
                    step=f"{step_ms}ms", agg=agg,
                )  # fmt: skip
                expected = model(samples, agg, step_ms, start_ms, end_ms)
                assert_alike(found, expected, (agg, step_ms))
        seal(site, clock)


def test_the_same_from_minutes_and_from_hours(tmp_path):
    """Aggregates that roll-ups keep are the same after raw samples are gone."""
    rng = random.Random(3)
    samples = irregular(rng, 900)
    counter, total_ = [], 0.0
    for ms in range(T0_MS, END_MS, 9_700):
        total_ = 0.0 if rng.random() < 0.02 else total_ + rng.random() * 10
        counter.append((ms, total_))
    for name, minute, step_ms in (("1m", "30d", MINUTE_MS), ("1h", "1s", HOUR_MS)):
        clock = ManualClock(END_MS * 10**6)
        keep = {"samples": {"retention": {"raw": "1s", "1m": minute, "1h": "400d"}}}
        with told(tmp_path / name, clock, **keep) as site:
            written(site, [({"__name__": "m"}, samples), ({"__name__": "c"}, counter)])
            for _ in range(3):
                span = {"start": (T0_MS - T0_MS % HOUR_MS) / 1000}
                for agg in AGGREGATES:
                    for metric, known in (("m", samples), ("c", counter)):
                        for step in (step_ms, 2 * HOUR_MS):
                            found = one(site, metric, step=f"{step // 1000}s", agg=agg, **span)
                            assert_alike(found, model(known, agg, step, 0, 2**62), (agg, step))
                seal(site, clock)
                clock.advance(5 * 3600)
                upkeep(site)
            assert "raw" not in site.site.core.segments.stats().files
            answer = site.get(
                "/v1/query/range", metric="m", **SPAN, step="1h", agg="p50"
            ).json()
            assert answer["series"] == []
            assert "p50" in answer["warnings"][0]
            answer = site.get("/v1/query/range", metric="m", **SPAN).json()
            assert (answer["series"], answer["truncated"]) == ([], False)
            assert "raw samples" in answer["warnings"][0]


def test_windows_align_to_the_epoch_and_a_window_without_samples_has_no_point(site):
    base = T0_MS - T0_MS % 600_000 + 600_000
    samples = [
        (base + 1, 1.0),
        (base + 59_999, 2.0),
        (base + 300_000, NAN),
        (base + 360_000, STALE),
    ]
    written(site, [({"__name__": "m"}, samples)])

    def points(agg):
        return one(site, "m", step="1m", agg=agg, start=(base + 500) / 1000 - 1)

    assert points("sum") == [[base, 3.0], [base + 300_000, "NaN"]]
    assert points("count") == [[base, 2.0], [base + 300_000, 1.0]]
    assert points("p99")[1] == [base + 300_000, "NaN"]
    assert one(site, "m", step="60", agg="last") == points("last")
    assert one(site, "m", step="1m") == points("mean")
    # Half open, at both ends.
    span = {"start": (base + 1) / 1000, "end": (base + 59_999) / 1000}
    assert one(site, "m", **span) == [[base + 1, 1.0]]


def test_raw_samples_are_bit_for_bit_and_a_stale_marker_is_null(site, clock):
    values = [0.1, NAN, INF, -INF, STALE, -0.0, 5e-324, 1.7976931348623157e308, -1.0]
    written(site, [({"__name__": "m"}, [(T0_MS + n, v) for n, v in enumerate(values)])])

    for _ in range(2):
        answer = site.get("/v1/query/range", metric="m", **SPAN)
        assert answer.json()["series"] == [
            {
                "labels": {"__name__": "m"},
                "points": [
                    [T0_MS + n, value]
                    for n, value in enumerate(
                        [0.1, "NaN", "+Inf", "-Inf", None, -0.0, 5e-324, values[7], -1.0]
                    )
                ],
            }
        ]
        assert b"-0.0" in answer.body
        assert b"NaN," not in answer.body
        seal(site, clock)


def test_a_series_ends_at_its_stale_marker(site):
    base = T0_MS - T0_MS % MINUTE_MS
    samples = [(base + 10_000, 1.0), (base + 20_000, STALE), (base + 300_000, 2.0)]
    written(site, [({"__name__": "m"}, samples)])

    assert one(site, "m", step="10s", agg="last", start=base / 1000) == [
        [base + 10_000, 1.0],
        [base + 300_000, 2.0],
    ]


def test_pages_visit_every_sample_once(site, clock):
    series, instants = 23, 11_000
    posted(
        site,
        "/v1/placements",
        placements(
            [
                {"uid": "p1", "name": "p1", "namespace": "a", "node": "n1", "workload_uid": "w",
                 "start": at(T0_MS), "end": at(T0_MS + 5_000_000), "devices": [gpu(n) for n in range(series)]},
                {"uid": "p2", "name": "p2", "namespace": "a", "node": "n1", "workload_uid": "w",
                 "start": at(T0_MS + 6_000_000), "devices": [gpu(n) for n in range(series)]},
            ],
            [{"uid": "w", "name": "w"}],
        ),
    )  # fmt: skip
    at_ms = np.arange(instants, dtype=np.int64) * 900 + T0_MS
    for half in (slice(0, None, 2), slice(1, None, 2)):
        body = remote_write.encode(
            (
                (("__name__", "m"), ("gpu", str(n)), ("node", "n1")),
                at_ms[half],
                at_ms[half].astype(np.float64) + n,
            )
            for n in range(series)
        )
        answer = site.ask("POST", "/v1/prometheus", snappy.compress(body), remote_write.HEADERS)
        assert answer.status == 204
        seal(site, clock)
    owned = int(((at_ms < T0_MS + 5_000_000) | (at_ms >= T0_MS + 6_000_000)).sum())
    for metric, count in (("m", instants), ("workload_m", owned)):
        seen, pages, start = {}, 0, at(T0_MS)
        while True:
            page = site.get(
                "/v1/query/range", metric=metric, start=start, end=at(END_MS)
            ).json()
            pages += 1
            assert sum(len(one["points"]) for one in page["series"]) <= 100_000
            for found in page["series"]:
                key = found["labels"]["gpu"]
                for ms, value in found["points"]:
                    assert (key, ms) not in seen
                    seen[key, ms] = value
            if not page["truncated"]:
                assert "next" not in page
                break
            start = page["next"]
        assert pages > 2
        assert len(seen) == series * count
        assert all(value == ms + int(key) for (key, ms), value in seen.items())


def test_a_client_may_have_named_its_metric_as_the_view(site):
    """Both are read under the name, all samples in pages."""
    posted(
        site,
        "/v1/placements",
        placements(
            [{"uid": "p1", "name": "p1", "node": "n1", "workload_uid": "w", "start": at(T0_MS),
              "devices": [gpu(0)]}],
            [{"uid": "w", "name": "w"}],
        ),
    )  # fmt: skip
    at_ms = np.arange(60_000, dtype=np.int64) * 100 + T0_MS
    written(
        site, [({"__name__": "m", "node": "n1", "gpu": "0"}, [(int(ms), 1.0) for ms in at_ms])]
    )
    written(site, [({"__name__": "workload_m", "own": "1"}, [(int(ms), 2.0) for ms in at_ms])])

    names = site.get("/v1/query/metrics").json()
    assert (names["items"], names["total"]) == (["m", "workload_m"], 2)
    seen, start = {}, at(T0_MS)
    while True:
        page = site.get(
            "/v1/query/range", metric="workload_m", start=start, end=at(END_MS)
        ).json()
        for found in page["series"]:
            seen.setdefault(found["labels"].get("own"), []).extend(found["points"])
        if not page["truncated"]:
            break
        start = page["next"]
    assert {key: len(points) for key, points in seen.items()} == {None: 60_000, "1": 60_000}
    assert [ms for ms, _ in seen["1"]] == at_ms.tolist()


def test_two_series_that_are_one_in_the_view(site, clock):
    """They differ in what the owner's fields overwrite: one series, its instants once."""
    posted(
        site,
        "/v1/placements",
        placements(
            [{"uid": "p1", "name": "p1", "node": "n1", "workload_uid": "w", "start": at(T0_MS),
              "devices": [gpu(0)]}],
            [{"uid": "w", "name": "w"}],
        ),
    )  # fmt: skip
    labels = {"__name__": "m", "node": "n1", "gpu": "0"}
    base = T0_MS - T0_MS % MINUTE_MS + MINUTE_MS
    written(
        site,
        [
            ({**labels, "pod_name": "a"}, [(base, 1.0), (base + 1000, 2.0)]),
            ({**labels, "pod_name": "b"}, [(base + 1000, 3.0), (base + 500, 4.0)]),
        ],
    )

    for _ in range(2):
        assert one(site, "workload_m") == [[base, 1.0], [base + 500, 4.0], [base + 1000, 3.0]]
        assert one(site, "workload_m", step="1m", agg="count") == [[base, 3.0]]
        assert one(site, "workload_m", step="1m", agg="last") == [[base, 3.0]]
        seal(site, clock)


def test_two_series_that_are_one_in_the_view_from_roll_ups(tmp_path, clock):
    """An exporter was restarted with another claim in the middle of a minute."""
    keep = {"samples": {"retention": {"raw": "1s", "1m": "30d", "1h": "400d"}}}
    labels = {"__name__": "m", "node": "n1", "gpu": "0"}
    base = T0_MS - T0_MS % MINUTE_MS + MINUTE_MS
    with told(tmp_path / "rolled", clock, **keep) as site:
        posted(
            site,
            "/v1/placements",
            placements(
                [{"uid": "p1", "name": "p1", "node": "n1", "workload_uid": "w",
                  "start": at(T0_MS), "devices": [gpu(0)]}],
                [{"uid": "w", "name": "w"}],
            ),
        )  # fmt: skip
        written(
            site,
            [
                ({**labels, "pod_name": "a"}, [(base + 30_000, 3.0), (base + 90_000, 4.0)]),
                ({**labels, "pod_name": "b"}, [(base, 1.0), (base + 20_000, 2.0)]),
            ],
        )
        for _ in range(2):
            assert one(site, "workload_m", step="1m", agg="last") == [
                [base, 3.0],
                [base + MINUTE_MS, 4.0],
            ]
            assert one(site, "workload_m", step="1m", agg="count") == [
                [base, 3.0],
                [base + MINUTE_MS, 1.0],
            ]
            assert one(site, "workload_m", step="1m", agg="max") == [
                [base, 3.0],
                [base + MINUTE_MS, 4.0],
            ]
            seal(site, clock)
            upkeep(site)


@pytest.mark.parametrize(
    ("matchers", "expected"),
    [
        (['a="1"'], ["x", "y"]),
        (['a!="1"'], ["z", "none"]),
        (['a=~"1|2"'], ["x", "y", "z"]),
        (['a=~"."'], ["x", "y", "z"]),
        (['a=~".*"'], ["x", "y", "z", "none"]),
        (['a!~"1"'], ["z", "none"]),
        (['a!~"1|2"'], ["none"]),
        (['a=""'], ["none"]),
        (['a!=""'], ["x", "y", "z"]),
        (['a=~"1", b="2"'], None),
        (['a="1"', 'b="2"'], ["y"]),
        (['a="1"', 'b!="2"'], ["x"]),
        (['b=""', 'a="1"'], ["x"]),
        (['a=~"1."'], []),
        (["a=1"], ["x", "y"]),
    ],
)
def test_matchers(site, matchers, expected):
    series = {"x": {"a": "1"}, "y": {"a": "1", "b": "2"}, "z": {"a": "2"}, "none": {}}
    written(
        site, [({"__name__": "m", "who": k, **v}, [(T0_MS, 1.0)]) for k, v in series.items()]
    )

    answer = site.get("/v1/query/range", metric="m", **SPAN, **{"match[]": matchers})
    if expected is None:
        assert_problem(answer, 400, field="match[]")
        return
    assert answer.status == 200, answer.body[:300]
    assert {one["labels"]["who"] for one in answer.json()["series"]} == set(expected)
    listed = site.get("/v1/query/labels", **{"match[]": matchers}).json()["items"]
    assert {labels["who"] for labels in listed} == set(expected)


def test_lists_of_names_and_labels_have_the_view_too(site):
    posted(
        site,
        "/v1/placements",
        placements(
            [{"uid": "p1", "name": "p1", "node": "n1", "workload_uid": "w", "start": at(T0_MS),
              "devices": [gpu(0)]}],
            [{"uid": "w", "name": "w"}],
        ),
    )  # fmt: skip
    mine = {"node": "n1", "gpu": "0"}
    written(site, [({"__name__": name, **mine}, [(T0_MS, 1.0)]) for name in ("b", "a")])
    written(site, [({"__name__": "nobodys"}, [(T0_MS, 1.0)])])

    def names(**query):
        return site.get("/v1/query/metrics", **query).json()["items"]

    assert names() == ["a", "b", "nobodys", "workload_a", "workload_b"]
    assert names(limit=2, offset=3) == ["workload_a", "workload_b"]
    assert names(**{"match[]": 'workload_uid="w"'}) == ["workload_a", "workload_b"]
    assert names(**{"match[]": '__name__=~"workload_.*"'}) == ["workload_a", "workload_b"]
    assert names(**{"match[]": 'workload_uid=""'}) == ["a", "b", "nobodys"]
    (labels,) = site.get("/v1/query/labels", **{"match[]": '__name__="workload_a"'}).json()[
        "items"
    ]
    assert labels == {
        "__name__": "workload_a", **mine, "pod_name": "p1", "pod_uid": "p1",
        "workload_name": "w", "workload_uid": "w", "workload_root_uid": "w",
    }  # fmt: skip


STEPS = [
    ("eleven thousand, aligned", T0_MS - T0_MS % 1000, 11_000_000, "1s", 200),
    ("one more", T0_MS - T0_MS % 1000, 11_001_000, "1s", 400),
    ("a window more than steps, for it is not aligned", T0_MS - T0_MS % 1000 + 500, 11_000_000, "1s", 400),
    ("a step of nothing", T0_MS, 1000, "0s", 400),
    ("a negative step", T0_MS, 1000, "-1s", 400),
    ("no step at all", T0_MS, 1000, "often", 400),
]  # fmt: skip


@pytest.mark.parametrize(
    ("start_ms", "span_ms", "step", "status"),
    [pytest.param(*row, id=case) for case, *row in STEPS],
)
def test_limits_of_steps(site, start_ms, span_ms, step, status):
    written(site, [({"__name__": "m"}, [(start_ms + n * 1000, 1.0) for n in range(11_002)])])
    span = {"start": start_ms / 1000, "end": (start_ms + span_ms) / 1000}

    answer = site.get("/v1/query/range", metric="m", **span, step=step)
    assert answer.status == status, answer.body[:300]
    if status == 200:
        assert len(answer.json()["series"][0]["points"]) == 11_000
    else:
        assert_problem(answer, 400, field="step")


def test_times_are_read_as_they_are_written(site):
    written(site, [({"__name__": "m"}, [(T0_MS + 250, 1.0)])])

    for start, end in [
        (at(T0_MS + 250), at(T0_MS + 251)),
        ((T0_MS + 250) / 1000, (T0_MS + 251) / 1000),
    ]:
        assert one(site, "m", start=start, end=end) == [[T0_MS + 250, 1.0]]
    assert_problem(site.get("/v1/query/range", metric="m", start=5, end=5), 400, field="end")
    assert_problem(site.get("/v1/query/range", **SPAN), 400, field="metric")
    assert_problem(site.get("/v1/query/range", metric="m", agg="median"), 400, field="agg")
    assert_problem(site.get("/v1/query/range", metric="m", stpe="5s"), 400, field="stpe")
    assert (
        json.loads(site.get("/v1/query/range", metric="m", **SPAN).body)["truncated"] is False
    )
