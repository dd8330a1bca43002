"""Where blocking work of requests runs: readers, and one control thread for changes of owners."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

READERS = 4


class Executors:
    """Threads for requests; closed when the service stops."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._control = ThreadPoolExecutor(1, thread_name_prefix="control")

    async def read(self, work: Callable[[], T]) -> T:
        """Run *work*, which only reads, on a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def control(self, work: Callable[[], T]) -> T:
        """Run *work*, which changes state, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._control, work)

    def close(self) -> None:
        """Wait for what runs."""
        self._readers.shutdown()
        self._control.shutdown()
