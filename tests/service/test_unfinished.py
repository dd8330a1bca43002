"""Beginnings of lines over a restart: what was in state is joined, whoever wrote it, and counted."""

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive.lines import LINE_BYTES_MAX, Line
from heliograph.service.meters import Meters
from heliograph.service.unfinished import AGAIN_S_MAX, NAME_CHARS_MAX, SEPARATOR, Unfinished
from heliograph.store.state import partials
from heliograph.store.state.lanes import Lane
from heliograph.store.state.partials import Partial
from heliograph.store.state.state import State
from tests.service.test_line_reading import Frame, Kind, encode_lines, reading

LONG = (
    "6f1c-1",
    "team-" + "n" * 55,
    "trainer-" + "p" * 245,
    "node-" + "x" * 220,
    "main",
    "stdout",
)
PLAIN = ("p-1", "ns", "llm-0", "n1", "main", "stdout")
ODD = ("p\x1f1", "n\x00s", "pod \ud800 \n", "", "c", "stderr")
TOLD_BEFORE = SEPARATOR.join(PLAIN[:4]), *PLAIN[4:]


def piece(name, text, *, partial=True, at_ns=5):
    return Line(at_ns, *name, text, partial=partial)


@pytest.fixture
def state(tmp_path):
    opened = State.open(None, tmp_path, ManualClock(1))
    yield opened
    opened.close()


def begun(state):
    return Unfinished(state.read(partials.load_all), ManualClock(1))


def kept(state, unfinished):
    """What the table has once *unfinished* wrote its changes."""
    changes = unfinished.changes()
    state.run(changes.write, lane=Lane.APPLIER)
    unfinished.settle()
    return state.read(partials.load_all)


@pytest.mark.parametrize("name", [PLAIN, LONG, ODD])
def test_a_beginning_is_joined_after_a_restart(state, name):
    before = begun(state)
    assert before.whole(1, lambda: [piece(name, "begin\nning \ud800")]) == []
    assert len(kept(state, before)) == 1
    after = begun(state)
    (whole,) = after.whole(2, lambda: [piece(name, "end", partial=False)])
    assert whole.line == piece(name, "begin\nning \ud800end", partial=False)
    assert kept(state, after) == []


def test_a_name_without_end_costs_its_line_alone(state):
    before = begun(state)
    before.whole(
        1, lambda: [piece(("\U0001f40d" * 2 * NAME_CHARS_MAX,) * 6, "x" * LINE_BYTES_MAX)]
    )
    kept(state, before)
    after = begun(state)
    assert after.whole(2, lambda: [piece(PLAIN, "one", partial=False)])[0].line.text == "one"
    assert len(kept(state, after)) == 1


@pytest.mark.parametrize("key", [TOLD_BEFORE, ("p-1", "main", "stdout")])
def test_a_row_of_before_is_joined_and_written_anew(state, key):
    name = PLAIN if SEPARATOR in key[0] else ("p-1", "", "", "", "main", "stdout")
    state.run(lambda tx: partials.put(tx, [Partial(*key, "old ", 5)]), lane=Lane.APPLIER)
    first = begun(state)
    first.whole(1, lambda: [piece(LONG, "another")])
    rows = kept(state, first)
    assert len(rows) == 2
    assert key not in [row[:3] for row in rows]
    second = begun(state)
    (whole,) = second.whole(2, lambda: [piece(name, "end", partial=False)])
    assert whole.line.text == "old end"
    (row,) = kept(state, second)
    assert row.text.endswith("another")


def test_the_table_lets_no_beginning_go_while_others_end(state, monkeypatch):
    monkeypatch.setattr(partials, "PARTIALS_MAX", 3)
    unfinished = begun(state)
    first = [piece((f"a{n}", *PLAIN[1:]), "x", at_ns=100) for n in range(3)]
    unfinished.whole(1, lambda: first)
    kept(state, unfinished)
    ends = [piece((f"a{n}", *PLAIN[1:]), "", partial=False) for n in range(3)]
    older = [piece((f"b{n}", *PLAIN[1:]), "y", at_ns=1) for n in range(3)]
    unfinished.whole(2, lambda: [*ends, *older])
    assert len(kept(state, unfinished)) == 3


@pytest.mark.parametrize("times", [None, [7], [5, 7]])
def test_what_ended_lately_may_come_again(state, times):
    clock = ManualClock(1)
    unfinished = Unfinished(state.read(partials.load_all), clock)
    assert unfinished.idle(1, times)
    unfinished.whole(
        1, lambda: [piece(PLAIN, "begin"), piece(PLAIN, "end", partial=False, at_ns=7)]
    )
    assert not unfinished.idle(2, times)
    assert unfinished.idle(2, [6, 8])
    assert unfinished.whole(2, lambda: [piece(PLAIN, "end", partial=False, at_ns=7)]) == []
    clock.advance(AGAIN_S_MAX + 1)
    assert unfinished.idle(3, times)


def test_what_is_lost_of_a_joined_line_is_counted():
    meters = Meters()
    made = reading(meters)
    made._unfinished._joining.limit = 1
    pieces = [piece(PLAIN, "x" * 40_000), piece(PLAIN, "y" * 40_000), piece(PLAIN, "z")]
    for seq in (1, 1):
        made.effects_of(Frame(seq, Kind.LINES, 3, 5, encode_lines(pieces), None))
    made.effects_of(Frame(2, Kind.LINES, 1, 5, encode_lines([piece(LONG, "b")]), None))
    counted = {key: count for key, count in meters.dropped.items() if count}
    assert counted == {("lines", "cut"): 1, ("lines", "evicted"): 1}
