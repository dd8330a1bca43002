"""Values that nothing can change, and the way back to plain ones.

    freeze({"path": ["train", {"n": 1}]})   a FrozenMapping, its list a tuple, and so on inside
    thaw(of that)                           {"path": ["train", {"n": 1}]}

A mapping becomes a `FrozenMapping` with text keys, a list or tuple a tuple, a set a frozenset, a
bytearray bytes. Other objects stay what they are: what they hold is their own affair.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NoReturn, SupportsIndex

ATOMS = frozenset((str, int, float, bool, type(None), bytes))


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__!r} object cannot be changed")


class FrozenMapping(dict[str, Any]):
    """A dict that refuses to change; equal to a dict of the same items, with a hash of its own.

    It is a dict so that encoders, `json` among them, write it as it is.
    """

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> "FrozenMapping":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenMapping":
        if ATOMS.issuperset(map(type, self.values())):
            return self
        return FrozenMapping({key: deepcopy(value, memo) for key, value in self.items()})

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # A dict's own way would set items one by one.
        return FrozenMapping, (dict(self),)


def freeze(value: Any) -> Any:
    """*value* with everything in it frozen, as the module tells. Nothing is shared with it that
    could still be changed."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if isinstance(value, Mapping):
        return freeze_mapping(value)
    if isinstance(value, (list, tuple)):
        return tuple([freeze(each) for each in value])
    if isinstance(value, (set, frozenset)):
        return frozenset(value)
    return bytes(value) if isinstance(value, bytearray) else value


def freeze_mapping(mapping: Mapping[Any, Any]) -> FrozenMapping:
    """*mapping* frozen; its keys as text."""
    return FrozenMapping({str(key): freeze(value) for key, value in mapping.items()})


def thaw(value: Any) -> Any:
    """*value* as spec 003 has it written: mappings as dicts with text keys, tuples as lists; lists, and
    what is in them, stay. To have it all plain there is `kernels.canonical.thawed`."""
    if type(value) in ATOMS:
        return value
    if isinstance(value, Mapping):
        return {
            str(key): each if type(each) in ATOMS else thaw(each) for key, each in value.items()
        }
    if isinstance(value, tuple):
        return [thaw(each) for each in value]
    return value
