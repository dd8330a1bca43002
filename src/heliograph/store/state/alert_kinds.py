"""What alerts have in common: source, alert name, severity and cluster, as one number.

There are few kinds and many alerts. An episode and a row of statistics carry their kind, so that
one index serves four filters in any combination: the kinds that match are found here first.

    of("metric", "GPUMemoryHigh", "warning", "east")    # 2931…, the same on every machine

The number is a hash of the four texts, so writing needs no look-up. Kinds are never deleted:
statistics outlive the episodes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Index, Table, event
from sqlalchemy import text as sql

from heliograph.store.state import batches, text
from heliograph.store.state.columns import Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Kinds that a connection remembers as stored, and that this module remembers the number of.
KNOWN_MAX = 50_000
# Kinds that one statement may name.
KINDS_MAX = 500
COLUMNS = ("source", "alert_name", "severity", "cluster_name")

KINDS = Table(
    "alert_kinds",
    metadata,
    Column("id", Int64, primary_key=True, autoincrement=False),
    *(Column(name, KeyText, nullable=False) for name in COLUMNS),
    # The other three have few values: their kinds are found by walking.
    Index(None, "alert_name"),
)
_KNOWN = "heliograph_alert_kinds"
_NEW = "heliograph_alert_kinds_new"

stored_text = lru_cache(KNOWN_MAX)(text.key)


@lru_cache(KNOWN_MAX)
def of(source: str, alert_name: str, severity: str, cluster_name: str) -> int:
    """The number of a kind."""
    made = hashlib.blake2b(digest_size=8)
    for part in (source, alert_name, severity, cluster_name):
        kept = text.key(part).encode()
        made.update(b"%d:" % len(kept))
        made.update(kept)
    return int.from_bytes(made.digest(), signed=True)


@lru_cache(KNOWN_MAX)
def stored_kind(
    source: str, alert_name: str, severity: str, cluster_name: str
) -> tuple[Any, ...]:
    """The number of a kind after its four texts as they are stored."""
    texts = (source, alert_name, severity, cluster_name)
    return (*map(stored_text, texts), of(*texts))


def keep(tx: Connection, kinds: Mapping[int, tuple[str, str, str, str]]) -> None:
    """Store the *kinds* (number → its four texts) that are not stored yet."""
    known: set[int] = tx.info.setdefault(_KNOWN, set())
    new = [kind for kind in kinds if kind not in known]
    if not new:
        return
    rows = [(kind, *map(stored_text, kinds[kind])) for kind in sorted(new)]
    put_stored(tx, KINDS, ("id", *COLUMNS), rows, "DO NOTHING")
    # Not known before the commit: a transaction that fails takes its kinds with it. A commit that
    # fails closes the connection, and what it knew.
    tx.info.setdefault(_NEW, []).extend(new)
    if not event.contains(tx, "commit", _remember):
        event.listen(tx, "commit", _remember)
        event.listen(tx, "rollback", _forget)


def _remember(tx: Connection) -> None:
    known: set[int] = tx.info.setdefault(_KNOWN, set())
    if len(known) > KNOWN_MAX:
        known.clear()
    known.update(tx.info.pop(_NEW, ()))


def _forget(tx: Connection) -> None:
    # One that was lost took what it knew with it.
    if not tx.invalidated:
        tx.info.pop(_NEW, None)


def condition(wanted: Mapping[str, str | None]) -> tuple[str, dict[str, Any]]:
    """SQL over `COLUMNS` that holds where every given one of *wanted* is equal, "" for none, and
    its parameters."""
    given = {name: text.key(value) for name, value in wanted.items() if value is not None}
    return " AND ".join(f"{name} = :{name}" for name in given), given


def texts(tx: Connection, kinds: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The four texts, as stored, of each of *kinds*."""
    found: dict[int, tuple[str, ...]] = {}
    for some in batches.cut(kinds, KINDS_MAX):
        # Numbers of our own.
        wanted = sql(
            f"SELECT id, {', '.join(COLUMNS)} FROM alert_kinds "  # noqa: S608
            f"WHERE id IN ({', '.join(map(str, some))})"
        )
        found |= {kind: tuple(of_kind) for kind, *of_kind in tx.execute(wanted)}
    return found


def numbers(tx: Connection, where: str, values: Mapping[str, Any], limit: int) -> list[int]:
    """At most *limit* kinds for which the SQL *where* of `condition` holds."""
    wanted = sql(f"SELECT id FROM alert_kinds WHERE {where} LIMIT :kinds_max")  # noqa: S608
    return list(tx.execute(wanted, {**values, "kinds_max": limit}).scalars())
