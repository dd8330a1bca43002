"""The kernel that makes chunks of rows: compiled and plain, the same of any rows, byte by byte."""

import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.kernels import row_chunks
from heliograph.store.state import document, training_chunks
from tests.twins import plain

PLAIN = plain("row_chunks")
KERNELS = [PLAIN, *([row_chunks] if row_chunks.COMPILED else [])]


class Fraction(float):
    """A number of a kind that is not quite a float."""


EDGES = [0, 31, 127, 255, 2**16 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
WHOLE = st.sampled_from(
    [sign * edge + more for edge in EDGES for sign in (1, -1) for more in (-1, 0, 1, 2)]
)
VALUES = st.one_of(
    st.floats(),
    WHOLE,
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.sampled_from(["x" * 31, "x" * 32, "é" * 200, "x" * 70_000, "\ud800"]),
    st.dictionaries(st.text(max_size=1), st.floats(), max_size=2),
    st.floats().map(Fraction),
    st.builds(object),
)
NAMES = st.sampled_from(["lm_loss", "b", "c", "é" * 20, "\ud800", 7])
MANY = {f"n{n}": n for n in range(20)}
FIELDS = st.one_of(
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.dictionaries(NAMES, st.floats(), max_size=3).map(MappingProxyType),
    st.sampled_from([{"lm_loss": 1.5, "b": 2}, {"b": 2, "lm_loss": 1.5}, MANY, {}]),
)
ROWS = st.lists(
    st.builds(
        TrainingRow,
        st.sampled_from(["p", "q", "\ud800"]),
        st.just("log"),
        st.sampled_from(["", "7"]),
        st.integers(-3, 12) | WHOLE,
        st.none() | st.integers(-2, 2) | WHOLE,
        st.sampled_from([None, None, None, "training_start", "\ud800"]),
        st.sampled_from(["x", "x", "x", "unknown", 5]),
        FIELDS,
    ),
    max_size=30,
)
BOUNDS = st.fixed_dictionaries(
    {
        "rows_max": st.sampled_from([1, 3, 64]),
        "span_ns_max": st.sampled_from([0, 5, 3600 * 10**9]),
        "in_order_min": st.sampled_from([1, 2, 4]),
    }
)


def told(kernel, stretches, bounds):
    """What *kernel* makes of rows that come in *stretches* of frames, and which it gives back."""
    made, found = kernel.RowChunks(document.packed, **bounds), []
    for frames in stretches:
        odd = [[id(row) for row in made.take(rows)] for rows in frames]
        found.append((odd, len(made), [tuple(one) for one in made.streams()], len(made)))
    return found


@given(st.lists(st.lists(ROWS, max_size=3), max_size=2), BOUNDS)
def test_the_twins_give_the_same(stretches, bounds):
    # A row that comes again is the same, one that differs in a value is not.
    again = [[*frames, *[rows[::-1] for rows in frames[:1]]] for frames in stretches]
    answers = {repr(told(kernel, again, bounds)) for kernel in KERNELS}
    assert len(answers) == 1


def row(n, **fields):
    return TrainingRow("p", "log", "", n, n, None, "nemo", fields)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_rows_that_overtook_each_other_are_put_in_order(kernel):
    made = kernel.RowChunks(document.packed, rows_max=64, span_ns_max=10**9, in_order_min=4)
    rows = [row(n, lm_loss=math.nan, b=n) for n in range(8)]
    mark = TrainingRow("p", "log", "", 8, None, "training_end", "nemo", {})
    assert made.take([*rows[4:], *rows[:4]]) == []
    assert made.take([mark, rows[5], TrainingRow("q", "log", "", 1, 1, None, "x", {})]) == []
    odd = [row(2**63), row(1, lm_loss=object()), row(1, lm_loss=2**64)]
    assert made.take(odd) == odd
    assert len(made) == 11
    (one, other) = made.streams()

    chunk = training_chunks.chunk(training_chunks.places([*rows, mark]), [*rows, mark])
    assert tuple(one) == (("p", "log", ""), True, [(*chunk, 9, 8)])
    assert other.ordered is False
    assert made.streams() == []
    # Shuffled, each is a chunk of its own; not alike at one place, they are as they came.
    made.take(rows[::-1])
    assert [len(stream.chunks) for stream in made.streams()] == [8]
    made.take([rows[1], rows[0], row(1, lm_loss=1.0)])
    (loose,) = made.streams()
    assert loose.ordered is None
    held = training_chunks.rows_of(*loose.chunks[0][4:6])
    assert [one.at_ns for one in held] == [1, 0, 1]
