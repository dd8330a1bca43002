"""The applier's side of the embedded sample store: append, and seal when it is time, or when others
wait for it: what is not sealed stays in the log.

The store itself remembers up to which frame it is sealed; a crash in between seals the same
frames again, which a reader does not notice: equal samples collapse.
"""

from collections.abc import Callable, Sequence

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.core.samples import SampleBatch
from heliograph.service.believed_time import BelievedTime
from heliograph.service.forward import Forward
from heliograph.service.meters import Meters
from heliograph.store.log.log import Log
from heliograph.store.protocol import SampleStore

RETRY_S = 5.0
# As often at most it is sealed because it is wanted: each time makes a file.
WANTED_EVERY_S = 5.0


def fills(log: Log, store: SampleStore, forwards: Sequence[Forward], bytes_max: int) -> bool:
    """Whether *log* is half full, of *bytes_max*, with what only waits to be sealed."""
    sealed_seq = store.sealed_seq
    return log.disk_bytes > bytes_max // 2 and all(
        one.position > sealed_seq for one in forwards
    )


class Sealing:
    """Head of *store*; sealed when the store asks for it, every *every_s* seconds, and sooner where
    it *is_wanted*. Applier thread only.
    """

    def __init__(
        self,
        store: SampleStore,
        meters: Meters,
        clock: Clock,
        *,
        every_s: float,
        is_wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._meters = meters
        self._clock = clock
        # By a clock that is ahead all samples would be late, and each few seconds a file.
        self._believed = BelievedTime(clock)
        self._every_s = every_s
        self._is_wanted = is_wanted
        self._due_s = clock.monotonic_s() + every_s
        self._wanted_due_s = 0.0
        self._retry_s = 0.0

    @property
    def position(self) -> int:
        """Frames up to here are in segments and need not be appended again."""
        return self._store.sealed_seq

    def append(self, batch: SampleBatch, seq: int) -> None:
        """Take *batch*, which stands at *seq* in the log; an empty one for a frame without."""
        self._store.append(batch, seq)

    def settle(self, *, closing: bool = False) -> None:
        """Seal if it is due, or for good when *closing*. A full disk makes it later, not lost."""
        now_s = self._clock.monotonic_s()
        due = (
            now_s >= self._due_s
            or self._store.should_seal(self._believed.now_ns())
            or (now_s >= self._wanted_due_s and self._is_wanted())
        )
        if not closing and (not due or now_s < self._retry_s):
            return
        self._due_s, self._wanted_due_s = now_s + self._every_s, now_s + WANTED_EVERY_S
        try:
            self._store.seal()
        except Unavailable:
            self._retry_s = now_s + RETRY_S
        self._meters.stage_seconds.observe(self._clock.monotonic_s() - now_s, "seal")
