"""The lines of a block, one after another: which may follow which.

FRAMES   `  File "train.py", line 8, in main` …, until the exception's own line
NAMED    the exception is named; its message may go on, and another may be chained to it
CHAIN    `During handling of the above exception, …`: another traceback follows
MEMBER   `+---------------- 2 ----------------`: the traceback of a group's member follows, or only
         what it raised
REPORT   torchrun's report, until the root cause's last line
CAUSE    … inside the root cause
"""

import enum
import re
from typing import NamedTuple

from heliograph.training.findings.groups import Sign, drawn


class State(enum.IntEnum):
    """Where in a block we are."""

    FRAMES = 1
    NAMED = 2
    CHAIN = 3
    REPORT = 4
    CAUSE = 5
    MEMBER = 6


class Step(NamedTuple):
    """Where a line leads; the exception and its message, where it names one. It is so deep within
    groups; and *turns* from an exception that was named to what it says next."""

    state: State
    exception: str | None = None
    message: str = ""
    depth: int = 0
    turns: bool = False


_FRAME = re.compile(r"\s*$|[ \t]|\[Previous line repeated")
_IS_FRAME = re.compile(r"\s+File \"")
_NAMES = re.compile(
    r"(?P<exception>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\w+\))?)(?::\s(?P<message>.*)|:?\s*\Z)"
)
# A logger's level and the like begin lines of others.
_OTHERS = re.compile(
    r"(?:INFO|DEBUG|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTICE|iteration|step)\b"
)
_GOES_ON = re.compile(
    r"\s*$|[ \t](?! \+ Exception Group Traceback)|frame #\d+:|Exception raised from|"
    r"(?:CUDA|HIP) kernel errors might|"
    r"For debugging consider|Compile with `|Device-side assertions|Search for `|Last error:|"
    r"nccl\w+: |\^+"
)
_CHAIN = re.compile(
    r"(?:During handling of the above exception|The above exception was the direct cause)"
)
_TRACEBACK = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\)")
# What raises torchrun's report.
FAILED = "ChildFailedError"
_REPORT = re.compile(
    r"\s*$|[=*-]{5,}\s*$|.{0,400}\bFAILED\s*$|Failures:|Root Cause|\s*<NO_OTHER_FAILURES>|"
    r"\s*\[\d+\]:|\s+(?:time|host|rank|exitcode|error_file|traceback|msg|message)\s*:|\s+"
)
_CAUSE = re.compile(r"Root Cause")
_RULE = re.compile(r"[=*]{5,}\s*$")


def is_frame(text: str) -> bool:
    """Whether *text* can be nothing but a frame of a traceback."""
    return _IS_FRAME.match(drawn(text).text) is not None


def step(state: State, text: str, depth: int = 0) -> Step | None:
    """Where *text*, a line without its prefix, leads from *state*; None when it is no part. *depth* is
    that of the line before it."""
    if not depth and state != State.CHAIN:
        return _step(state, text)
    line = drawn(text)
    if depth and not line.depth and line.sign == Sign.MARGIN:
        # Of a group as a whole; all else that is not drawn is another's.
        return _step(state, text) if state == State.NAMED and _CHAIN.match(text) else None
    if line.sign != Sign.MARGIN:
        if not depth or state not in {State.NAMED, State.MEMBER}:
            return None
        follows = State.MEMBER if line.sign == Sign.MEMBER else State.NAMED
        return Step(follows, depth=line.depth, turns=True)
    found = _step(state, line.text)
    if found is None and state == State.NAMED and not _TRACEBACK.match(line.text):
        found = Step(State.NAMED)
    return found and found._replace(depth=line.depth)


def _step(state: State, text: str) -> Step | None:
    if state == State.FRAMES:
        return _in_frames(text)
    if state == State.NAMED:
        if _CHAIN.match(text):
            return Step(State.CHAIN, turns=True)
        return Step(State.NAMED) if _GOES_ON.match(text) else None
    if state in {State.CHAIN, State.MEMBER}:
        if _TRACEBACK.match(text):
            return Step(State.FRAMES)
        if state == State.MEMBER:
            return _in_frames(text) or Step(State.MEMBER)
        return Step(State.CHAIN) if not text.strip() else None
    return _in_report(state, text)


def ends(state: State, text: str, depth: int = 0) -> bool:
    """Whether a line that is no part of a block ends it: while its frames come, or those of a group,
    what another thread prints in between does not, but another traceback does."""
    if state != State.FRAMES and not depth:
        return True
    return "Traceback" in text and _TRACEBACK.match(drawn(text).text) is not None


def _in_frames(text: str) -> Step | None:
    if _TRACEBACK.match(text):
        return None
    if _FRAME.match(text):
        return Step(State.FRAMES)
    named = _NAMES.match(text)
    if named is None or _OTHERS.match(text):
        return None
    exception = named["exception"]
    # `NVRM: …` and `x: …` of another thread are none.
    if "." not in exception and (not exception[0].isupper() or exception.isupper()):
        return None
    state = State.REPORT if exception.endswith(FAILED) else State.NAMED
    return Step(state, exception, (named["message"] or "").strip())


def _in_report(state: State, text: str) -> Step | None:
    if state == State.CAUSE and _RULE.match(text):
        return Step(State.NAMED)
    if not _REPORT.match(text):
        return None
    return Step(State.CAUSE if state == State.CAUSE or _CAUSE.match(text) else State.REPORT)
