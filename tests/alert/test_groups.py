"""Rows, groups and pairs on their own: what they put back, and when a group is looked at."""

from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert.engine.groups import Groups, Place, first_flush_ns
from heliograph.alert.engine.pairs import WIDTH, Pairs
from heliograph.alert.engine.rows import Rows
from heliograph.alert.routes import Route
from heliograph.kernels.alert_columns import hash_of

ROUTE = Route("file", "all", group_wait_ns=10)
FIRST_FLUSHES = [
    ("a new alert waits", 100, 100, 0, 110),
    ("one that is just as old as the wait waits on", 100, 90, 0, 110),
    ("an older one does not", 100, 89, 0, 100),
    ("but for what inhibits it to come", 100, 50, 105, 105),
    ("and never longer than a new one", 100, 50, 200, 110),
]


def test_first_flush():
    for name, now, starts, opens, wanted in FIRST_FLUSHES:
        assert first_flush_ns(now, starts, 10, opens) == wanted, name


def test_rows_know_what_changed_and_the_way_back():
    rows = Rows({"a": 1, "b": 2}.items())
    rows.put("a", 3)
    rows.put("c", 4)
    rows.drop("b")
    rows.put("d", 5)
    rows.drop("d")
    assert (rows.written(), rows.gone()) == ([3, 4], ["b"])
    rows.abort()
    assert dict(rows.items()) == {"a": 1, "b": 2}
    assert (rows.written(), rows.gone(), rows.touched()) == ([], [], [])
    rows.put("a", 9)
    rows.commit()
    rows.abort()
    assert rows.get("a") == 9


keys = st.sampled_from(["g1", "g2", "g3"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("join"), keys, st.integers(0, 5)),
        st.tuples(st.just("leave"), keys, st.sets(st.integers(0, 5))),
        st.tuples(st.just("drop"), keys),
        st.tuples(st.just("timer"), keys, st.integers(0, 50)),
        st.tuples(st.just("commit")),
    ),
    max_size=20,
)


def run(groups, operation):
    match operation:
        case ("join", key, slot):
            if slot not in list(groups.members(key)):
                place = Place(ROUTE, key, ())
                groups.join([(place, [slot])], [100] * 6, now_ns=100, started_ns=-10)
        case ("leave", key, slots):
            if key in groups.rows:
                groups.leave(key, slots)
        case ("drop", key):
            if key in groups.rows:
                groups.drop(key)
        case ("timer", key, at_ns):
            if key in groups.rows:
                groups.set_timer(key, at_ns)
        case ("commit",):
            groups.commit()


def seen(groups):
    return {
        key: (groups.rows.get(key), list(groups.members(key)), groups.timer_ns(key))
        for key in groups.rows
    }


@given(operations, operations)
def test_groups_put_back_what_there_was(before, after):
    groups = Groups()
    for operation in before:
        run(groups, operation)
    groups.commit()
    kept = seen(groups)
    for operation in after:
        if operation != ("commit",):
            run(groups, operation)
    groups.abort()

    assert seen(groups) == kept
    timers = sorted((at_ns, key) for key, (_, _, at_ns) in kept.items())
    found = []
    while (key := groups.due(10**6)) is not None:
        found.append((groups.timer_ns(key), key))
        groups.drop(key)
    assert found == timers


pairs = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), max_size=30, unique=True
)


@given(st.lists(pairs, min_size=1, max_size=8), st.lists(pairs, min_size=1, max_size=8), pairs)
def test_pairs_find_every_slot_that_carries_them(first, second, wanted):
    index = Pairs()
    index.grow(8)
    carried = dict(enumerate(first)) | dict(enumerate(second))
    for rows in (first, second):
        for slot, row in enumerate(rows):
            index.put(slot, row)
    wanted = wanted or [("a", "x")]

    # Hashes of two pairs may be one: found is what carries them, and perhaps what seems to.
    asked = {hash_of(pair) for pair in wanted}
    assert index.slots(wanted) == [
        slot for slot, row in sorted(carried.items()) if asked <= set(map(hash_of, row))
    ]
    assert WIDTH < 24
