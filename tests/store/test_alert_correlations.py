"""Groups of alerts in the store: which come first, and those that are gone."""

import pytest

from heliograph.alert.changes import Changes
from heliograph.store.state import alert_correlations, alerts
from heliograph.store.state.lanes import Lane
from tests.store.test_alerts import alert, correlation


@pytest.fixture
def write(state):
    def run(work, *args):
        return state.write(lambda tx: work(tx, *args), lane=Lane.ALERTS).result(timeout=20)

    return run


@pytest.fixture
def read(state):
    return lambda work, *args: state.read(lambda tx: work(tx, *args))


def test_the_best_come_first(write, read):
    made = [alert(n) for n in range(3)]
    groups = [
        correlation(f"c{n}", *(each.id for each in made), score=score, updated_ns=updated_ns)
        for n, (score, updated_ns) in enumerate([(0.28, 9), (0.83, 1), (0.5, 2), (0.5, 3)])
    ]
    write(alerts.write, Changes(alerts=made, correlations=groups))
    found = read(alert_correlations.of, made[0].id)
    assert [one.correlation.id for one in found] == ["c1", "c3", "c2", "c0"]


def test_a_group_without_members_is_gone(write, read):
    made = [alert(n) for n in range(3)]
    ids = [each.id for each in made]
    whole, other = correlation("c1", *ids[:2]), correlation("c2", *ids[1:])
    write(alerts.write, Changes(alerts=made, correlations=[whole, other]))
    write(alerts.write, Changes(correlations=[correlation("c1", *ids), correlation("c2")]))
    assert {one.correlation.id for n in ids for one in read(alert_correlations.of, n)} == {"c1"}
    tables = alert_correlations.CORRELATIONS, alert_correlations.MEMBERS
    rows = [read(_count, table) for table in tables]
    assert rows == [1, 3]
    # What never was may be gone, too.
    write(alerts.write, Changes(correlations=[correlation("c1"), correlation("c9")]))
    assert read(alert_correlations.of, ids[0]) == []


def _count(tx, table):
    return len(tx.execute(table.select()).all())
