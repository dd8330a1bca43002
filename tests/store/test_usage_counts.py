"""Usage counts in both engines: joined by their strategy, none lost by posts at once."""

import threading

import pytest

from heliograph.store.state import usage
from heliograph.store.state.lanes import Lane
from heliograph.store.state.usage import UsageCount


def one(name, value, strategy="sum", at_ns=1, builder="labeled", labels=(("a", 'x"\n\x00'),)):
    return UsageCount(
        f"id-{name}", builder, name, labels, f"{name}{{}}", strategy, value, at_ns
    )


def written(state, work):
    return state.write(work, lane=Lane.CONTROL).result()


def everything(state):
    return state.read(lambda tx: usage.page(tx, offset=0, limit=100))


def test_counts_are_joined_as_their_strategy_says(state):
    first = [one("s", 2.0), one("m", 5.0, "max"), one("l", 5.0, "last")]
    again = [one("s", 0.5, at_ns=9), one("m", 4.0, "max", 9), one("l", 4.0, "last", 9)]
    assert written(state, lambda tx: usage.join(tx, first)) == {
        "id-s": 2.0, "id-m": 5.0, "id-l": 5.0,
    }  # fmt: skip
    joined = {"id-s": 2.5, "id-m": 5.0, "id-l": 4.0}
    assert written(state, lambda tx: usage.join(tx, again)) == joined
    items, total = everything(state)
    assert total == 3
    assert {item.id: item.value for item in items} == joined
    assert items[0] == one("l", 4.0, "last", 9)
    assert state.read(usage.updated_ns) == 9
    assert state.read(usage.count) == 3
    assert state.read(lambda tx: usage.known(tx, ["id-s", "id-t"])) == {"id-s"}
    assert state.read(lambda tx: usage.of_ids(tx, ["id-m"])) == [one("m", 5.0, "max", 9)]


def test_posts_at_once_lose_nothing(state):
    def post():
        for _ in range(20):
            written(state, lambda tx: usage.join(tx, [one("s", 1.0), one("t", 1.0)]))

    threads = [threading.Thread(target=post) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items, _ = everything(state)
    assert {item.id: item.value for item in items} == {"id-s": 100.0, "id-t": 100.0}


def test_a_transaction_that_fails_counts_nothing(state):
    def failing(tx):
        usage.join(tx, [one("s", 1.0)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        written(state, failing)
    assert everything(state) == ([], 0)


def test_old_days_leave_and_the_rest_stays(state):
    days = [one(f"d{n}", 1.0, at_ns=n, builder="time") for n in range(4)]
    written(state, lambda tx: usage.join(tx, [*days, one("s", 1.0, at_ns=0)]))
    assert written(state, lambda tx: usage.prune(tx, "time", 2)) == 2
    assert [item.id for item in everything(state)[0]] == ["id-s", "id-d2", "id-d3"]
