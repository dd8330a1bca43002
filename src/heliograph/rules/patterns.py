"""Which of many user patterns match a line: one pass over the line, however many there are.

    PatternSet(["NCCL (?:error|WARN)", "(?i)out of memory"]).matches("NCCL WARN …")  →  (0,)

Patterns are RE2, unanchored. All but the steep ones are one automaton (`re2.Set`), whose time
does not grow with their number. A *steep* pattern counts far (`.{100}`), so that its automaton can
need more states than there is memory for. Steep patterns are kept apart, few together, and searched
only in the beginning of a line, which bounds what hostile ones can cost: 200 of `.{0,200}q1` take a
millisecond a line once their states are made, where together they took seconds.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import re2

from heliograph.core.counting import counted
from heliograph.core.matcher import compile_pattern

STEEP_REPEATS_MIN = 16
STEEP_COUNTED_MIN = 45
STEEP_PROGRAM_MIN = 2000
STEEP_LINE_BYTES_MAX = 4096
# Steep patterns that are looked for together: how large they are, and what their states may take.
TOGETHER_PROGRAM_MAX = 20_000
TOGETHER_MEMORY_BYTES_MAX = 8 * 1024 * 1024
SET_MEMORY_BYTES_MAX = 32 * 1024 * 1024

# Lines that are looked at together: where no pattern occurs in them, they are done.
LINES_TOGETHER = 16

# The place of a line, and the numbers of the patterns that occur in it.
Hit = tuple[int, tuple[int, ...]]

# What may hold at the ends of a line and nowhere in the middle of several; `[^` is none of it.
_EDGE = re.compile(r"(?<!\[)\^|\$|\\[Az]")
# A group that has a name; what may look like one, an escape or a class, is the first group here.
_NAMED = re.compile(r"(\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\])|\(\?P?<\w+>", re.DOTALL)
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def encoded(text: str) -> bytes:
    """*text* as RE2 reads it; a lone surrogate, which UTF-8 lacks, becomes `?`."""
    return text.encode("utf-8", "replace")


class Pattern:
    """One user pattern. Immutable; equal by what it says.

    names   its named groups, in order
    size    of its program, in instructions
    Raises ValueError when it is not RE2, too long or too big, or counts too far.
    """

    __slots__ = ("_numbers", "_regexp", "names", "size", "steep", "text")

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text = f"(?i:{text})" if ignore_case else text
        # The text as it was given is checked first: `)(?:` would pass inside the brackets.
        self._regexp = compile_pattern(text)
        if ignore_case:
            self._regexp = compile_pattern(self.text)
        groups = sorted(self._regexp.groupindex.items(), key=lambda item: item[1])
        self.names = tuple(name for name, _ in groups)
        # By name, each would be looked up in a dict that is made anew.
        self._numbers = tuple(number for _, number in groups)
        numbers = [int(n) for pair in _COUNTED.findall(self.text) for n in pair if n]
        self.size = self._regexp.programsize
        self.steep = (
            counted(text) >= STEEP_COUNTED_MIN
            or max(numbers, default=0) >= STEEP_REPEATS_MIN
            or self.size >= STEEP_PROGRAM_MIN
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def found_in(self, line: bytes) -> bool:
        """Whether it occurs in *line*."""
        return self._regexp.search(line) is not None

    def groups(self, line: bytes) -> dict[str, str]:
        """The named groups of its first occurrence in *line*; those that took no part are ""."""
        if not self.names:
            return {}
        match = self._regexp.search(line)
        if match is None:
            return dict.fromkeys(self.names, "")
        return {
            name: (match[number] or b"").decode("utf-8", "replace")
            for name, number in zip(self.names, self._numbers, strict=True)
        }


# Its place among others, and a pattern.
Numbered = tuple[int, Pattern]


class PatternSet:
    """Many patterns, searched together. Immutable."""

    __slots__ = ("_joined", "_places", "_set", "_steep")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        steep = [(n, pattern) for n, pattern in enumerate(patterns) if pattern.steep]
        # What finds whether any of them occurs, since it is rare, and those.
        self._steep = [(_any_of(some), some) for some in _few(steep)]
        self._places = [n for n, pattern in enumerate(patterns) if not pattern.steep]
        self._set: re2.Set | None = None
        self._joined = not self._steep and not any(_EDGE.search(p.text) for p in patterns)
        if self._places:
            self._set = re2.Set.SearchSet(_options(SET_MEMORY_BYTES_MAX))
            for place in self._places:
                self._set.Add(patterns[place].text)
            self._set.Compile()

    def matches(self, line: bytes) -> tuple[int, ...]:
        """The numbers of the patterns that occur in *line*, in order; usually none."""
        found = self._set.Match(line) if self._set is not None else None
        if not self._steep:
            return tuple(sorted([self._places[n] for n in found])) if found else ()
        numbers = [self._places[n] for n in found or ()]
        head = line[:STEEP_LINE_BYTES_MAX]
        for any_of, some in self._steep:
            if any_of is None or any_of.search(head) is not None:
                numbers += [n for n, pattern in some if pattern.found_in(head)]
        return tuple(sorted(numbers))

    def matching(
        self,
        texts: bytes,
        ends: Sequence[int],
        places: Sequence[int] | None = None,
        *,
        together: bool = True,
    ) -> list[Hit]:
        """Those lines in which any occurs, and which; each ends in *texts* where *ends* says. Of
        *places* only, where they are given. Not *together* where that is likely of each: one look
        less."""
        if not self._places and not self._steep:
            return []
        starts = [0, *ends]
        some = range(len(ends)) if places is None else places
        if not together or not self._joined or self._set is None:
            return self._among(texts, starts, some)
        found: list[Hit] = []
        for first in range(0, len(some), LINES_TOGETHER):
            several = some[first : first + LINES_TOGETHER]
            # An end of line where a line ends: what occurs in a line occurs in this.
            if self._set.Match(b"\n".join([texts[starts[n] : starts[n + 1]] for n in several])):
                found += self._among(texts, starts, several)
        return found

    def _among(self, texts: bytes, starts: Sequence[int], places: Iterable[int]) -> list[Hit]:
        return [
            (n, hits)
            for n in places
            if (hits := self.matches(texts[starts[n] : starts[n + 1]]))
        ]


def _few(steep: Sequence[Numbered]) -> list[list[Numbered]]:
    """*steep* in their order, as many together as are small enough."""
    found: list[list[Numbered]] = []
    room = 0
    for n, pattern in steep:
        if pattern.size > room:
            found.append([])
            room = max(pattern.size, TOGETHER_PROGRAM_MAX)
        found[-1].append((n, pattern))
        room -= pattern.size
    return found


def _any_of(some: Sequence[Numbered]) -> Any:
    """What finds whether any of *some* occurs; None where they cannot be one: `\\Q` may hide where one
    of them ends."""
    texts = [pattern.text for _, pattern in some]
    if any(r"\Q" in text for text in texts):
        return None
    joined = "|".join(f"(?:{_nameless(text)})" for text in texts)
    try:
        return re2.compile(joined, _options(TOGETHER_MEMORY_BYTES_MAX))
    except re2.error:
        return None


def _options(memory_bytes_max: int) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = memory_bytes_max
    return options


def _nameless(text: str) -> str:
    """*text* with its named groups unnamed: two patterns may use one name."""
    return _NAMED.sub(lambda found: found[1] or "(", text)
