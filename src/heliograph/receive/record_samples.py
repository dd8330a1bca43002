"""The counters of memory records as samples, so that rules and charts can use them.

    memory.allocator.allocated_bytes = 10   →   memory_allocator_allocated_bytes{rank="0", …} 10

The labels are what tells one stream of readings from another (LABELS), and where it ran as far as
the record's resource says (PLACES); one record has at most as many samples as METRICS. A counter
that its collector did not measure this time (`collector_partial_fields`) makes none; nor does one of
COUNTER_END or more, which is no count of bytes, but a -1 that lost its sign.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from heliograph.core import labels as label
from heliograph.core.record import Record
from heliograph.core.samples import SampleBatch
from heliograph.receive.records import PLACES

_FIELDS = (
    "allocator_allocated_bytes",
    "allocator_reserved_bytes",
    "allocator_active_bytes",
    "allocator_inactive_bytes",
    "allocator_change_bytes",
    "device_used_bytes",
    "device_free_bytes",
    "device_total_bytes",
)
# (attribute of the record, field of the event, metric)
METRICS = tuple(
    (f"memory.{field.replace('_', '.', 1)}", field, f"memory_{field}") for field in _FIELDS
)
LABELS = ("collector", "device_id", "host", "job_id", "rank")
LABEL_CHARS_MAX = 256
COUNTER_END = 2**63


class Samples(NamedTuple):
    """*batch* in the order of the records; *refused* samples whose series is one too many, and
    counters *out_of_range*, of which there is none."""

    batch: SampleBatch
    refused: int
    out_of_range: int


class Counters:
    """Makes samples of records. *intern* gives the id of packed labels, None when there are too many
    series. For one thread, and for as long as *intern* keeps its word: one batch."""

    def __init__(self, intern: Callable[[bytes], int | None]) -> None:
        self._intern = intern
        self._ids: dict[tuple[Any, ...], list[int | None]] = {}

    def samples(self, records: Iterable[Record]) -> Samples:
        """All samples of *records*."""
        series: list[int] = []
        at_ns: list[int] = []
        values: list[float] = []
        refused = out_of_range = 0
        for record in records:
            counters = counters_of(record)
            if not counters:
                continue
            ids = self._series(record)
            for place, value in counters:
                if value is None:
                    out_of_range += 1
                    continue
                if (found := ids[place]) is None:
                    refused += 1
                    continue
                series.append(found)
                at_ns.append(record.timestamp_ns)
                values.append(value)
        batch = SampleBatch(
            np.array(series, np.uint32), np.array(at_ns, np.int64), np.array(values, np.float64)
        )
        return Samples(batch, refused, out_of_range)

    def _series(self, record: Record) -> list[int | None]:
        """The ids of the record's series, in the order of METRICS."""
        resource = record.resource
        key = (record.session_id, *(resource.get(name) for name in (*LABELS, *PLACES)))
        try:
            found = self._ids.get(key)
        except TypeError:
            # A list or a mapping where a name belongs.
            key, found = (), None
        if found is None:
            found = [
                self._intern(label.pack(labels_of(record, name))) for _, _, name in METRICS
            ]
            if key:
                self._ids[key] = found
        return found


def counters_of(record: Record) -> list[tuple[int, float | None]]:
    """(place in METRICS, value) of each counter that *record* measured; None of one out of range."""
    attributes = record.attributes
    partial = attributes.get("collector_partial_fields") or ()
    found: list[tuple[int, float | None]] = []
    for place, (name, field, _) in enumerate(METRICS):
        value = attributes.get(name)
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(partial, list | tuple) and field in partial:
            continue
        whole = isinstance(value, int)
        found.append((place, None if whole and abs(value) >= COUNTER_END else float(value)))
    return found


def labels_of(record: Record, metric: str) -> label.Labels:
    """The labels of the series *metric* of *record*."""
    pairs = {label.NAME: metric, "session_id": _text(record.session_id)}
    resource: Mapping[str, Any] = record.resource
    for name in (*LABELS, *PLACES):
        value = resource.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            pairs[name] = _text(str(value))
    return label.of(pairs)


def _text(value: str) -> str:
    return value[:LABEL_CHARS_MAX].encode("utf-8", "replace").decode()
