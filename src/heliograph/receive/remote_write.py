"""Prometheus remote write 1.0: an uncompressed WriteRequest to a sample batch.

    Content-Type: application/x-protobuf            or ...;proto=prometheus.WriteRequest, or none
    Content-Encoding: snappy                        or none; the body is snappy's block format

    require_content → wire.snappy.decompress → Decoder.decode → Received

A message that is no WriteRequest is Refused whole, before any series of it is interned. A time
series that cannot be kept is left out and told of in `Received`: the rest is stored, and the sender
reads 400 with the counts. Values are copied as bits. Labels may come in any order, an empty value
is an absent label, and names are any UTF-8. The same series and time again is data like any other.
Source: Prometheus remote write specification 1.0 and 2.0 (its rules on content types and on
partial writes).
"""

from array import array
from collections import Counter
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from heliograph.core.errors import Refused, Rejected
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.kernels import remote_write as kernel
from heliograph.receive.series_labels import Fault, LabelLimits, identity

# What the dict of known series may hold: its keys, and so much more for each entry.
KNOWN_BYTES_MAX = 256 * 1024 * 1024
KNOWN_ENTRY_BYTES = 150

# Rejected parts that are listed; the rest are counted.
REJECTED_MAX = kernel.NOTED_MAX

# A series is touched at most once in this span; it is nothing beside the hours after which a
# table forgets.
TOUCH_EVERY_NS = 60 * 10**9
_TOUCHED_SLOTS = 1 << 18

# A sample so far from its arrival is stored and counted: a clock is wrong, or a queue was long.
AHEAD_NS = 300 * 10**9
BEHIND_NS = 3600 * 10**9

_NS_PER_MS = 1_000_000
_CONTENT_TYPE = "application/x-protobuf"
_MESSAGE = "prometheus.writerequest"


