"""Patterns of findings have a bound for each repetition, and no line makes them try without end."""

import re
from re import _constants as codes
from re import _parser as parser

import pytest

from heliograph.training import events
from heliograph.training.findings import (
    collectives,
    devices,
    event,
    exceptions,
    lifecycle,
    memory,
    numbers,
    processes,
    saving,
    scheduler,
    sentences,
    workers,
)
from heliograph.training.findings.patterns import bounded, compiled

MODULES = (
    *(collectives, devices, event, exceptions, lifecycle, memory, numbers, processes, saving),
    *(scheduler, sentences, workers),
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"a\d+(?:\.\d*)?x", r"a\d{1,20}(?:\.\d{0,20})?x"),
        (r"[^,.(\[]*b+", r"[^,.(\[]{0,128}b{1,128}"),
        (r"\*{3,} run \*+", r"\*{3,} run \*{1,128}"),
        (r"(?:ab+)+?", r"(?:ab{1,128}){1,16}?"),
        (r"[+*]+ []*]*? [^]+]", r"[+*]{1,128} []*]{0,128}? [^]+]"),
        (r"\S*?/\w+\s*.*", r"\S{0,160}?/\w{1,128}\s{0,64}.{0,512}"),
    ],
)
def test_bounds(text, wanted):
    assert bounded(text) == wanted
    assert compiled(text).pattern == wanted


def patterns(value):
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from patterns(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from patterns(one)


def unbounded(tree):
    for code, value in tree:
        if code in {codes.MAX_REPEAT, codes.MIN_REPEAT}:
            yield value[1] is codes.MAXREPEAT
            yield from unbounded(value[2])
        elif code is codes.SUBPATTERN:
            yield from unbounded(value[-1])
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from unbounded(branch)
        elif code in {codes.ASSERT, codes.ASSERT_NOT}:
            yield from unbounded(value[1])


def test_every_pattern_has_bounds():
    found = [one for module in MODULES for one in patterns(tuple(vars(module).values()))]
    assert len(found) > 60
    for pattern in found:
        free = sum(unbounded(parser.parse(pattern.pattern, pattern.flags)))
        # Only what is written `{3,}`: a run of one character.
        assert free <= pattern.pattern.count(",}"), pattern.pattern


HOSTILE = [
    "Rank 3" + "7" * 4000 + "] Watchdog caught collective operation timeout: WorkNCCL(" + "(a" * 2000,
    "Ranks " + "1, " * 4000 + "monitoredBarrier",
    "MemoryError: Unable to allocate " + "1" * 8000,
    "oom-kill " + "a." * 4000,
    "checkpoint " * 1400,
    "saving checkpoint to " * 700,
    "Xid (PCI:" * 1500,
    "NCCL WARN " + "mlx5_1" * 2000,
    "loss nan " + "if " * 4000,
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:20])
def test_hostile_lines_come_to_an_end(line):
    events.find(line)
