"""The usage page's values: totals from the counts, a window's course from the series.

usage_job_total{tao_network="resnet50", …}   10 12 12 15      the sum at its last change
jobs of a part of the window                  2  0  3         what it grew by
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from heliograph.core import duration, instant
from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused
from heliograph.core.labels import Labels
from heliograph.service.usages import KEYS_MAX, LABELED, PREFIX, TOOL, Usages
from heliograph.store.protocol import RangeQuery, SampleQueries, SeriesPoints
from heliograph.web.usage_page import UsageLine, UsagePage, UsageTable

WINDOWS = ("1h", "24h", "7d", "30d")
DEFAULT_WINDOW = "24h"
PARTS = 48
LINES_MAX = 20
JOBS = "job_total"
DIMENSIONS = (
    ("Network", "tao_network"),
    ("Version", "tao_version"),
    ("GPU", "tao_primary_gpu"),
    ("Status", "tao_status"),
)


class Overview(NamedTuple):
    """Where the page's values come from."""

    usages: Usages
    queries: SampleQueries
    clock: Clock


class _Course(NamedTuple):
    """Growth of one series by part of the window."""

    labels: dict[str, str]
    grown: list[float]


def page(have: Overview, window: str) -> UsagePage:
    """The values of this moment. Visits stores: for a reader thread. Raises Refused."""
    window = window or DEFAULT_WINDOW
    if window not in WINDOWS:
        raise Refused(f"{window[:40]!r} is none of {', '.join(WINDOWS)}", field="window")
    now_ns = have.clock.now_ns()
    counts, _ = have.usages.page(builder=LABELED, name=TOOL + JOBS, offset=0, limit=KEYS_MAX)
    courses, note = _courses(have, now_ns, duration.parse(window))
    totals = [(dict(one.labels), one.value) for one in counts]
    return UsagePage(
        now=instant.text_of(now_ns - now_ns % 10**9),
        window=window,
        windows=WINDOWS,
        jobs=round(sum(value for _, value in totals)),
        keys=have.usages.kept,
        tables=[_table(title, name, totals, courses) for title, name in DIMENSIONS],
        note=note,
    )


def _courses(have: Overview, now_ns: int, window_ns: int) -> tuple[list[_Course], str]:
    step_ns = window_ns // PARTS
    start_ns = now_ns - now_ns % step_ns - (PARTS - 1) * step_ns
    # One part more, which says for most series what the window begins from.
    first_ns = start_ns - step_ns
    last = RangeQuery(PREFIX + JOBS, (), first_ns, now_ns + 1, step_ns, "last", KEYS_MAX)
    try:
        answer = have.queries.range(last)
    except HeliographError as error:
        return [], f"The course over time cannot be drawn: {error}"
    note = "The course over time is not whole: too many series." if answer.truncated else ""
    before: Mapping[Labels, float] | None = {}
    if any(round(one.at_ms[0] * 1e6) >= start_ns for one in answer.series):
        before = _before(have, first_ns)
    if before is None:
        note = "The course over time is not whole: too many samples before it."
    courses = [_course(one, before, start_ns, step_ns) for one in answer.series]
    return courses, note


def _before(have: Overview, until_ns: int) -> Mapping[Labels, float] | None:
    """The last values before *until_ns*, by labels; None where these are too much to look at."""
    # One window from the epoch on: it ends at a part's start as all windows do.
    ever = RangeQuery(PREFIX + JOBS, (), 0, until_ns, until_ns, "last", KEYS_MAX)
    try:
        answer = have.queries.range(ever)
    except HeliographError:
        return None
    if answer.truncated:
        return None
    return {one.labels: one.value[-1] or 0.0 for one in answer.series}


def _course(
    series: SeriesPoints, before: Mapping[Labels, float] | None, start_ns: int, step_ns: int
) -> _Course:
    """How *series* grew. One that is not in *before* began from nothing; where that is None, nobody
    knows what its first value here grew from."""
    grown = [0.0] * PARTS
    reached = None if before is None else before.get(series.labels, 0.0)
    for at_ms, value in zip(series.at_ms, series.value, strict=True):
        if value is None:
            continue
        place = (round(at_ms * 1e6) - start_ns) // step_ns
        if 0 <= place < PARTS and reached is not None:
            grown[place] += max(0.0, value - reached)
        # Posts at once may show their sums in another order than that of counting.
        reached = value if reached is None else max(reached, value)
    return _Course({name: text for name, text in series.labels if name != label.NAME}, grown)


def _table(
    title: str,
    name: str,
    totals: Sequence[tuple[dict[str, str], float]],
    courses: Sequence[_Course],
) -> UsageTable:
    jobs: Counter[str] = Counter()
    for labels, value in totals:
        jobs[labels.get(name, "")] += round(value)
    grown: dict[str, list[float]] = {}
    for course in courses:
        into = grown.setdefault(course.labels.get(name, ""), [0.0] * PARTS)
        into[:] = map(sum, zip(into, course.grown, strict=True))
    whole = jobs.total()
    peak = max((max(parts) for parts in grown.values()), default=0.0)
    lines = []
    for text, count in sorted(jobs.items(), key=lambda item: (-item[1], item[0]))[:LINES_MAX]:
        parts = grown.get(text, [0.0] * PARTS)
        lines.append(
            UsageLine(
                value=text or "(none)",
                jobs=count,
                share=count / whole if whole else 0.0,
                recent=round(sum(parts)),
                bars=[round(part / peak, 3) if peak else 0.0 for part in parts],
            )
        )
    return UsageTable(title, lines, max(0, len(jobs) - LINES_MAX))
