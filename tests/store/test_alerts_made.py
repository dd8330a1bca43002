"""What people make over the API, on both engines: rules and what they remember, routes."""

import pytest

from heliograph.core.errors import Refused
from heliograph.store.state import alert_routes, alert_rules, rule_states
from heliograph.store.state.alert_routes import RouteKept, RouteShown
from heliograph.store.state.alert_rules import RuleRow
from heliograph.store.state.lanes import Lane


@pytest.fixture
def write(state):
    """Runs a function of the state's in a write transaction of its own."""

    def run(work, *args, **kwargs):
        done = state.write(lambda tx: work(tx, *args, **kwargs), lane=Lane.CONTROL)
        return done.result(timeout=20)

    return run


@pytest.fixture
def read(state):
    return lambda work, *args, **kwargs: state.read(lambda tx: work(tx, *args, **kwargs))


def refused(status, work, *args, **kwargs):
    with pytest.raises(Refused) as told:
        work(*args, **kwargs)
    assert told.value.status == status
    return told.value


def rule(n, **more):
    given = {"name": f"rule {n}", "source": "log", "enabled": True, "rule_type": "pattern"}
    given |= {"document": b'{"n":%d}' % n, "created_ns": n, "updated_ns": n, "created_by": "me"}
    return RuleRow(id=f"r-{n}", **{**given, **more})


def test_rules_are_kept_by_id_and_unique_by_name(write, read):
    made = [rule(0), rule(1, source="metric"), rule(2, enabled=False)]
    for each in made:
        write(alert_rules.create, each)
    assert read(alert_rules.load) == made

    told = refused(409, write, alert_rules.create, rule(9, name="rule 1"))
    assert (told.field, told.code) == ("name", "conflict")
    assert refused(409, write, alert_rules.create, rule(1, name="other")).code == "conflict"
    assert refused(409, write, alert_rules.replace, rule(0, name="rule 1")).field == "name"

    changed = rule(0, name="renamed", enabled=False, updated_ns=50)
    write(alert_rules.replace, changed._replace(created_ns=77, created_by="you"))
    assert read(alert_rules.load)[0] == changed
    write(alert_rules.replace, changed)
    write(alert_rules.remove, "r-0")
    write(alert_rules.create, rule(4, name="renamed"))
    for work, gone in ((alert_rules.replace, rule(0)), (alert_rules.remove, "r-0")):
        assert refused(404, write, work, gone).code == "not_found"


def test_rules_are_bounded(write, monkeypatch):
    monkeypatch.setattr(alert_rules, "RULES_MAX", 2)
    monkeypatch.setattr(alert_rules, "DOCUMENT_BYTES_MAX", 8)
    write(alert_rules.create, rule(0))
    refused(413, write, alert_rules.create, rule(1, document=b"x" * 9))
    write(alert_rules.create, rule(1))
    assert refused(409, write, alert_rules.create, rule(2)).code == "limit"


def test_what_a_rule_remembers_is_kept_by_key(write, read, monkeypatch):
    for n in range(3):
        write(alert_rules.create, rule(n))
    first = [("r-0", "", b"\x00a"), ("r-1", "pod a", b"b"), ("r-1", "pod b", b"x")]
    write(rule_states.put, [*first, ("built-in", "", b"")], now_ns=1)
    write(
        rule_states.put,
        [
            ("r-1", "pod b", b"y"),
            ("r-1", "pod a", b"c"),
            ("r-2", "", b"d"),
            ("r-1", "pod b", None),
        ],
        now_ns=2,
    )
    assert sorted(read(rule_states.load)) == [
        *(("built-in", "", b""), ("r-0", "", b"\x00a")),
        *(("r-1", "pod a", b"c"), ("r-2", "", b"d")),
    ]
    before = read(rule_states.load)
    write(alert_rules.replace, rule(0, enabled=False))
    write(alert_rules.remove, "r-1")
    assert read(rule_states.load) == before
    write(
        rule_states.put,
        [(rule_id, key, None) for rule_id, key, _ in before if rule_id != "r-2"],
        now_ns=3,
    )
    assert read(rule_states.load) == [("r-2", "", b"d")]
    monkeypatch.setattr(rule_states, "STATE_BYTES_MAX", 2)
    refused(400, write, rule_states.put, [("r-2", "", b"xxx"), ("r-0", "", b"")], now_ns=3)
    assert read(rule_states.load) == [("r-2", "", b"d")]


def test_routes_keep_their_order_and_their_secrets(write, read):
    def create(id_, n):
        return write(
            alert_routes.create,
            id_,
            document=b'{"secret":%d}' % n,
            shown=b'{"n":%d}' % n,
            now_ns=n,
        )

    assert [create("a", 1), create("c", 2), create("b", 3)] == [0, 1, 2]
    shown = [
        RouteShown("a", 0, b'{"n":1}', 1, 1),
        RouteShown("c", 1, b'{"n":2}', 2, 2),
        RouteShown("b", 2, b'{"n":3}', 3, 3),
    ]
    assert read(alert_routes.page) == (shown, 3)
    assert read(alert_routes.page, offset=1, limit=1) == (shown[1:2], 3)
    assert read(alert_routes.one, "b") == shown[2]
    assert b"secret" not in repr(read(alert_routes.page)).encode()
    assert read(alert_routes.load)[0] == RouteKept("a", 0, b'{"secret":1}')

    write(alert_routes.replace, "a", document=b"{}", shown=b"[]", now_ns=9)
    assert read(alert_routes.page)[0][0] == RouteShown("a", 0, b"[]", 1, 9)
    assert refused(409, create, "a", 1).code == "conflict"
    write(alert_routes.remove, "a")
    gone = {"document": b"", "shown": b"", "now_ns": 1}
    refused(404, write, alert_routes.replace, "a", **gone)
    refused(404, write, alert_routes.remove, "a")
    refused(404, read, alert_routes.one, "a")


def test_routes_are_bounded(write, monkeypatch):
    monkeypatch.setattr(alert_routes, "ROUTES_MAX", 1)
    monkeypatch.setattr(alert_routes, "DOCUMENT_BYTES_MAX", 8)
    given = {"document": b"{}", "shown": b"{}", "now_ns": 1}
    refused(413, write, alert_routes.create, "a", **{**given, "document": b"x" * 9})
    write(alert_routes.create, "a", **given)
    assert refused(409, write, alert_routes.create, "b", **given).code == "limit"
