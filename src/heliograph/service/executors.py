"""Where blocking work of requests runs: readers, one thread for lines, two for other bodies, one for
wandb runs, one for changes of owners, and a few for what waits for others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from heliograph.core import thread_name

T = TypeVar("T")

READERS = 4
BODIES = 2
WAITERS = 4


class Executors:
    """Threads for requests; closed when the service stops."""

    def __init__(self) -> None:
        self._readers = _threads(READERS, "reader")
        self._control = _threads(1, "control")
        self._lines = _threads(1, "lines")
        self._bodies = _threads(BODIES, "bodies")
        self._runs = _threads(1, "runs")
        self._waiters = _threads(WAITERS, "waiter")

    async def read(self, work: Callable[[], T]) -> T:
        """Run *work*, which only reads, on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def control(self, work: Callable[[], T]) -> T:
        """Run *work*, which changes state, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._control, work)

    def begin_lines(self, work: Callable[[], None]) -> None:
        """Have *work*, which reads bodies of log lines and goes on from there, run after those before
        it: lines of one pod stay in the order in which they were sent. Raises RuntimeError once it
        is closed."""
        self._lines.submit(work)

    async def bodies(self, work: Callable[[], T]) -> T:
        """Run *work*, which undoes an encoding or reads a body that may be large: lines do not stand
        behind it."""
        return await asyncio.get_running_loop().run_in_executor(self._bodies, work)

    async def runs(self, work: Callable[[], T]) -> T:
        """Run *work*, which changes a wandb run: it may wait for commits, and for that run."""
        return await asyncio.get_running_loop().run_in_executor(self._runs, work)

    async def wait(self, work: Callable[[], T]) -> T:
        """Run *work*, which waits for other machines (a name to resolve): nobody who is in a hurry
        stands behind it."""
        return await asyncio.get_running_loop().run_in_executor(self._waiters, work)

    def close(self) -> None:
        """Wait for what runs."""
        self._readers.shutdown()
        self._control.shutdown()
        self._lines.shutdown()
        self._bodies.shutdown()
        self._runs.shutdown()
        self._waiters.shutdown()


def _threads(many: int, name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(many, thread_name_prefix=name, initializer=thread_name.show)
