"""The kernel that makes columns of rows: compiled and plain, the same of any rows."""

import struct
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.kernels import row_samples
from tests.twins import plain

PLAIN = plain("row_samples")
KERNELS = [PLAIN, *([row_samples] if row_samples.COMPILED else [])]


class Fraction(float):
    """A number of a kind that is not quite a float."""


VALUES = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.integers(-(10**400), 10**400),
    st.booleans(),
    st.none(),
    st.text(max_size=2),
    st.floats().map(Fraction),
)
FIELDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)
ROWS = st.lists(
    st.builds(
        TrainingRow,
        st.sampled_from(["p", "q"]),
        st.just("log"),
        st.sampled_from(["", "7"]),
        st.integers(-3, 3) | st.sampled_from([2**63, -(2**63), 2**70, -(2**70)]),
        st.none(),
        st.sampled_from([None, None, None, "training_start"]),
        st.just("x"),
        FIELDS | FIELDS.map(MappingProxyType) | st.just({"a": 1.0, "b": 2, "c": 3.0, "d": 4}),
    ),
    max_size=12,
)


def packed(kernel, rows):
    """What *kernel* makes of *rows*, of which `c` is not taken, and what it asked for."""
    asked = []

    def kind_of(stream, names):
        asked.append((stream, names))
        taken = bytes(name != "c" for name in names)
        places = [len(asked) * 10 + n for n, one in enumerate(taken) if one]
        return kernel.Kind(names, taken, struct.pack(f"={len(places)}q", *places))

    def odd(kind, fields):
        asked.append((kind[0], dict(fields)))
        many = min(1, len(kind.places) // 8)
        return kind.places[: 8 * many], struct.pack("=d", 0.5) * many

    return tuple(kernel.pack(rows, {}, kind_of, odd, -3, 2**62)), repr(asked)


@given(ROWS)
def test_the_twins_give_the_same(rows):
    assert len({repr(packed(kernel, rows)) for kernel in KERNELS}) == 1


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_what_is_taken_is_in_columns(kernel):
    nan = struct.unpack("=d", b"\1\0\0\0\0\0\xf8\x7f")[0]
    rows = [
        TrainingRow("p", "log", "", 5, 1, None, "x", {"a": nan, "c": 9.0, "b": 7}),
        TrainingRow("p", "log", "", 6, 1, "training_end", "x", {"a": 1.0}),
        TrainingRow("p", "log", "", -3, 1, None, "x", {"a": 1.0}),
        TrainingRow("p", "log", "", 7, 1, None, "x", {"a": 2.0, "c": 9.0, "b": 2**64}),
    ]
    (series, at_ns, value, skipped), asked = packed(kernel, rows)

    assert struct.unpack("=4q", series) == (10, 12, 30, 32)
    assert struct.unpack("=4q", at_ns) == (5, 5, 7, 7)
    assert value == b"\1\0\0\0\0\0\xf8\x7f" + struct.pack("=3d", 7, 2, 2**64)
    assert skipped == 1
    assert asked == repr(
        [(("p", "log", ""), names) for names in (("a", "c", "b"), ("a",), ("a", "c", "b"))]
    )
