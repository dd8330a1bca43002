"""What one thread leaves for another: lines that ingest has read, from there to the applier."""

import threading
from collections import OrderedDict

from heliograph.service.line_parses import Read

# Lines that wait for the applier; beyond it the oldest are taken from the log and read again.
HANDED_OVER_LINES_MAX = 100_000


class Handover:
    """Lines and parses that ingest made for its answer and the applier need not make again; bounded."""

    def __init__(self) -> None:
        self._read: OrderedDict[int, Read] = OrderedDict()
        self._lines = 0
        self._lock = threading.Lock()

    def put(self, seq: int, read: Read) -> None:
        """Leave the lines of frame *seq*."""
        with self._lock:
            # A sequence whose commit was refused is given again.
            self._forget(seq)
            self._read[seq] = read
            self._lines += len(read.parsed)
            while self._lines > HANDED_OVER_LINES_MAX and self._read:
                self._forget(next(iter(self._read)))

    def take(self, seq: int, version: int) -> Read | None:
        """What was left for *seq*, if it is still there and was read with patterns of *version*."""
        with self._lock:
            read = self._forget(seq)
            return read if read is not None and read.version == version else None

    def _forget(self, seq: int) -> Read | None:
        read = self._read.pop(seq, None)
        self._lines -= 0 if read is None else len(read.parsed)
        return read
