import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert.engine import pages
from heliograph.alert.engine.pages import LEFT_MIN, PAGE, SIZE_BYTES_MAX, Pages

SLOTS = 3 * PAGE


def piece(n):
    return b"what alert %d is, and the same words again " % n * 3


@pytest.fixture
def full():
    some = Pages()
    some.grow(SLOTS)
    for slot in range(SLOTS):
        some.put(slot, piece(slot))
    some.pack()
    return some


def held(some):
    return [some.get(slot) for slot in range(SLOTS)]


def paged(some):
    return sum(not isinstance(one, bytes) for one in some._held)


def test_what_is_packed_is_read_back(full):
    assert paged(full) == SLOTS
    assert held(full) == [piece(n) for n in range(SLOTS)]


def test_less_than_a_page_waits():
    some = Pages()
    some.grow(PAGE)
    for slot in range(PAGE - 1):
        some.put(slot, piece(slot))
        some.put(slot, piece(slot + 1))
    some.pack()
    assert paged(some) == 0

    some.put(PAGE - 1, piece(0))
    some.pack()
    assert paged(some) == PAGE
    assert some.get(PAGE - 1) == piece(0)
    assert some._waiting == []


def test_a_large_piece_stays_as_it_is(full):
    large = b"x" * (SIZE_BYTES_MAX + 1)
    full.put(5, large)
    full.pack()

    assert full.get(5) == large
    assert paged(full) == SLOTS - 1
    assert full._waiting == []


def test_a_page_of_which_few_are_left_is_given_up(full):
    for slot in range(PAGE - LEFT_MIN):
        full.put(slot, b"")
    full.pack()

    assert paged(full) == SLOTS - PAGE
    assert full.get(0) == b""
    assert held(full)[PAGE - LEFT_MIN :] == [piece(n) for n in range(PAGE - LEFT_MIN, SLOTS)]


PUTS = st.lists(
    st.tuples(st.integers(0, SLOTS - 1), st.one_of(st.just(-1), st.integers(0, 9))), max_size=80
)


@given(st.lists(st.tuples(PUTS, st.booleans()), max_size=6))
def test_it_holds_what_was_put_whatever_was_put_back(turns):
    some, plain = Pages(), {}
    some.grow(SLOTS)
    for puts, aborted in turns:
        before, kept = dict(plain), {}
        for slot, n in puts:
            kept.setdefault(slot, some.kept(slot))
            plain[slot] = b"" if n < 0 else piece(n)
            some.put(slot, plain[slot])
        if aborted:
            plain = before
            for slot, one in kept.items():
                some.restore(slot, one)
        some.pack()
        assert held(some) == [plain.get(slot, b"") for slot in range(SLOTS)]

    of = [one for one in some._held if isinstance(one, pages._Page)]
    assert all(page.left == of.count(page) for page in set(of))
