"""Which threads are in the middle of something. Who comes again in such a thread, from a signal handler
or a finaliser, has interrupted himself: the work he would wait for goes on only when he returns.

    with at_work.enter(): …        at_work.mine → True, in this thread, until the outermost is left
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Inside:
    """Thread-safe without a lock: each thread adds and removes only itself."""

    def __init__(self) -> None:
        self._threads: set[int] = set()

    @property
    def mine(self) -> bool:
        """Whether this thread is inside."""
        return threading.get_ident() in self._threads

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside until the block is left; one within another counts as one."""
        me = threading.get_ident()
        if me in self._threads:
            yield
            return
        try:
            self._threads.add(me)
            yield
        finally:
            self._threads.discard(me)
