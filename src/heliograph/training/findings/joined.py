"""A finished block → what it tells.

traceback       exception, message, lines, and what of it was left out (`lines_dropped`); follows: the
                exception before it, of which it came, or the group that it is a member of
process_failed  of torchrun's report: rank, local_rank, exitcode, signal, pid, host,
                error_file, failed_at (as printed), ranks (all that failed, first MAX)
"""

import re
from typing import Any, NamedTuple

from heliograph.training import clean
from heliograph.training.findings import exceptions, signals
from heliograph.training.findings.block import Block
from heliograph.training.findings.event import (
    CONFIRMATION,
    CRITICAL,
    Event,
    cut,
    number,
)
from heliograph.training.findings.pieces import FAILED

RANKS_MAX = 64
_RANK = re.compile(r"\A\s+rank\s+: (\d+)(?: \(local_rank: (\d+)\))?")
_EXIT = re.compile(r"\A\s+exitcode\s+: (-?\d+)(?: \(pid: (\d+)\))?")
_NAMED = re.compile(r"\A\s+(time|host|error_file|traceback|msg)\s*: (.*)")
_UNSAID = re.compile(r"(?:<N/A>|To enable traceback see: .*)?\s*\Z")
_RAISED = re.compile(r"\A  ([A-Za-z_][\w.]*(?:Error|Exception)\w*: .*)")
_CAUSE = re.compile(r"\ARoot Cause")
_RENAMED = {"time": "failed_at", "msg": "message", "traceback": "message"}


class Told(NamedTuple):
    """A block's event, its text, and the rank and label of who spoke."""

    event: Event
    body: str
    rank: int | None
    label: str


def told(block: Block) -> Told | None:
    """What *block* tells; None where its exception was never named, as when a process is killed in
    the midst of it: whatever order lines come in, the same exceptions are told."""
    if not block.exception:
        return None
    who = clean.speaker(block.prefix)
    body = "\n".join(block.kept).rstrip("\n")
    if block.exception.endswith(FAILED):
        event = _report(block)
        return Told(event, body, event.attributes.get("rank"), who.label)
    severity, role = exceptions.by_name(block.exception)
    attributes: dict[str, Any] = {
        "exception": block.exception or None,
        "message": cut(block.message),
        "finding": block.finding,
        "follows": block.follows,
        "lines": block.named or block.count,
        "lines_dropped": block.left or None,
        "rank": who.rank,
        "role": CONFIRMATION if block.finding or block.follows else role,
    }
    said = {name: value for name, value in attributes.items() if value not in (None, "")}
    return Told(Event("traceback", severity, said), body, who.rank, who.label)


def _report(block: Block) -> Event:
    ranks: list[int] = []
    attributes: dict[str, Any] = {}
    for line in block.kept:
        if _CAUSE.match(line):
            attributes = {}
        rank = _RANK.match(line)
        if rank is not None:
            attributes.update(rank=int(rank[1]), local_rank=number(rank[2]))
            if int(rank[1]) not in ranks and len(ranks) < RANKS_MAX:
                ranks.append(int(rank[1]))
        code = _EXIT.match(line)
        if code is not None:
            attributes.update(exitcode=int(code[1]), pid=number(code[2]))
            attributes["signal"] = signals.of_exitcode(int(code[1]))
        # With `@record`, the traceback of the rank itself; its last line is what counts.
        raised = _RAISED.match(line)
        if raised is not None:
            attributes["message"] = cut(raised[1])
        named = _NAMED.match(line)
        if named is not None and not _UNSAID.match(named[2]):
            attributes[_RENAMED.get(named[1], named[1])] = cut(named[2])
    role = signals.role(attributes.get("signal"), CONFIRMATION)
    said = {name: value for name, value in attributes.items() if value not in (None, "")}
    if ranks:
        said["ranks"] = sorted(ranks)
    return Event("process_failed", CRITICAL, {**said, "role": role})
