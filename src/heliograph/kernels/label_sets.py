"""Label sets, one at a time: what is given as a mapping in canonical order, packed, and in hashes.

    canonical({"gpu": "3", "alertname": "Hot", "empty": ""})
        == ((("alertname", "Hot"), ("gpu", "3")), b"\\x09alertname\\x03Hot\\x03gpu\\x013")
    put_hashes((("gpu", "3"),), table, 32, 16)      the 32 bits of each pair at table[32:48], then 0

Packed is what `core.labels.pack` makes, for sets whose texts are ASCII of less than 128 characters;
for others it is None. `label_sets.pyx` is the same for machines with a compiler (decision 0010).
"""

from array import array
from collections.abc import Iterable, Mapping

COMPILED = False

Pairs = tuple[tuple[str, str], ...]

# The varint of a length that takes one byte, as the character of that code.
_SHORT = tuple(map(chr, range(0x80)))


def canonical(pairs: Mapping[str, str | None]) -> tuple[Pairs, bytes | None]:
    """The pairs of *pairs* that have a value, in order of name, and the same packed."""
    given = pairs if all(pairs.values()) else {n: value for n, value in pairs.items() if value}
    # Names are unique: values are not compared.
    found: Pairs = tuple(sorted(given.items()))  # type: ignore[arg-type]  # no None is left
    try:
        text = "".join([_SHORT[len(text)] + text for pair in found for text in pair])
    except IndexError:
        return found, None
    return found, text.encode("ascii") if text.isascii() else None


def put_hashes(
    pairs: Iterable[tuple[str, str]], table: "array[int]", begin: int, width: int
) -> bool:
    """Write 32 bits of the hash of each of *pairs* to *table* from *begin* on, zeros up to *width*
    of them. False, and nothing is written: there are more than that."""
    row = [hash(pair) & 0xFFFFFFFF for pair in pairs]
    if len(row) > width:
        return False
    row += [0] * (width - len(row))
    table[begin : begin + width] = array("I", row)
    return True
