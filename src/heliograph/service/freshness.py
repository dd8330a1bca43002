"""Reading what was just written: a read waits for the applier to pass the log's end of its arrival."""

from collections.abc import Callable

from starlette.responses import Response

from heliograph.service.executors import Executors

WAIT_S_MAX = 2.0
# Of a read that comes while the applier is behind: it would wait in vain, and hold its thread.
BEHIND_WAIT_S_MAX = 0.25


class Freshness:
    """*end* is the log's end, *applied* how far it is applied, *wait_for* blocks until a frame is, or
    the time is up. While what one read waited for in vain is not applied, others wait less."""

    def __init__(
        self,
        end: Callable[[], int],
        applied: Callable[[], int],
        wait_for: Callable[[int, float], bool],
    ) -> None:
        self._end = end
        self._applied = applied
        self._wait_for = wait_for
        self._missed = 0

    def now(self) -> int:
        """What a read that arrives now should see: hand it to `wait`."""
        return self._end()

    def wait(self, end: int) -> None:
        """Block, on a reader thread, until *end* is applied; at most WAIT_S_MAX."""
        behind = self._applied() < self._missed
        if not self._wait_for(end, BEHIND_WAIT_S_MAX if behind else WAIT_S_MAX):
            self._missed = max(self._missed, end)


class Reads:
    """How endpoints read: everything a request costs, its parameters and its JSON included, is spent
    on a reader thread, so that the loop does HTTP only."""

    def __init__(self, executors: Executors, fresh: Freshness) -> None:
        self._executors = executors
        self._fresh = fresh

    async def answer(self, work: Callable[[], Response]) -> Response:
        """The answer that *work* makes once what was written before has been applied."""
        end = self._fresh.now()

        def waited() -> Response:
            self._fresh.wait(end)
            return work()

        return await self._executors.read(waited)
