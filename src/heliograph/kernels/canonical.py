"""Canonical JSON of a plain document, sorted keys and ASCII: what record ids are digests of.

    canonical({"b": [1.5, None], "a": "é"}) == b'{"a": "\\\\u00e9", "b": [1.5, null]}'

Plain is: dicts of exact type whose keys are ASCII text, lists, tuples, text, integers, floats,
booleans, None; nested at most `DEPTH_MAX` deep. For such a document these bytes are what the json
module writes with sorted keys, and what it writes again of what it read back. Anything else is
answered None, for whoever knows what then holds. Source: RFC 8259, and the json module's spelling
of NaN and infinities. `canonical.pyx` is the same for machines with a compiler (decision 0010).
"""

from collections.abc import Callable
from json import encoder
from typing import Any, TypeVar

COMPILED = False
DEPTH_MAX = 40

F = TypeVar("F")

_ATOMS = frozenset((str, int, float, bool, type(None)))
_TEXT = frozenset((str,))


def _encoder() -> Callable[[object], str]:
    """The json module's encoder in C, made once; its own way makes one a call."""
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return encoder.JSONEncoder(sort_keys=True, check_circular=False).encode
    parts = make(
        None, str, encoder.encode_basestring_ascii, None, ": ", ", ", True, False, True
    )
    return lambda document: "".join(parts(document, 0))


_encode = _encoder()


def canonical(document: object) -> bytes | None:
    """The bytes of *document*, or None where it is not plain."""
    if not _plain(document, DEPTH_MAX):
        return None
    return _encode(document).encode("ascii")


def frozen(mapping: dict[str, Any], kind: Callable[[dict[str, Any]], F]) -> F:
    """A *kind* of *mapping*, which is plain: mappings inside are of the same kind, lists tuples."""
    if _ATOMS.issuperset(map(type, mapping.values())):
        return kind(mapping)
    return kind({k: v if type(v) in _ATOMS else _frozen(v, kind) for k, v in mapping.items()})


def frozen_items(
    items: tuple[Any, ...], kind: Callable[[dict[str, Any]], Any]
) -> tuple[Any, ...]:
    """*items*, which are plain, with every container in them as `frozen` makes it."""
    return tuple([each if type(each) in _ATOMS else _frozen(each, kind) for each in items])


def _frozen(value: Any, kind: Callable[[dict[str, Any]], F]) -> F | tuple[Any, ...]:
    if type(value) is dict:
        return frozen(value, kind)
    return tuple([each if type(each) in _ATOMS else _frozen(each, kind) for each in value])


def thawed(mapping: dict[str, Any]) -> dict[str, Any]:
    """A new dict of *mapping*: mappings inside are dicts, lists and tuples lists."""
    plain = dict(mapping)
    if not _ATOMS.issuperset(map(type, plain.values())):
        for key, value in mapping.items():
            if type(value) not in _ATOMS:
                plain[key] = _thawed(value)
    return plain


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return thawed(value)
    if isinstance(value, (tuple, list)):
        return [each if type(each) in _ATOMS else _thawed(each) for each in value]
    return value


def _plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in _ATOMS:
        return True
    if depth == 0:
        return False
    if kind is dict:
        if not (_TEXT.issuperset(map(type, value)) and "".join(value).isascii()):
            return False
        nested = value.values()
    elif kind is list or kind is tuple:
        nested = value
    else:
        return False
    if _ATOMS.issuperset(map(type, nested)):
        return True
    return all(_plain(each, depth - 1) for each in nested if type(each) not in _ATOMS)
