"""Range queries over the embedded store, with the `workload_*` view.

    workload_DCGM_FI_DEV_GPU_UTIL  =  DCGM_FI_DEV_GPU_UTIL, each series cut where its owner changes
                                      and renamed to its owner: attribution is resolved at read
    training_lm_loss               =  itself, with its owner's labels where it has an owner: what
                                      jobs print is ours, and has no second name

Samples are never stored twice, so metadata that comes late corrects the past by itself. A roll-up
row belongs to the owner at its start: rows are cut where owners change when they are made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core import columns as column
from heliograph.core import instant
from heliograph.core import labels as label
from heliograph.core.columns import SummaryColumns
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher, all_match
from heliograph.core.samples import is_stale
from heliograph.enrich.attribute import Span, cuts
from heliograph.enrich.view import owned_labels, view_labels
from heliograph.store.protocol import RangeAnswer, RangeQuery, SeriesPoints
from heliograph.store.segments import rollup
from heliograph.store.segments.name import HOUR_NS, MINUTE_NS
from heliograph.store.segments.select import Selection, Series
from heliograph.store.segments.store import SegmentStore
from heliograph.training.samples import PREFIX as TRAINING
from heliograph.training.samples import is_training
from heliograph.workloads.directory import Owner

MS_NS = 1_000_000
# Raw samples that one query may bring into memory, 16 bytes each.
SAMPLES_MAX = 5_000_000
_WHOLE = (
    "before {floor} one value is kept for each {width}: points there are of whole {width}s that begin "
    "within the range, however short the step"
)
ALL_TIME = (instant.AT_NS_MIN, instant.AT_NS_MAX)

Resolve = Callable[[Labels], Sequence[Span]]


class _Part(NamedTuple):
    """Some samples and rows of one series of the answer, each ascending."""

    at_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    rows: SummaryColumns


class EmbeddedQueries:
    """Reads the segment store; *resolve* gives the owner spans of raw labels. Thread-safe."""

    def __init__(self, store: SegmentStore, resolve: Resolve, prefix: str) -> None:
        self._store = store
        self._resolve = resolve
        self._prefix = prefix

    def range(self, query: RangeQuery) -> RangeAnswer:
        """The points of *query*, view and stored series of that name together."""
        bound = query.points_max if query.step_ns is None else SAMPLES_MAX
        found: dict[Labels, list[_Part]] = {}
        ours = query.metric.startswith(TRAINING)
        add = self._add_in_place if ours else self._add_stored
        stored = add(query, found, bound)
        stops = [stored.next_ns]
        if query.metric.startswith(self._prefix):
            stops.append(self._add_view(query, found, bound))
        reached = [stop for stop in stops if stop is not None]
        next_ns = _complete_until(min(reached), query) if reached else None
        if query.step_ns is None:
            next_ns = _page_end(found, next_ns, query.points_max)
        return _answer(query, found, next_ns, stored)

    def metrics(self, matchers: Sequence[Matcher], limit: int) -> list[str]:
        """Sorted names; each attributed metric once more under its view's name."""
        names = set(self._store.metric_names(matchers, *ALL_TIME))
        for seen in self._seen(matchers, limit):
            names.add(label.get(seen, label.NAME))
        return sorted(names)[:limit]

    def label_sets(self, matchers: Sequence[Matcher], limit: int) -> list[Labels]:
        """Sorted labels of stored series and of views that *matchers* match."""
        stored = self._store.label_sets(matchers, *ALL_TIME, limit=limit).items
        found = {labels for labels in stored if not is_training(labels)}
        found.update(self._seen(matchers, limit))
        return sorted(found)[:limit]

    def _seen(self, matchers: Sequence[Matcher], limit: int) -> Iterator[Labels]:
        """Labels of views that *matchers* match, and of training series as they are read."""
        base = [
            Matcher(label.NAME, "=", one.value.removeprefix(self._prefix))
            for one in matchers
            if one.name == label.NAME and one.op == "=" and one.value.startswith(self._prefix)
        ]
        chosen = [*base, *_pushable(matchers)]
        for labels in self._store.label_sets(chosen, *ALL_TIME, limit=limit).items:
            in_place = is_training(labels)
            for span in self._resolve(labels):
                if in_place:
                    seen = owned_labels(labels, span.owner)
                    if all_match(matchers, seen):
                        yield seen
                elif span.owner is not None:
                    seen = view_labels(labels, span.owner, prefix=self._prefix)
                    if all_match(matchers, seen):
                        yield seen

    def _add_stored(
        self, query: RangeQuery, found: dict[Labels, list[_Part]], bound: int
    ) -> Selection:
        named = Matcher(label.NAME, "=", query.metric)
        stored = self._store.select(
            [named, *query.matchers], query.start_ns, query.end_ns, samples_max=bound
        )
        for series in stored.series:
            part = _Part(series.at_ns, series.value, series.rows)
            found.setdefault(series.labels, []).append(part)
        return stored

    def _add_in_place(
        self, query: RangeQuery, found: dict[Labels, list[_Part]], bound: int
    ) -> Selection:
        """Adds the series of a name that begins with `training_`: ours with their owners' labels,
        others as they are stored."""
        named = Matcher(label.NAME, "=", query.metric)
        selection = self._store.select(
            [named, *_pushable(query.matchers, kept="pod_uid")],
            query.start_ns,
            query.end_ns,
            samples_max=bound,
            cuts=self._cuts,
        )
        for series in selection.series:
            if not is_training(series.labels):
                if all_match(query.matchers, series.labels):
                    part = _Part(series.at_ns, series.value, series.rows)
                    found.setdefault(series.labels, []).append(part)
                continue
            for span in self._resolve(series.labels):
                labels = owned_labels(series.labels, span.owner)
                if all_match(query.matchers, labels):
                    part = _within(series, span)
                    if len(part.at_ns) or part.rows.rows:
                        found.setdefault(labels, []).append(part)
        return selection

    def _add_view(
        self, query: RangeQuery, found: dict[Labels, list[_Part]], bound: int
    ) -> int | None:
        base = Matcher(label.NAME, "=", query.metric.removeprefix(self._prefix))
        selection = self._store.select(
            [base, *_pushable(query.matchers)],
            query.start_ns,
            query.end_ns,
            samples_max=bound,
            cuts=self._cuts,
        )
        for series in selection.series:
            if is_training(series.labels):
                continue
            for span in self._resolve(series.labels):
                if span.owner is None:
                    continue
                labels = view_labels(series.labels, span.owner, prefix=self._prefix)
                if all_match(query.matchers, labels):
                    part = _within(series, span)
                    if len(part.at_ns) or part.rows.rows:
                        found.setdefault(labels, []).append(part)
        return selection.next_ns

    def _cuts(self, labels: Labels, start_ns: int, end_ns: int) -> Sequence[int]:
        return cuts(tuple(self._resolve(labels)), start_ns, end_ns)


