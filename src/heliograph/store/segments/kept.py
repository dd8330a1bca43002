"""Kept: what a query has read so far, within its bound."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.store.segments.file import Columns

Ints = NDArray[np.int64]


class Piece(NamedTuple):
    """Rows from one source: `sid` (n,) whose they are, and the columns, the first being time."""

    kind: str
    sid: Ints
    columns: Columns

    def where(self, which: NDArray[np.bool_]) -> "Piece":
        """The rows that *which* (n,) marks."""
        return Piece(self.kind, self.sid[which], tuple(c[which] for c in self.columns))


class Kept:
    """Pieces, cut off at `end_ns`, which moves to earlier whenever they pass twice the bound.

    That keeps memory bounded whatever a query spans: sources from `end_ns` on need not be read.
    """

    def __init__(self, end_ns: int, samples_max: int) -> None:
        self.end_ns = end_ns
        self.cut = False
        self._ranked: list[tuple[tuple[int, int], Piece]] = []
        self._samples = 0
        self._samples_max = samples_max

    def add(self, rank: tuple[int, int], piece: Piece) -> None:
        """Keep *piece*; of equal samples the one of the higher *rank* is to win."""
        self._ranked.append((rank, piece))
        self._samples += len(piece.sid)
        if self._samples > 2 * self._samples_max:
            self._trim()

    def _trim(self) -> None:
        times = np.concatenate([piece.columns[0] for _, piece in self._ranked])
        self.end_ns = first_left_out(times, self._samples_max)
        self.cut = True
        cut = [(rank, before(piece, self.end_ns)) for rank, piece in self._ranked]
        self._ranked = [(rank, piece) for rank, piece in cut if len(piece.sid)]
        self._samples = sum(len(piece.sid) for _, piece in self._ranked)

    def joined(self, kinds: Sequence[str], nothing: Columns) -> Piece:
        """All rows of *kinds* as one piece, lowest rank first; *nothing* is what no rows look like."""
        ranked = [item for item in self._ranked if item[1].kind in kinds]
        pieces = [piece for _, piece in sorted(ranked, key=lambda item: item[0])]
        if not pieces:
            return Piece(kinds[0], np.empty(0, np.int64), nothing)
        columns = tuple(map(np.concatenate, zip(*(p.columns for p in pieces), strict=True)))
        return Piece(kinds[0], np.concatenate([p.sid for p in pieces]), columns)


def first_left_out(times: Ints, samples_max: int) -> int:
    """The latest end with at most *samples_max* of *times* before it, but past the first of them.

    Past the first, so that a caller who pages on from it always gets further.
    """
    at = int(np.partition(times, samples_max)[samples_max])
    return max(at, int(times.min()) + 1)


def before(piece: Piece, end_ns: int) -> Piece:
    """The rows of *piece* with time before *end_ns*."""
    inside = piece.columns[0] < end_ns
    return piece if inside.all() else piece.where(inside)
