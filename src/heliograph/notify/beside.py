"""One thing told to several, side by side: who hangs costs the others nothing.

    came = beside.tell({"http://a": tell_a, "http://b": tell_b}, until_s)
    → [Delivery("sent"), BEHIND]         as soon as one took it and the other had a moment's time

Each is told by a thread of its own. Once one took it, the others have PATIENCE_S; who has not answered
by then is left to it, and passed over until it has: it gets no thread for what comes meanwhile, and no
end before the beginning that it may still be at.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from heliograph.alert.model import Delivery
from heliograph.core.clock import Clock

# At once, for all; who would need one more is told by the caller itself, one after the other.
THREADS_MAX = 128
PATIENCE_S = 1.0
# For the words of those whose time is just over.
MOMENT_S = 0.25
BEHIND = Delivery("later", "no answer yet", unsure=True)
PASSED_OVER = Delivery("later", "passed over, for it has not answered what came before")

Tell: TypeAlias = Callable[[], Delivery]


class Beside:
    """Thread-safe."""

    def __init__(self, clock: Clock, *, threads_max: int = THREADS_MAX) -> None:
        self._clock = clock
        self._threads_max = threads_max
        self._threads = 0
        # Of each, how much it has been left to.
        self._behind: Counter[str] = Counter()
        self._changed = threading.Condition()

    def tell(self, tells: Mapping[str, Tell], until_s: float) -> list[Delivery]:
        """What came of each of *tells*, by who is told, in their order; until *until_s* (monotonic)
        at the latest, as far as they keep it themselves where there is no thread."""
        if len(tells) == 1:
            return [tell() for tell in tells.values()]
        # None: its thread died.
        came: dict[str, Delivery | None] = {}
        left: set[str] = set()
        ours: dict[str, Tell] = {}
        with self._changed:
            for name, tell in tells.items():
                if self._behind[name]:
                    came[name] = PASSED_OVER
                elif self._threads >= self._threads_max:
                    ours[name] = tell
                else:
                    self._start(name, tell, came, left)
        for name, tell in ours.items():
            delivery = tell()
            with self._changed:
                came[name] = delivery
        with self._changed:
            left_s = max(until_s - self._clock.monotonic_s(), 0.0) + MOMENT_S
            self._changed.wait_for(lambda: len(came) == len(tells) or _took(came), left_s)
            if _took(came):
                left_s = max(until_s - self._clock.monotonic_s(), 0.0)
                self._changed.wait_for(lambda: len(came) == len(tells), min(left_s, PATIENCE_S))
            left |= tells.keys() - came.keys()
            self._behind.update(left)
            found = [came.get(name, BEHIND) for name in tells]
        assert None not in found, "the thread of one of them died"
        return [one for one in found if one is not None]

    def _start(
        self, name: str, tell: Tell, came: dict[str, Delivery | None], left: set[str]
    ) -> None:
        def run() -> None:
            delivery = None
            try:
                delivery = tell()
            finally:
                with self._changed:
                    self._threads -= 1
                    came[name] = delivery
                    if name in left:
                        # Those at none go.
                        self._behind -= Counter([name])
                    self._changed.notify_all()

        # Nobody has to wait for it at a stop.
        threading.Thread(target=run, name="notify-beside", daemon=True).start()
        self._threads += 1


def _took(came: Mapping[str, Delivery | None]) -> bool:
    return any(one is not None and one.outcome == "sent" for one in came.values())
