"""JSON bodies as the outside world sends them: gzip or not, an array, an object, lines, a stream.

    [{"log": "a"}, {"log": "b"}]          array             Fluent Bit `format json`
    {"log": "a"}\n{"log": "b"}\n          lines             Fluent Bit `format json_lines`
    {"log": "a"}{"log": "b"}              concatenated      Fluent Bit `format json_stream`
    {"log": "a"}                          one object

`inflated` undoes the content encoding under a ceiling, `as_utf8` and `mended` make the text
decodable, `document` decodes a body that must be right as a whole, and `elements` takes one apart
whose parts stand or fall alone. Of a key given twice the last value counts.
"""

import json
import re
import zlib
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import msgspec

from heliograph.core.errors import Refused

T = TypeVar("T")

FIELD = "body"
# A gzip body may be several members one after the other; this many is no longer a shipper.
GZIP_MEMBERS_MAX = 1000
# Brackets, commas and strings that `elements` looks at: some two seconds' work.
TOKENS_MAX = 5_000_000
# Of a key, where a field is named.
KEY_CHARS_SHOWN = 100
_GZIP_WINDOW = 31
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

# A whole string (also one that never ends, so that no quote is looked at twice) or a structural
# character. Possessive: nothing here ever backtracks.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\(?:.|\Z))*+(?:"|\Z)|[\[\]{},]', re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_LINE = re.compile(rb"[^\n]+")
# An escape, a pair of surrogates being one; the group is half a pair.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# Digits of the longest whole number that is read.
_DIGITS_MAX = 4300
_BEYOND = object()


def inflated(body: bytes, *, content_encoding: str | None, decoded_bytes_max: int) -> bytes:
    """*body* without its content encoding, once: what is inside is not looked into again.

    Raises Refused: 415 for an encoding that is not `gzip` or `identity`, 413 as soon as more
    than *decoded_bytes_max* bytes come out, 400 for damaged or truncated gzip.
    """
    encoding = (content_encoding or "").strip().lower()
    if encoding in {"", "identity"}:
        if len(body) > decoded_bytes_max:
            raise _too_large(decoded_bytes_max)
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise Refused(
            f"content encoding {encoding[:40]!r}; send gzip or none",
            field="Content-Encoding",
            code="unsupported_encoding",
            status=415,
        )
    try:
        return _gunzipped(body, decoded_bytes_max)
    except zlib.error as error:
        raise Refused(f"damaged gzip: {error}", field=FIELD, code="gzip") from error


def _gunzipped(body: bytes, decoded_bytes_max: int) -> bytes:
    out: list[bytes] = []
    room_bytes = decoded_bytes_max
    members = 1
    stream = zlib.decompressobj(_GZIP_WINDOW)
    for at in range(0, len(body), _CHUNK_BYTES):
        rest = body[at : at + _CHUNK_BYTES]
        while rest:
            if stream.eof:
                members += 1
                if members > GZIP_MEMBERS_MAX:
                    raise Refused(
                        f"over {GZIP_MEMBERS_MAX} gzip members", field=FIELD, code="gzip"
                    )
                stream = zlib.decompressobj(_GZIP_WINDOW)
            out.append(stream.decompress(rest, room_bytes + 1))
            room_bytes -= len(out[-1])
            if room_bytes < 0:
                raise _too_large(decoded_bytes_max)
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    if not stream.eof:
        raise Refused("gzip body ends before its end", field=FIELD, code="gzip")
    return b"".join(out)


def _too_large(decoded_bytes_max: int) -> Refused:
    return Refused(
        f"more than {decoded_bytes_max} bytes when decoded",
        field=FIELD,
        code="too_large",
        status=413,
    )


def as_utf8(raw: bytes) -> tuple[bytes, int]:
    """*raw* without a byte order mark and with U+FFFD for what is not UTF-8; how many those are.

    A container runtime cuts long lines at a byte count, in the middle of a character, so a bad
    byte is ordinary and must not cost the entry. Raises Refused for UTF-16 and UTF-32, and for
    gzip that was not announced.
    """
    if raw.startswith(_GZIP_MAGIC):
        raise Refused("gzip without `Content-Encoding: gzip`", field=FIELD, code="gzip")
    if raw.startswith(_UTF16_BOMS) or b"\0" in raw[:4]:
        raise Refused("not UTF-8 (it looks like UTF-16)", field=FIELD, code="encoding")
    raw = raw.removeprefix(_BOM)
    if raw.isascii():
        return raw, 0
    try:
        raw.decode()
    except UnicodeDecodeError:
        mended = raw.decode("utf-8", "replace").encode()
        mark = "\ufffd".encode()
        return mended, mended.count(mark) - raw.count(mark)
    return raw, 0


