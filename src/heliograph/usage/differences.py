"""What a custom builder did to a copy of the metrics, so that it can be done to the original.

    before {"a": 1, "b": 2}   after {"a": 4, "c": 1}   ->   a from 1 to 4, c from nothing to 1, b gone

Where the original has moved on meanwhile, a number moves by as much; anything else is set.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

from heliograph.usage.keys import is_number


class _Nothing:
    pass


NOTHING = _Nothing()


class Difference(NamedTuple):
    """One key's value before and after; NOTHING where there was, or is, none."""

    key: str
    before: Any
    after: Any


class Over(MutableMapping[str, Any]):
    """A mapping laid over another, which stays as it is; *gone* are keys that were deleted."""

    def __init__(self, top: dict[str, Any], below: Mapping[str, Any]) -> None:
        self._top = top
        self._below = below
        self.gone: dict[str, None] = {}

    def __getitem__(self, key: str) -> Any:
        if key in self._top:
            return self._top[key]
        if key in self.gone:
            raise KeyError(key)
        return self._below[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._top[key] = value

    def __delitem__(self, key: str) -> None:
        self._top.pop(key, None)
        self.gone[key] = None

    def __iter__(self) -> Iterator[str]:
        below = (key for key in self._below if key not in self._top and key not in self.gone)
        return iter([*self._top, *below])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """What changed, in the order of *after*; then what went."""
    changed = []
    for key, value in after.items():
        was = before.get(key, NOTHING)
        # By type as well: 1 and True are not the same value.
        if was is not value and (type(was) is not type(value) or was != value):
            changed.append(Difference(key, was, value))
    gone = [Difference(key, was, NOTHING) for key, was in before.items() if key not in after]
    return changed + gone


def apply(metrics: MutableMapping[str, Any], changed: list[Difference]) -> None:
    """Do to *metrics* what was done to the copy."""
    for key, before, after in changed:
        if after is NOTHING:
            metrics.pop(key, None)
            continue
        now = metrics.get(key, NOTHING)
        has_moved = now is not before and now != before
        base = 0 if before is NOTHING else before
        if has_moved and is_number(now) and is_number(base) and is_number(after):
            metrics[key] = now + (after - base)
        else:
            metrics[key] = after
