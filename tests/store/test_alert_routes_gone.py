"""Routes that were removed and are kept for what they owe: for the engine, and nobody else."""

import pytest

from heliograph.core.errors import Refused
from heliograph.store.state import alert_routes
from heliograph.store.state.alert_routes import RouteKept
from heliograph.store.state.lanes import Lane


@pytest.fixture
def write(state):
    """Runs a function of the state's in a write transaction of its own."""

    def run(work, *args, **kwargs):
        done = state.write(lambda tx: work(tx, *args, **kwargs), lane=Lane.CONTROL)
        return done.result(timeout=20)

    return run


def test_what_is_gone_is_loaded_and_neither_listed_nor_counted(state, write, monkeypatch):
    def create(route_id):
        return write(alert_routes.create, route_id, document=b"{}", shown=b'{"n":1}', now_ns=1)

    def page():
        found, total = state.read(alert_routes.page)
        return [one.id for one in found], total

    monkeypatch.setattr(alert_routes, "ROUTES_MAX", 2)
    assert [create("a"), create("b")] == [0, 1]
    write(alert_routes.keep, "b", b'{"owed":1}', gone=True)
    assert page() == (["a"], 1)
    assert create("c") == 1
    write(alert_routes.keep, "a", b'{"n":2}', gone=False)
    assert page() == (["a", "c"], 2)
    assert state.read(alert_routes.load) == [
        RouteKept("b", alert_routes.GONE, b'{"owed":1}'),
        RouteKept("a", 0, b'{"n":2}'),
        RouteKept("c", 1, b"{}"),
    ]
    gone = {"document": b"{}", "shown": b"{}", "now_ns": 2}
    for work in (
        lambda: state.read(lambda tx: alert_routes.one(tx, "b")),
        lambda: write(alert_routes.replace, "b", **gone),
        lambda: write(alert_routes.keep, "none", b"{}", gone=True),
    ):
        with pytest.raises(Refused) as refused:
            work()
        assert refused.value.status == 404
    write(alert_routes.remove, "b")
    assert [one.id for one in state.read(alert_routes.load)] == ["a", "c"]
