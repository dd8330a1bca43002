"""Groups of exceptions: one finding for the group, and one for each that is in it."""

from itertools import combinations

import pytest

from heliograph.training.findings import groups, joined
from heliograph.training.findings.blocks import Blocks
from heliograph.training.findings.groups import Drawn, Sign, drawn
from tests.training.framed import CAUSE, cut, fed, over_a_restart, whole

RULE = "+---------------- {} ----------------".format
END = "+------------------------------------"
GROUP = [
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "run.py", line 3, in main',
    "  |     async with asyncio.TaskGroup() as tasks:",
    "  | ExceptionGroup: unhandled errors in a TaskGroup (3 sub-exceptions)",
    f"  +-{RULE(1)}",
    "    | Traceback (most recent call last):",
    '    |   File "run.py", line 8, in load',
    '    |     raise ValueError("no data")',
    "    | ValueError: no data",
    f"    {RULE(2)}",
    "    | Exception Group Traceback (most recent call last):",
    '    |   File "run.py", line 9, in many',
    "    | my.errors.ManyErrors: more (2 sub-exceptions)",
    f"    +-{RULE(1)}",
    "      | OSError: [Errno 5] Input/output error",
    f"      {RULE(2)}",
    "      | Traceback (most recent call last):",
    '      |   File "run.py", line 10, in one',
    "      | KeyError: 'x'",
    "      | ",
    "      | The above exception was the direct cause of the following exception:",
    "      | ",
    "      | Traceback (most recent call last):",
    '      |   File "run.py", line 12, in one',
    "      | TypeError: not so",
    f"      {END}",
    f"    {RULE(3)}",
    '    |   File "x.py", line 1',
    "    |     foo bar",
    "    | SyntaxError: bad",
    f"    {END}",
]
TOLD = [
    # exception, what it follows, role
    ("ExceptionGroup", None, "root"),
    ("ValueError", "ExceptionGroup", "confirmation"),
    ("my.errors.ManyErrors", "ExceptionGroup", "confirmation"),
    ("OSError", "my.errors.ManyErrors", "confirmation"),
    ("KeyError", "my.errors.ManyErrors", "confirmation"),
    ("TypeError", "KeyError", "confirmation"),
    ("SyntaxError", "ExceptionGroup", "confirmation"),
]
PLAIN = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "ValueError: a"]
CHAINED = [*PLAIN, *CAUSE[:3], *GROUP, *CAUSE]


def told(found):
    return [
        (said["exception"], said.get("follows"), said["role"])
        for block in found
        for said in [joined.told(block).event.attributes]
    ]


def test_a_group_and_its_members_are_told_one_by_one():
    found = fed(Blocks(), ["before", *GROUP, "after"])
    assert told(found) == TOLD
    first, second, *_, last = (joined.told(one) for one in found)
    assert tuple(first.event) == (
        "traceback",
        "error",
        {
            "exception": "ExceptionGroup", "role": "root", "lines": 4,
            "message": "unhandled errors in a TaskGroup (3 sub-exceptions)",
        },
    )  # fmt: skip
    assert (first.body, second.body) == ("\n".join(GROUP[:4]), "\n".join(GROUP[:9]))
    assert (found[1].at_ns, found[1].said) == (9, GROUP[8])
    # A member has the group's own lines before its own, and not those of the others.
    assert last.body == "\n".join([*GROUP[:4], *GROUP[26:30]])
    assert last.event.attributes["lines"] == 8


def test_a_group_in_a_chain():
    found = fed(Blocks(), CHAINED)
    assert told(found) == [
        ("ValueError", None, "root"),
        ("ExceptionGroup", "ValueError", "confirmation"),
        *TOLD[1:],
        ("RuntimeError", "ExceptionGroup", "confirmation"),
    ]


def test_a_group_of_groups_ends_with_one_rule():
    lines = [*GROUP[:4], f"  +-{RULE(1)}", *GROUP[10:26]]
    inner = [
        "    | ",
        "    | During handling of the above exception, another exception occurred:",
        "    | ",
        "    | Traceback (most recent call last):",
        "    | LookupError: a",
    ]
    assert told(fed(Blocks(), [*lines, *inner, f"    {END}", *CAUSE]))[-2:] == [
        ("LookupError", "my.errors.ManyErrors", "confirmation"),
        ("RuntimeError", "ExceptionGroup", "confirmation"),
    ]
    assert told(fed(Blocks(), [*lines, *CAUSE]))[-1:] == [
        ("RuntimeError", "ExceptionGroup", "confirmation")
    ]


RANKS = ("[rank3]: ", "[rank4]: ")


