"""Connections to PostgreSQL that do not wait for ever: for a server, or a network, that is silent.

`statement_timeout` is the server's to keep, and the kernel's limits are for what the other side's
kernel does not take: a server that is stopped, or behind a proxy that lost its way, keeps to neither.
"""

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

# How often psycopg looks for an interrupt while nothing comes.
LOOK_S = 0.1
# Longer than a statement may take: a server that lives has said so by then.
SILENT_S_MAX = 12.0


class Connection(psycopg.Connection[Any]):
    """One that ends when the server says nothing for SILENT_S_MAX though it owes an answer."""

    def wait(self, gen: Generator[Any, Any, T], *_: Any, **__: Any) -> T:
        """What *gen* comes to. OperationalError, and the connection is closed: nothing came."""
        return super().wait(self._limited(gen), interval=LOOK_S)

    def _limited(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        looks = 0
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                looks = 0 if ready else looks + 1
                if looks * LOOK_S > SILENT_S_MAX:
                    # Else the rollback that follows would wait as long.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer for {SILENT_S_MAX:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
