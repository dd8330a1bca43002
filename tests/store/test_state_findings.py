"""What findings of many lines remember: put, replaced, forgotten, in order, on both engines."""

import pytest

from heliograph.store.state import findings
from heliograph.store.state.findings import Row
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State


@pytest.fixture
def state(state_url, tmp_path, clock):
    state = State.open(state_url, tmp_path, clock)
    yield state
    state.close()


def test_rows_are_put_replaced_and_forgotten(state, monkeypatch):
    monkeypatch.setattr(findings, "BATCH_MAX", 2)

    def write(work):
        state.write(work, lane=Lane.APPLIER).result()

    rows = [Row("block", f"n{n}", n, bytes([n])) for n in range(3)]
    write(lambda tx: findings.put(tx, [*rows, Row("scale", "n0", 1, b"\xff")]))
    assert state.read(findings.load_all) == [
        rows[0],
        rows[1],
        Row("scale", "n0", 1, b"\xff"),
        rows[2],
    ]
    newer = rows[0]._replace(n=9, state=b"new")
    write(lambda tx: findings.put(tx, [newer]))
    write(lambda tx: findings.delete(tx, [("block", "n1"), ("scale", "n0"), ("scale", "none")]))
    assert state.read(findings.load_all) == [rows[2], newer]