class Limits(LabelLimits, frozen=True):
    """Bounds of one request, besides those of the labels of each series.

    body_bytes_max       as it is sent; the HTTP layer's to check
    decoded_bytes_max    after snappy; `wire.snappy.decompress` checks it before it decodes
    parts_max            time series of a request, and samples; 413 beyond
    """

    body_bytes_max: int = 32 * 1024 * 1024
    decoded_bytes_max: int = 128 * 1024 * 1024
    parts_max: int = 1_000_000


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What was in one request.

    batch               the samples that can be kept, in the request's order
    rejected            the first `REJECTED_MAX` parts that cannot; index: of the time series
    rejected_by_reason  reason → samples not kept (histograms, for `histogram`). Reasons:
                        no_labels, no_name, empty_label_name, duplicate_label, invalid_utf8,
                        too_many_labels, label_name_bytes, label_value_bytes, series_limit,
                        timestamp_range, histogram
    samples_rejected    of all reasons but `histogram`
    series_rejected     time series that lost all their samples by their labels or the table's limit
    histograms          native histograms; not kept
    exemplars           skipped without making the request partial, as is metadata
    metadata            entries
    ahead, behind       samples kept although `AHEAD_NS` after, `BEHIND_NS` before their arrival
    """

    batch: SampleBatch
    rejected: tuple[Rejected, ...] = ()
    rejected_by_reason: Mapping[str, int]
    samples_rejected: int = 0
    series_rejected: int = 0
    histograms: int = 0
    exemplars: int = 0
    metadata: int = 0
    ahead: int = 0
    behind: int = 0

    @property
    def shortfall(self) -> str:
        """What a sender is told was not kept, with counts and first causes; "" if all was."""
        if not self.rejected_by_reason:
            return ""
        sent = self.batch.count + self.samples_rejected + self.histograms
        lost = self.samples_rejected + self.histograms
        counts = ", ".join(f"{n} {reason}" for reason, n in self.rejected_by_reason.items())
        first = "; ".join(f"timeseries[{r.index}]: {r.detail}" for r in self.rejected[:3])
        return f"{lost} of {sent} samples were not written: {counts} ({first})"


def require_content(content_type: str | None, content_encoding: str | None) -> None:
    """Raise Refused (415) unless the headers announce, or leave open, remote write 1.0 in snappy."""
    kind, *parameters = [part.strip().lower() for part in (content_type or "").split(";")]
    if kind not in ("", _CONTENT_TYPE):
        raise _unsupported("content-type", kind, f"send {_CONTENT_TYPE}")
    for parameter in parameters:
        name, _, message = parameter.partition("=")
        if name.strip() == "proto" and message.strip().strip('"') != _MESSAGE:
            raise _unsupported("content-type", parameter, "send remote write 1.0")
    encoding = (content_encoding or "").strip().lower()
    if encoding not in ("", "snappy"):
        raise _unsupported("content-encoding", encoding, "send snappy")


def _unsupported(header: str, found: str, advice: str) -> Refused:
    return Refused(
        f"{header} {found[:100]!r} is not accepted: {advice}",
        field=header,
        code="unsupported_content",
        status=415,
    )


class Decoder:
    """Decodes requests of many senders into series of one *table*. For one thread.

    It remembers the bytes of the series it met, up to *known_bytes_max*, and starts afresh beyond
    or when the table forgot any: hits and misses count time series, resets the fresh starts.
    """

    def __init__(
        self, table: SeriesTable, limits: Limits, *, known_bytes_max: int = KNOWN_BYTES_MAX
    ) -> None:
        self.hits = 0
        self.misses = 0
        self.resets = 0
        self._table = table
        self._limits = limits
        self._known: dict[bytes, int] = {}
        self._known_bytes = 0
        self._known_bytes_max = known_bytes_max
        self._generation = table.generation
        # Slot id % size holds one more than the id that was touched since *_touched_ns*, 0 for none,
        # which is memory that takes none: a collision, which is rare, touches once more, and the
        # size does not grow with the ids.
        self._touched = np.zeros(_TOUCHED_SLOTS, np.uint32)
        self._touched_ns = -TOUCH_EVERY_NS

    def decode(self, raw: bytes, *, arrival_ns: int) -> Received:
        """The samples of the WriteRequest *raw*, of which each series is interned and touched.

        Raises Refused when *raw* is no WriteRequest or beyond `parts_max`; then nothing was interned.
        """
        while True:
            generation = self._table.generation
            if self._generation != generation:
                self._generation = generation
                self._start_afresh()
            received = self._decode(raw, arrival_ns)
            self._touch(received.batch.series, arrival_ns)
            # Had the table forgotten one of ours in the meantime, its samples would be nobody's.
            if self._table.generation == generation:
                return received

    def _decode(self, raw: bytes, arrival_ns: int) -> Received:
        scan = kernel.Scanner(raw, self._known, self._limits.parts_max)
        try:
            scan.run()
        except kernel.Malformed as error:
            raise Refused(f"not a WriteRequest: {error}", code="malformed_protobuf") from error
        except kernel.TooMany as error:
            most = self._limits.parts_max
            raise Refused(
                f"more than {most} time series or samples in one request",
                code="too_many_samples",
                status=413,
            ) from error
        self.hits += scan.hits
        return self._received(raw, scan, arrival_ns)

    def _received(self, raw: bytes, scan: kernel.Scanner, arrival_ns: int) -> Received:
        series = np.frombuffer(scan.series, np.uint32, scan.rows)
        at_ns = np.frombuffer(scan.at_ms, np.int64, scan.rows) * _NS_PER_MS
        value = _values(raw, np.frombuffer(scan.value_at, np.int64, scan.rows))
        losses = _Losses()
        keep = self._resolve(raw, scan, series, losses) if scan.unknown else None
        losses.add_noted(scan.far, scan.far_in, _FAR)
        samples_rejected = losses.by_reason.total()
        losses.add_noted(scan.unread, scan.unread_in, _UNREAD)
        if keep is not None:
            series, at_ns, value = series[keep], at_ns[keep], value[keep]
        return Received(
            batch=SampleBatch(series, at_ns, value),
            rejected=tuple(losses.listed),
            rejected_by_reason=dict(losses.by_reason),
            samples_rejected=samples_rejected,
            series_rejected=losses.series,
            histograms=scan.unread,
            exemplars=scan.exemplars,
            metadata=scan.metadata,
            ahead=int(np.count_nonzero(at_ns > arrival_ns + AHEAD_NS)),
            behind=int(np.count_nonzero(at_ns < arrival_ns - BEHIND_NS)),
        )

    def _resolve(
        self, raw: bytes, scan: kernel.Scanner, series: NDArray[np.uint32], losses: "_Losses"
    ) -> NDArray[np.bool_] | None:
        """Give the scan's unknown series their ids; (rows,) which samples stay, or None: all."""
        keep: NDArray[np.bool_] | None = None
        unknown: array[int] = scan.unknown
        width = kernel.UNKNOWN_WIDTH
        self.misses += len(unknown) // width
        for at in range(0, len(unknown), width):
            index, first, rows, start, stop, labels_end = unknown[at : at + width]
            found = self._intern(scan.labels(start, stop, self._limits.labels))
            if isinstance(found, Fault):
                keep = np.ones(scan.rows, np.bool_) if keep is None else keep
                keep[first : first + rows] = False
                losses.add_series(index, rows, found)
                continue
            series[first : first + rows] = found
            if labels_end >= 0:
                self._remember(raw[start:labels_end] + kernel.SAMPLE_HEAD, found)
        return keep

    def _intern(self, pairs: list[tuple[bytes, bytes]]) -> int | Fault:
        found = identity(pairs, self._limits)
        if isinstance(found, Fault):
            return found
        series = self._table.intern(found)
        if series is None:
            return Fault("series_limit", f"the table of {self._table.limit} series is full")
        return series

    def _remember(self, key: bytes, series: int) -> None:
        if key in self._known:
            return
        cost = len(key) + KNOWN_ENTRY_BYTES
        if self._known_bytes + cost > self._known_bytes_max:
            self._start_afresh()
        self._known[key] = series
        self._known_bytes += cost

    def _touch(self, series: NDArray[np.uint32], arrival_ns: int) -> None:
        if not 0 <= arrival_ns - self._touched_ns < TOUCH_EVERY_NS:
            self._touched.fill(0)
            self._touched_ns = arrival_ns
        slots = series % _TOUCHED_SLOTS
        fresh = self._touched[slots] != series + 1
        if fresh.any():
            self._table.touch(np.unique(series[fresh]).tolist(), arrival_ns)
            self._touched[slots] = series + 1

    def _start_afresh(self) -> None:
        self._known.clear()
        self._known_bytes = 0
        self.resets += 1


