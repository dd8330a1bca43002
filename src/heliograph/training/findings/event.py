"""The shapes that findings have, and where in a line a message can begin.

    Found(Event("oom", "critical", {"requested_gb": 0.2969, "gpu": 0}), 14, "unknown", "event_oom")

`role`, among the attributes, says how a finding stands to what went wrong:

    root           can be the cause by itself: a device that fell off the bus, memory that ran out
    cascade        follows from what went wrong elsewhere: a rank that waits for one that is dead
    confirmation   says again, later, what something else said first: a launcher's report

It is what the line's kind alone tells; a cascade without a root has one that did not speak.
"""

from typing import Any, NamedTuple

from heliograph.training import clean, framework
from heliograph.training.findings.patterns import compiled

ROOT, CASCADE, CONFIRMATION = "root", "cascade", "confirmation"
INFO, WARNING, ERROR, CRITICAL = "info", "warning", "error", "critical"
# A text that a line carries (message, path, reason) is no longer than this.
TEXT_CHARS_MAX = 1024
# Of the places in a line where a sentence may begin, so many are looked at.
TRIES_MAX = 32
# As much before a message can say that it is one.
SAYS_CHARS_MAX = 80

# What C++ logging and Python's exceptions put before their message.
_SAYS = compiled(r"(?:[Ee]rror|[Ee]xception|[Ww]hat\(\)|\w+Exit|[Ff]ailure was)\s*:\s*\Z")


class Event(NamedTuple):
    """Something that happened, by the word of a log line.

    event_type   `checkpoint_save_end`, `training_start`, `oom`, …
    severity     `info`, `warning`, `error` or `critical`
    attributes   what the line says of it
    """

    event_type: str
    severity: str
    attributes: dict[str, Any]


class Found(NamedTuple):
    """An event, the character where its sentence begins, who says it so, and the rule's name."""

    event: Event
    at: int
    framework: str
    rule: str


def found(
    event_type: str, severity: str, rule: str, at: int, role: str, attributes: dict[str, Any]
) -> Found:
    """A finding whose attributes that are None or "" are left out, and its role put in."""
    said = {name: value for name, value in attributes.items() if value not in (None, "")}
    return Found(
        Event(event_type, severity, {**said, "role": role}),
        at,
        framework.UNKNOWN,
        f"event_{rule}",
    )


def begins(text: str, at: int) -> bool:
    """Whether a message, or a line of one, can begin at *at* of *text*; also after `…Error: `."""
    before = text[text.rfind("\n", 0, at) + 1 : at]
    said = before[-SAYS_CHARS_MAX:]
    return not said.strip() or bool(_SAYS.search(said)) or clean.begins(before, len(before))


def cut(text: str) -> str:
    """*text* without the white space around it, at most TEXT_CHARS_MAX characters."""
    return text.strip()[:TEXT_CHARS_MAX]


def number(text: str | None) -> int | None:
    """*text*'s whole number; None when it has none that is one of a counter."""
    if text is None or not text.lstrip("-").isdecimal() or len(text) > 19:
        return None
    return int(text)
