"""Line: one physical line of a container's log; many in columns; joining of those cut in pieces.

    block = LineBlock.of([Line(…), …])           or from `kernels.log_body`
    block[3]  →  Line                            made when asked for: most lines are noise
    decode_block(encode_block(block)) == block

The payload of a frame of lines is the byte 3 and, under LZ4 (its size before it), the msgpack array
`[sources, source_of, at_ns, flags, ends, blob]`; columns are little-endian, *sources* the distinct
(pod_uid, namespace, pod_name, node, container, stream). A large one is the byte 2 and the same under
zstd, which takes twice as long for less. Frames of before, msgpack rows under zstd, begin with zstd's
own 0x28.

A container runtime cuts lines at about 16 KiB and marks all pieces but the last (`logtag: P`).
The pieces of one line may come in several requests, so that joining has state: `PartialLines`,
which is told every line in order, and can be written down (`unfinished`) and begun from again.
Source: Kubernetes, CRI logging format, `logtag`.
"""

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, overload

import cramjam
import msgspec

from heliograph.receive.pieces import OF_A_LINE_MAX, EndedPieces, Piece

LINE_BYTES_MAX = 64 * 1024
PARTIAL_LINES_MAX = 10_000
# Of a line in a block: its time is its own; it goes on in another.
KNOWN, PARTIAL = 1, 2

