"""The series table: one id per labels, a limit, forgetting, and many threads at once."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels
from heliograph.core.series import SeriesTable


def packed(number):
    return labels.pack(labels.of({"n": str(number)}))


def table(count, *, limit=100):
    made = SeriesTable(limit)
    assert [made.intern(packed(n)) for n in range(count)] == list(range(count))
    return made


def test_equal_labels_have_one_id_and_ids_name_their_labels():
    made = table(3)

    assert made.intern(packed(1)) == 1
    assert (made.packed(1), made.labels(1), len(made)) == (packed(1), (("n", "1"),), 3)


def test_a_full_table_gives_no_new_ids_but_knows_the_old():
    made = table(2, limit=2)

    assert made.intern(packed(2)) is None
    assert made.intern(packed(1)) == 1
    assert len(made) == 2


def test_replay_goes_beyond_the_limit():
    made = table(2, limit=2)

    assert made.intern(packed(2), beyond_limit=True) == 2
    assert made.intern(packed(3)) is None


def test_a_table_for_nothing_holds_nothing():
    assert SeriesTable(0).intern(packed(0)) is None


FORGETTING = [
    # case                                seen at   in use    forgotten
    ("just before the limit goes", 99, frozenset(), 1),
    ("at the limit stays", 100, frozenset(), 0),
    ("idle but in use stays", 99, frozenset({0}), 0),
    ("another in use does not help", 99, frozenset({1}), 1),
    ("never touched stays", None, frozenset(), 0),
]


@pytest.mark.parametrize(
    ("seen_ns", "in_use", "count"), [pytest.param(*row, id=case) for case, *row in FORGETTING]
)
def test_forget(seen_ns, in_use, count):
    made = table(1)
    if seen_ns is not None:
        made.touch([0], seen_ns)

    assert made.forget(idle_since_ns=100, in_use=in_use) == count
    assert (len(made), made.generation) == (1 - count, count)


def test_what_is_forgotten_is_missed_and_comes_back_under_another_id():
    made = table(2, limit=2)
    made.touch([0, 1], 5)

    assert made.forget(idle_since_ns=6, in_use=frozenset({1})) == 1
    with pytest.raises(KeyError):
        made.packed(0)
    with pytest.raises(KeyError):
        made.labels(0)
    assert made.intern(packed(0)) == 2
    assert made.intern(packed(9)) is None


def test_a_later_touch_keeps_a_series():
    made = table(1)
    made.touch([0], 5)
    made.touch([0], 50)

    assert made.forget(idle_since_ns=50, in_use=frozenset()) == 0


def test_forgetting_nothing_leaves_caches_valid():
    made = table(2)
    made.touch([0, 1], 5)

    made.forget(idle_since_ns=5, in_use=frozenset())
    assert made.generation == 0
    made.forget(idle_since_ns=6, in_use=frozenset())
    made.forget(idle_since_ns=6, in_use=frozenset())
    assert made.generation == 1


def test_touching_what_was_forgotten_harms_nobody():
    made = table(1)
    made.touch([0], 1)
    made.forget(idle_since_ns=2, in_use=frozenset())

    made.touch([0], 3)
    assert made.forget(idle_since_ns=4, in_use=frozenset()) in {0, 1}
    assert (len(made), made.intern(packed(0))) == (0, 1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("intern"), st.integers(0, 5)),
            st.tuples(st.just("touch"), st.integers(0, 20)),
            st.tuples(st.just("forget"), st.integers(0, 20)),
        ),
        max_size=40,
    )
)
def test_an_id_is_never_given_twice(steps):
    made, given_to = SeriesTable(4), {}
    for step, number in steps:
        if step == "intern":
            series = made.intern(packed(number))
            if series is not None:
                assert given_to.setdefault(series, packed(number)) == packed(number)
                assert made.packed(series) == packed(number)
        elif step == "touch":
            made.touch(list(given_to), number)
        else:
            made.forget(idle_since_ns=number, in_use=frozenset())
        assert len(made) <= 4


def test_threads_agree_on_ids_and_keep_the_limit():
    made, barrier = SeriesTable(500), threading.Barrier(8)
    seen = [None] * 8

    def run(slot):
        barrier.wait()
        seen[slot] = [made.intern(packed(n)) for n in range(600)]

    threads = [threading.Thread(target=run, args=(slot,)) for slot in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 500
    given_ids = {n: {ids[n] for ids in seen} - {None} for n in range(600)}
    assert max(map(len, given_ids.values())) == 1
    assert sorted(one for ids in given_ids.values() for one in ids) == list(range(500))
