"""A block of lines while it comes: what it is so far, and what another line makes of it."""

from typing import NamedTuple

import msgspec

from heliograph.training.findings.pieces import State, Step

LINES_MAX = 5000
# More of a block than this is not kept; its last lines, which name the exception, are.
CHARS_MAX = 16 * 1024

# As `receive.lines` names what prints: pod, namespace, name, node, container, stream.
Source = tuple[str, str, str, str, str, str]
Key = tuple[Source, str]


class Group(NamedTuple):
    """A group whose members come: its exception, and how many lines it had when that was named, *left*
    of them not kept."""

    exception: str
    named: int
    left: int


class Block(msgspec.Struct, frozen=True, array_like=True):
    """One that is not finished. *at_ns* and *said* are of the line that names it, as it came: its
    first, then that of its exception, which is the same finding when it comes alone. *kept* are its
    lines so far, without what they all begin with; *finding* an event that its exception's line
    tells itself. When its exception was named it had *named* lines, *left* of them not kept; *told*
    says that this was told, *follows* what exception was before it, or of what group it is a member.
    *groups* are those around the line at hand, and *depth* how deep it is drawn within them."""

    source: Source
    prefix: str
    pod_uid: str
    at_ns: int
    said: str
    arrival_ns: int
    kept: tuple[str, ...]
    state: State
    chars: int = 0
    count: int = 0
    dropped: int = 0
    exception: str = ""
    message: str = ""
    finding: str = ""
    named: int = 0
    left: int = 0
    told: bool = False
    follows: str = ""
    depth: int = 0
    groups: tuple[Group, ...] = ()


class Came(NamedTuple):
    """A line as it came, its time, when its frame arrived, and the event it tells by itself."""

    said: str
    at_ns: int
    arrival_ns: int
    finding: str


def grown(block: Block, step: Step, rest: str, came: Came) -> Block:
    """*block* with the line *rest*, which leads where *step* says."""
    if step.turns:
        block = _turned(block, step)
    # A margin with nothing behind it is a blank line.
    rest = "" if rest.strip() == "|" else rest.rstrip()
    named = step.exception is not None
    keep = named or block.chars + len(rest) <= CHARS_MAX
    grown = msgspec.structs.replace(
        block,
        arrival_ns=came.arrival_ns,
        kept=(*block.kept, rest[:CHARS_MAX]) if keep else block.kept,
        state=step.state if block.count < LINES_MAX else State.NAMED,
        chars=block.chars + (len(rest) + 1 if keep else 0),
        count=block.count + 1,
        dropped=block.dropped + (not keep),
        depth=step.depth,
    )
    if step.exception is None:
        return grown
    return msgspec.structs.replace(
        grown,
        at_ns=came.at_ns,
        said=came.said,
        exception=step.exception,
        message=step.message,
        finding="" if came.finding == "traceback" else came.finding,
        named=grown.count,
        left=grown.dropped,
        told=False,
        follows=block.exception,
    )


def _turned(block: Block, step: Step) -> Block:
    """*block*, which is told, as another exception follows: one of a group's members, or one that came
    of what was named last, or of a group that has ended. It has what is before it, up to the line that
    named that, for what came with it is not the same wherever a request ends."""
    around = max(step.depth - 1, 0)
    if step.state == State.MEMBER:
        block = _within(block, around - 1)
        groups = (*block.groups, Group(block.exception, block.named, block.left))
        return _upto_named(block, groups)
    block = _within(block, around)
    return _upto_named(block, block.groups, *([""] if step.state == State.CHAIN else []))


def _within(block: Block, around: int) -> Block:
    """*block* after the groups that are in *around* others, whose first is what was named last."""
    if len(block.groups) <= around:
        return block
    ended = block.groups[around]
    return msgspec.structs.replace(
        block,
        groups=block.groups[:around],
        exception=ended.exception,
        named=ended.named,
        left=ended.left,
    )


def _upto_named(block: Block, groups: tuple[Group, ...], *more: str) -> Block:
    kept = (*block.kept[: block.named - block.left], *more)
    return msgspec.structs.replace(
        block,
        kept=kept,
        chars=sum(map(len, kept)) + len(kept),
        count=block.named + len(more),
        dropped=block.left,
        told=True,
        groups=groups,
    )
