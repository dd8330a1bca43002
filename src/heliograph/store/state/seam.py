"""What SQLAlchemy, sqlite3 and psycopg raise, as what the rest of the house knows.

    locked, lost, full, timed out, input/output error, damaged       Unavailable
    a number or text that no engine keeps, an index row too long     Refused
    a key that is already there                                      Refused, 409, code `conflict`

What is left is a bug of ours (a misspelt column) and leaves as it came.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import exc

from heliograph.core.errors import HeliographError, Refused, Unavailable

# SQLSTATE classes: data exception, program limit exceeded.
_SENDERS_FAULT = ("22", "54")
_NUMBER_OUT_OF_RANGE = "22003"
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class translated(AbstractContextManager[None]):  # noqa: N801 - it reads as a function
    """Run a block, its database errors told as ours; *on_damage* is called first for a damaged file."""

    def __init__(self, what: str, on_damage: Callable[[], None] | None = None) -> None:
        self._what = what
        self._on_damage = on_damage

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        if isinstance(error, exc.TimeoutError):
            busy = f"{self._what}: all connections are busy"
            raise Unavailable(busy, code="state_busy") from error
        theirs = error.orig if isinstance(error, exc.StatementError) else error
        if self._on_damage is not None and damaged(theirs):
            self._on_damage()
        if isinstance(error, exc.StatementError):
            meant = _meaning(self._what, error)
            if meant is not error:
                raise meant from error
        if isinstance(error, sqlite3.Error):
            raise Unavailable(f"{self._what}: {error}") from error


def damaged(error: BaseException | None) -> bool:
    """Whether *error* says that the SQLite file itself is broken."""
    # The low byte is the primary code; extended codes say where.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def _meaning(what: str, error: exc.StatementError) -> BaseException:
    if isinstance(error.orig, HeliographError):
        return error.orig
    state = getattr(error.orig, "sqlstate", None) or ""
    if isinstance(error, exc.IntegrityError) and state in {"", "23505"}:
        return Refused(f"{what}: already there", code="conflict", status=409)
    too_big = getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_TOOBIG
    if state == _NUMBER_OUT_OF_RANGE:
        # As `upsert` tells it of SQLite.
        return Refused("a number is outside 64 bits", code="out_of_range")
    if state[:2] in _SENDERS_FAULT or too_big:
        return Refused(f"{what}: {error.orig}", code="unstorable")
    passing = exc.OperationalError | exc.InterfaceError | exc.InternalError
    if isinstance(error, passing) or damaged(error.orig):
        return Unavailable(f"{what}: {error.orig}")
    return error
