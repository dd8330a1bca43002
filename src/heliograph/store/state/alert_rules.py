"""Alert rules made over the API: a document each, and what is searched as columns.

A rule is stored as it was sent; `alert.rules` says what it means. Names are unique.
"""

from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Table, func, select

from heliograph.core.errors import Refused
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata

RULES_MAX = 2000
DOCUMENT_BYTES_MAX = 256 * 1024

RULES = Table(
    "alert_rules",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("name", KeyText, nullable=False),
    Column("source", KeyText, nullable=False),
    Column("enabled", Int64, nullable=False),
    Column("rule_type", KeyText, nullable=False),
    Column("document", Bytes, nullable=False),
    Column("created_ns", Int64, nullable=False),
    Column("updated_ns", Int64, nullable=False),
    Column("created_by", KeyText, nullable=False),
    Index(None, "name", unique=True),
    Index(None, "created_ns", "id"),
)
_C = RULES.c


class RuleRow(NamedTuple):
    """A stored rule; *document* is JSON."""

    id: str
    name: str
    source: str
    enabled: bool
    rule_type: str
    document: bytes
    created_ns: int
    updated_ns: int
    created_by: str = ""


def create(tx: Connection, rule: RuleRow) -> None:
    """Keep *rule*. Refused: its name or id is there (409), `RULES_MAX` are, the document is too
    large."""
    _check(tx, rule)
    there = tx.execute(select(func.count()).select_from(RULES)).scalar_one()
    if there >= RULES_MAX:
        raise Refused(f"{there} rules, limit {RULES_MAX}", code="limit", status=409)
    tx.execute(RULES.insert(), _values(rule))


def replace(tx: Connection, rule: RuleRow) -> None:
    """Keep *rule* in place of the one with its id, but for `created_ns` and `created_by`. What the
    old one remembers stays (`rule_states`). Refused as `create`, and 404 where there is none."""
    _check(tx, rule)
    values = _values(rule)
    for name in ("id", "created_ns", "created_by"):
        del values[name]
    if not tx.execute(RULES.update().where(_C.id == rule.id).values(values)).rowcount:
        raise _unknown(rule.id)


def remove(tx: Connection, rule_id: str) -> None:
    """Forget the rule *rule_id*, but for what it remembers. Refused (404) where there is none."""
    if not tx.execute(RULES.delete().where(_C.id == rule_id)).rowcount:
        raise _unknown(rule_id)


def load(tx: Connection) -> list[RuleRow]:
    """Every rule, oldest first: at most `RULES_MAX`."""
    return [_rule(row) for row in tx.execute(select(*_C).order_by(_C.created_ns, _C.id))]


def _check(tx: Connection, rule: RuleRow) -> None:
    if len(rule.document) > DOCUMENT_BYTES_MAX:
        raise Refused(f"{len(rule.document)} bytes, limit {DOCUMENT_BYTES_MAX}", status=413)
    taken = tx.execute(select(_C.id).where(_C.name == rule.name, _C.id != rule.id)).first()
    if taken is not None:
        raise Refused(
            f"a rule named {rule.name!r} is already there",
            field="name",
            code="conflict",
            status=409,
        )


def _values(rule: RuleRow) -> dict[str, Any]:
    return rule._asdict() | {"enabled": int(rule.enabled)}


def _unknown(rule_id: str) -> Refused:
    return Refused(f"no rule {rule_id!r}", code="not_found", status=404)


def _rule(row: Any) -> RuleRow:
    kept = RuleRow(*row)
    return kept._replace(enabled=bool(kept.enabled))
