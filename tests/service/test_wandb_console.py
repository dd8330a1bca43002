"""Lines of two streams, which each client numbers in its own order, are the same lines."""

import json
import random

import pytest

from heliograph.receive.wandb_stream import ConsoleLine, Read
from heliograph.service.wandb_console import SESSIONS_MAX, WRITTEN_OVER_MAX, Console


def sent(*texts, offset=0, at_ns=1):
    """Lines of one body: `oh` went to stdout, `!oh` to stderr."""
    return [
        ConsoleLine(number, at_ns, "stderr" if text[:1] == "!" else "stdout", text.lstrip("!"))
        for number, text in enumerate(texts, offset)
    ]


class Remembered:
    """A run's console from body to body, as it stands in its document."""

    def __init__(self, said=(), console_lines=0):
        self.said = dict(said)
        self.console_lines = console_lines

    def take(self, lines, before=None, *, resumed=False, began_ns=1):
        """What is new (`+stdout 0 text`) or written over (`~…`) of *lines*."""
        console = Console({**self.said, "resumed": resumed}, self.console_lines)
        read = None if before is None else Read(*before, began_ns)
        found = [
            f"{'+' if one.new else '~'}{one.line.stream} {one.place} {one.line.text}"
            for one in console.placed(lines, read)
        ]
        self.said = {"console": console.document()}
        self.console_lines = max([self.console_lines, *(line.number + 1 for line in lines)])
        return found


MIXED = ["a", "!x", "b", "", "!y", "c"]
FOUND = ["+stdout 0 a", "+stderr 0 x", "+stdout 1 b", "+stderr 1 y", "+stdout 2 c"]
APART = ["a", "b", "c", "!x", "!y"]
# The same lines as bodies of one sender each: (lines, places before them).
WAYS = {
    "online": [(sent(*MIXED), None)],
    "online, by the line": [(sent(one, offset=n), None) for n, one in enumerate(MIXED)],
    "sync of 0.18": [(sent(*APART[:3]), None), (sent(*APART[3:], offset=3), None)],
    "sync in one body": [(sent(*APART), None)],
    "another order": [(sent("!x", "!y", "", "a", "b", "c"), None)],
    "import": [(sent(*MIXED[:3]), (0, 0)), (sent(*MIXED[3:], offset=3), (2, 1))],
}


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_whichever_way_comes_first_the_second_says_nothing_new(first, second):
    run = Remembered()
    assert sorted(line for body in WAYS[first] for line in run.take(*body)) == sorted(FOUND)
    assert [line for body in WAYS[second] for line in run.take(*body)] == []
    assert [line for body in WAYS[first] for line in run.take(*body)] == []
    # The client that goes on begins where it is told that the run has come.
    more = sent("d", "!z", offset=run.console_lines)
    assert run.take(more) == ["+stdout 3 d", "+stderr 2 z"]


@pytest.mark.parametrize("again", WAYS)
def test_what_came_only_in_part_is_completed_by_any_way(again):
    run = Remembered()
    run.take(sent(*MIXED[:3]))
    found = [line for body in WAYS[again] for line in run.take(*body)]
    assert sorted(found) == ["+stderr 1 y", "+stdout 2 c"]


def test_a_bar_is_written_over_however_much_the_other_stream_prints():
    run = Remembered()
    assert run.take(sent("!bar 1", "a")) == ["+stderr 0 bar 1", "+stdout 0 a"]
    many = [f"line {number}" for number in range(200)]
    assert len(run.take(sent(*many, offset=2))) == 200
    assert run.take(sent("!bar 2")) == ["~stderr 0 bar 2"]
    assert run.take(sent("!bar 2")) == []
    assert run.take(sent("after", offset=202)) == ["+stdout 201 after"]
    assert run.take(sent("line 0", offset=2)) == []


def test_what_is_remembered_changes_only_when_it_is_kept():
    run = Remembered()
    run.take(sent("!bar 1", "a"))
    before = json.dumps(run.said)
    for _ in range(2):
        # As when the log could not be written: it comes again.
        console = Console(run.said, run.console_lines)
        lines = sent("!bar 2", "b")
        assert len(list(console.placed([lines[0]]))) == 1
        assert json.dumps(run.said) == before


def test_a_body_that_comes_again_is_known_however_long():
    run = Remembered()
    many = [("!" * (number % 3 == 0)) + f"line {number}" for number in range(300)]
    assert len(run.take(sent(*many[:100]))) == 100
    for _ in range(2):
        assert len(run.take(sent(*many[100:], offset=100))) in {200, 0}
    assert run.take(sent(*many[100:], offset=100)) == []
    assert run.take(sent(*many)) == []
    assert run.take(sent("end", offset=300)) == ["+stdout 200 end"]


