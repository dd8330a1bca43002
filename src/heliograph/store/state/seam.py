"""What SQLAlchemy, sqlite3 and psycopg raise, as what the rest of the house knows.

    locked, lost, full, timed out, input/output error, damaged       Unavailable
    a number or text that no engine keeps, an index row too long     Refused
    a key that is already there                                      Refused, 409, code `conflict`

What is left is a bug of ours (a misspelt column) and leaves as it came.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from heliograph.core.errors import HeliographError, Refused, Unavailable

# SQLSTATE classes: data exception, program limit exceeded.
_SENDERS_FAULT = ("22", "54")
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def translated(what: str, on_damage: Callable[[], None] | None = None) -> Iterator[None]:
    """Run a block, its database errors told as ours; *on_damage* is called first for a damaged file."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(f"{what}: all connections are busy", code="state_busy") from error
    except exc.StatementError as error:
        if on_damage and damaged(error.orig):
            on_damage()
        raise _meaning(what, error) from error
    except sqlite3.Error as error:
        raise Unavailable(f"{what}: {error}") from error


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
    if state[:2] in _SENDERS_FAULT or too_big:
        return Refused(f"{what}: {error.orig}", code="unstorable")
    passing = exc.OperationalError | exc.InterfaceError | exc.InternalError
    if isinstance(error, passing) or damaged(error.orig):
        return Unavailable(f"{what}: {error.orig}")
    return error
