"""Range queries as PromQL over HTTP.

A window `[w, w + step)` is asked for at its last millisecond, so that PromQL's range, which is
open on the left, is exactly the window:  avg_over_time(m{…}[step]) at w + step - 1 ms.
Source: Prometheus HTTP API v1, `query_range`, `query`, `series`, `label values`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2

from heliograph.core import labels as label
from heliograph.core.columns import QUANTILES
from heliograph.core.errors import Refused, Unavailable
from heliograph.core.matcher import Matcher
from heliograph.store.protocol import RangeAnswer, RangeQuery, SeriesPoints

TIMEOUT_S = 30.0
MS_NS = 1_000_000
LOOKBACK_S = 7 * 86_400
FUNCTIONS = {
    "mean": "avg_over_time",
    "sum": "sum_over_time",
    "min": "min_over_time",
    "max": "max_over_time",
    "count": "count_over_time",
    "last": "last_over_time",
}


class PrometheusQueries:
    """Reads from the server at *url* (`http://vm:8428`). Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def range(self, query: RangeQuery) -> RangeAnswer:
        """The points of *query*; a server keeps no stale markers to show."""
        chosen = selector([Matcher(label.NAME, "=", query.metric), *query.matchers])
        if query.step_ns is None:
            return self._raw(query, chosen)
        step_ms = query.step_ns // MS_NS
        first_ms = query.start_ns // MS_NS // step_ms * step_ms
        last_ms = (query.end_ns - 1) // MS_NS // step_ms * step_ms
        shift_ms = step_ms - 1
        found = self._get(
            "/api/v1/query_range",
            {
                "query": expression(query.agg, chosen, step_ms),
                "start": f"{(first_ms + shift_ms) / 1000:.3f}",
                "end": f"{(last_ms + shift_ms) / 1000:.3f}",
                "step": f"{step_ms}ms",
                "nocache": "1",
            },
        )
        return _answer(found, query, shift_ms)

    def _raw(self, query: RangeQuery, chosen: str) -> RangeAnswer:
        span_ms = max(1, (query.end_ns - query.start_ns) // MS_NS)
        end_ms = query.end_ns // MS_NS - 1
        found = self._get(
            "/api/v1/query", {"query": f"{chosen}[{span_ms}ms]", "time": f"{end_ms / 1000:.3f}"}
        )
        return _answer(found, query, 0)

    def metrics(self, matchers: Sequence[Matcher], limit: int) -> list[str]:
        """Sorted metric names, at most *limit*."""
        given = {"match[]": selector(matchers)} if matchers else {}
        return sorted(self._get("/api/v1/label/__name__/values", given))[:limit]

    def label_sets(self, matchers: Sequence[Matcher], limit: int) -> list[label.Labels]:
        """Sorted labels of matching series, at most *limit*."""
        given = {"match[]": selector(matchers) if matchers else '{__name__!=""}'}
        return sorted(label.of(one) for one in self._get("/api/v1/series", given))[:limit]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        try:
            response = self._client.get(self._url + path, params=dict(parameters))
            document = response.json()
        except (httpx2.HTTPError, ValueError) as error:
            host = urlsplit(self._url).hostname
            raise Unavailable(f"the sample store at {host} did not answer: {error}") from error
        if response.status_code in {400, 422}:
            raise Refused(
                f"the sample store refused: {document.get('error', '')}", field="query"
            )
        if not response.is_success:
            raise Unavailable(f"the sample store answered {response.status_code}")
        data = document.get("data")
        return data.get("result") if isinstance(data, dict) else data


def selector(matchers: Sequence[Matcher]) -> str:
    """A PromQL series selector; the name goes between the braces, where any name is legal."""
    return "{" + ",".join(str(matcher) for matcher in matchers) + "}"


def expression(agg: str, chosen: str, step_ms: int) -> str:
    """The PromQL that aggregates *chosen* over one window of *step_ms*."""
    if agg in QUANTILES:
        return f"quantile_over_time({QUANTILES[agg]}, {chosen}[{step_ms}ms])"
    return f"{FUNCTIONS[agg]}({chosen}[{step_ms}ms])"


def _answer(
    found: Sequence[Mapping[str, Any]], query: RangeQuery, shift_ms: int
) -> RangeAnswer:
    name = {label.NAME: query.metric}
    series: list[SeriesPoints] = []
    points = 0
    for one in sorted(found, key=lambda entry: sorted(entry["metric"].items())):
        values = one["values"]
        points += len(values)
        if points > query.points_max:
            return RangeAnswer(series, truncated=True)
        series.append(
            SeriesPoints(
                label.of({**one["metric"], **name}),
                [round(float(at_s) * 1000) - shift_ms for at_s, _ in values],
                [float(value) for _, value in values],
            )
        )
    return RangeAnswer(series)
