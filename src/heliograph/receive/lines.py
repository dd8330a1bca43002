"""Line: one physical line of a container's log; joining of those that a runtime cut in pieces.

A container runtime cuts lines at about 16 KiB and marks all pieces but the last (`logtag: P`).
The pieces of one line may come in several requests, so that joining has state: `PartialLines`,
which is told every line in order, and can be written down (`unfinished`) and begun from again.

    encode_lines, decode_lines      lines as the log keeps them: msgpack rows under zstd
Source: Kubernetes, CRI logging format, `logtag`.
"""

from collections.abc import Iterable, Sequence

import cramjam
import msgspec

LINE_BYTES_MAX = 64 * 1024
PARTIAL_LINES_MAX = 10_000
_ZSTD_LEVEL = 1


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


class _Held:
    """The beginning of a line: its first piece, all texts, and their bytes together."""

    def __init__(self, first: Line) -> None:
        self.first = first
        self.last = first.at_ns, first.text
        self.texts = [first.text]
        self.text_bytes = len(first.text.encode("utf-8", "replace"))

    def whole(self, *, partial: bool) -> Line:
        return msgspec.structs.replace(self.first, text="".join(self.texts), partial=partial)


class PartialLines:
    """Beginnings of lines that wait for their end, at most *limit* of them.

    Counters, from 0 when it is made:
    cut         lines of which more than LINE_BYTES_MAX came; their end is lost
    evicted     beginnings given up, oldest first, because there were too many
    """

    def __init__(self, held: Iterable[Line] = (), *, limit: int = PARTIAL_LINES_MAX) -> None:
        self.limit = limit
        self.cut = 0
        self.evicted = 0
        self._held: dict[Source, _Held] = {}
        for line in held:
            self.join(line)

    def __len__(self) -> int:
        return len(self._held)

    def join(self, line: Line) -> tuple[Line, ...]:
        """The lines that *line* completes: none while it is partial, else the whole one.

        The whole line has the time of its first piece. A piece that comes again, as a shipper that
        got no answer sends it, is one piece. A beginning that had to be given up for
        room comes out as it is, still partial, before it.
        """
        if not line.partial and not self._held:
            return (line,)
        name = source(line)
        held = self._held.get(name)
        if held is None:
            if not line.partial:
                return (line,)
            self._held[name] = _Held(line)
            return self._given_up()
        if line.partial and held.last == (line.at_ns, line.text):
            return ()
        held.last = line.at_ns, line.text
        self._append(held, line.text)
        if line.partial:
            return ()
        del self._held[name]
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


_DECODER = msgspec.msgpack.Decoder(list[Line])
_ENCODER = msgspec.msgpack.Encoder()


def encode_lines(lines: Sequence[Line]) -> bytes:
    """*lines* as the log keeps them."""
    return bytes(cramjam.zstd.compress(_ENCODER.encode(lines), level=_ZSTD_LEVEL))


def decode_lines(payload: bytes) -> list[Line]:
    """The lines of *payload*. Raises ValueError when `encode_lines` did not make it."""
    try:
        return _DECODER.decode(bytes(cramjam.zstd.decompress(payload)))
    except cramjam.DecompressionError as error:
        raise ValueError(f"not log lines: {error}") from error
