"""Lines that come in frames, and what the blocks among them tell."""

from itertools import pairwise

from heliograph.training.findings import joined

SECOND_NS = 10**9
SOURCE = ("p1", "train", "pod-p1", "n1", "main", "stderr")


def fed(held, lines, *, seq=1, source=SOURCE, arrival_ns=SECOND_NS, finding=""):
    """What a frame of *lines* finishes, in order."""
    held.begin(seq)
    found = []
    for at_ns, text in enumerate(lines):
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
        for block in fed_at(held, frame, seq)
        if joined.told(block) is not None
    ]


def fed_at(held, frame, seq):
    """As `fed`, of lines with the time they have uncut."""
    held.begin(seq)
    found = []
    for at_ns, text in frame:
        if held.wants(SOURCE, text):
            found += held.line(
                *(SOURCE, text, text),
                pod_uid="p1", at_ns=at_ns, arrival_ns=seq * SECOND_NS, finding="",
            ).finished  # fmt: skip
    return [*found, *held.end(seq * SECOND_NS)]


def cut(lines, *places):
    """*lines* with their times, in frames that begin at *places* too."""
    timed = list(enumerate(lines))
    return [timed[a:b] for a, b in pairwise([0, *places, len(timed)])]
