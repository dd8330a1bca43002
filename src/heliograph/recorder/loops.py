"""Loop detection: the same event over and over again, id and time included.

An event that was seen SEEN_MAX times among the last RECENT_MAX is one too many. Events whose id we
give differ by it, so only an event that is handed in again with its id can be in a loop.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from heliograph.recorder import plain

RECENT_MAX = 100
SEEN_MAX = 5


class Loops:
    """The last RECENT_MAX events, by what they say. Thread-safe."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self._seen: Counter[int] = Counter()
        self._lock = threading.RLock()

    def is_loop(self, event: Mapping[str, Any]) -> bool:
        """Take *event*; whether it was there SEEN_MAX times already."""
        key = hash(plain.canonical(event))
        with self._lock:
            before = self._seen[key]
            self._recent.append(key)
            self._seen[key] = before + 1
            if len(self._recent) > RECENT_MAX:
                oldest = self._recent.popleft()
                self._seen[oldest] -= 1
                if not self._seen[oldest]:
                    del self._seen[oldest]
            return before >= SEEN_MAX
