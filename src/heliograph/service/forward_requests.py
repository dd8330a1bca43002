"""What a forward sends: the samples of some frames as remote-write requests, in the order of time.

DCGM_FI_DEV_GPU_UTIL{Hostname="n1", gpu="0"}                              the original, if wanted
workload_DCGM_FI_DEV_GPU_UTIL{Hostname="n1", gpu="0", pod_name="llm-0", …}   its attributed copy
training_lm_loss{pod_uid="p-1", pod_name="llm-0", …}                      ours: in place, no copy

Of one series the times ascend and none comes twice within a request, since Prometheus refuses a
whole request for one sample that is late or doubled; of equal times the later in the log wins.
What jobs print is late more often than what exporters say, so it goes in requests of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher, all_match
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span
from heliograph.enrich.view import owned_labels, view_labels
from heliograph.training.samples import is_training, may_be_training
from heliograph.wire import remote_write, snappy

SAMPLES_PER_REQUEST = 5000
# Series whose encoded labels are kept; a full cache starts afresh.
SERIES_MAX = 100_000
MS_NS = 1_000_000

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]
Columns = tuple[bytes, Instants, Floats]


class Selection(NamedTuple):
    """What of the log a target gets.

    matchers       all must hold for the original's labels; () is everything
    keep_original  send the series itself beside its attributed copy
    prefix         of the attributed copy's name
    """

    matchers: Sequence[Matcher]
    keep_original: bool
    prefix: str


class Request(NamedTuple):
    """One body, ready to be sent.

    samples    that it carries, originals and copies
    taken      entries of the batch that it settles
    """

    body: bytes
    samples: int
    taken: int


class _Copies(NamedTuple):
    """How one series is sent, while its owners are *spans*."""

    spans: tuple[Span, ...]
    original: bytes | None
    attributed: tuple[tuple[int, int, bytes], ...]


class Requests:
    """Makes requests of batches. For one thread."""

    def __init__(
        self,
        selection: Selection,
        table: SeriesTable,
        spans: Callable[[Labels], tuple[Span, ...]],
    ) -> None:
        self._selection = selection
        self._table = table
        self._spans = spans
        self._copies: dict[int, _Copies] = {}

    def of(self, batch: SampleBatch) -> Iterator[Request]:
        """Requests of about SAMPLES_PER_REQUEST samples each; all of *batch* that is selected."""
        ours = self._ours(batch.series)
        for apart in (~ours, ours):
            if apart.all():
                yield from self._requests(batch)
            elif apart.any():
                yield from self._requests(
                    SampleBatch(batch.series[apart], batch.at_ns[apart], batch.value[apart])
                )

    def _ours(self, series: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """(n,) whether each of *series* is of what jobs print."""
        present, place = np.unique(series, return_inverse=True)
        table = self._table
        ours = [
            may_be_training(table.packed(one)) and is_training(table.labels(one))
            for one in present.tolist()
        ]
        return np.array(ours, np.bool_)[place]

    def _requests(self, batch: SampleBatch) -> Iterator[Request]:
        pending: list[Columns] = []
        samples = taken = 0
        for part, entries in self._parts(batch):
            pending.extend(part)
            samples += sum(len(at_ms) for _, at_ms, _ in part)
            taken += entries
            if samples >= SAMPLES_PER_REQUEST:
                yield _request(pending, samples, taken)
                pending, samples, taken = [], 0, 0
        if pending:
            yield _request(pending, samples, taken)

    def _parts(self, batch: SampleBatch) -> Iterator[tuple[list[Columns], int]]:
        """What is sent of each series, and of how many entries it was made."""
        order = np.lexsort((batch.at_ns, batch.series))
        series, starts = np.unique(batch.series[order], return_index=True)
        at_ns, value = batch.at_ns[order], batch.value[order]
        ends = [*starts[1:].tolist(), len(order)]
        for one, start, end in zip(series.tolist(), starts.tolist(), ends, strict=True):
            copies = self._copies_of(one)
            if copies is None:
                continue
            part = _part(copies, at_ns[start:end], value[start:end])
            if part:
                yield part, end - start

    def _copies_of(self, series: int) -> _Copies | None:
        """How *series* is sent; None when it is not selected."""
        selection = self._selection
        labels = self._table.labels(series)
        spans = self._spans(labels)
        known = self._copies.get(series)
        # The very same spans mean that no owner has changed since.
        if known is not None and known.spans is spans:
            return known
        if not all_match(selection.matchers, labels):
            return None
        if len(self._copies) >= SERIES_MAX:
            self._copies.clear()
        if is_training(labels):
            made = _in_place(labels, spans, keep_unowned=selection.keep_original)
            copies = self._copies[series] = _Copies(spans, None, made)
            return copies
        attributed = tuple(
            (
                span.start_ns,
                span.end_ns,
                remote_write.label_fields(
                    view_labels(labels, span.owner, prefix=selection.prefix)
                ),
            )
            for span in spans
            if span.owner is not None
        )
        original = remote_write.label_fields(labels) if selection.keep_original else None
        copies = self._copies[series] = _Copies(spans, original, attributed)
        return copies


def _in_place(
    labels: Labels, spans: tuple[Span, ...], *, keep_unowned: bool
) -> tuple[tuple[int, int, bytes], ...]:
    """How a series of what jobs print is sent: under its name, by whom it belongs to when."""
    return tuple(
        (
            span.start_ns,
            span.end_ns,
            remote_write.label_fields(owned_labels(labels, span.owner)),
        )
        for span in spans
        if span.owner is not None or keep_unowned
    )


def _part(copies: _Copies, at_ns: Instants, value: Floats) -> list[Columns]:
    """The samples of one series, ascending, as they are sent."""
    at_ms = at_ns // MS_NS
    if len(at_ms) > 1:
        last = np.append(at_ms[1:] != at_ms[:-1], True)
        if not last.all():
            at_ns, at_ms, value = at_ns[last], at_ms[last], value[last]
    part: list[Columns] = []
    if copies.original is not None:
        part.append((copies.original, at_ms, value))
    first_ns, last_ns = int(at_ns[0]), int(at_ns[-1])
    for start_ns, end_ns, fields in copies.attributed:
        if start_ns <= first_ns and last_ns < end_ns:
            part.append((fields, at_ms, value))
            continue
        low, high = np.searchsorted(at_ns, [start_ns, end_ns])
        if low < high:
            part.append((fields, at_ms[low:high], value[low:high]))
    return part


def _request(pending: Sequence[Columns], samples: int, taken: int) -> Request:
    return Request(snappy.compress(remote_write.encode_fields(pending)), samples, taken)
