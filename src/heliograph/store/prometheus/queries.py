"""Range queries as PromQL over HTTP.

A window `[w, w + step)` is asked for at its last millisecond, so that PromQL's range, which is
open on the left, is exactly the window:  avg_over_time(m{…}[step]) at w + step - 1 ms.
Source: Prometheus HTTP API v1, `query_range`, `query`, `series`, `label values`.

What differs from the embedded store, because the server's answer does:
* a window that `start` cuts is answered whole;
* VictoriaMetrics keeps no NaN but the stale marker, and about 15 digits of a value;
* Prometheus shows no stale markers; its mean and sum of a window with a NaN are NaN.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.columns import QUANTILES
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher
from heliograph.store.prometheus import dialect
from heliograph.store.prometheus.dialect import Dialect
from heliograph.store.prometheus.remote import Remote, TooLarge
from heliograph.store.protocol import RangeAnswer, RangeQuery, SeriesPoints

MS_NS = 1_000_000
# What an answer may weigh: so much a point, and so much for labels and names.
POINT_BYTES_MAX = 48
LABELS_BYTES_MAX = 16 * 1024 * 1024
# An answer that is too large is asked for again over this share of its time.
SMALLER = 4
# A day, in which VictoriaMetrics guesses no longer.
SETTLED_MS = 86_400_000
FUNCTIONS = {
    "mean": "avg_over_time",
    "sum": "sum_over_time",
    "min": "min_over_time",
    "max": "max_over_time",
    "count": "count_over_time",
    "last": "last_over_time",
}
ANY_NAME = Matcher(label.NAME, "!=", "")


class _Found(msgspec.Struct):
    """One series of a matrix."""

    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(msgspec.Struct):
    result: list[_Found]


class _MatrixAnswer(msgspec.Struct):
    """`query` and `query_range`; some servers say when a part of them did not answer."""

    data: _Matrix
    warnings: list[str] = []
    is_partial: bool = msgspec.field(name="isPartial", default=False)


class _Names(msgspec.Struct):
    data: list[str] | None = None


class _LabelSets(msgspec.Struct):
    data: list[dict[str, str]] | None = None


class PrometheusQueries:
    """Reads from the server at *url* (`http://vm:8428`). Thread-safe. Raises ConfigError.

    Queries raise Refused with the server's words when it refuses, Unavailable when it does not
    answer in time or with sense.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._remote = Remote(url, clock)
        self._dialect: Dialect | None = None

    def range(self, query: RangeQuery) -> RangeAnswer:
        """The points of *query*; too many are cut at the time up to which all series are whole."""
        width_ms, beside = divmod(query.step_ns or MS_NS, MS_NS)
        if beside:
            raise Refused("step must be whole milliseconds for this sample store", field="step")
        first_ms = -(-query.start_ns // MS_NS) // width_ms * width_ms
        until_ms = -(-query.end_ns // MS_NS)
        chosen = selector([Matcher(label.NAME, "=", query.metric), *query.matchers])
        speaks = self._speaks()
        end_ms = until_ms
        while first_ms < end_ms:
            try:
                matrix = self._matrix(query, chosen, speaks, first_ms, end_ms)
            except TooLarge:
                windows = -(-(end_ms - first_ms) // width_ms)
                if windows == 1:
                    raise _too_many(query) from None
                end_ms = first_ms + max(1, windows // SMALLER) * width_ms
            else:
                next_ms = end_ms if end_ms < until_ms else None
                return _cut(
                    self._series(matrix, query, speaks), query, next_ms, _warned(matrix)
                )
        return RangeAnswer([])

    def metrics(self, matchers: Sequence[Matcher], limit: int) -> list[str]:
        """Sorted metric names, at most *limit*."""
        given = {**_all_time(limit), "match[]": selector([ANY_NAME, *matchers])}
        found = self._remote.listed("/api/v1/label/__name__/values", given, _Names)
        return sorted(found.data or [])[:limit]

    def label_sets(self, matchers: Sequence[Matcher], limit: int) -> list[label.Labels]:
        """Sorted labels of matching series, at most *limit*."""
        given = {**_all_time(limit), "match[]": selector([ANY_NAME, *matchers])}
        found = self._remote.listed("/api/v1/series", given, _LabelSets)
        return sorted(label.of(one) for one in found.data or [])[:limit]

    def close(self) -> None:
        """Give the connections back."""
        self._remote.close()

    def _speaks(self) -> Dialect:
        """How the server at hand reads PromQL: asked for once."""
        known = self._dialect
        if known is None:
            asked = {name: self._tried(query) for name, query in dialect.QUESTIONS.items()}
            known = self._dialect = dialect.of(asked)
        return known

    def _tried(self, query: str) -> str | None:
        """The value of the one sample that *query* gives; None when the server does not know it."""
        try:
            found = self._remote.get("/api/v1/query", {"query": query}, dialect.Vector)
        except Refused:
            return None
        return dialect.value(found)

    def _matrix(
        self, query: RangeQuery, chosen: str, speaks: Dialect, first_ms: int, end_ms: int
    ) -> _MatrixAnswer:
        """What the server says of [first_ms, end_ms). Raises TooLarge."""
        if query.step_ns is None:
            span_ms = max(1, end_ms - first_ms - speaks.closed_left)
            path, asked = (
                "/api/v1/query",
                {"query": f"{chosen}[{span_ms}ms]", "time": _text(end_ms - 1)},
            )
        else:
            step_ms = query.step_ns // MS_NS
            shift_ms = self._shift_ms(query, speaks)
            last_ms = (end_ms - 1) // step_ms * step_ms
            path, asked = (
                "/api/v1/query_range",
                {
                    "query": expression(query.agg, chosen, step_ms, speaks),
                    "start": _text(first_ms + shift_ms),
                    "end": _text(last_ms + shift_ms),
                    "step": f"{step_ms}ms",
                    "nocache": "1",
                },
            )
        bytes_max = query.points_max * POINT_BYTES_MAX + LABELS_BYTES_MAX
        return self._remote.get(path, asked, _MatrixAnswer, bytes_max=bytes_max)

    def _series(
        self, matrix: _MatrixAnswer, query: RangeQuery, speaks: Dialect
    ) -> list[SeriesPoints]:
        """The series of *matrix* by labels in order."""
        name = {label.NAME: query.metric}
        shift_ms = self._shift_ms(query, speaks)
        # A server that keeps stale markers, and no other NaN, writes them as NaN.
        nan = None if query.step_ns is None and speaks.nan_is_stale else float("nan")
        try:
            found = [
                SeriesPoints(
                    label.of({**one.metric, **name}),
                    [round(at_s * 1000) - shift_ms for at_s, _ in one.values],
                    [nan if text == "NaN" else float(text) for _, text in one.values],
                )
                for one in matrix.data.result
            ]
        except (ValueError, OverflowError) as error:
            raise self._remote.silent(f"no answer to PromQL: {error}") from error
        return sorted(found, key=lambda one: one.labels)

    def _shift_ms(self, query: RangeQuery, speaks: Dialect) -> int:
        """From the start of a window to the instant at which it is asked for."""
        if query.step_ns is None:
            return 0
        return query.step_ns // MS_NS - 1 - (SETTLED_MS if speaks.guesses_newest else 0)


def selector(matchers: Sequence[Matcher]) -> str:
    """A PromQL series selector; the name goes between the braces, where any name is legal."""
    return "{" + ",".join(str(matcher) for matcher in matchers) + "}"


def expression(agg: str, chosen: str, step_ms: int, speaks: Dialect) -> str:
    """The PromQL that aggregates *chosen* over one window of *step_ms*."""
    ranged = f"{chosen}[{max(1, step_ms - speaks.closed_left)}ms]"
    if speaks.guesses_newest:
        ranged += f" offset -{SETTLED_MS}ms"
    if agg in QUANTILES:
        return f"quantile_over_time({QUANTILES[agg]}, {ranged})"
    return f"{FUNCTIONS[agg]}({ranged})"


def _all_time(limit: int) -> dict[str, str]:
    # Without a start VictoriaMetrics lists what had a sample in the last minutes.
    return {"start": "0", "limit": str(limit)}


def _text(at_ms: int) -> str:
    return f"{at_ms / 1000:.3f}"


def _warned(matrix: _MatrixAnswer) -> list[str]:
    partly = ["a part of the sample store did not answer"] if matrix.is_partial else []
    return [*matrix.warnings, *partly]


def _cut(
    series: list[SeriesPoints], query: RangeQuery, end_ms: int | None, warnings: list[str]
) -> RangeAnswer:
    """*series* up to *end_ms*, or earlier where there are more points than *query* allows."""
    if sum(len(one.at_ms) for one in series) > query.points_max:
        every_ms = np.sort(np.concatenate([np.asarray(one.at_ms, np.int64) for one in series]))
        end_ms = int(every_ms[query.points_max])
        if end_ms == every_ms[0]:
            raise _too_many(query)
        series = [_before(one, end_ms) for one in series]
    shown = [one for one in series if one.at_ms]
    if end_ms is None:
        return RangeAnswer(shown, warnings=warnings)
    return RangeAnswer(shown, truncated=True, next_ns=end_ms * MS_NS, warnings=warnings)


def _before(one: SeriesPoints, end_ms: int) -> SeriesPoints:
    high = int(np.searchsorted(np.asarray(one.at_ms, np.int64), end_ms))
    return SeriesPoints(one.labels, one.at_ms[:high], one.value[:high])


def _too_many(query: RangeQuery) -> Refused:
    return Refused(
        f"more than {query.points_max} points at one time; ask for fewer series",
        field="metric",
        code="too_large",
    )
