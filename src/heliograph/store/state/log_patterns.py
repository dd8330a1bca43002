"""The site's own patterns for log lines, made over the API, and how often each pattern hit.

A pattern is stored as the document that was sent; `training.site` says what it means. Names are
unique. Hits are by name, for patterns of the configuration have them too. Every function that changes
patterns bumps the version `log_patterns` in the same transaction:

    versions.get(tx, log_patterns.VERSION)        # differs: load again
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Index, Table, case, delete, func, select

from heliograph.core.errors import Refused
from heliograph.store.state import batches, versions
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

VERSION = "log_patterns"
PATTERNS_MAX = 500
DOCUMENT_BYTES_MAX = 16 * 1024
# Counts that one statement adds.
BATCH_MAX = 200

PATTERNS = Table(
    "log_patterns",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("name", KeyText, nullable=False),
    Column("document", Bytes, nullable=False),
    Column("created_ns", Int64, nullable=False),
    Column("updated_ns", Int64, nullable=False),
    Column("created_by", KeyText, nullable=False),
    Index(None, "name", unique=True),
    Index(None, "created_ns", "id"),
)
HITS = Table(
    "log_pattern_hits",
    metadata,
    Column("name", KeyText, primary_key=True),
    Column("hits", Int64, nullable=False),
    Column("last_ns", Int64, nullable=False),
)
_C = PATTERNS.c


class PatternRow(NamedTuple):
    """A stored pattern; *document* is JSON."""

    id: str
    name: str
    document: bytes
    created_ns: int
    updated_ns: int
    created_by: str = ""


class Hits(NamedTuple):
    """How many lines a pattern hit, and the latest time of one."""

    hits: int
    last_ns: int


def create(tx: Connection, row: PatternRow) -> None:
    """Keep *row*. Refused: its name is there (409), `PATTERNS_MAX` are, the document is too large."""
    _check(tx, row)
    there = tx.execute(select(func.count()).select_from(PATTERNS)).scalar_one()
    if there >= PATTERNS_MAX:
        raise Refused(f"{there} patterns, limit {PATTERNS_MAX}", code="limit", status=409)
    tx.execute(PATTERNS.insert(), row._asdict())
    versions.bump(tx, VERSION)


def replace(tx: Connection, row: PatternRow) -> None:
    """Keep *row* in place of the one with its id, but for `created_ns` and `created_by`; under
    another name its hits begin anew. Refused as `create`, and 404 where there is none."""
    _check(tx, row)
    before = tx.execute(select(_C.name).where(_C.id == row.id)).scalar()
    if before is None:
        raise _unknown(row.id)
    values = row._asdict()
    for name in ("id", "created_ns", "created_by"):
        del values[name]
    tx.execute(PATTERNS.update().where(_C.id == row.id).values(values))
    if before != row.name:
        tx.execute(delete(HITS).where(HITS.c.name == before))
    versions.bump(tx, VERSION)


def remove(tx: Connection, pattern_id: str) -> None:
    """Forget the pattern *pattern_id* and its hits. Refused (404) where there is none."""
    name = tx.execute(select(_C.name).where(_C.id == pattern_id)).scalar()
    if name is None:
        raise _unknown(pattern_id)
    tx.execute(delete(PATTERNS).where(_C.id == pattern_id))
    tx.execute(delete(HITS).where(HITS.c.name == name))
    versions.bump(tx, VERSION)


def load(tx: Connection) -> list[PatternRow]:
    """Every pattern, oldest first: at most `PATTERNS_MAX`."""
    rows = tx.execute(select(*_C).order_by(_C.created_ns, _C.id))
    return [PatternRow(*row)._replace(document=bytes(row.document)) for row in rows]


def add_hits(tx: Connection, counts: Sequence[tuple[str, int, int]]) -> None:
    """Add to what is counted: (name, hits, time of the latest) each."""
    for some in batches.cut(counts, BATCH_MAX):
        put = insert(tx, HITS)
        later = HITS.c.last_ns > put.excluded.last_ns
        latest = case((later, HITS.c.last_ns), else_=put.excluded.last_ns)
        tx.execute(
            put.on_conflict_do_update(
                index_elements=["name"],
                set_={"hits": HITS.c.hits + put.excluded.hits, "last_ns": latest},
            ),
            [{"name": name, "hits": hits, "last_ns": at_ns} for name, hits, at_ns in some],
        )


def hits(tx: Connection) -> dict[str, Hits]:
    """What is counted, by name."""
    rows = tx.execute(select(HITS.c.name, HITS.c.hits, HITS.c.last_ns))
    return {row.name: Hits(row.hits, row.last_ns) for row in rows}


def keep_hits(tx: Connection, names: Sequence[str]) -> None:
    """Forget the hits of all but *names*: of patterns that the configuration no longer has."""
    tx.execute(delete(HITS).where(HITS.c.name.not_in(list(names))))


def _check(tx: Connection, row: PatternRow) -> None:
    if len(row.document) > DOCUMENT_BYTES_MAX:
        raise Refused(f"{len(row.document)} bytes, limit {DOCUMENT_BYTES_MAX}", status=413)
    taken = tx.execute(select(_C.id).where(_C.name == row.name, _C.id != row.id)).first()
    if taken is not None:
        raise name_taken(row.name)


def name_taken(name: str) -> Refused:
    """The refusal of a second pattern of that *name*."""
    return Refused(
        f"a pattern named {name[:100]!r} is already there",
        field="name",
        code="conflict",
        status=409,
    )


def _unknown(pattern_id: str) -> Refused:
    return Refused(f"no pattern {pattern_id[:100]!r}", code="not_found", status=404)
