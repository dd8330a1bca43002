"""Lines that come in frames, and what the blocks among them tell."""

from itertools import pairwise

import msgspec

from heliograph.training.findings import joined
from heliograph.training.findings.block import Block
from heliograph.training.findings.blocks import Blocks

SECOND_NS = 10**9
# Of a traceback that stands before it.
CAUSE = [
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    "Traceback (most recent call last):",
    '  File "run.py", line 1, in <module>',
    "RuntimeError: the job failed",
]
SOURCE = ("p1", "train", "pod-p1", "n1", "main", "stderr")


def fed(held, lines, *, seq=1, source=SOURCE, arrival_ns=SECOND_NS, finding=""):
    """What a frame of *lines* finishes, in order."""
    return _fed(held, enumerate(lines), seq, source, arrival_ns, finding)


def _fed(held, timed, seq, source, arrival_ns, finding):
    held.begin(seq)
    found = []
    for at_ns, text in timed:
        if held.wants(source, text):
            taken = held.line(
                source,
                text,
                text,
                pod_uid="p1",
                at_ns=at_ns,
                arrival_ns=arrival_ns,
                finding=finding,
            )
            found.extend(taken.finished)
    return [*found, *held.end(arrival_ns)]


def told(found):
    return [
        (one.event.event_type, one.event.attributes.get("exception"), one.rank)
        for block in found
        if (one := joined.told(block)) is not None
    ]


def whole(held, frames):
    """What frames come to, each as often as it is told: identity, event, body and rank."""
    return [
        (block.at_ns, block.said, *joined.told(block))
        for seq, frame in enumerate(frames, start=1)
        for block in _fed(held, frame, seq, SOURCE, seq * SECOND_NS, "")
        if joined.told(block) is not None
    ]


def cut(lines, *places):
    """*lines* with their times, in frames that begin at *places* too."""
    timed = list(enumerate(lines))
    return [timed[a:b] for a, b in pairwise([0, *places, len(timed)])]


def over_a_restart(lines, first, second):
    """What *lines* come to in three frames, cut at *first* and *second*, with a restart before the last."""
    one, two, three = cut(lines, first, second)
    held = Blocks()
    found = whole(held, [one, two])
    kept = msgspec.msgpack.encode(held.held())
    again = Blocks(msgspec.msgpack.decode(kept, type=tuple[Block, ...]))
    return [*found, *whole(again, [[], [], three])]
