"""The lines of a block, one after another: which may follow which.

FRAMES   `  File "train.py", line 8, in main` …, until the exception's own line
NAMED    the exception is named; its message may go on, and another may be chained to it
CHAIN    `During handling of the above exception, …`: another traceback follows
REPORT   torchrun's report, until the root cause's last line
CAUSE    … inside the root cause
"""

import enum
import re
from typing import NamedTuple


class State(enum.IntEnum):
    """Where in a block we are."""

    FRAMES = 1
    NAMED = 2
    CHAIN = 3
    REPORT = 4
    CAUSE = 5


class Step(NamedTuple):
    """Where a line leads; the exception and its message, where it names one."""

    state: State
    exception: str | None = None
    message: str = ""


_FRAME = re.compile(r"\s+(?:\|\s+)?File \"|\s*$|[ \t]|\[Previous line repeated|\+-|\|")
_IS_FRAME = re.compile(r"\s+(?:\|\s+)?File \"")
_NAMES = re.compile(
    r"(?P<exception>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:\(\w+\))?)(?::\s(?P<message>.*)|:?\s*\Z)"
)
# A logger's level and the like begin lines of others.
_OTHERS = re.compile(
    r"(?:INFO|DEBUG|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTICE|iteration|step)\b"
)
_GOES_ON = re.compile(
    r"\s*$|[ \t]|frame #\d+:|Exception raised from|(?:CUDA|HIP) kernel errors might|"
    r"For debugging consider|Compile with `|Device-side assertions|Search for `|Last error:|"
    r"nccl\w+: |\^+"
)
_CHAIN = re.compile(
    r"(?:During handling of the above exception|The above exception was the direct cause)"
)
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_FAILED = "ChildFailedError"
_REPORT = re.compile(
    r"\s*$|[=*-]{5,}\s*$|.{0,400}\bFAILED\s*$|Failures:|Root Cause|\s*<NO_OTHER_FAILURES>|"
    r"\s*\[\d+\]:|\s+(?:time|host|rank|exitcode|error_file|traceback|msg|message)\s*:|\s+"
)
_CAUSE = re.compile(r"Root Cause")
_RULE = re.compile(r"[=*]{5,}\s*$")


def is_frame(text: str) -> bool:
    """Whether *text* can be nothing but a frame of a traceback."""
    return _IS_FRAME.match(text) is not None


def step(state: State, text: str) -> Step | None:
    """Where *text*, a line without its prefix, leads from *state*; None when it is no part."""
    if state == State.FRAMES:
        return _in_frames(text)
    if state == State.NAMED:
        if _CHAIN.match(text):
            return Step(State.CHAIN)
        return Step(State.NAMED) if _GOES_ON.match(text) else None
    if state == State.CHAIN:
        if _TRACEBACK.match(text):
            return Step(State.FRAMES)
        return Step(State.CHAIN) if not text.strip() else None
    return _in_report(state, text)


def ends(state: State, text: str) -> bool:
    """Whether a line that is no part of a block ends it: while its frames come, what another
    thread prints in between does not, but another traceback does."""
    return state != State.FRAMES or _TRACEBACK.match(text) is not None


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
    state = State.REPORT if exception.endswith(_FAILED) else State.NAMED
    return Step(state, exception, (named["message"] or "").strip())


def _in_report(state: State, text: str) -> Step | None:
    if state == State.CAUSE and _RULE.match(text):
        return Step(State.NAMED)
    if not _REPORT.match(text):
        return None
    return Step(State.CAUSE if state == State.CAUSE or _CAUSE.match(text) else State.REPORT)
