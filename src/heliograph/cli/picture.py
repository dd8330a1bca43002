"""A picture of lines over time as a PNG, without a library for it: pixels, a small font, zlib.

    png = drawn("memory allocated", [Line("rank 0", at_ns, values, last)])

Letters are 5 × 7 pixels, capitals only. Source: PNG specification (ISO/IEC 15948), chunks.
"""

import struct
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.cli.memory_lines import Line, amount, tick, titled

Pixels = NDArray[np.uint8]

_WIDTH, _HEIGHT = 1200, 520
_MARGIN_LEFT, _MARGIN_RIGHT, _MARGIN_TOP, _MARGIN_BOTTOM = 110, 20, 40, 70
_SCALE = 2
_STEP = 6 * _SCALE
# Of the legend: what stands before a name and between two, the height of a row.
_SWATCH, _GAP, _ROW = 32, 16, 20
_COLUMNS_MAX = 3
# Half the side of the square that is a line of one reading.
_MARK = 3
# What the axis of one instant is made to span.
_MOMENT_NS = 1_000_000_000
_INK, _PALE, _PAPER = (40, 44, 52), (225, 228, 233), (255, 255, 255)
COLOURS = (
    (31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (23, 190, 207),
    (140, 86, 75), (227, 119, 194), (188, 189, 34), (100, 110, 120), (0, 90, 160), (150, 0, 60),
)  # fmt: skip
TICKS = 5
# A row a glyph's line from the top, five bits each.
_FONT = {
    "0": "0E11131519110E", "1": "040C040404040E", "2": "0E11010204081F", "3": "1F02040201110E",
    "4": "02060A121F0202", "5": "1F101E0101110E", "6": "0608101E11110E", "7": "1F010204080808",
    "8": "0E11110E11110E", "9": "0E11110F01020C", "A": "0E11111F111111", "B": "1E11111E11111E",
    "C": "0E11101010110E", "D": "1E11111111111E", "E": "1F10101E10101F", "F": "1F10101E101010",
    "G": "0E11101711110F", "H": "1111111F111111", "I": "0E04040404040E", "J": "0101010111110E",
    "K": "11121418141211", "L": "1010101010101F", "M": "111B1515111111", "N": "11191513111111",
    "O": "0E11111111110E", "P": "1E11111E101010", "Q": "0E11111115120D", "R": "1E11111E141211",
    "S": "0F10100E01011E", "T": "1F040404040404", "U": "1111111111110E", "V": "11111111110A04",
    "W": "1111111515" + "1B11", "X": "11110A040A1111", "Y": "11110A04040404", "Z": "1F01020408101F",
    ".": "00000000000C0C", ":": "000C0C000C0C00", "-": "0000001F000000", "_": "0000000000001F",
    "/": "01010204081010", "%": "18190204081303", "(": "02040808080402", ")": "08040202020408",
    ",": "000000000C0408", "=": "00001F001F0000", "+": "0004041F040400", "?": "0E110102040004",
    " ": "00000000000000", "…": "00000000000015",
}  # fmt: skip


class _Frame(NamedTuple):
    """Where the lines are: pixels, and what the edges stand for."""

    left: int
    right: int
    top: int
    bottom: int
    start_ns: int
    end_ns: int
    low: float
    high: float

    def x(self, at_ns: int) -> int:
        span = max(self.end_ns - self.start_ns, 1)
        return self.left + round((at_ns - self.start_ns) * (self.right - self.left) / span)

    def y(self, value: float) -> int:
        span = (self.high - self.low) or 1.0
        share = min(max((value - self.low) / span, 0.0), 1.0)
        return self.bottom - round(share * (self.bottom - self.top))


def drawn(title: str, lines: list[Line]) -> bytes:
    """A PNG of *lines*, each with at least one point."""
    columns = _columns(lines)
    rows = -(-len(lines) // columns)
    pixels: Pixels = np.full((_HEIGHT + rows * _ROW, _WIDTH, 3), _PAPER, np.uint8)
    frame = _frame(lines)
    _text(pixels, frame.left, 12, titled(title, lines), _INK)
    _axes(pixels, frame)
    room = (frame.right - frame.left) // columns
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = list(zip(line.at_ns, line.value, strict=True))
        before = points[0]
        for point in points:
            _stroke(pixels, frame, before, point, colour)
            before = point
        if len(points) == 1:
            _mark(pixels, frame, before, colour)
        x = frame.left + number % columns * room
        y = _HEIGHT - 30 + number // columns * _ROW
        pixels[y + 5 : y + 9, x : x + 24] = colour
        _text(pixels, x + _SWATCH, y, line.label[: (room - _SWATCH) // _STEP], _INK)
    return _png(pixels)


def _columns(lines: list[Line]) -> int:
    """Of the legend: as many as have room for the longest name, which is what tells lines apart."""
    longest = max(len(line.label) for line in lines)
    needed = _SWATCH + longest * _STEP + _GAP
    return min(max((_WIDTH - _MARGIN_LEFT - _MARGIN_RIGHT) // needed, 1), _COLUMNS_MAX)


def _frame(lines: list[Line]) -> _Frame:
    start_ns = min(line.at_ns[0] for line in lines)
    end_ns = max(line.at_ns[-1] for line in lines)
    return _Frame(
        _MARGIN_LEFT,
        _WIDTH - _MARGIN_RIGHT,
        _MARGIN_TOP,
        _HEIGHT - _MARGIN_BOTTOM,
        start_ns,
        end_ns if end_ns > start_ns else start_ns + _MOMENT_NS,
        min(0.0, *(min(line.value) for line in lines)),
        max(1.0, *(max(line.value) for line in lines)) * 1.05,
    )


def _axes(pixels: Pixels, frame: _Frame) -> None:
    for part in range(TICKS + 1):
        value = frame.low + (frame.high - frame.low) * part / TICKS
        y = frame.y(value)
        pixels[y, frame.left : frame.right] = _PALE if part else _INK
        text = amount(value)
        _text(pixels, frame.left - 10 - len(text) * _STEP, y - 7, text, _INK)
    span_ns = frame.end_ns - frame.start_ns
    for part in range(TICKS + 1):
        tick_ns = span_ns * part // TICKS
        x = min(frame.x(frame.start_ns + tick_ns), frame.right - 1)
        pixels[frame.top : frame.bottom, x] = _PALE if part else _INK
        text = tick(frame.start_ns, tick_ns, span_ns)
        left = min(max(x - len(text) * _STEP // 2, 0), pixels.shape[1] - len(text) * _STEP)
        _text(pixels, left, frame.bottom + 10, text, _INK)


def _mark(
    pixels: Pixels, frame: _Frame, point: tuple[int, float], colour: tuple[int, int, int]
) -> None:
    x, y = frame.x(point[0]), frame.y(point[1])
    pixels[y - _MARK : y + _MARK + 1, x - _MARK : x + _MARK + 1] = colour


def _stroke(
    pixels: Pixels,
    frame: _Frame,
    before: tuple[int, float],
    point: tuple[int, float],
    colour: tuple[int, int, int],
) -> None:
    x0, y0 = frame.x(before[0]), frame.y(before[1])
    x1, y1 = frame.x(point[0]), frame.y(point[1])
    steps = max(abs(x1 - x0), abs(y1 - y0), 1)
    x = np.linspace(x0, x1, steps + 1).round().astype(np.intp)
    y = np.linspace(y0, y1, steps + 1).round().astype(np.intp)
    for dx, dy in ((0, 0), (0, 1), (1, 0)):
        pixels[
            np.clip(y + dy, 0, pixels.shape[0] - 1), np.clip(x + dx, 0, pixels.shape[1] - 1)
        ] = colour


def _text(pixels: Pixels, x: int, y: int, text: str, colour: tuple[int, int, int]) -> None:
    for place, char in enumerate(text.upper()):
        rows = bytes.fromhex(_FONT.get(char, _FONT["?"]))
        left = x + place * _STEP
        for row, bits in enumerate(rows):
            for column in range(5):
                if bits >> (4 - column) & 1:
                    top, start = y + row * _SCALE, left + column * _SCALE
                    # Outside there is nothing: a slice from -2 would begin at the other edge.
                    if top >= 0 and start >= 0:
                        pixels[top : top + _SCALE, start : start + _SCALE] = colour


def _png(pixels: Pixels) -> bytes:
    height, width, _ = pixels.shape
    # Each row begins with its filter: none.
    rows = np.zeros((height, 1 + width * 3), np.uint8)
    rows[:, 1:] = pixels.reshape(height, width * 3)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
