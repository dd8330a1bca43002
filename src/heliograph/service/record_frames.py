"""Records as payloads of frames: few enough for one, and cut in halves where they are too large."""

from collections.abc import Iterator, Sequence

from heliograph.core.record import Record
from heliograph.wire import records as wire_records

FRAME_RECORDS_MAX = 2000
FRAME_BYTES_MAX = 8 << 20


def payloads(records: Sequence[Record]) -> list[tuple[bytes, int]]:
    """What the log appends for *records*, in order: encoded, and how many they are."""
    return [
        encoded
        for at in range(0, len(records), FRAME_RECORDS_MAX)
        for encoded in _encoded(records[at : at + FRAME_RECORDS_MAX])
    ]


def _encoded(records: Sequence[Record]) -> Iterator[tuple[bytes, int]]:
    payload = wire_records.encode(records)
    if len(payload) <= FRAME_BYTES_MAX or len(records) == 1:
        yield payload, len(records)
        return
    half = len(records) // 2
    yield from _encoded(records[:half])
    yield from _encoded(records[half:])
