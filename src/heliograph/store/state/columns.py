"""What every table is made of: the one schema, and column types that no sender's value can break.

Instants and counts are signed 64-bit on both engines; a number outside is Refused here, by us,
because SQLite and PostgreSQL would say it in two different ways.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    event,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from heliograph.core.errors import Refused
from heliograph.store.state import text

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
)
Bytes = LargeBinary


@event.listens_for(metadata, "before_create")
def _say_where_to_postgresql(schema: MetaData, tx: Connection, **_: Any) -> None:
    """Have indexes of some rows only be so on PostgreSQL too: they name SQLite alone, because who
    names an engine loads its dialect, and PostgreSQL's is 3 MB that most do without."""
    if tx.dialect.name == "postgresql":
        for table in schema.tables.values():
            for index in table.indexes:
                where = index.dialect_options["sqlite"]["where"]
                if where is not None:
                    index.dialect_kwargs["postgresql_where"] = where


def serial(name: str) -> Column[int]:
    """The primary key *name*: a number that grows with each row, given by the engine."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    return Column(name, number, Identity(always=False), primary_key=True)


class Int64(TypeDecorator[int]):
    """A signed 64-bit integer. Refused outside its range."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """*value* as it is, when it fits."""
        del dialect
        if value is not None and not INT64_MIN <= value <= INT64_MAX:
            raise Refused(f"{value} is outside 64 bits", code="out_of_range")
        return value


class AnyText(TypeDecorator[str]):
    """Any text, NUL and lone surrogates included; not part of an index."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """*value* as both engines keep it."""
        del dialect
        return None if value is None else text.storable(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """*value* as it was given."""
        del dialect
        return None if value is None else text.original(value)


class KeyText(AnyText):
    """Any text, as part of an index: long text folds (see `text.key`).

    Ordered by code point on both engines; PostgreSQL's default order is the server's language.
    """

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text, whose order PostgreSQL must be told."""
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(Text(collation=collation))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """*value* as both engines keep and index it."""
        del dialect
        return None if value is None else text.key(value)