def _pushable(matchers: Sequence[Matcher], *, kept: str = "") -> list[Matcher]:
    """Those that mean the same on the stored series: the view sets or renames the other labels, but
    not the one that is *kept*."""
    return [
        matcher
        for matcher in matchers
        if matcher.name == kept
        or (matcher.name not in Owner._fields and matcher.name != label.NAME)
    ]


def _within(series: Series, span: Span) -> _Part:
    low, high = np.searchsorted(series.at_ns, [span.start_ns, span.end_ns])
    first, last = np.searchsorted(series.rows.start_ns, [span.start_ns, span.end_ns])
    return _Part(
        series.at_ns[low:high], series.value[low:high], series.rows.take(slice(first, last))
    )


def _complete_until(stop_ns: int, query: RangeQuery) -> int:
    """The end of what can be answered when reading stopped at *stop_ns*: whole windows only."""
    end_ns = stop_ns - stop_ns % query.step_ns if query.step_ns else stop_ns
    if end_ns <= query.start_ns:
        raise Refused(
            f"more than {SAMPLES_MAX} samples in one window; ask for fewer series",
            field="metric",
            code="too_large",
        )
    return end_ns


def _page_end(
    found: dict[Labels, list[_Part]], next_ns: int | None, points_max: int
) -> int | None:
    """Where a page of raw samples ends, that it may hold *points_max* of both what is stored
    under the name and what is seen under it.
    """
    times = [part.at_ns for parts in found.values() for part in parts]
    at_ns = np.concatenate(times) if times else np.empty(0, np.int64)
    if next_ns is not None:
        at_ns = at_ns[at_ns < next_ns]
    if len(at_ns) <= points_max:
        return next_ns
    end_ns = int(np.partition(at_ns, points_max)[points_max])
    if end_ns <= int(at_ns.min()):
        raise Refused(
            f"more than {points_max} samples at one instant; ask for fewer series",
            field="metric",
            code="too_large",
        )
    return end_ns


def _before(part: _Part, end_ns: int) -> _Part:
    high = int(np.searchsorted(part.at_ns, end_ns))
    last = int(np.searchsorted(part.rows.start_ns, end_ns))
    return _Part(part.at_ns[:high], part.value[:high], part.rows.take(slice(0, last)))