_ZSTD_LEVEL = 1
# Sources that are remembered as they are written, and how long their names may be together.
_NAMED_MAX = 8192
_NAMED_BYTES_MAX = 1024
_ZSTD, _LZ4 = b"\x02", b"\x03"
# What is in the log for a few seconds may be a little larger; not where that is much.
_LZ4_BYTES_MAX = 1024 * 1024
_ASIDE = "surrogatepass"


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line, without its newline.

    at_ns       event time; arrival time where *at_known* is false
    pod_uid     "" where the shipper does not say; so are the five after it
    stream      `stdout` or `stderr`
    partial     *text* is only the beginning: its line goes on in the next of the same `source`
    """

    at_ns: int
    pod_uid: str
    namespace: str
    pod_name: str
    node: str
    container: str
    stream: str
    text: str
    partial: bool = False
    at_known: bool = True


Source = tuple[str, str, str, str, str, str]


# Bodies of one shipper name the same sources again and again.
_NAMED: dict[Source, tuple[bytes, ...]] = {}


def source(line: Line) -> Source:
    """What printed *line*: lines are in order, and joined, within one source only."""
    return (
        line.pod_uid,
        line.namespace,
        line.pod_name,
        line.node,
        line.container,
        line.stream,
    )


def cut(text: str) -> str:
    """The longest beginning of *text* of at most LINE_BYTES_MAX bytes of UTF-8."""
    if len(text) * 4 <= LINE_BYTES_MAX:
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= LINE_BYTES_MAX:
        return text
    return encoded[:LINE_BYTES_MAX].decode("utf-8", "ignore")


def _piece(line: Line) -> Piece:
    return source(line), line.at_ns, len(line.text), hash(line.text)


class _Held:
    """The beginning of a line: its first piece, all texts, and their bytes together."""

    def __init__(self, first: Line) -> None:
        self.first = first
        self.pieces = {_piece(first)}
        self.texts = [first.text]
        self.text_bytes = len(first.text.encode("utf-8", "replace"))

    def whole(self, *, partial: bool) -> Line:
        return msgspec.structs.replace(self.first, text="".join(self.texts), partial=partial)

    def add(self, piece: Piece) -> None:
        """Note a further *piece*; one too many is forgotten."""
        if len(self.pieces) < OF_A_LINE_MAX:
            self.pieces.add(piece)

    def begins(self, line: Line) -> bool:
        """Whether *line* is this beginning with more behind it: a request that came again joins its
        own pieces before these are asked for."""
        at_its_time = line.at_ns == self.first.at_ns and len(line.text) > len(self.first.text)
        return at_its_time and line.text.startswith("".join(self.texts))


class PartialLines:
    """Beginnings of lines that wait for their end, at most *limit* of them; and, in *ended*, the pieces
    of those that came to it lately.

    Counters, from 0 when it is made:
    cut         lines of which more than LINE_BYTES_MAX came; their end is lost
    evicted     beginnings given up, oldest first, because there were too many
    """

    def __init__(self, held: Iterable[Line] = (), *, limit: int = PARTIAL_LINES_MAX) -> None:
        self.limit = limit
        self.cut = 0
        self.evicted = 0
        self._held: dict[Source, _Held] = {}
        self.ended = EndedPieces()
        for line in held:
            self.join(line)

    def __len__(self) -> int:
        return len(self._held)

    def join(self, line: Line) -> tuple[Line, ...]:
        """The lines that *line* completes: none while it is partial, else the whole one.

        The whole line has the time of its first piece. A piece that comes again, as a shipper that
        got no answer sends it, is one piece: while its line waits, alone or with the next ones, and
        lately after that came to its end. A whole line that is earlier than the beginning that waits
        is none of it. A beginning that had to be given up for room comes out as it is, still partial,
        before it.
        """
        if not (line.partial or self._held or self.ended):
            return (line,)
        name = source(line)
        held, piece = self._held.get(name), _piece(line)
        # Times may be whole seconds: what is as late as a beginning that waits may be its end.
        late = held is None or line.at_ns < held.first.at_ns
        if (late and piece in self.ended) or (
            held is not None and line.partial and piece in held.pieces
        ):
            return ()
        if late and not line.partial:
            return (line,)
        if held is None:
            self._held[name] = _Held(line)
            return self._given_up()
        if held.begins(line):
            pieces, held = held.pieces, _Held(line)
            for one in pieces:
                held.add(one)
            self._held[name] = held
        else:
            held.add(piece)
            self._append(held, line.text)
        if line.partial:
            return ()
        del self._held[name]
        self.ended.add(held.pieces)
        return (held.whole(partial=False),)

    def _append(self, held: _Held, text: str) -> None:
        room = LINE_BYTES_MAX - held.text_bytes
        encoded = text.encode("utf-8", "replace")
        if len(encoded) > room:
            # Counted once a line: once cut, there is no room that another piece could want.
            self.cut += room >= 0
            encoded = encoded[: max(0, room)]
            held.texts.append(encoded.decode("utf-8", "ignore"))
            held.text_bytes = LINE_BYTES_MAX + 1
        elif encoded:
            held.texts.append(text)
            held.text_bytes += len(encoded)

    def _given_up(self) -> tuple[Line, ...]:
        if len(self._held) <= self.limit:
            return ()
        self.evicted += 1
        oldest = self._held.pop(next(iter(self._held)))
        return (oldest.whole(partial=True),)

    def unfinished(self) -> tuple[Line, ...]:
        """What is held, oldest first, each as one partial line; it stays held."""
        return tuple(held.whole(partial=True) for held in self._held.values())

    def give_up(self, names: Iterable[Source]) -> tuple[Line, ...]:
        """Take out the beginnings of *names* that are held: their end is not expected any more."""
        held = (self._held.pop(name, None) for name in names)
        return tuple(one.whole(partial=True) for one in held if one is not None)


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    sources: list[tuple[bytes, bytes, bytes, bytes, bytes, bytes]]
    source_of: bytes
    at_ns: bytes
    flags: bytes
    ends: bytes
    blob: bytes


_DECODER = msgspec.msgpack.Decoder(_Stored)
_ROWS = msgspec.msgpack.Decoder(list[Line])
_ENCODER = msgspec.msgpack.Encoder()


class LineBlock(Sequence[Line]):
    """Lines in the order sent; equal to any sequence of the same.

    sources     distinct sources
    source_of   for each line the number of its source
    at_ns       its time
    flags       KNOWN: the time is its own; PARTIAL: it goes on in another
    ends        where its text ends in *blob*
    blob        all texts, one after the other, as UTF-8 (a lone surrogate as its three bytes)
    """

    __slots__ = ("at_ns", "blob", "ends", "flags", "source_of", "sources")

    def __init__(
        self,
        sources: Sequence[Source],
        source_of: bytes,
        at_ns: bytes,
        flags: bytes,
        ends: bytes,
        blob: bytes,
    ) -> None:
        """Of columns as this machine keeps numbers: uint32, int64, uint8, uint32."""
        self.sources = sources
        self.source_of = memoryview(source_of).cast("I")
        self.at_ns = memoryview(at_ns).cast("q")
        self.flags = flags
        self.ends = memoryview(ends).cast("I")
        self.blob = blob

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """*lines* in columns."""
        numbers: dict[Source, int] = {}
        source_of, at_ns, ends = array("I"), array("q"), array("I")
        flags, blob = bytearray(), bytearray()
        for line in lines:
            source_of.append(numbers.setdefault(source(line), len(numbers)))
            at_ns.append(line.at_ns)
            flags.append(KNOWN * line.at_known | PARTIAL * line.partial)
            blob += line.text.encode("utf-8", _ASIDE)
            ends.append(len(blob))
        columns = (source_of.tobytes(), at_ns.tobytes(), bytes(flags), ends.tobytes())
        return cls(list(numbers), *columns, bytes(blob))

    def __len__(self) -> int:
        return len(self.flags)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> list[Line]: ...
    def __getitem__(self, place: int | slice) -> Line | list[Line]:
        if isinstance(place, slice):
            return [self.line(n) for n in range(*place.indices(len(self)))]
        return self.line(range(len(self))[place])

    def __iter__(self) -> Iterator[Line]:
        return map(self.line, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"LineBlock.of({list(self)!r})"

    def line(self, place: int) -> Line:
        """The line at *place* ≥ 0."""
        flags = self.flags[place]
        return Line(
            self.at_ns[place],
            *self.sources[self.source_of[place]],
            self.text(place),
            bool(flags & PARTIAL),
            bool(flags & KNOWN),
        )

    def text(self, place: int) -> str:
        """The text of the line at *place* ≥ 0."""
        return self.raw(place).decode("utf-8", _ASIDE)

    def raw(self, place: int) -> bytes:
        """The same as it is in the blob."""
        start = self.ends[place - 1] if place else 0
        return self.blob[start : self.ends[place]]

    @property
    def all_whole(self) -> bool:
        """Whether no line goes on in another."""
        return not any(flags & PARTIAL for flags in set(self.flags))


def encode_block(block: LineBlock) -> bytes:
    """*block* as the log keeps it."""
    sources = [_NAMED.get(each) or _named(each) for each in block.sources]
    stored = (
        *(sources, _little(block.source_of), _little(block.at_ns), block.flags),
        *(_little(block.ends), block.blob),
    )
    raw = _ENCODER.encode(stored)
    if len(raw) > _LZ4_BYTES_MAX:
        return _ZSTD + bytes(cramjam.zstd.compress(raw, level=_ZSTD_LEVEL))
    return _LZ4 + bytes(cramjam.lz4.compress_block(raw))


def _named(each: Source) -> tuple[bytes, ...]:
    encoded = tuple(one.encode("utf-8", _ASIDE) for one in each)
    if sum(map(len, encoded)) <= _NAMED_BYTES_MAX:
        if len(_NAMED) >= _NAMED_MAX:
            _NAMED.clear()
        _NAMED[each] = encoded
    return encoded


def decode_block(payload: bytes) -> LineBlock:
    """The lines of *payload*, of any version. Raises ValueError for bytes of another making."""
    marked = payload[:1] in {_ZSTD, _LZ4}
    packing = cramjam.lz4.decompress_block if payload[:1] == _LZ4 else cramjam.zstd.decompress
    try:
        raw = bytes(packing(memoryview(payload)[marked:]))
    except cramjam.DecompressionError as error:
        raise ValueError(f"not log lines: {error}") from error
    if not marked:
        return LineBlock.of(_ROWS.decode(raw))
    stored = _DECODER.decode(raw)
    sources = [
        (
            *(one[0].decode("utf-8", _ASIDE), one[1].decode("utf-8", _ASIDE)),
            *(one[2].decode("utf-8", _ASIDE), one[3].decode("utf-8", _ASIDE)),
            *(one[4].decode("utf-8", _ASIDE), one[5].decode("utf-8", _ASIDE)),
        )
        for one in stored.sources
    ]
    block = LineBlock(
        sources,
        _native("I", stored.source_of),
        _native("q", stored.at_ns),
        stored.flags,
        _native("I", stored.ends),
        stored.blob,
    )
    many = len(block)
    if {len(block.source_of), len(block.at_ns), len(block.ends)} != {many}:
        raise ValueError("not log lines: columns of different lengths")
    return block


def _little(column: "memoryview[int]") -> bytes:
    return _native(column.format, column.tobytes())


def _native(code: str, column: bytes) -> bytes:
    """*column* turned around where this machine is not little-endian, from or to it."""
    if sys.byteorder == "little":
        return column
    turned = array(code, column)
    turned.byteswap()
    return turned.tobytes()


def encode_lines(lines: Iterable[Line]) -> bytes:
    """*lines* as the log keeps them."""
    return encode_block(LineBlock.of(lines))


def decode_lines(payload: bytes) -> list[Line]:
    """The lines of *payload*. Raises ValueError when `encode_lines` did not make it."""
    return list(decode_block(payload))
