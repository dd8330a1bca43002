"""Where points go: every point counts, also two of one series at one instant.

    instants.place(7, t)  →  t          instants.place(7, t)  →  t + 1 ns: the later one moves
    instants.place(7, t, "f47a…")       the same again for the same name: it was sent twice

A store keeps one value for a series and an instant. What is remembered is bounded: at least the last
PLACES_MAX places and names, at most twice as many. What is older, or was before a restart, is not
known any more: a point of the very same series and nanosecond then takes the place of the older one,
and a batch that is sent again whole lands where it was.
"""

PLACES_MAX = 65_536


class Instants:
    """For one thread. *forgotten* counts places and names given up for room."""

    __slots__ = ("_most", "_named", "_older", "_older_named", "_recent", "forgotten")

    def __init__(self, most: int = PLACES_MAX) -> None:
        self._most = most
        # (series, instant) that is taken → the next that may be free.
        self._recent: dict[tuple[int, int], int] = {}
        self._older: dict[tuple[int, int], int] = {}
        self._named: dict[tuple[int, str], int] = {}
        self._older_named: dict[tuple[int, str], int] = {}
        self.forgotten = 0

    def place(self, series: int, at_ns: int, name: str = "") -> int:
        """The instant of a point of *series* told for *at_ns*; *name* is the id its sender gave it."""
        if name:
            known = self._named.get((series, name)) or self._older_named.get((series, name))
            if known is not None:
                return known
        free_ns = at_ns
        while (following := self._taken(series, free_ns)) is not None:
            free_ns = following
        if free_ns != at_ns:
            # Who comes to the same instant again goes straight to the end of the row.
            self._recent[series, at_ns] = free_ns + 1
        self._recent[series, free_ns] = free_ns + 1
        if name:
            self._named[series, name] = free_ns
        self._bound()
        return free_ns

    def _taken(self, series: int, at_ns: int) -> int | None:
        found = self._recent.get((series, at_ns))
        return self._older.get((series, at_ns)) if found is None else found

    def _bound(self) -> None:
        """Two halves in turn: the older goes as a whole, so that no point pays for another."""
        if len(self._recent) >= self._most:
            self.forgotten += len(self._older)
            self._older, self._recent = self._recent, {}
        if len(self._named) >= self._most:
            self.forgotten += len(self._older_named)
            self._older_named, self._named = self._named, {}