@pytest.mark.parametrize(
    "lines",
    [
        GROUP,
        CHAINED,
        [*GROUP, *GROUP, *PLAIN],
        [rank + line for line in GROUP for rank in RANKS],
        [f"2026-01-01T10:00:{n:02}.{n}Z {line}" for n, line in enumerate(GROUP)],
        [f"trainer-1  | {line}" for line in CHAINED],
        [f"(WorkerDict pid=7) {line}".rstrip() for line in GROUP],
    ],
    ids=["a group", "chained", "one more", "two ranks", "times", "compose", "stripped"],
)
def test_a_group_is_the_same_wherever_it_is_cut(lines):
    uncut = sorted(whole(Blocks(), cut(lines)), key=str)
    assert len(uncut) >= len(TOLD)
    for place in range(1, len(lines)):
        assert sorted(whole(Blocks(), cut(lines, place)), key=str) == uncut


def test_a_group_is_the_same_over_a_restart():
    uncut = sorted(whole(Blocks(), cut(GROUP)), key=str)
    for first, second in combinations(range(1, len(GROUP), 2), 2):
        assert sorted(over_a_restart(GROUP, first, second), key=str) == uncut


def test_the_ranks_of_one_stream_stay_apart():
    mixed = [rank + line for line in GROUP for rank in RANKS]
    found = fed(Blocks(), [line for each in mixed for line in (each, "[rank9]: x", "y: z")])
    for rank in (3, 4):
        assert told(one for one in found if joined.told(one).rank == rank) == TOLD


def test_what_is_not_drawn_is_another_s():
    """But for a message: of an exception that nobody caught C draws its first line alone."""
    mixed = [line for each in GROUP for line in (each, "ValueError: of another", "step: 5")]
    assert told(fed(Blocks(), mixed)) == TOLD
    lines = [*GROUP[:8], "    | ValueError: no", "data", *GROUP[9:]]
    assert told(fed(Blocks(), lines)) == TOLD


def test_members_without_their_group_stand_for_themselves():
    assert sorted(told(fed(Blocks(), GROUP[4:])), key=str) == [
        ("KeyError", None, "root"),
        ("TypeError", "KeyError", "confirmation"),
        ("ValueError", None, "root"),
        ("my.errors.ManyErrors", None, "root"),
    ]


def test_more_members_than_are_printed():
    lines = [*GROUP[:9], f"    {RULE('...')}", "    | and 5 more exceptions", f"    {END}"]
    assert told(fed(Blocks(), [*lines, *PLAIN])) == [*TOLD[:2], ("ValueError", None, "root")]


def test_a_frame_with_a_rule_alone_is_looked_at():
    held = Blocks()
    fed(held, GROUP[:9])
    assert held.idle(b"step: 5 loss: 2.5")
    assert not held.idle(f"    {RULE(2)}".encode())
    assert not held.idle(f"    {END}".encode())


def test_groups_are_no_deeper_than_so_many():
    def within(depth):
        return "  " * depth + "+-" + RULE(1)

    deepest = groups.DEPTH_MAX
    lines = [*GROUP[:4]]
    for depth in range(1, deepest + 5):
        lines += [within(depth), "  " * (depth + 1) + "| ExceptionGroup: a (1 sub-exception)"]
    held = Blocks()
    held.begin(1)
    for line in lines:
        held.line(("",) * 6, line, line, pod_uid="", at_ns=0, arrival_ns=0, finding="")
        assert all(len(block.groups) <= deepest for block in held.held())
    assert max(len(block.groups) for block in held.held()) >= deepest - 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "  + Exception Group Traceback (most",
            (1, Sign.MARGIN, "Exception Group Traceback (most"),
        ),
        ("  | a", (1, Sign.MARGIN, "a")),
        ("    |   File", (2, Sign.MARGIN, "  File")),
        ("    |", (2, Sign.MARGIN, "")),
        (f"  +-{RULE(1)}", (2, Sign.MEMBER, "")),
        (f"    {RULE(12)}", (2, Sign.MEMBER, "")),
        (f"    {RULE('...')}", (2, Sign.MEMBER, "")),
        (f"    {END}", (0, Sign.END, "")),
        (f"      {END}", (2, Sign.END, "")),
        ("| a", (0, Sign.MARGIN, "| a")),
        ("  + a", (0, Sign.MARGIN, "  + a")),
        (f"    {RULE('x')}", (0, Sign.MARGIN, f"    {RULE('x')}")),
        ("  File", (0, Sign.MARGIN, "  File")),
    ],
)
def test_how_a_line_is_drawn(text, expected):
    assert drawn(text) == Drawn(*expected)
