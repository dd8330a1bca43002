"""Label sets: the compiled kernel and its plain twin alike, and as `core.labels` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels
from heliograph.kernels import label_sets
from tests.twins import plain

PLAIN = plain("label_sets")
TEXTS = st.one_of(
    st.text("abé\0", max_size=3),
    st.sampled_from(["", "a" * 127, "a" * 128, "é", "\ud800", "severity"]),
)


@pytest.fixture(params=[label_sets, PLAIN], ids=["as installed", "plain"])
def kernel(request):
    return request.param


def test_a_set_in_order_and_packed(kernel):
    given = {"gpu": "3", "alertname": "Hot", "empty": "", "null": None}

    assert kernel.canonical(given) == (
        (("alertname", "Hot"), ("gpu", "3")),
        b"\x09alertname\x03Hot\x03gpu\x013",
    )


@given(st.dictionaries(TEXTS, st.none() | TEXTS, max_size=6))
def test_both_say_what_core_says(pairs):
    found, packed = label_sets.canonical(pairs)

    assert (found, packed) == PLAIN.canonical(pairs)
    assert found == tuple(sorted((n, v) for n, v in pairs.items() if v))
    assert packed is None or packed == labels.pack(found)


def test_a_set_is_called_what_alertmanager_calls_it(kernel):
    # As a real one did.
    for pairs, name in (
        ({"alertname": "Down", "node": "n2", "t": "3", "zone": "eu"}, "4b3b50e3ecf30c5f"),
        ({"alertname": "Größe", "node": "n2", "t": "1"}, "c0429e786e75bc3e"),
    ):
        assert kernel.foreign(tuple(pairs.items())) == name
    assert kernel.foreign((("a", "\ud800"),)) == kernel.foreign((("a", "?"),))
    for bad in ((("a", 1),), (("a", None),), ((None, "a"),), (None,), None):
        with pytest.raises((TypeError, AttributeError)):
            kernel.foreign(bad)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_both_call_it_the_same(pairs):
    assert label_sets.foreign(tuple(pairs)) == PLAIN.foreign(tuple(pairs))


def test_what_is_no_text_is_refused_and_not_read(kernel):
    for bad in ({"a": 1}, {"a": b"x"}, {1: "a"}, {None: "a"}):
        with pytest.raises(TypeError):
            kernel.canonical(bad)
