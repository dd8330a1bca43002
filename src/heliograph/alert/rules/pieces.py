"""The state of a rule over series as rows of state: compressed, and cut where it is too long for one.

    rows = cut("r1", state, before=3)     ("r1", "", …), ("r1", "+1", …), ("r1", "+2", None)
    joined(rows)                          {"r1": state}

Ten thousand series of long labels are megabytes, which no row holds. All rows of a state are written
in one transaction.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable

from heliograph.alert.rules.rule import StateRow

# Half of what a row of state may hold.
PIECE_BYTES_MAX = 512 * 1024
# What a compressed state begins with; no map of MessagePack, as states were kept before, does.
_COMPRESSED = b"\x78"
_LEVEL = 1


def cut(rule_id: str, state: bytes, *, before: int = 0) -> list[StateRow]:
    """*state* as rows; those that the last state had beyond them, of *before* in all, are deleted."""
    held = zlib.compress(state, _LEVEL) if state else b""
    pieces: list[bytes | None] = [
        held[start : start + PIECE_BYTES_MAX] for start in range(0, len(held), PIECE_BYTES_MAX)
    ]
    # The first is always told: what is there of an older version goes too.
    pieces += [None] * (max(before, 1) - len(pieces))
    return [StateRow(rule_id, _key(place), piece) for place, piece in enumerate(pieces)]


def joined(rows: Iterable[StateRow]) -> dict[str, tuple[bytes, int]]:
    """By rule, its state and how many rows it had. Rows of other rules, and states that cannot be
    read, are left out."""
    by_rule: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
    for row in rows:
        if row.state is not None:
            by_rule[row.rule_id][row.key] = row.state
    found = {}
    for rule_id, kept in by_rule.items():
        pieces: list[bytes] = []
        while (piece := kept.get(_key(len(pieces)))) is not None:
            pieces.append(piece)
        held = b"".join(pieces)
        try:
            state = zlib.decompress(held) if held.startswith(_COMPRESSED) else held
        except zlib.error:
            continue
        if state:
            found[rule_id] = state, len(pieces)
    return found


def _key(place: int) -> str:
    return f"+{place}" if place else ""
