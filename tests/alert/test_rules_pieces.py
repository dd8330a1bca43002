"""States of rules over series as rows: cut to what a row may hold, and joined again."""

import random

from heliograph.alert.rules import pieces
from heliograph.alert.rules.rule import StateRow
from heliograph.store.state.rule_states import STATE_BYTES_MAX

LONG = random.Random(7).randbytes(3 * STATE_BYTES_MAX)


def test_a_state_of_any_length_comes_back():
    rows = pieces.cut("r", LONG)
    assert len(rows) > 3
    assert max(len(row.state) for row in rows) <= STATE_BYTES_MAX
    other = pieces.cut("s", b"short")
    assert pieces.joined([*reversed(rows), *other]) == {
        "r": (LONG, len(rows)),
        "s": (b"short", 1),
    }


def test_rows_that_a_shorter_state_does_not_need_are_deleted():
    assert [row.key for row in pieces.cut("r", b"", before=3)] == ["", "+1", "+2"]
    assert {row.state for row in pieces.cut("r", b"", before=3)} == {None}
    shorter = pieces.cut("r", b"short", before=3)
    assert [row.state is None for row in shorter] == [False, True, True]


def test_a_state_that_was_kept_as_it_is_and_one_that_is_broken():
    rows = [StateRow("old", "", b"\x81\xa1a\x01"), StateRow("by", "0a1b", b"other rule's")]
    assert pieces.joined([*rows, *pieces.cut("r", LONG)[:-1]]) == {"old": (b"\x81\xa1a\x01", 1)}
