"""What a reader of one shape of line hands back."""

from typing import Any, NamedTuple

from heliograph.training.reading import Reading


class Outcome(NamedTuple):
    """A line, read.

    fields      training field → number; the rest under `extra`
    framework   what prints such a line, as far as the line tells
    rule        which reading it was: one of `parse.RULES`
    head        the text before the values: it may name the rank
    reading     how sure the reading is
    """

    fields: dict[str, Any]
    framework: str
    rule: str
    head: str
    reading: Reading
