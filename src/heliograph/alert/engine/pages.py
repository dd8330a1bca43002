"""What alerts are, by slot of the book: bytes that are seldom read, many packed together in a page.

    pages.put(7, b"…")      as it is, until `pack`
    pages.pack()            once PAGE of them wait they are a page: 65 bytes an alert, not 450
    pages.get(7) == b"…"    opens its page, which stays open until another is asked for

Alerts that come together are much alike. `kept` and `restore` are for an abort: pages never change.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate

import cramjam

# Alerts of a page: more pack little better, and opening one takes longer (32: 4 µs).
PAGE = 32
# Larger ones stay as they are.
SIZE_BYTES_MAX = 4096
# A page of which so few are left is given up.
LEFT_MIN = PAGE // 4


class _Page:
    """*ends*: where each of its pieces begins, and the last one's end. *left*: pieces that a slot
    still has."""

    __slots__ = ("ends", "left", "packed", "slots")

    def __init__(self, slots: Sequence[int], pieces: Sequence[bytes]) -> None:
        self.packed = bytes(cramjam.snappy.compress_raw(b"".join(pieces)))
        self.slots = array("I", slots)
        self.ends = array("I", [*accumulate(map(len, pieces), initial=0)])
        self.left = len(slots)


# A piece as it is, or its page and its place there.
Kept = tuple[bytes | _Page, int]


class Pages:
    """Bytes by slot."""

    __slots__ = ("_at", "_held", "_open", "_open_page", "_thin", "_waiting")

    def __init__(self) -> None:
        self._held: list[bytes | _Page] = []
        self._at = bytearray()
        self._waiting: list[int] = []
        self._thin: dict[_Page, None] = {}
        self._open_page: _Page | None = None
        self._open = b""

    def grow(self, slots: int) -> None:
        """Have so many more slots, which hold nothing."""
        self._held += [b""] * slots
        self._at += bytes(slots)

    def put(self, slot: int, piece: bytes) -> None:
        """Have *slot* hold *piece*, instead of what it held."""
        self._leave(slot)
        self._held[slot] = piece
        if 0 < len(piece) <= SIZE_BYTES_MAX:
            self._waiting.append(slot)

    def put_all(self, slots: Sequence[int], pieces: Sequence[bytes]) -> None:
        """Have *slots*, which hold nothing, hold *pieces*; in pages as far as they fill them."""
        full = len(slots) - len(slots) % PAGE
        if full and max(map(len, pieces)) > SIZE_BYTES_MAX:
            full = 0
        self._fill(slots[:full], pieces)
        for slot, piece in zip(slots[full:], pieces[full:], strict=True):
            self.put(slot, piece)

    def get(self, slot: int) -> bytes:
        """What *slot* holds."""
        held = self._held[slot]
        return held if isinstance(held, bytes) else self._piece(held, self._at[slot])

    def kept(self, slot: int) -> Kept:
        """What `restore` needs to have *slot* hold again what it holds now."""
        return self._held[slot], self._at[slot]

    def restore(self, slot: int, kept: Kept) -> None:
        """Have *slot* hold what it held when `kept` said so; nothing was packed since."""
        self._leave(slot)
        self._held[slot], self._at[slot] = kept
        if isinstance(kept[0], _Page):
            kept[0].left += 1
        elif 0 < len(kept[0]) <= SIZE_BYTES_MAX:
            self._waiting.append(slot)

    def pack(self) -> None:
        """Make pages of what waits, as far as it fills them; give up those nearly empty."""
        for page in self._thin:
            if 0 < page.left <= LEFT_MIN:
                for at, slot in enumerate(page.slots):
                    if self._held[slot] is page and self._at[slot] == at:
                        self.put(slot, self._piece(page, at))
        self._thin.clear()
        if len(self._waiting) < PAGE:
            return
        # What was put twice, or has gone again, is there once, or not at all.
        waiting = [slot for slot in dict.fromkeys(self._waiting) if self._waits(slot)]
        full = len(waiting) - len(waiting) % PAGE
        self._fill(waiting[:full], [self.get(slot) for slot in waiting[:full]])
        self._waiting = waiting[full:]

    def _fill(self, slots: Sequence[int], pieces: Sequence[bytes]) -> None:
        """Have *slots*, so many pages full, hold *pieces*, and no page that they held before."""
        held, places = self._held, self._at
        for begin in range(0, len(slots), PAGE):
            some = slots[begin : begin + PAGE]
            page = _Page(some, pieces[begin : begin + PAGE])
            for at, slot in enumerate(some):
                held[slot] = page
                places[slot] = at

    def _waits(self, slot: int) -> bool:
        held = self._held[slot]
        return isinstance(held, bytes) and 0 < len(held) <= SIZE_BYTES_MAX

    def _piece(self, page: _Page, at: int) -> bytes:
        if page is not self._open_page:
            self._open = bytes(cramjam.snappy.decompress_raw(page.packed))
            self._open_page = page
        return self._open[page.ends[at] : page.ends[at + 1]]

    def _leave(self, slot: int) -> None:
        page = self._held[slot]
        if isinstance(page, _Page):
            page.left -= 1
            if page.left <= LEFT_MIN:
                self._thin[page] = None