def mended(raw: bytes) -> bytes:
    """*raw* with U+FFFD for what is not UTF-8 and for half a surrogate pair, as Go reads both: text
    that somebody cut must not cost what it is about."""
    if not raw.isascii():
        raw = raw.decode("utf-8", "replace").encode()
    if b"\\ud" in raw or b"\\uD" in raw:
        raw = _ESCAPE.sub(lambda one: b"\\ufffd" if one[1] else one[0], raw)
    return raw


def document(raw: bytes, decoder: "msgspec.json.Decoder[T]", at: str = "") -> T:
    """The one value of *raw*, of the decoder's type. Raises Refused 400 naming the field, below *at*
    where *raw* is a part of a body."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        path = path.removesuffix("`")
        if "[...]" in path:
            path = _beyond(raw) or path
        raise Refused(text, field=(at + path).removeprefix(".") or FIELD) from error
    except RecursionError as error:
        raise Refused("nested too deeply", field=at or FIELD, code="too_deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"not JSON: {error}", field=at or FIELD, code="json") from error


def legible(raw: bytes, decoder: "msgspec.json.Decoder[T]", at: str = "") -> tuple[bytes, T]:
    """*raw*, `mended` where it must be, and its value as `document` has it. Raises Refused."""
    try:
        return raw, decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = mended(raw)
        return raw, document(raw, decoder, at)


def _beyond(raw: bytes) -> str:
    """The path of the first number in *raw* that is too large to be read; "" where there is none."""
    try:
        return _path_of(json.loads(raw, parse_int=_whole, parse_float=_fraction)) or ""
    except (ValueError, RecursionError):
        return ""


def _whole(text: str) -> object:
    return _BEYOND if len(text) > _DIGITS_MAX else 0


def _fraction(text: str) -> object:
    return _BEYOND if abs(float(text)) == float("inf") else 0


def _path_of(value: Any) -> str | None:
    """The path of `_BEYOND` in *value*."""
    if value is _BEYOND:
        return ""
    if isinstance(value, dict):
        inner = ((f".{key[:KEY_CHARS_SHOWN]}", one) for key, one in value.items())
    elif isinstance(value, list):
        inner = ((f"[{index}]", one) for index, one in enumerate(value))
    else:
        return None
    for name, one in inner:
        if (path := _path_of(one)) is not None:
            return name + path
    return None


def elements(raw: bytes) -> Iterator[bytes]:
    """The parts of *raw*, each perhaps JSON: items of an array, else lines.

    For bodies that did not decode as a whole. A part that is broken comes out as it is, and blank
    parts are left out. It never recurses. Raises Refused 413, in the midst, when there is too much
    to look at (TOKENS_MAX).
    """
    if raw.lstrip()[:1] == b"[":
        yield from _items(raw, TOKENS_MAX)
        return
    left = TOKENS_MAX
    # A JSON encoder never puts a newline into a string, so a broken line ends with its line.
    for line in _LINE.finditer(raw):
        left = yield from _items(line.group(), left)


def _items(raw: bytes, tokens_max: int) -> Generator[bytes, None, int]:
    """Items of the arrays of *raw*, its objects, and what is between; returns the tokens left."""
    depth = start = 0
    in_array = False
    left = tokens_max
    for token in _TOKEN.finditer(raw):
        left -= 1
        if left < 0:
            raise Refused("too broken to take apart", field=FIELD, code="too_many", status=413)
        at = token.start()
        kind = raw[at]
        part = b""
        if kind in _OPENING:
            if depth == 0:
                part = raw[start:at]
                in_array = kind == ord("[")
                start = at + in_array
            depth += 1
        elif kind in _CLOSING:
            if depth == 1:
                part = raw[start : at if in_array else at + 1]
                start = at + 1
            depth = max(0, depth - 1)
        elif kind == ord(","):
            if depth == 1 and in_array:
                part = raw[start:at]
                start = at + 1
            elif depth == 0 and raw[start:at].isspace() | (start == at):
                start = at + 1
        if part and (part := part.strip()):
            yield part
    if tail := raw[start:].strip():
        yield tail
    return left
