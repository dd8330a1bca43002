"""Which schema is stored, and how it becomes ours.

The stored revision is the one row of `alembic_version`. A new database is made from the tables in
one transaction, without Alembic (a third of a second to import); one that is at `HEAD` is left as
it is; an older one goes through `migrations/`, in one transaction too, so that `kill -9` leaves
the old schema or the new. One that we do not know is refused: it was written by a newer version.
"""

import uuid
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from heliograph.core.errors import ConfigError
from heliograph.store.state import catalogue, meta

MIGRATIONS = Path(__file__).parent / "migrations"
# `r0001_first.py` is revision 0001.
KNOWN = tuple(sorted(p.name[1:5] for p in (MIGRATIONS / "versions").glob("r[0-9]*.py")))
HEAD = KNOWN[-1]
# Any number: it names our lock among those of one PostgreSQL.
_MIGRATION_LOCK = 0x48454C494F


def stored(tx: Connection) -> str | None:
    """The revision of the database, or None when it is new."""
    if not inspect(tx).has_table("alembic_version"):
        return None
    return tx.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def check(revision: str | None) -> None:
    """ConfigError in words when *revision* is not one of ours."""
    if revision is not None and revision not in KNOWN:
        raise ConfigError(
            f"the state has schema {revision} and this version of heliograph knows schemas up to "
            f"{HEAD}: it was written by a newer version; start that one, or restore a backup"
        )


def bring_to_head(tx: Connection, now_ns: int) -> None:
    """Create or upgrade the schema within *tx*; nothing happens when it is at `HEAD`."""
    if tx.dialect.name == "postgresql":
        # Two replicas may start at once; the second waits here and then finds it done.
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    revision = stored(tx)
    check(revision)
    if revision is None:
        _create(tx, now_ns)
    elif revision != HEAD:
        migrate(tx)


def migrate(tx: Connection) -> None:
    """Run every migration that *tx*'s database has not had, within *tx*."""
    # Imported late: 0.2 s that only an upgrade pays for.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def _create(tx: Connection, now_ns: int) -> None:
    catalogue.metadata.create_all(tx, checkfirst=False)
    # As Alembic makes it.
    tx.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    tx.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})
    meta.put(tx, meta.INSTANCE_ID, uuid.uuid4().hex)
    meta.put(tx, meta.CREATED_NS, str(now_ns))
