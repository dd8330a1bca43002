"""Which lines of one shape need no look for patterns, by a few of their digits.

    guards = Guards([Pattern(r"nan iterations: +[1-9]"), …])
    guards.of(b"step 12 | nan iterations:   0 |", [(5, 7), (26, 27)])   →   [(26, 27)]

Of all lines that differ from this in the digits at those two places, none in which the second is 0
holds any of the patterns; the first may be what it is.
"""

from collections.abc import Iterable, Sequence

from heliograph.rules.masked import ANY, masked
from heliograph.rules.patterns import Pattern, PatternSet

Span = tuple[int, int]
# Of a line of more numbers, which of them matter is not looked for: it would take seconds.
FREE_MAX = 64


class Guards:
    """Of some patterns; they are looked at when that is asked for."""

    __slots__ = ("_over", "_patterns")

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._over: PatternSet | None = None

    def of(self, text: bytes, free: Sequence[Span]) -> list[Span] | None:
        """Of *free*, the digits in which lines like *text* differ, those that, when all of them are
        zeros, make it certain that no pattern occurs. [] where none ever does, None where that
        depends on more, or on more than FREE_MAX."""
        over = self._masked()
        if not over.matches(_filled(text, free, ANY.encode())):
            return []
        if len(free) > FREE_MAX or over.matches(_filled(text, free, b"0")):
            return None
        kept = list(free)
        for span in free:
            fewer = [one for one in kept if one != span]
            others = [one for one in free if one not in fewer]
            if not over.matches(_filled(_filled(text, fewer, b"0"), others, ANY.encode())):
                kept = fewer
        return kept

    def _masked(self) -> PatternSet:
        """The patterns over lines with unknown digits."""
        if self._over is None:
            over = [masked(pattern.text) for pattern in self._patterns]
            # Of one that cannot be masked nothing is known: it may occur anywhere.
            some = [Pattern("" if one is None else one) for one in over]
            self._over = PatternSet(some)
        return self._over


def _filled(text: bytes, spans: Iterable[Span], digit: bytes) -> bytes:
    """*text* with *digit* in place of all at *spans*."""
    made = bytearray(text)
    for start, stop in spans:
        made[start:stop] = digit * (stop - start)
    return bytes(made)
