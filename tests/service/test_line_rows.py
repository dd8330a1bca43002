"""Both kernels of plain rows take the same lines, and leave the others."""

import math
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.kernels import line_rows
from heliograph.training.events import Event
from heliograph.training.parse import Parsed, none
from tests.twins import plain

KERNELS = {"plain": plain("line_rows")} | (
    {"compiled": line_rows} if line_rows.COMPILED else {}
)
PODS = ["p1", "", None, "p2"]
SCALES = {("p1", ""): SimpleNamespace(scale=65536.0)}


def said(step=1, scale=None, *, kind="performance", rule="piped", told=(), label=""):
    fields = {"current_iteration": step, "loss_scale": scale, "lm_loss": 2.0}
    return Parsed(
        kind, "primus", {k: v for k, v in fields.items() if v is not None}, told, rule, label
    )


LINES = [
    said(3), said(None), said(4, 1.0), said(5, 65536.0), said(6, 2.0), said(7, math.nan), said(8, label="7"),
    said(9, 1.0, label="7"), said(10, rule="bar"), said(11, told=(Event("nan_loss", "critical", {}),)),
    said(12, kind="event"), none(None),
]  # fmt: skip


def taken(kernel, lines, plain, sources, scales):
    """The rows, and which lines were left."""
    places = [n for n in range(len(lines)) if n % 7 != 6]
    rows, left, at = [], [], 0
    made = kernel.PlainRows(
        lines, memoryview(array("I", places)),
        memoryview(array("I", plain)), b"\0\1", memoryview(array("I", sources)), PODS,
        memoryview(array("q", [10**18 + n for n in range(len(lines))])), TrainingRow, "log",
    )  # fmt: skip
    while (at := made.take(rows, at, scales)) < len(places):
        left.append(places[at])
        at += 1
    return rows, left


@given(
    st.lists(
        st.tuples(st.sampled_from(LINES), st.sampled_from([0, 1, 1, 1]), st.integers(0, 3)),
        max_size=30,
    ),
    st.sampled_from([{}, SCALES]),
)
def test_both_kernels_take_the_same(given, scales):
    lines, plain, sources = ([one[n] for one in given] for n in range(3))
    expected = ([], [])
    for place, (line, is_plain, source) in enumerate(given):
        if place % 7 == 6:
            continue
        pod, scale = PODS[source], line.fields.get("loss_scale")
        was = scales.get((pod, line.label))
        moves = scale is not None and scale != (was.scale if was else 1.0)
        odd = line.kind != "performance" or line.rule == "bar" or line.events or moves
        if pod == "" and is_plain:
            continue
        if not is_plain or pod is None or odd:
            expected[1].append(place)
            continue
        step = line.fields.get("current_iteration")
        at_ns = 10**18 + place
        expected[0].append(
            TrainingRow(pod, "log", line.label, at_ns, step, None, "primus", line.fields)
        )
    for kernel in KERNELS.values():
        rows, left = taken(kernel, lines, plain, sources, scales)
        assert (rows, left) == expected
        assert all(type(row) is TrainingRow for row in rows)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_does_not_fit_is_refused(kernel):
    def made(places, plan_of, sources, times, row=TrainingRow):
        return KERNELS[kernel].PlainRows(
            [said()], memoryview(array("I", places)), memoryview(array("I", plan_of)), b"\0\1",
            memoryview(array("I", sources)), PODS, memoryview(array("q", times)), row, "log",
        )  # fmt: skip

    with pytest.raises(ValueError, match="one length"):
        made([0], [1], [0, 0], [5])
    with pytest.raises(ValueError, match="eight parts"):
        made([0], [1], [0], [5], Parsed)
    for places, plan_of, sources in (([1], [1], [0]), ([0], [2], [0]), ([0], [1], [4])):
        with pytest.raises(IndexError):
            made(places, plan_of, sources, [5]).take([], 0, {})
