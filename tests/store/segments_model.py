"""A dict that answers as the segment store must, and a driver that keeps the two side by side."""

import math
import struct
from collections import defaultdict

import numpy as np

from heliograph.core import labels as label
from heliograph.core.samples import STALE_BITS, SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.core.summary import of_samples
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.name import HOUR_NS, MINUTE_NS
from heliograph.store.segments.store import SegmentStore

FOREVER = {"start_ns": -(2**62), "end_ns": 2**62, "samples_max": 10**7}
HOUR = 3600 * 10**9
SPECIAL_BITS = (STALE_BITS, 0x7FF8DEAD00000001, 0xFFF8000000000000, 0x7FF0000000000000, 1 << 63)


def no_cuts(_labels, _start_ns, _end_ns):
    return ()


def bits_of(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def labels_of(number: int) -> label.Labels:
    return label.of({"__name__": f"metric_{number % 3}", "n": str(number), "Upper": "x"})


class Rig:
    """A store, its log (frames), its clock, and the model of what it must answer."""

    def __init__(self, folder, clock, retention=None, cuts=no_cuts, believed_ns=None):
        self.folder, self.clock = folder, clock
        self.believed_ns = believed_ns
        self.retention = retention or Retention()
        self.cuts = cuts
        self.frames = []
        self.cursor = -1
        self.model = defaultdict(dict)
        self.increase_is_law = True
        self.open()

    def open(self):
        self.table = SeriesTable(10**6)
        self.store = SegmentStore(
            self.folder, self.table, self.retention, self.clock, believed_ns=self.believed_ns
        )

    def reopen(self, *, again=3):
        """As after kill -9: a new process, and the log from a little before the cursor."""
        self.open()
        for seq, samples in self.frames:
            if seq > self.cursor - again:
                self._append(seq, samples)

    def send(self, samples):
        """Append (labels, at_ns, bits) triples as one frame."""
        seq = len(self.frames)
        self.frames.append((seq, samples))
        for labels, at_ns, bits in samples:
            self.model[labels][at_ns] = bits
        self._append(seq, samples)

    def _append(self, seq, samples):
        ids = [
            self.table.intern(label.pack(labels), beyond_limit=True) for labels, _, _ in samples
        ]
        self.store.append(
            SampleBatch(
                np.array(ids, np.uint32),
                np.array([at_ns for _, at_ns, _ in samples], np.int64),
                np.array([bits for _, _, bits in samples], np.uint64).view(np.float64),
            ),
            seq,
        )

    def seal(self):
        self.cursor = self.store.seal()

    def maintain(self, dirty=()):
        return self.store.maintain(cuts=self.cuts, dirty=dirty)

    def select(self, matchers=(), **span):
        return self.store.select(list(matchers), **{**FOREVER, **span})

    def check(self):
        """Everything the store answers is what the model says."""
        view = self.store._catalogue.view
        got = self.select()
        assert not got.truncated
        raw = {
            one.labels: dict(
                zip(one.at_ns.tolist(), one.value.view(np.uint64).tolist(), strict=True)
            )
            for one in got.series
            if len(one.at_ns)
        }
        expected = {
            labels: {at: bits for at, bits in samples.items() if at >= view.raw_floor_ns}
            for labels, samples in self.model.items()
        }
        assert raw == {labels: samples for labels, samples in expected.items() if samples}
        for one in got.series:
            assert (np.diff(one.at_ns) > 0).all()
            assert (np.diff(one.rows.start_ns) > 0).all()
        rows = {
            (one.labels, start_ns): row
            for one in got.series
            for start_ns, row in zip(
                one.rows.start_ns.tolist(), one.rows.summaries(), strict=True
            )
        }
        assert_rows(rows, self.expected_rows(), increase=self.increase_is_law)

    def expected_rows(self):
        view = self.store._catalogue.view
        buckets = defaultdict(list)
        for labels, samples in self.model.items():
            for at_ns, bits in sorted(samples.items()):
                if at_ns >= view.raw_floor_ns or bits == STALE_BITS:
                    continue
                width = MINUTE_NS if at_ns >= view.minute_floor_ns else HOUR_NS
                start_ns = at_ns - at_ns % width
                cut = [c for c in self.cuts(labels, start_ns, start_ns + width) if c <= at_ns]
                start_ns = max([start_ns, *cut])
                if start_ns >= view.hour_floor_ns:
                    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
                    buckets[labels, start_ns].append((at_ns, value))
        return {key: of_samples(samples) for key, samples in buckets.items()}


def assert_rows(got, expected, *, increase=True):
    assert got.keys() == expected.keys()
    for key, row in got.items():
        for field, a, b in zip(row._fields, row, expected[key], strict=True):
            if field == "increase" and not increase:
                continue
            same = a == b or (math.isnan(a) and math.isnan(b))
            if field in {"total", "increase"}:
                same = same or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)
            assert same, (key, field, row, expected[key])
