"""Pieces of lines that came to their end: known again when a shipper that got no answer sends them.

ended.add({piece, …})        with the last piece of a line
piece in ended               it was told already
"""

from collections.abc import Iterable

# Pieces of one line that are known again; and of all lines that came to their end.
OF_A_LINE_MAX = 64
ENDED_MAX = 2048

# What printed it, its time, its length and its text's hash.
Piece = tuple[tuple[str, str, str, str, str, str], int, int, int]


class EndedPieces:
    """The last ENDED_MAX of them."""

    def __init__(self) -> None:
        self._pieces: dict[Piece, None] = {}

    def __len__(self) -> int:
        return len(self._pieces)

    def __contains__(self, piece: Piece) -> bool:
        return piece in self._pieces

    def add(self, pieces: Iterable[Piece]) -> None:
        """The line of *pieces* came to its end."""
        self._pieces.update(dict.fromkeys(pieces))
        while len(self._pieces) > ENDED_MAX:
            del self._pieces[next(iter(self._pieces))]

    def may_come_again(self, at_ns: Iterable[int] | None) -> bool:
        """Whether a line of one of these times (of any, for None) may be one of them."""
        if at_ns is None or not self._pieces:
            return bool(self._pieces)
        return not {one[1] for one in self._pieces}.isdisjoint(at_ns)

    def forget(self) -> None:
        """None of them is expected again."""
        self._pieces.clear()
