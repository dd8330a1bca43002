"""The arena's slots: memory that forked processes share, and who is alive in it.

A slot, in words of 8 bytes: a header of `HEADER` (see the names), the sums, the gauges, and the
directory: records of 4 bytes of length and that of `marshal`:

    (0, number of metric, place, label names, key)       a label child
    (1, number of metric, place, description of `descriptions`)    a metric
"""

import os

from heliograph.kernels import cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SLOTS = 512
# Doubles of a slot: memory is used by what is written to, a page of 4 KiB at a time.
SUMS_MIN = 1 << 19
GAUGES_MIN = 1 << 17
DIRECTORY_BYTES = 1 << 21

HEADER = 16
USED, PID, BORN, PARENT, SUMS_BEFORE, GAUGES_BEFORE, WRITTEN, TURN, SUMS_USED, GAUGES_USED = (
    range(10)
)
_CHUNK = 512
_ZEROS = bytes(8 * _CHUNK)


class Slot:
    """One process's part of the arena, and what we know of it."""

    __slots__ = (
        "directory", "entries", "gauges", "head", "numbers", "pending", "read", "sums", "turn",
    )  # fmt: skip

    def __init__(self, words: memoryview, at: int, sums: int, gauges: int) -> None:
        begin = at * (HEADER + sums + gauges + DIRECTORY_BYTES // 8)
        raw = words.cast("B")
        doubles = raw.cast("d")
        self.head = raw.cast("q")[begin : begin + HEADER]
        begin += HEADER
        self.sums = doubles[begin : begin + sums]
        self.gauges = doubles[begin + sums : begin + sums + gauges]
        begin = 8 * (begin + sums + gauges)
        self.directory = raw[begin : begin + DIRECTORY_BYTES]
        self.forget()

    def forget(self) -> None:
        """Nothing is known of it."""
        self.turn = -1
        self.read = 0
        # (is it in the bank of gauges, place there, width, our place)
        self.entries: list[tuple[bool, int, int, int]] = []
        self.pending: list[tuple[Any, ...]] = []
        # Of metrics that it has made, and we have under a number of our own.
        self.numbers: list[int] = []

    def records(self) -> "Iterator[tuple[Any, ...]]":
        """The records that were not read before."""
        import marshal

        end = self.head[WRITTEN]
        while self.read < end:
            size = int.from_bytes(self.directory[self.read : self.read + 4], "little")
            begin = self.read + 4
            self.read = begin + size
            yield marshal.loads(self.directory[begin : self.read])  # noqa: S302 - our own memory

    def drain(self) -> None:
        """Move its numbers to where they are ours; all that is made in it must have been read."""
        for bank, peer, step in (
            (cells.sums, self.sums, 1),
            (cells.gauges, self.gauges, 2),
        ):
            for begin in range(0, bank.shared_from, _CHUNK):
                end = min(begin + _CHUNK, bank.shared_from)
                if peer[begin:end].tobytes() == _ZEROS[: 8 * (end - begin)]:
                    continue
                for place in range(begin, end, step):
                    cells.absorb(bank, peer, place, place)
        for is_gauge, place, width, at in self.entries:
            bank, peer = (cells.gauges, self.gauges) if is_gauge else (cells.sums, self.sums)
            for i in range(0, width, 2 if is_gauge else 1):
                cells.absorb(bank, peer, place + i, at + i)

        # What nobody else knows of, such as a metric of no collector, must not be the next one's.
        for peer, end in (
            (self.sums, self.head[SUMS_USED]),
            (self.gauges, self.head[GAUGES_USED]),
        ):
            for begin in range(0, end, _CHUNK):
                stop = min(begin + _CHUNK, end)
                if peer[begin:stop].tobytes() != _ZEROS[: 8 * (stop - begin)]:
                    peer[begin:stop] = memoryview(_ZEROS[: 8 * (stop - begin)]).cast("d")

    def write(self, record: "tuple[Any, ...]") -> bool:
        """Append *record*; False where there is no room left."""
        import marshal

        raw = marshal.dumps(record)
        at = self.head[WRITTEN]
        end = at + 4 + len(raw)
        if end > DIRECTORY_BYTES:
            return False
        self.directory[at:end] = len(raw).to_bytes(4, "little") + raw
        # Last, so that others see whole records only.
        self.head[WRITTEN] = end
        return True


def map_slots() -> "tuple[list[Slot], memoryview]":
    """The slots of a new arena, and its words: writes of gauges, records that had no room.

    Raises OSError where there is no memory for even a small one.
    """
    import mmap

    # Linux only promises the memory; elsewhere the flag is missing, and not needed.
    lazily = 0x4000 if os.uname().sysname == "Linux" else 0
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | lazily
    slots = SLOTS
    while True:
        sums = max(SUMS_MIN * slots // SLOTS, 4 * cells.sums.used)
        gauges = max(GAUGES_MIN * slots // SLOTS, 4 * cells.gauges.used)
        words = slots * (HEADER + sums + gauges + DIRECTORY_BYTES // 8) + HEADER
        try:
            view = memoryview(mmap.mmap(-1, 8 * words, flags=flags))
        except (OSError, ValueError, OverflowError):
            if slots <= 16:
                raise
            slots //= 4
            continue
        made = [Slot(view, i, sums, gauges) for i in range(slots)]
        return made, view.cast("q")[words - HEADER :]


def born(pid: int) -> int:
    """When *pid* began, in ticks since boot; 0 where that is not known, -1 if it ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return -1 if fields[0] in {b"Z", b"X"} else int(fields[19])


def alive(head: memoryview) -> bool:
    """Whether the process of a slot lives; also if it has not come to say who it is."""
    if not head[USED]:
        return False
    pid = head[PID]
    if not pid:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    began = born(pid)
    return began == 0 or began == head[BORN]
