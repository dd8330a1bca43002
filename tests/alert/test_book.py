"""The book of episodes: it grows a column a turn, and says what was put in whatever happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from heliograph.alert.engine import book
from heliograph.alert.engine.book import Book
from heliograph.alert.model import Alert


def episode(n):
    labels = (("alertname", f"A{n % 7}"), ("n", str(n)))
    return Alert(f"{n:020}", f"{n:032x}", "metric", labels, (), n, None, False, n, n)


def sizes(one):
    return [len(column) for column in one._into[:12]]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(book, "_GROWTH", 16)
    monkeypatch.setattr(book, "_AHEAD", 32)


@pytest.mark.usefixtures("small")
def test_a_large_book_grows_a_column_a_turn():
    one = Book()
    n = most = 0
    for _ in range(1000):
        before = sizes(one)
        one.add([episode(n)], [n])
        assert before[10] <= 128 or sizes(one) == before, "an alert waited for a growth"
        n += 1
        one.commit()
        if before[10] > 128:
            grown = sum(a != b for a, b in zip(before, sizes(one), strict=True))
            # What makes new slots usable is two: the flags, and the ids.
            most = max(most, grown)
    assert most == 2
    assert [one.ids[slot] for slot in one] == [f"{k:020}" for k in range(n)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["commit", "commit", "abort"]), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 200)),
    ),
    max_size=60,
)


@pytest.mark.usefixtures("small")
@settings(deadline=None)
@given(steps)
def test_what_grows_by_steps_says_what_was_put_in(some):
    one = Book()
    known, new, n = {}, {}, 0
    for step, count in some:
        if step == "add":
            made = [episode(n + k) for k in range(count)]
            one.add(made, [0] * count)
            new.update((each.id, each) for each in made)
            n += count
        elif step == "commit":
            one.commit()
            known, new = known | new, {}
        elif step == "abort":
            assert sorted(one.abort()[0]) == sorted(new)
            new = {}
        elif known and not new:
            gone = sorted(known)[count % len(known)]
            one.forget(one.slot(gone))
            del known[gone]
        there = known | new
        assert [one.ids[slot] for slot in one] == sorted(there)
        assert len(one) == len(there) == one.firing
    for each in (known | new).values():
        slot = one.slot(each.id)
        assert one.latest(each.fingerprint) == slot
        assert one.view(slot) == replace(each, raw=b"", enriched=b"")
        assert slot in set(one.carrying([("n", str(each.starts_ns))]))
    assert one.due(2**62, 10_000) == []
