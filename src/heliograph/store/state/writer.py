"""The one writing connection, kept open between transactions.

    writer = Writer(engines.sqlite_writer(path))
    writer.transact(lambda tx: cursors.advance(tx, "effects", 7))    on disk when it returns

To take a connection out of a pool and to put it back costs more than a small transaction's work.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")


class Writer:
    """Transactions on *engine*, which has one connection. One at a time, on any thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection: Connection | None = None

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What *work* answers, once it is on disk. What it raises rolls back."""
        connection = self._connection
        if connection is None:
            connection = self._connection = self.engine.connect()
        with connection.begin():
            return work(connection)

    def checkpoint(self) -> None:
        """Bring what SQLite's write-ahead log has into the file, as far as readers allow."""
        if self._connection is not None:
            # Past SQLAlchemy, which would begin a transaction.
            cursor = self._connection.connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            # It says how far it came, and until that is read or left the log cannot begin anew.
            cursor.close()

    def drop(self) -> None:
        """Close the connection, whatever state it is in; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            connection.invalidate()
            connection.close()
        self.engine.dispose()