SECOND = 10**9


def test_a_run_that_was_resumed_is_read_from_a_file_for_each_time():
    run = Remembered()
    first, second = ["a", "!x", "b"], ["a", "!y", "c"]
    run.take(sent(*first, at_ns=10 * SECOND))
    online = run.take(sent(*second, offset=3, at_ns=100 * SECOND), resumed=True)
    assert online == ["+stdout 2 a", "+stderr 1 y", "+stdout 3 c"]
    # The file's times are those of a moment before.
    for began_ns, lines in ((10 * SECOND - 5, first), (100 * SECOND - 5, second)):
        assert run.take(sent(*lines[:2]), (0, 0), began_ns=began_ns) == []
        assert run.take(sent(*lines[2:], offset=2), (1, 1), began_ns=began_ns) == []
    # One that began when all was printed that is known goes on behind it.
    for expected in (["+stdout 4 d"], []):
        lines = sent("d", at_ns=500 * SECOND)
        assert run.take(lines, (0, 0), began_ns=500 * SECOND) == expected
    assert run.take(sent("e", offset=1, at_ns=501 * SECOND), (1, 0), began_ns=500 * SECOND) == [
        "+stdout 5 e"
    ]


def test_a_sync_long_after_is_no_other_session():
    run = Remembered()
    run.take(sent(*APART, at_ns=900 * SECOND), resumed=True)
    assert run.take(sent(*MIXED), (0, 0), began_ns=10 * SECOND) == []


def test_a_blank_line_may_be_filled_later():
    run = Remembered()
    assert run.take(sent("!a", "", "!c")) == ["+stderr 0 a", "+stderr 1 c"]
    assert run.take(sent("!b", offset=1)) == ["+stderr 2 b"]
    assert run.take(sent("!b", "!c", "!d", offset=1)) == ["+stderr 3 d"]


def test_colours_and_blanks_at_the_end_are_not_what_tells_lines_apart():
    run = Remembered()
    run.take(sent("\x1b[32mgreen\x1b[0m text", "x" * 4096))
    assert run.take(sent("\x1b[32mgreen\x1b[39m text ", "x" * 5000), (0, 0)) == []


def test_a_run_of_before_places_were_remembered_goes_on():
    run = Remembered(console_lines=40)
    assert run.take(sent("old", offset=39)) == []
    assert run.take(sent("new", "!new", offset=40)) == ["+stdout 40 new", "+stderr 40 new"]


def test_lines_that_were_lost_move_nobody():
    run = Remembered()
    run.take(sent("a", "!x"))
    assert run.take(sent("b", "!y", offset=50)) == ["+stdout 1 b", "+stderr 1 y"]
    assert run.take(sent("c", offset=52)) == ["+stdout 2 c"]


def test_what_is_remembered_is_bounded():
    run = Remembered()
    run.take(sent(*(f"{'!' * (n % 2)}{n}" for n in range(5000))))
    stdout = run.said["console"]["stdout"]
    assert [len(one) if isinstance(one, list) else one for one in stdout] == [
        2500, WRITTEN_OVER_MAX, 2500, WRITTEN_OVER_MAX,
    ]  # fmt: skip


def test_sessions_are_bounded():
    run = Remembered()
    for number in range(1, SESSIONS_MAX + 5):
        run.take(sent("a", at_ns=number * SECOND), (0, 0), began_ns=number * SECOND)
    sessions = run.said["console"]["sessions"]
    assert len(sessions) == SESSIONS_MAX
    assert sessions[-1] == [(SESSIONS_MAX + 4) * SECOND, SESSIONS_MAX + 3, 0]


def test_any_two_orders_of_two_streams_are_the_same_lines():
    pick = random.Random(7)
    for _ in range(50):
        streams = [[f"{mark}{n}" for n in range(pick.randrange(80))] for mark in ("", "!")]
        orders = []
        for _ in range(2):
            left = [list(one) for one in streams]
            mixed = []
            while any(left):
                mixed.append(pick.choice([one for one in left if one]).pop(0))
            orders.append(mixed)
        run = Remembered()
        counts = []
        for mixed in orders:
            found, at = [], 0
            while at < len(mixed):
                size = pick.randrange(1, 40)
                body = sent(*mixed[at : at + size], offset=at)
                found += run.take(body)
                # As after an answer that was lost.
                assert run.take(body) == []
                at += size
            counts.append(len(found))
        assert counts == [sum(map(len, streams)), 0]
