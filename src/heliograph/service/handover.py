"""What one thread leaves for another: the parses of lines, from ingest to the applier."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from heliograph.training.parse import Parsed

# Lines whose parse waits for the applier; beyond it the oldest are parsed again.
HANDED_OVER_LINES_MAX = 200_000


class Handover:
    """Parses that ingest made for its answer and the applier need not make again; bounded."""

    def __init__(self) -> None:
        self._parsed: OrderedDict[int, Sequence[Parsed | None]] = OrderedDict()
        self._lines = 0
        self._lock = threading.Lock()

    def put(self, seq: int, parsed: Sequence[Parsed | None]) -> None:
        """Leave the parses of the lines of frame *seq*, one each, None where there is none."""
        with self._lock:
            # A sequence whose commit was refused is given again.
            self._lines -= len(self._parsed.pop(seq, ()))
            self._parsed[seq] = parsed
            self._lines += len(parsed)
            while self._lines > HANDED_OVER_LINES_MAX and self._parsed:
                self._lines -= len(self._parsed.popitem(last=False)[1])

    def take(self, seq: int) -> Sequence[Parsed | None] | None:
        """What was left for *seq*, if it is still there."""
        with self._lock:
            parsed = self._parsed.pop(seq, None)
            self._lines -= len(parsed or ())
            return parsed
