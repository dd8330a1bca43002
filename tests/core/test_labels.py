"""Labels: canonical form, and bytes that are equal exactly where labels are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import labels

# Lone surrogates too: JSON can carry them, and identity must not fail on them.
texts = st.text(st.characters(exclude_categories=()), max_size=8)
names = st.text(st.characters(exclude_categories=()), min_size=1, max_size=8)
mappings = st.dictionaries(names, texts, max_size=6)

CASES = [
    # case                        pairs                              labels
    ("nothing", [], ()),
    ("sorted by name", [("b", "1"), ("a", "2")], (("a", "2"), ("b", "1"))),
    ("capitals before small", [("a", "1"), ("B", "2")], (("B", "2"), ("a", "1"))),
    ("an empty value is absent", [("a", ""), ("b", "1")], (("b", "1"),)),
    ("empty beside set is no repetition", [("a", ""), ("a", "1")], (("a", "1"),)),
    ("an empty name without value is absent", [("", "")], ()),
    ("blanks are kept", [("a", " ")], (("a", " "),)),
    ("a name twice", [("a", "1"), ("a", "2")], "label name 'a' occurs twice"),
    ("a name twice with one value", [("a", "1"), ("a", "1")], "label name 'a' occurs twice"),
    ("an empty name", [("", "1"), ("a", "2")], "a label name is empty"),
]


@pytest.mark.parametrize(
    ("pairs", "expected"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_of(pairs, expected):
    if isinstance(expected, tuple):
        assert labels.of(pairs) == expected
        assert labels.of(reversed(pairs)) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            labels.of(pairs)


@given(mappings)
def test_a_mapping_and_its_pairs_are_the_same_labels(pairs):
    assert labels.of(pairs) == labels.of(pairs.items())
    assert labels.of(labels.of(pairs)) == labels.of(pairs)


@given(mappings)
def test_what_is_packed_is_unpacked(pairs):
    canonical = labels.of(pairs)
    assert labels.unpack(labels.pack(canonical)) == canonical


@given(mappings, mappings)
def test_bytes_are_equal_exactly_where_labels_are(one, other):
    a, b = labels.of(one), labels.of(other)
    assert (labels.pack(a) == labels.pack(b)) == (a == b)


@given(st.binary(max_size=40))
def test_any_bytes_are_labels_or_a_value_error(packed):
    try:
        unpacked = labels.unpack(packed)
    except ValueError:
        return
    assert labels.pack(unpacked) == packed


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16383, 16384, 70000])
def test_lengths_on_both_sides_of_a_varint_byte(length):
    canonical = labels.of({"n" * (length or 1): "v" * (length or 1)})
    assert labels.unpack(labels.pack(canonical)) == canonical


def test_the_bytes_are_as_documented():
    assert labels.pack((("a", "é"),)) == b"\x01a\x02\xc3\xa9"
    assert labels.pack(()) == b""


BROKEN = [
    ("a length without its text", b"\x02a"),
    ("a length that goes on", b"\x80"),
    ("a length without end", b"\xff" * 9),
    ("an overlong length", b"\x81\x00a\x01b"),
    ("a name without value", b"\x01a"),
    ("text that is not UTF-8", b"\x01\xff\x01b"),
    ("a length beyond any memory", b"\xff\xff\xff\xff\x0fa"),
]


@pytest.mark.parametrize("packed", [pytest.param(row[1], id=row[0]) for row in BROKEN])
def test_bytes_that_no_labels_made(packed):
    with pytest.raises(ValueError, match=r"packed labels|codec"):
        labels.unpack(packed)


def test_names_and_values_do_not_run_together():
    assert labels.pack((("a", "bc"),)) != labels.pack((("ab", "c"),))
    assert labels.pack((("a", "b"), ("c", "d"))) != labels.pack((("a", "bc"), ("d", "")))


@given(mappings)
def test_absent_is_the_empty_value(pairs):
    canonical = labels.of(pairs)
    assert {name: labels.get(canonical, name) for name in pairs} == pairs
    assert labels.get(canonical, "not there, surely") == ""


@given(mappings, mappings)
def test_merging_sets_and_an_empty_value_removes(below, over):
    result = dict(labels.merged(labels.of(below), over))
    assert result == {name: value for name, value in {**below, **over}.items() if value}
