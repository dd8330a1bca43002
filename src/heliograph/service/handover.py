"""What one thread leaves for another: lines that ingest has read, from there to the applier."""

import threading
from collections import OrderedDict

from heliograph.service.line_parses import Read

# Lines that wait for the applier; beyond it the oldest are taken from the log and read again.
HANDED_OVER_LINES_MAX = 100_000


class Handover:
    """Lines and parses that ingest made for its answer and the applier need not make again; bounded."""

    def __init__(self) -> None:
        self._read: OrderedDict[int, tuple[Read, bytes]] = OrderedDict()
        self._lines = 0
        self._lock = threading.Lock()

    def put(self, seq: int, read: Read, payload: bytes) -> None:
        """Leave the lines of frame *seq*, whose content is *payload*."""
        with self._lock:
            self._forget(seq)
            self._read[seq] = read, payload
            self._lines += len(read.parsed)
            while self._lines > HANDED_OVER_LINES_MAX and self._read:
                self._forget(next(iter(self._read)))

    def take(self, seq: int, version: int, payload: bytes) -> Read | None:
        """What was left for *seq*, if it is still there and was read with patterns of *version*."""
        with self._lock:
            left = self._forget(seq)
        # A sequence whose commit was refused is given again, to other lines perhaps.
        if left is None or left[0].version != version or left[1] != payload:
            return None
        return left[0]

    def _forget(self, seq: int) -> tuple[Read, bytes] | None:
        left = self._read.pop(seq, None)
        self._lines -= 0 if left is None else len(left[0].parsed)
        return left
