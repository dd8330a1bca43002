"""Long ledgers over a store that fails: each line is there once, whatever was tried before."""

from contextlib import suppress
from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Refused, Unavailable
from heliograph.service import ledger_rest
from heliograph.service.ledger_rest import ENTRIES_PER_TRANSACTION, LedgerRest
from heliograph.store.state import alerts
from tests.service.dying import START_NS
from tests.service.dying_alerts import Site

COUNT = ENTRIES_PER_TRANSACTION + 500


@pytest.mark.parametrize("fails", ["write", "note"])
def test_lines_beyond_one_transaction_are_written_once(tmp_path, monkeypatch, fails):
    site = Site(tmp_path / "data", ManualClock(START_NS), None)
    try:
        silenced = [f"n{number}" for number in range(COUNT)]
        site.silence("s")
        site.post(*silenced, muted="yes")
        failed = []
        plain = getattr(alerts, fails)

        def failing(tx, found):
            long = fails == "note" or len(found.entries) == ENTRIES_PER_TRANSACTION
            if long and len(failed) < 3:
                failed.append(found)
                raise Unavailable("no room", code="disk_full")
            plain(tx, found)

        # What `write` itself notes is part of the turn.
        note = failing if fails == "note" else alerts.note
        monkeypatch.setattr(ledger_rest, "alerts", SimpleNamespace(note=note))
        if fails == "write":
            monkeypatch.setattr(alerts, "write", failing)
        for _ in range(20):
            with suppress(Unavailable):
                site.wait(1)
        lines = site.core.state.read(
            lambda tx: tx.exec_driver_sql(
                "SELECT alert_id, integration, count(*) FROM alert_notifications "
                "WHERE kind = 'held' GROUP BY alert_id, integration"
            ).all()
        )
        assert len(failed) == 3
        assert {count for *_, count in lines} == {1}
        assert len(lines) == 2 * COUNT
        assert site.side.alerting.counts()["entries_lost"] == 0
    finally:
        site.site.close()


def test_what_keeps_lines_from_the_store_and_what_is_lost(monkeypatch):
    outcomes, kept = [], []

    def note(_, entries):
        error = outcomes.pop(0)
        if error is not None:
            raise error
        kept.extend(entries)

    state = SimpleNamespace(run=lambda work, lane: work(None))
    monkeypatch.setattr(ledger_rest, "alerts", SimpleNamespace(note=note))
    rest, size = LedgerRest(state), ENTRIES_PER_TRANSACTION
    rest.add(range(3 * size + 1))
    outcomes += [Unavailable("later"), ZeroDivisionError("a bug"), Refused("never"), None, None]

    rest.write()
    assert (len(rest), rest.lost) == (3 * size + 1, 0)
    # The bug is for the supervisor to count; the next time it is not met again.
    with pytest.raises(ZeroDivisionError):
        rest.write()
    assert (len(rest), rest.lost) == (2 * size + 1, size)
    rest.write()
    assert (len(rest), rest.lost, kept) == (0, 2 * size, [*range(2 * size, 3 * size + 1)])