_FAR = Fault("timestamp_range", f"a time over {kernel.TIME_MS_MAX} ms does not fit nanoseconds")
_UNREAD = Fault("histogram", "native histograms are not kept; send classic ones")


class _Losses:
    """What of one request is not kept, as `Received` tells it."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self.listed: list[Rejected] = []
        self.series = 0

    def add_series(self, index: int, samples: int, fault: Fault) -> None:
        self.series += 1
        self.by_reason[fault.reason] += samples
        self._list(index, fault)

    def add_noted(self, count: int, indices: list[int], fault: Fault) -> None:
        if count:
            self.by_reason[fault.reason] += count
        for index in indices:
            self._list(index, fault)

    def _list(self, index: int, fault: Fault) -> None:
        if len(self.listed) < REJECTED_MAX:
            self.listed.append(Rejected(index, fault.reason, fault.detail))


def _values(raw: bytes, value_at: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) the doubles at *value_at* in *raw*, bit by bit; 0.0 at `NO_VALUE`."""
    if len(raw) < 8:
        return np.zeros(len(value_at))
    anywhere = np.ndarray((len(raw) - 7,), "<u8", buffer=raw, strides=(1,))
    # NO_VALUE, -1, reads the last eight bytes, for a moment.
    bits = anywhere[value_at].astype(np.uint64, copy=False)
    bits[value_at == kernel.NO_VALUE] = 0
    return bits.view(np.float64)
