"""Label sets, one at a time: what is given as a mapping in canonical order, and packed.

    canonical({"gpu": "3", "alertname": "Hot", "empty": ""})
        == ((("alertname", "Hot"), ("gpu", "3")), b"\\x09alertname\\x03Hot\\x03gpu\\x013")

Packed is what `core.labels.pack` makes, for sets whose texts are ASCII of less than 128 characters;
for others it is None.

    foreign((("alertname", "Hot"), ("gpu", "3"))) == "e596bc8b6e8c5e26"

FNV-1a, 64 bits, over the UTF-8 of names and values, each followed by the byte 255: what Prometheus
and Alertmanager call a label set. `label_sets.pyx` is the same for machines with a compiler
(decision 0010).
"""

from collections.abc import Mapping

COMPILED = False

Pairs = tuple[tuple[str, str], ...]

# The varint of a length that takes one byte, as the character of that code.
_SHORT = tuple(map(chr, range(0x80)))
_FNV_START, _FNV_PRIME, _BITS = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF


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


def foreign(pairs: Pairs) -> str:
    """What Alertmanager calls the canonical *pairs*; half a pair of surrogates is a question mark."""
    found = _FNV_START
    for pair in pairs:
        for text in pair:
            for byte in text.encode("utf-8", "replace"):
                found = ((found ^ byte) * _FNV_PRIME) & _BITS
            found = ((found ^ 255) * _FNV_PRIME) & _BITS
    return f"{found:016x}"
