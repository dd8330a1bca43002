"""Labels: the identity of a series. Sorted, unique names, no empty values.

    Labels = (("__name__", "up"), ("instance", "a:9100"), ("job", "node"))

`pack` turns them into the bytes that identify a series everywhere (tables, log, segments):
for each name and value its UTF-8 length as LEB128 varint, then the bytes. Length prefixes keep
`{a="bc"}` and `{ab="c"}` apart.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]

NAME = "__name__"

# The varint of a length that takes one byte, as the character of that code.
_SHORT = tuple(map(chr, range(0x80)))


def of(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Labels:
    """Canonical labels of *pairs*: sorted by name, empty values left out.

    Raises ValueError when a name occurs twice or is empty.
    """
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    result = tuple(sorted((name, value) for name, value in items if value))
    for (name, _), (following, _) in pairwise(result):
        if name == following:
            raise ValueError(f"label name {name!r} occurs twice")
    if result and not result[0][0]:
        raise ValueError("a label name is empty")
    return result


def pack(labels: Labels) -> bytes:
    """Identity bytes of canonical *labels*."""
    try:
        text = "".join([_SHORT[len(text)] + text for pair in labels for text in pair])
    except IndexError:
        text = ""
    if text and text.isascii():
        # The usual case: every length takes one byte, and every character.
        return text.encode("ascii")
    return pack_utf8(
        (name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass"))
        for name, value in labels
    )


def pack_utf8(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """`pack` of canonical labels that are UTF-8 already; the order of bytes is that of the text."""
    out = bytearray()
    for pair in pairs:
        for text in pair:
            length = len(text)
            while length > 0x7F:
                out.append(length & 0x7F | 0x80)
                length >>= 7
            out.append(length)
            out += text
    return bytes(out)


def fingerprint(labels: Labels) -> str:
    """32 hexadecimal digits that stand for canonical *labels*: an alert's identity."""
    return fingerprint_of(pack(labels))


def fingerprint_of(packed: bytes) -> str:
    """The same for labels that `pack` has made bytes of already."""
    return hashlib.sha256(packed).hexdigest()[:32]


def unpack(packed: bytes) -> Labels:
    """The labels that `pack` made *packed* of. Raises ValueError on anything else."""
    texts = _ascii_texts(packed) if packed.isascii() else _texts(packed)
    if len(texts) % 2:
        raise ValueError("packed labels lack a value")
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _ascii_texts(packed: bytes) -> list[str]:
    """The usual case: every length takes one byte, and every character."""
    text = packed.decode("ascii")
    texts: list[str] = []
    at, end = 0, len(packed)
    while at < end:
        begin = at + 1
        at = begin + packed[at]
        texts.append(text[begin:at])
    if at > end:
        raise ValueError("packed labels are cut short")
    return texts


def _texts(packed: bytes) -> list[str]:
    texts: list[str] = []
    at, end = 0, len(packed)
    while at < end:
        length = shift = 0
        while True:
            if at >= end or shift > 28:
                raise ValueError("packed labels are cut short")
            byte = packed[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if byte == 0 and shift > 7:
            raise ValueError("packed labels have an overlong length")
        if at + length > end:
            raise ValueError("packed labels are cut short")
        texts.append(packed[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return texts


def get(labels: Labels, name: str) -> str:
    """The value of *name*, or "" where it is absent (absent and empty are the same)."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def merged(labels: Labels, over: Mapping[str, str]) -> Labels:
    """*labels* with those of *over* set; an empty value removes."""
    return of({**dict(labels), **over})
