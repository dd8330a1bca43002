"""Rows in memory that equal the rows of a store: what changed since the last commit, and the way back.

    groups = Rows()
    groups.put("file:{}", group)      groups.written() == [group]
    groups.abort()                    as before the put
    groups.commit()                   from here on

Several changes of one row between two commits are one; what came and went is none. Values are
immutable, so that the one before is kept by keeping it.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Rows(Generic[K, V]):
    """A dictionary that knows what to write."""

    __slots__ = ("_before", "_rows")

    def __init__(self, rows: Iterable[tuple[K, V]] = ()) -> None:
        self._rows: dict[K, V] = dict(rows)
        # What was there at the last commit, of the keys touched since; None: nothing.
        self._before: dict[K, V | None] = {}

    def get(self, key: K) -> V | None:
        """The row of *key*, or None."""
        return self._rows.get(key)

    def put(self, key: K, row: V) -> None:
        """Make *row* the one of *key*."""
        old = self._rows.get(key)
        if key not in self._before:
            self._before[key] = old
        self._rows[key] = row

    def drop(self, key: K) -> None:
        """Have no row of *key*."""
        old = self._rows.pop(key, None)
        if old is not None and key not in self._before:
            self._before[key] = old

    def clear(self) -> None:
        """Have no row."""
        for key in list(self._rows):
            self.drop(key)

    def written(self) -> list[V]:
        """Rows that are not what they were at the last commit, in the order they were touched."""
        return [
            row
            for key, before in self._before.items()
            if (row := self._rows.get(key)) is not None and row is not before
        ]

    def gone(self) -> list[K]:
        """Keys whose rows there were at the last commit, and now are not."""
        return [
            key
            for key, before in self._before.items()
            if before is not None and key not in self._rows
        ]

    def touched(self) -> list[K]:
        """Keys that were put or dropped since the last commit."""
        return list(self._before)

    def commit(self) -> None:
        """What there is, is stored."""
        self._before.clear()

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        for key, before in self._before.items():
            if before is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = before
        self._before.clear()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def values(self) -> Iterable[V]:
        """Every row."""
        return self._rows.values()

    def items(self) -> Iterable[tuple[K, V]]:
        """Every key with its row."""
        return self._rows.items()
