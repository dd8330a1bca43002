"""Reading what was just written: a read waits for the applier to pass the log's end of its arrival."""

from collections.abc import Callable

from starlette.responses import Response

from heliograph.service.executors import Executors

WAIT_S_MAX = 0.25


class Freshness:
    """*end* is the log's end, *wait_for* blocks until a frame is applied or the time is up."""

    def __init__(self, end: Callable[[], int], wait_for: Callable[[int, float], bool]) -> None:
        self._end = end
        self._wait_for = wait_for

    def now(self) -> int:
        """What a read that arrives now should see: hand it to `wait`."""
        return self._end()

    def wait(self, end: int) -> None:
        """Block, on a reader thread, until *end* is applied; at most WAIT_S_MAX."""
        self._wait_for(end, WAIT_S_MAX)


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
