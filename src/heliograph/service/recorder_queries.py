"""`GET /v1/metrics`: what was recorded, and any other stored metric, as spec 002 aggregates it.

    ?names=took_ms,queue&start=…&end=…&aggregation=P95&every=1m&by=command_type

The arithmetic and the shape are `recorder.query`'s. Numbers come of the sample store, text values of
records. Both ends of the range belong to it; an end told in microseconds holds that whole one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request

from heliograph.core import instant
from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.recorder import aggregation, moments, points, query
from heliograph.recorder.points import Part
from heliograph.recorder.store import Arithmetic, Asked, Source
from heliograph.service import params
from heliograph.store.protocol import RangeQuery, SampleQueries
from heliograph.store.records.protocol import RecordStore, query_all

NAMES_MAX = 1000
BY_MAX = 16
# Numbers that one request may bring into memory; of a query, of which there may be several.
POINTS_MAX = 5_000_000
PAGE_POINTS_MAX = 1_000_000
# Of one answer, all metrics and groups together.
BUCKETS_MAX = 200_000
INVALID_AGGREGATION = "INVALID_AGGREGATION"
PARAMETERS = ("names", "name", "start", "end", "aggregation", "every", "by")
_MS_NS = 1_000_000


def asked(request: Request, now_ns: int) -> Asked:
    """What *request* asks for. Raises Refused: INVALID_AGGREGATION, or naming the parameter."""
    params.known(request, PARAMETERS)
    name = params.text(request, "aggregation", "MEAN")
    found = aggregation.of(name, {})
    if found is None:
        raise Refused(
            f"Unsupported aggregation method: {name[:100]}",
            field="aggregation",
            code=INVALID_AGGREGATION,
        )
    names = [
        *_listed(request, "names", NAMES_MAX),
        *(one for one in request.query_params.getlist("name") if one),
    ]
    if len(names) > NAMES_MAX:
        raise Refused(f"{len(names)} of them, limit {NAMES_MAX}", field="name")
    try:
        every_ns = query.every_ns_of(params.text(request, "every") or None)
    except ValueError as error:
        raise Refused(str(error), field="every") from error
    start_ns, start = _moment(request, "start", 0)
    end_ns, end = _moment(request, "end", now_ns)
    return Asked(
        names or None,
        start_ns,
        end_ns + (1 if end_ns % moments.US_NS else moments.US_NS),
        found,
        every_ns,
        tuple(_listed(request, "by", BY_MAX)),
        (start, end),
    )


def answer(source: Source, wanted: Asked) -> dict[str, Any]:
    """The document of the answer. Raises Refused for too much, Unavailable for not now."""
    if wanted.end_ns <= wanted.start_ns:
        return {"status": "success", "metrics": {}}
    parts = list(source.parts(wanted.names, wanted.start_ns, wanted.end_ns))
    if wanted.every_ns is not None and _buckets(parts, wanted) > BUCKETS_MAX:
        raise Refused(
            f"over {BUCKETS_MAX} buckets; a greater width, or a shorter range",
            field="every",
            code="too_large",
        )
    held = _Held(source.arithmetic, parts)
    return {"status": "success", "metrics": query.answer(held, wanted)}


class _Held(NamedTuple):
    """A source of parts that were read already."""

    arithmetic: Arithmetic
    found: Sequence[Part]

    def parts(self, names: Sequence[str] | None, start_ns: int, end_ns: int) -> Iterable[Part]:
        """All of them."""
        del names, start_ns, end_ns
        return self.found


def _buckets(parts: Sequence[Part], wanted: Asked) -> int:
    """At most how many buckets *parts* come to: of each metric, and of each of its groups."""
    every_ns = wanted.every_ns or 1
    # (name, of whom) → points, first and last instant.
    spans: dict[tuple[str, tuple[str, ...]], tuple[int, int, int]] = {}
    for part in parts:
        # In the order of time, whichever way it goes.
        ends = [
            int(times[at]) for times in (part.at_ns, part.texts) if len(times) for at in (0, -1)
        ]
        if not ends:
            continue
        group = tuple(part.labels.get(name, "") for name in wanted.by)
        count = len(part.at_ns) + len(part.texts)
        for key in {(part.name, ()), (part.name, group)}:
            known, first, last = spans.get(key, (0, ends[0], ends[0]))
            spans[key] = known + count, min(first, *ends), max(last, *ends)
    return sum(
        min(count, (last - first) // every_ns + 2) for count, first, last in spans.values()
    )


class QueriedPoints:
    """Points through the questions that any sample store answers: whole milliseconds."""

    arithmetic: Arithmetic = aggregation.Plain()

    def __init__(self, queries: SampleQueries, records: RecordStore) -> None:
        self._queries = queries
        self._records = records

    def parts(self, names: Sequence[str] | None, start_ns: int, end_ns: int) -> Iterable[Part]:
        """As `Source.parts`. Raises Refused for more than POINTS_MAX points."""
        if names is None:
            names = self._queries.metrics([], NAMES_MAX + 1)
            if len(names) > NAMES_MAX:
                raise Refused(
                    f"there are over {NAMES_MAX} metrics", field="names", code="too_large"
                )
        texts = text_instants(self._records, names, start_ns, end_ns)
        left = POINTS_MAX
        for name in dict.fromkeys(names):
            for part in self._of_metric(name, start_ns, end_ns, texts.pop(name, {}), left):
                left -= len(part.at_ns)
                yield part

    def _of_metric(
        self,
        name: str,
        start_ns: int,
        end_ns: int,
        texts: dict[Labels, list[int]],
        points_max: int,
    ) -> Iterator[Part]:
        found: dict[Labels, tuple[list[int], list[float]]] = {}
        following: int | None = start_ns
        count = 0
        while following is not None:
            page = self._queries.range(
                RangeQuery(name, (), following, end_ns, None, "", PAGE_POINTS_MAX)
            )
            for one in page.series:
                times, values = found.setdefault(one.labels, ([], []))
                for at_ms, value in zip(one.at_ms, one.value, strict=True):
                    if value is not None:
                        times.append(at_ms * _MS_NS)
                        values.append(value)
                count += len(one.at_ms)
            if count > points_max:
                raise Refused(
                    f"more than {POINTS_MAX} points; ask for less",
                    field="names",
                    code="too_large",
                )
            following = page.next_ns if page.truncated else None
        for labels, (times, values) in found.items():
            yield Part(name, dict(labels), times, values, texts.pop(labels, []))
        for labels, told in texts.items():
            yield Part(name, dict(labels), [], [], told)


def text_instants(
    records: RecordStore, names: Sequence[str], start_ns: int, end_ns: int
) -> dict[str, dict[Labels, list[int]]]:
    """When text values were recorded, by metric and labels; at most the newest that a store lists."""
    wanted = frozenset(names)
    found: dict[str, dict[Labels, list[int]]] = {}
    for record in query_all(
        records, types=[points.TEXT_TYPE], start_ns=start_ns, end_ns=end_ns
    ):
        name = record.attributes.get("metric_name")
        if name in wanted:
            try:
                labels = points.labels_of(str(name), record.attributes.get("context"))
            except ValueError:
                labels = ((label.NAME, str(name)),)
            found.setdefault(str(name), {}).setdefault(labels, []).append(record.timestamp_ns)
    return found


def _listed(request: Request, name: str, most: int) -> list[str]:
    """A parameter that is repeated, or has commas, or both."""
    given = [
        one for text in request.query_params.getlist(name) for one in text.split(",") if one
    ]
    if len(given) > most:
        raise Refused(f"{len(given)} of them, limit {most}", field=name)
    return given


def _moment(request: Request, name: str, default_ns: int) -> tuple[int, str]:
    """The instant, and as the answer repeats it."""
    given = params.text(request, name)
    if not given:
        return default_ns, moments.text_of(default_ns)
    if len(given) > params.TIME_CHARS_MAX:
        raise Refused(f"{given[: params.TIME_CHARS_MAX]!r}… is too long", field=name)
    for read in (instant.parse_any, moments.at_ns_of):
        try:
            return _call(read, given), given
        except ValueError as error:
            refused = error
    raise Refused(str(refused), field=name)


def _call(read: Callable[[str], int], text: str) -> int:
    return read(text)
