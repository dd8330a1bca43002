"""Which parts of a message a provider has taken already, so that an attempt after a failure in the
middle does not tell the first parts twice. In memory: after a crash they are told again, once.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable

MESSAGES_MAX = 2000


class Progress:
    """Bounded; the message that was touched longest ago is forgotten first. Thread-safe."""

    def __init__(self) -> None:
        self._taken: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        self._lock = threading.Lock()

    def taken(self, integration: str, key: str) -> frozenset[str]:
        """Names of the parts that were taken."""
        with self._lock:
            return frozenset(self._taken.get((integration, key), ()))

    def take(self, integration: str, key: str, parts: Iterable[str]) -> None:
        """These parts were."""
        with self._lock:
            self._taken.setdefault((integration, key), set()).update(parts)
            self._taken.move_to_end((integration, key))
            while len(self._taken) > MESSAGES_MAX:
                self._taken.popitem(last=False)

    def over(self, integration: str, key: str) -> None:
        """The message is settled."""
        with self._lock:
            self._taken.pop((integration, key), None)
