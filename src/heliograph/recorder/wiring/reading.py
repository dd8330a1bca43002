"""What queries read: points out of a segment store, text values out of a record store.

The recorder's own folder and the service's stores are read in the same way, so that both answer
alike. Where the service has only roll-ups left, these count in MEAN, SUM, MIN, MAX and COUNT; each
stands at its start.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.columns import SummaryColumns
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.core.samples import is_stale
from heliograph.recorder.aggregation import Aggregation, between
from heliograph.recorder.points import TEXT_TYPE, Part, labels_of
from heliograph.store.records.protocol import RecordStore
from heliograph.store.segments.store import SegmentStore

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Samples that one query may bring into memory, 16 bytes each; text values, a record each.
SAMPLES_MAX = 20_000_000
TEXTS_MAX = 100_000
_PAGE = 1000


class _Named:
    """Matches metrics by a set of names, however many: as `Matcher`, of whose kind it is."""

    def __init__(self, names: Sequence[str]) -> None:
        self.name, self.op, self.value = label.NAME, "in", ""
        self._names = frozenset(names)

    def matches(self, value: str) -> bool:
        """Whether the metric *value* is meant."""
        return value in self._names


class NumpyArithmetic:
    """Arithmetic over columns: (n,) samples, or (n, 4) of count, total, low and high where some of
    them are roll-up rows."""

    def joined(self, parts: Sequence[Part]) -> tuple[Ints, Floats]:
        """As `Arithmetic.joined`."""
        if len(parts) == 1:
            return parts[0].at_ns, parts[0].values
        at_ns: Ints = np.concatenate([part.at_ns for part in parts])
        values: list[Floats] = [part.values for part in parts]
        if any(one.ndim == 2 for one in values):
            values = [one if one.ndim == 2 else _as_rows(one) for one in values]
        order = np.argsort(at_ns, kind="stable")
        return at_ns[order], np.concatenate(values)[order]

    def windows(self, at_ns: Ints, every_ns: int) -> list[tuple[int, int, int]]:
        """As `Arithmetic.windows`."""
        if not len(at_ns):
            return []
        start_ns = at_ns - at_ns % every_ns
        low = np.flatnonzero(np.append(True, start_ns[1:] != start_ns[:-1]))
        high = np.append(low[1:], len(at_ns))
        return list(zip(start_ns[low].tolist(), low.tolist(), high.tolist(), strict=True))

    def count(self, values: Floats) -> int:
        """As `Arithmetic.count`."""
        return len(values) if values.ndim == 1 else int(values[:, 0].sum())

    def reduce(self, aggregation: Aggregation, values: Floats) -> Any:
        """As `Arithmetic.reduce`. Refused for what roll-ups cannot tell."""
        if values.ndim == 2:
            return _of_rows(aggregation, values)
        if aggregation.function is not None:
            return aggregation.function(values.tolist())
        if aggregation.quantile is not None:
            return _quantile(values, aggregation.quantile)
        # Infinities of both signs, and sums beyond a float, are answers too.
        with np.errstate(all="ignore"):
            return float(_NAMED[aggregation.name](values))


class StoredPoints:
    """Points of *segments* and *records*. *texts*: whether there are text values to be looked for."""

    def __init__(
        self,
        segments: SegmentStore,
        records: RecordStore,
        *,
        texts: bool = True,
        samples_max: int = SAMPLES_MAX,
    ) -> None:
        self.arithmetic = NumpyArithmetic()
        self._segments = segments
        self._records = records
        self._texts = texts
        self._samples_max = samples_max

    def parts(self, names: Sequence[str] | None, start_ns: int, end_ns: int) -> Iterator[Part]:
        """As `Source.parts`. Refused beyond *samples_max* or TEXTS_MAX."""
        wanted = None if names is None else frozenset(names)
        words = self._words(wanted, start_ns, end_ns) if self._texts else {}
        selection = self._segments.select(
            _matchers(names), start_ns, end_ns, samples_max=self._samples_max
        )
        if selection.truncated:
            raise Refused(
                f"more than {self._samples_max} samples: narrow the time or the names",
                field="time_range",
                code="too_large",
            )
        for series in selection.series:
            at_ns, value = series.at_ns, series.value
            # A marker is a NaN: where the greatest is a number there is none, which is cheaper to see.
            if len(value) and np.isnan(np.maximum.reduce(value)):
                kept = ~is_stale(value)
                at_ns, value = at_ns[kept], value[kept]
            if series.rows.rows:
                rows = series.rows
                at_ns = np.concatenate([rows.start_ns, at_ns])
                value = np.concatenate([_of_summaries(rows), _as_rows(value)])
            texts = words.pop(series.labels, ())
            if len(at_ns) or texts:
                name, labels = _named(series.labels)
                yield Part(name, labels, at_ns, value, texts)
        for labels_, texts in words.items():
            name, labels = _named(labels_)
            yield Part(name, labels, np.empty(0, np.int64), np.empty(0), texts)

    def _words(
        self, wanted: frozenset[str] | None, start_ns: int, end_ns: int
    ) -> dict[Labels, list[int]]:
        """Instants of text values by the series that their numbers would be of."""
        found: dict[Labels, list[int]] = {}
        for at_ns, given in self._text_records(start_ns, end_ns):
            name, context = given.get("metric_name"), given.get("context")
            if isinstance(name, str) and (wanted is None or name in wanted):
                labels = labels_of(name, context if isinstance(context, Mapping) else None)
                found.setdefault(labels, []).append(at_ns)
        return found

    def _text_records(
        self, start_ns: int, end_ns: int
    ) -> Iterator[tuple[int, Mapping[str, Any]]]:
        offset = seen = 0
        while True:
            page = self._records.query(
                types=[TEXT_TYPE],
                start_ns=start_ns,
                end_ns=end_ns,
                newest_first=False,
                offset=offset,
                limit=_PAGE,
            )
            for record in page.items:
                yield record.timestamp_ns, record.attributes
            seen += len(page.items)
            offset += len(page.items)
            if len(page.items) < _PAGE:
                return
            if seen >= TEXTS_MAX or offset > page.total:
                raise Refused(
                    f"more than {seen} text values: narrow the time",
                    field="time_range",
                    code="too_large",
                )


def _matchers(names: Sequence[str] | None) -> list[Matcher]:
    if names is None:
        return []
    if len(names) == 1:
        return [Matcher(label.NAME, "=", names[0])]
    return [cast("Matcher", _Named(names))]


def _named(labels: Labels) -> tuple[str, dict[str, str]]:
    rest = dict(labels)
    return rest.pop(label.NAME, ""), rest


_NAMED: dict[str, Callable[[Floats], Any]] = {
    "MEAN": lambda values: np.add.reduce(values) / len(values),
    "SUM": np.add.reduce,
    "MIN": np.fmin.reduce,
    "MAX": np.fmax.reduce,
}


def _as_rows(values: Floats) -> Floats:
    return np.column_stack([np.ones(len(values)), values, values, values])


def _of_summaries(rows: SummaryColumns) -> Floats:
    """(n, 4) of roll-up rows; a NaN in one makes its total NaN, as among samples."""
    total = np.where(rows.nans > 0, np.nan, rows.total)
    empty = rows.count == rows.nans
    low, high = (np.where(empty, np.nan, column) for column in (rows.low, rows.high))
    return np.column_stack([rows.count.astype(np.float64), total, low, high])


def _of_rows(aggregation: Aggregation, values: Floats) -> float:
    count, total, low, high = values.T
    if aggregation.function is not None or aggregation.quantile is not None:
        raise Refused(
            f"{aggregation.name} needs samples, and the older part of the range has roll-ups alone: "
            "narrow the time",
            field="time_range",
            code="rolled_up",
        )
    with np.errstate(all="ignore"):
        if aggregation.name == "MEAN":
            return float(total.sum() / count.sum())
        if aggregation.name == "SUM":
            return float(total.sum())
        return float(np.fmin.reduce(low) if aggregation.name == "MIN" else np.fmax.reduce(high))


def _quantile(values: Floats, q: float) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan")
    place = q * (len(known) - 1)
    low = int(place)
    high = min(low + 1, len(known) - 1)
    ordered = np.partition(known, [low, high])
    return between(float(ordered[low]), float(ordered[high]), place - low)