def _joined(parts: Sequence[_Part]) -> _Part:
    """One part of several; of samples at the same instant the last part's stays."""
    if len(parts) == 1:
        return parts[0]
    at_ns = np.concatenate([part.at_ns for part in parts])
    value = np.concatenate([part.value for part in parts])
    order = np.argsort(at_ns, kind="stable")
    at_ns, value = at_ns[order], value[order]
    last = np.append(at_ns[1:] != at_ns[:-1], True) if len(at_ns) else np.empty(0, bool)
    rows = parts[0].rows
    for part in parts[1:]:
        rows = _folded(rows, part.rows)
    return _Part(at_ns[last], value[last], rows)


def _folded(a: SummaryColumns, b: SummaryColumns) -> SummaryColumns:
    """Rows of two series that are one in the view; what began together is one row."""
    one = np.zeros(a.rows, np.int64), np.zeros(b.rows, np.int64)
    return rollup.fold(one[0], a, one[1], b)[1]


def _answer(
    query: RangeQuery,
    found: dict[Labels, list[_Part]],
    next_ns: int | None,
    stored: Selection,
) -> RangeAnswer:
    series: list[SeriesPoints] = []
    warnings = _of_whole_rows(query, found, stored)
    left = query.points_max
    for labels in sorted(found):
        part = _joined(found[labels])
        if next_ns is not None:
            part = _before(part, next_ns)
        if part.rows.rows and (query.step_ns is None or query.agg in column.QUANTILES):
            floor = instant.text_of(stored.raw_floor_ns)
            asked = "raw samples" if query.step_ns is None else query.agg
            warning = f"{asked} can be had from {floor} on; before it only roll-ups are kept"
            if warning not in warnings:
                warnings.append(warning)
        points = _points(labels, part, query)
        if len(points.at_ms) > left:
            warnings.append(f"more than {query.points_max} points; ask for fewer series")
            return RangeAnswer(series, truncated=True, next_ns=next_ns, warnings=warnings)
        left -= len(points.at_ms)
        if points.at_ms:
            series.append(points)
    return RangeAnswer(series, next_ns is not None, next_ns, warnings)


def _of_whole_rows(
    query: RangeQuery, found: Mapping[Labels, Sequence[_Part]], stored: Selection
) -> list[str]:
    """What a reader must know of points that are made of roll-up rows which the windows of *query* do
    not part at their borders."""
    if query.step_ns is None or query.agg in column.QUANTILES:
        return []
    starts = [part.rows.start_ns for parts in found.values() for part in parts]
    hour_floor_ns, floor_ns = stored.minute_floor_ns, stored.raw_floor_ns
    # A minute at the edge of days is not worth a word, an hour is.
    edges = [at for at in (query.start_ns, query.end_ns) if at < hour_floor_ns and at % HOUR_NS]
    hours = any((start_ns < hour_floor_ns).any() for start_ns in starts)
    minutes = any((start_ns >= hour_floor_ns).any() for start_ns in starts)
    warnings = []
    if (hours and (edges or query.step_ns % HOUR_NS)) or (not found and edges):
        warnings.append(_WHOLE.format(floor=instant.text_of(hour_floor_ns), width="hour"))
    if minutes and query.step_ns % MINUTE_NS:
        warnings.append(_WHOLE.format(floor=instant.text_of(floor_ns), width="minute"))
    return warnings


def _points(labels: Labels, part: _Part, query: RangeQuery) -> SeriesPoints:
    if query.step_ns is None:
        stale = is_stale(part.value).tolist()
        shown = [
            None if end else value
            for end, value in zip(stale, part.value.tolist(), strict=True)
        ]
        return SeriesPoints(labels, (part.at_ns // MS_NS).tolist(), shown)
    kept = ~is_stale(part.value)
    at_ns, value = part.at_ns[kept], part.value[kept]
    starts, start_ns = column.windows(at_ns, query.step_ns)
    if query.agg in column.QUANTILES:
        result = column.quantile(value, starts, column.QUANTILES[query.agg])
    else:
        rows = column.of_samples(at_ns, value, starts, start_ns)
        if part.rows.rows:
            rows = _with_rows(rows, part.rows, query.step_ns)
        rows = rows.take(rows.count > 0)
        start_ns = rows.start_ns
        result = column.points(rows, query.agg)
    return SeriesPoints(labels, (start_ns // MS_NS).tolist(), result.tolist())


def _with_rows(rows: SummaryColumns, older: SummaryColumns, step_ns: int) -> SummaryColumns:
    """The windows of raw samples and those of roll-up rows together; both may share one."""
    together = column.concatenate([older, rows])
    # By window, not by start: the older row of a shared window begins after the window does.
    window_ns = together.start_ns - together.start_ns % step_ns
    order = np.argsort(window_ns, kind="stable")
    together = together.take(order)
    starts, start_ns = column.windows(window_ns[order], step_ns)
    return column.merge_rows(together, starts, start_ns)
