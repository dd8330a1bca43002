"""All that the alert engine changes in one transaction, and all that it needs to start again.

    state.write(lambda tx: alerts.write(tx, changes), lane=Lane.ALERTS)
    kept = state.read(lambda tx: alerts.load(tx))

The tables are one module each (`alert_*`); here they are put together.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection
from sqlalchemy import text as sql

from heliograph.alert.changes import Changes, Kept
from heliograph.alert.model import Alert, Entry
from heliograph.store.state import (
    alert_correlations,
    alert_counts,
    alert_events,
    alert_groups,
    alert_ledger,
    alert_outbox,
    alert_silences,
    batches,
    meta,
)

# Episodes that one call of `archive` may take (20 ms on the writer).
LEAVING_ENTRIES = 200
ARCHIVE_MAX = 60
# How long before the store was last whole an episode may have ended, or come, and still be loaded.
RECENT_NS = 3_600_000_000_000
# The row of `meta` that holds `alive_ns`.
ALIVE = "alerts_alive_ns"


def write(tx: Connection, changes: Changes) -> None:
    """Keep all of *changes*, in pieces of each table's `BATCH_MAX`; the caller sees to it that
    they are few enough for 20 ms: some 400 alerts.

    What is gone goes first; with `alive_ns`, at most `CLOSE_MAX` episodes that ended by then are
    closed, and statistics that wait are folded in. Writing the same again changes nothing, but for
    `statistics`, which are added: a transaction is all or nothing, so a step that failed is
    written whole once more.
    """
    alert_outbox.remove(tx, changes.outbox_gone)
    alert_groups.delete_told(tx, changes.told_gone)
    alert_groups.delete_groups(tx, changes.groups_gone)
    for alerts in batches.cut(changes.alerts, alert_events.BATCH_MAX):
        alert_events.put(tx, alerts)
    checkpoint(tx, changes.moved)
    for groups in batches.cut(changes.groups, alert_groups.BATCH_MAX):
        alert_groups.put_groups(tx, groups)
    for told in batches.cut(changes.told, alert_groups.BATCH_MAX):
        alert_groups.put_told(tx, told)
    for outgoing in batches.cut(changes.outbox, alert_groups.BATCH_MAX):
        alert_outbox.put(tx, outgoing)
    note(tx, changes.entries)
    for correlations in batches.cut(changes.correlations, alert_correlations.BATCH_MAX):
        alert_correlations.put(tx, correlations)
    alert_counts.note(tx, changes.statistics)
    for silences in batches.cut(changes.silences, alert_silences.BATCH_MAX):
        alert_silences.put(tx, silences)
    if changes.alive_ns and changes.alive_ns > _alive_ns(tx):
        meta.put(tx, ALIVE, str(changes.alive_ns))
        # What ended by then and was not moved just now is over, whoever noticed.
        alert_events.close(tx, changes.alive_ns)
        alert_counts.fold(tx)


def note(tx: Connection, entries: Sequence[Entry]) -> None:
    """Keep lines of the ledger."""
    for some in batches.cut(entries, alert_ledger.BATCH_MAX):
        alert_ledger.add(tx, some)


def checkpoint(tx: Connection, moved: Sequence[tuple[str, int | None, int, int]]) -> None:
    """Keep (id, `ends_ns`, `updated_ns`, `count`) of repeated episodes; unknown ids are left out."""
    for some in batches.cut(moved, alert_events.BATCH_MAX):
        alert_events.move(tx, some)


def load(tx: Connection) -> Kept:
    """What the engine starts from; the documents of alerts are b""."""
    alive_ns = _alive_ns(tx)
    groups, told = alert_groups.load(tx)
    outbox = alert_outbox.load(tx)
    alerts: dict[str, Alert] = {
        alert.id: alert for alert in alert_events.select(tx, "is_open = 1", {})
    }
    since_ns = max(0, alive_ns - RECENT_NS)
    # Ids begin with when they were made: what was over when it came is known by that alone. One
    # question for both would look at all there are.
    for recently, since in (
        ("ends_ns > :since", since_ns),
        ("id > :since", f"{since_ns:016x}"),
    ):
        recent = alert_events.select(tx, f"is_open = 0 AND {recently}", {"since": since})
        alerts |= {alert.id: alert for alert in recent}
    named = {each for t in told for each in (*t.firing, *t.maybe)}
    named |= {each for o in outbox for each in (*o.firing, *o.resolved)}
    alerts |= {alert.id: alert for alert in alert_events.many(tx, named - alerts.keys())}
    return Kept(
        alerts=list(alerts.values()),
        groups=groups,
        told=told,
        outbox=outbox,
        silences=alert_silences.load(tx),
        alive_ns=alive_ns,
    )


def leaving(
    tx: Connection, before_ns: int, limit: int = ARCHIVE_MAX
) -> list[tuple[Alert, list[Entry]]]:
    """The episodes that ended before *before_ns*, oldest first, at most *limit*: whole, with the newest
    `LEAVING_ENTRIES` lines of their ledger."""
    found = alert_events.many(tx, _oldest(tx, before_ns, limit), documents=True)
    return [
        (
            alert,
            alert_ledger.page(
                tx, alert_ledger.Filters(alert_id=alert.id), limit=LEAVING_ENTRIES
            )[0],
        )
        for alert in found
    ]


def archive(
    tx: Connection,
    before_ns: int,
    limit: int = ARCHIVE_MAX,
    *,
    only: Collection[str] | None = None,
) -> int:
    """Delete at most *limit* episodes that ended before *before_ns*, oldest first, with their
    ledger and their places in correlations; return how many rows went or were closed. *only* those
    ids, where it is given: what came to an end in between has not been written elsewhere.

    Call it again, in another transaction, until it returns 0. Statistics stay. Then lines of the
    ledger that are older, of episodes that still fire.
    """
    assert limit <= ARCHIVE_MAX
    if closed := alert_events.close(tx, before_ns):
        return closed
    ids = [one for one in _oldest(tx, before_ns, limit) if only is None or one in only]
    if not ids:
        return alert_ledger.prune(tx, before_ns)
    lines = alert_ledger.forget(tx, ids)
    if lines == alert_ledger.BATCH_MAX:
        return lines
    alert_correlations.forget(tx, ids)
    return lines + alert_events.delete(tx, ids)


def _oldest(tx: Connection, before_ns: int, limit: int) -> list[str]:
    oldest = sql(
        "SELECT id FROM alert_events WHERE is_open = 0 AND ends_ns < :before "
        "ORDER BY ends_ns LIMIT :limit"
    )
    return list(tx.execute(oldest, {"before": before_ns, "limit": limit}).scalars())


def _alive_ns(tx: Connection) -> int:
    return int(meta.get(tx, ALIVE) or 0)
