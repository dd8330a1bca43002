"""Reading samples: `/v1/query/range`, `/v1/query/labels`, `/v1/query/metrics`."""

from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.clock import Clock
from heliograph.core.duration import HOUR_NS
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher
from heliograph.service import params, problem
from heliograph.service.freshness import Reads
from heliograph.service.http import Answer, Endpoint, Parameter
from heliograph.store.protocol import AGGREGATIONS, RangeAnswer, RangeQuery, SampleQueries

RAW_POINTS_MAX = 100_000
STEPPED_POINTS_MAX = 1_000_000
POINTS_PER_SERIES_MAX = 11_000
NAMES_MAX = 100_000

_MATCH = Parameter("match[]", 'matcher, e.g. node="gpu-01"; all must hold', repeated=True)


class Reading(NamedTuple):
    """What the endpoints of this module work with."""

    queries: SampleQueries
    reads: Reads
    clock: Clock
    list_max: int


def endpoints(reading: Reading) -> list[Endpoint]:
    """The three queries."""

    async def ranged(request: Request) -> Response:
        def found() -> Response:
            query = _query(request, reading.clock.now_ns())
            return problem.encoded(_encoded(reading.queries.range(query)))

        return await reading.reads.answer(found)

    async def labels(request: Request) -> Response:
        def found() -> Response:
            matchers, offset, limit = _listed(request, reading.list_max)
            sets = reading.queries.label_sets(matchers, NAMES_MAX)
            items = [dict(one) for one in sets[offset : offset + limit]]
            return problem.listing(items, len(sets), offset, limit)

        return await reading.reads.answer(found)

    async def metrics(request: Request) -> Response:
        def found() -> Response:
            matchers, offset, limit = _listed(request, reading.list_max)
            names = reading.queries.metrics(matchers, NAMES_MAX)
            return problem.listing(names[offset : offset + limit], len(names), offset, limit)

        return await reading.reads.answer(found)

    return _rows(ranged, labels, metrics)


def _listed(request: Request, list_max: int) -> tuple[list[Matcher], int, int]:
    params.known(request, ("match[]", "match", "offset", "limit"))
    return params.matchers(request), *params.page(request, list_max)


def _rows(ranged: Answer, labels: Answer, metrics: Answer) -> list[Endpoint]:
    paging = (Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"))
    return [
        Endpoint(
            "GET", "/v1/query/range", "view", "Points of a metric's series.", ranged,
            (
                Parameter("metric", "name; workload_… is the attributed view", required=True),
                _MATCH,
                Parameter("start", "RFC 3339 or epoch seconds; an hour before `end` by default"),
                Parameter("end", "RFC 3339 or epoch seconds, exclusive; now by default"),
                Parameter("step", "window, e.g. 30s; raw samples without it"),
                Parameter("agg", f"{' | '.join(AGGREGATIONS)}; mean by default"),
            ),
            returns='{"series": [{"labels", "points": [[t_ms, value], …]}], "truncated"}',
        ),
        Endpoint(
            "GET", "/v1/query/labels", "view", "Label sets of series.", labels, (_MATCH, *paging)
        ),
        Endpoint(
            "GET", "/v1/query/metrics", "view", "Metric names.", metrics, (_MATCH, *paging)
        ),
    ]  # fmt: skip


def _query(request: Request, now_ns: int) -> RangeQuery:
    params.known(request, ("metric", "match[]", "match", "start", "end", "step", "agg"))
    metric = params.text(request, "metric")
    if not metric:
        raise Refused("which metric? e.g. metric=up", field="metric")
    end_ns = params.instant_ns(request, "end", now_ns)
    start_ns = params.instant_ns(request, "start", end_ns - HOUR_NS)
    if end_ns <= start_ns:
        raise Refused("end must be after start", field="end")
    step_ns = params.step_ns(request, "step")
    # Windows align to the epoch, so that one more may begin before the start.
    windows = 0 if step_ns is None else -(-end_ns // step_ns) - start_ns // step_ns
    if windows > POINTS_PER_SERIES_MAX:
        raise Refused(
            f"{windows} points a series, limit {POINTS_PER_SERIES_MAX}; take a longer step",
            field="step",
        )
    return RangeQuery(
        metric=metric,
        matchers=params.matchers(request),
        start_ns=start_ns,
        end_ns=end_ns,
        step_ns=step_ns,
        agg=params.choice(request, "agg", AGGREGATIONS, "mean"),
        points_max=RAW_POINTS_MAX if step_ns is None else STEPPED_POINTS_MAX,
    )


def _encoded(found: RangeAnswer) -> bytes:
    series = [
        {
            "labels": dict(one.labels),
            "points": [
                (at_ms, None if value is None else problem.number(value))
                for at_ms, value in zip(one.at_ms, one.value, strict=True)
            ],
        }
        for one in found.series
    ]
    content: dict[str, object] = {"series": series, "truncated": found.truncated}
    if found.next_ns is not None:
        content["next"] = instant.text_of(found.next_ns)
    if found.warnings:
        content["warnings"] = list(found.warnings)
    return msgspec.json.encode(content)
