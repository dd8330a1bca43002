"""What an open does with what the log still holds: into the stores again, which changes nothing
there that is there already.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from heliograph.core.record import Record
from heliograph.core.samples import SampleBatch
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.frame import Kind
from heliograph.store.log.log import Log
from heliograph.store.records.protocol import RecordStore
from heliograph.store.segments.store import SegmentStore
from heliograph.wire import records as wire_records

READ_BYTES_MAX = 8 << 20
NO_SAMPLES = SampleBatch(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.float64))


class Replayed(NamedTuple):
    """What the log had: samples, records, and the span of the samples' times."""

    samples: int = 0
    records: int = 0
    low_ns: int = 2**63 - 1
    high_ns: int = -(2**63)


def replay(
    log: Log, segments: SegmentStore, records: RecordStore, *, make_room: Callable[[], None]
) -> Replayed:
    """Bring *segments* and *records* up to the end of *log*.

    *make_room* is called now and then, to seal what is due. Raises Unavailable.
    """
    reader = log.reader(0)
    done = Replayed()
    try:
        while frames := reader.read(bytes_max=READ_BYTES_MAX):
            for frame in frames:
                done = _append(frame, segments, done)
            found = _records(frames)
            records.append(found)
            done = done._replace(records=done.records + len(found))
            make_room()
    finally:
        reader.close()
    return done


def _append(frame: Frame, segments: SegmentStore, done: Replayed) -> Replayed:
    batch = NO_SAMPLES if frame.samples is None else frame.samples
    segments.append(batch, frame.seq)
    if not batch.count:
        return done
    return done._replace(
        samples=done.samples + batch.count,
        low_ns=min(done.low_ns, int(batch.at_ns.min())),
        high_ns=max(done.high_ns, int(batch.at_ns.max())),
    )


def _records(frames: list[Frame]) -> list[Record]:
    return [
        record
        for frame in frames
        if frame.kind == Kind.RECORDS
        for record in wire_records.decode(frame.payload)
    ]
