"""Points that are made of roll-ups say so where the windows asked for would part them."""

import pytest

from heliograph.core.clock import ManualClock
from tests.service.stories import END_MS, HOUR_MS, MINUTE_MS, T0_MS, seal, told, upkeep, written

FIRST_MS = T0_MS - T0_MS % HOUR_MS + HOUR_MS
HALF_MS = HOUR_MS // 2
HOURS = "points there are of whole hours that begin within the range"
MINUTES = "points there are of whole minutes that begin within the range"


@pytest.fixture(scope="module", params=["1m", "1h"])
def rolled(request, tmp_path_factory):
    """A service that keeps nothing finer than this of two hours of samples, one every 15 s."""
    kept = request.param
    clock = ManualClock(END_MS * 10**6)
    minute = "30d" if kept == "1m" else "1s"
    keep = {"samples": {"retention": {"raw": "1s", "1m": minute, "1h": "400d"}}}
    with told(tmp_path_factory.mktemp("rolled"), clock, **keep) as site:
        samples = [(ms, 1.0) for ms in range(FIRST_MS, FIRST_MS + 2 * HOUR_MS, 15_000)]
        written(site, [({"__name__": "m"}, samples)])
        for _ in range(3):
            seal(site, clock)
            clock.advance(5 * 3600)
            upkeep(site)
        assert "raw" not in site.site.core.segments.stats().files
        yield kept, site


@pytest.mark.parametrize(
    ("what", "kept", "step", "start_ms", "end_ms", "points", "says"),
    [
        ("hours as they are", "1h", "1h", FIRST_MS, FIRST_MS + 2 * HOUR_MS, 2, None),
        ("several hours", "1h", "2h", FIRST_MS, FIRST_MS + 2 * HOUR_MS, 2, None),
        ("finer than hours", "1h", "1m", FIRST_MS, FIRST_MS + 2 * HOUR_MS, 2, HOURS),
        ("no whole hours", "1h", "90m", FIRST_MS, FIRST_MS + 2 * HOUR_MS, 2, HOURS),
        ("a start within one", "1h", "1h", FIRST_MS + HALF_MS, FIRST_MS + 2 * HOUR_MS, 1, HOURS),
        ("an end within one", "1h", "1h", FIRST_MS, FIRST_MS + HALF_MS, 1, HOURS),
        ("nothing but a part of one", "1h", "1h", FIRST_MS + 1, FIRST_MS + HALF_MS, 0, HOURS),
        ("minutes as they are", "1m", "1m", FIRST_MS, FIRST_MS + HOUR_MS, 60, None),
        ("hours of minutes", "1m", "1h", FIRST_MS, FIRST_MS + HOUR_MS, 1, None),
        ("finer than minutes", "1m", "30s", FIRST_MS, FIRST_MS + HOUR_MS, 60, MINUTES),
        ("a start within a minute", "1m", "1m", FIRST_MS + 1, FIRST_MS + 2 * MINUTE_MS, 1, None),
    ],
)  # fmt: skip
def test_whole_rows_are_said(rolled, what, kept, step, start_ms, end_ms, points, says):
    finest, site = rolled
    if finest != kept:
        return
    asked = {"metric": "m", "step": step, "agg": "sum"}
    answer = site.get("/v1/query/range", **asked, start=start_ms / 1000, end=end_ms / 1000)
    found = answer.json()
    shown = [point for one in found["series"] for point in one["points"]]
    assert len(shown) <= points, what
    assert bool(shown) == bool(points), what
    warnings = found.get("warnings", [])
    assert [says in one for one in warnings] == ([True] if says else []), (what, warnings)
