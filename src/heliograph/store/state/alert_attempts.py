"""Attempts to deliver of late, one each whatever the alerts in it: what is known of them at a start."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from heliograph.store.state import alert_outbox
from heliograph.store.state.alert_ledger import NOTIFICATIONS

ATTEMPTS_MAX = 10_000
# Of the ledger's lines, those of an attempt.
KINDS = ("sent", "failed", "dead")
_C = NOTIFICATIONS.c


class Attempted(NamedTuple):
    """One attempt, and what came of it."""

    integration: str
    answer: str
    at_ns: int


def since(tx: Connection, start_ns: int, channels: Collection[str]) -> list[Attempted]:
    """Attempts of *channels* that ended at or after *start_ns*, newest first, `ATTEMPTS_MAX` at
    most."""
    ended_ns = func.max(_C.at_ns)
    wanted = (
        select(_C.integration, _C.answer, ended_ns)
        .where(_C.at_ns >= start_ns, _C.channel.in_(sorted(channels)), _C.kind.in_(KINDS))
        .group_by(_C.integration, _C.key, _C.attempt, _C.answer)
        .order_by(ended_ns.desc())
        .limit(ATTEMPTS_MAX)
    )
    return [Attempted(*row) for row in tx.execute(wanted)]


def in_flight(tx: Connection) -> list[str]:
    """The integration of each message of which an attempt has begun and has not ended."""
    return [one.integration for one in alert_outbox.load(tx) if one.in_flight]
