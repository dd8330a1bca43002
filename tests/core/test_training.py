"""core.training: two lines of one identity are one row, in whatever order they come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow, merged

values = st.one_of(
    st.integers(-5, 5) | st.sampled_from([2**70, 10**400, -(10**400)]),
    st.floats(allow_nan=True, allow_infinity=True, width=16),
    st.dictionaries(st.sampled_from("xy"), st.integers(-3, 3), max_size=2),
)
rows = st.builds(
    TrainingRow,
    pod_uid=st.just("p"),
    source=st.just("log"),
    rank_group=st.just(""),
    at_ns=st.just(1),
    iteration=st.just(2),
    marker=st.sampled_from([None, "training_end", "training_start"]),
    framework=st.sampled_from(["unknown", "primus", "megatron-lm"]),
    fields=st.dictionaries(st.sampled_from(["lm_loss", "tflops", "extra"]), values, max_size=3),
)


def canonical(value):
    """*value* as text in which NaN equals NaN, and the order of keys says nothing."""
    if isinstance(value, TrainingRow):
        return canonical(value._asdict())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {canonical(value[key])}" for key in sorted(value)) + "}"
    return repr(value)


@given(rows, rows, rows)
def test_merging_is_commutative_associative_and_idempotent(a, b, c):
    assert canonical(merged(a, b)) == canonical(merged(b, a))
    assert canonical(merged(merged(a, b), c)) == canonical(merged(a, merged(b, c)))
    assert canonical(merged(merged(a, b), b)) == canonical(merged(a, b))


def row(**fields):
    return TrainingRow("p", "log", "", 1, 2, None, "megatron-lm", fields)


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [
        (row(lm_loss=1.0), row(tflops=2.0), {"lm_loss": 1.0, "tflops": 2.0}),
        (row(lm_loss=1.0), row(lm_loss=2.0), {"lm_loss": 2.0}),
        (row(extra={"a": 1}), row(extra={"b": 2}), {"extra": {"a": 1, "b": 2}}),
    ],
)
def test_what_each_line_says_is_kept(a, b, together):
    assert merged(a, b).fields == together


def test_a_nan_is_not_hidden_by_a_number():
    assert math.isnan(merged(row(lm_loss=9.0), row(lm_loss=math.nan)).fields["lm_loss"])
