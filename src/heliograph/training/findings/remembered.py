"""What is known of each of many subjects, at most so many, and as it was before the frame at hand.

held.begin(seq)             of the same frame again: what was known before it
held.set(subject, one)
held.get(subject) == one
"""

from collections import Counter
from collections.abc import Mapping
from typing import Generic, TypeVar

V = TypeVar("V")
Subject = tuple[str, str]


class Remembered(Generic[V]):
    """At most *most* subjects; those that are longest at rest go first.

    known     what is known, by subject; after `begin`
    counts    `evicted`: subjects that had to go
    touched   subjects of which something changed; whoever keeps them takes them out
    """

    def __init__(self, known: Mapping[Subject, V], most: int) -> None:
        self.known = dict(known)
        self.counts: Counter[str] = Counter()
        self.touched: set[Subject] = set()
        self._most = most
        # The frame at hand, and what was known before it, where something changed since.
        self._before: tuple[int, dict[Subject, V] | None] = (-1, None)

    def get(self, subject: Subject) -> V | None:
        """What is known of *subject*."""
        return self.known.get(subject)

    def begin(self, seq: int) -> None:
        """The frame *seq* follows; the same again, from where it began before."""
        if self._before[0] == seq and self._before[1] is not None:
            self.known = dict(self._before[1])
        elif self._before[0] != seq:
            self._before = (seq, None)

    def set(self, subject: Subject, one: V) -> None:
        """Know *one* of *subject*."""
        if self._before[1] is None:
            self._before = (self._before[0], dict(self.known))
        self.known.pop(subject, None)
        if len(self.known) >= self._most:
            self.counts["evicted"] += 1
            oldest = next(iter(self.known))
            del self.known[oldest]
            self.touched.add(oldest)
        self.known[subject] = one
        self.touched.add(subject)
