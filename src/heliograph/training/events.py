"""What a line or its values tell besides numbers: the only entry to `training.findings`.

    if events.hinted(text):                     a microsecond; turns most lines away
        found = events.find(cleaned)            Found(Event("oom", "critical", {…}), …) or None
    events.of_fields(fields)                    (Event("nan_loss", …),) of a performance line

One automaton looks for the hints of all kinds of findings at once, and says which kinds may be
there; only those read the line. Of a line that tells several things the first of the list below
is told: the device before the library that stumbles over it, and that before Python's last word.
"""

import re2

from heliograph.training.findings import (
    collectives,
    devices,
    event,
    exceptions,
    host,
    lifecycle,
    memory,
    numbers,
    processes,
    saving,
    scheduler,
    workers,
)

Event = event.Event
Found = event.Found

_KINDS = (
    memory,
    devices,
    host,
    workers,
    collectives,
    numbers,
    scheduler,
    processes,
    saving,
    lifecycle,
    exceptions,
)
# Of a line whose values are those of a whole run.
TRAINING_OVER = Event("training_end", event.INFO, {})
RULES = frozenset(f"event_{rule}" for kind in _KINDS for rule in kind.RULES)

of_fields = numbers.of_fields


def _hints() -> "re2.Set":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    hints = re2.Set.SearchSet(options)
    for kind in _KINDS:
        # Of a raw line, in which the end of a colour may stand before a word: `\x1b[0mXid (`.
        hints.Add(kind.HINT.replace(r"\b", r"(?:\b|m)"))
    hints.Compile()
    return hints


_HINTS = _hints()


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, may tell an event."""
    # A third of what a job prints at its start, and none of it an event.
    if "NCCL INFO" in text:
        return False
    return bool(_HINTS.Match(text.encode("utf-8", "replace")))


def find(text: str) -> Found | None:
    """The event that *text*, a cleaned line, tells; None when it tells none."""
    for number in sorted(_HINTS.Match(text.encode("utf-8", "replace")) or ()):
        found: Found | None = _KINDS[number].read(text)
        if found is not None:
            return found
    return None
