r"""A wandb client's file stream: history, system metrics, console lines and the end of a run.

    POST /files/{entity}/{project}/{run}/file_stream
    {"files": {"wandb-history.jsonl": {"offset": 120, "content": ["{\"_step\":120,\"loss\":NaN}"]},
               "wandb-events.jsonl":  {"offset": 3, "content": ["{\"system.cpu\":1.5, …}"]},
               "wandb-summary.json":  {"offset": 0, "content": ["{\"loss\":2.3}"]},
               "output.log":          {"offset": 9, "content": ["2026-11-22T10:37:20.559819 oh"]}},
     "uploaded": ["config.yaml"], "preempting": true, "complete": true, "exitcode": 1}

`offset` is the number of the first line of `content` in its file. Inside a line NaN and Infinity
are bare words, or strings. `_timestamp` is in seconds; a console line begins with its time in UTC,
and with `ERROR ` where it went to stderr. A body that is not such an object is refused as a whole;
a line that is none is counted, and costs itself only. Source: wandb, core/internal/filestream.
"""

import json
import math
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import json_body
from heliograph.receive.lines import cut

HISTORY, EVENTS = "wandb-history.jsonl", "wandb-events.jsonl"
SUMMARY, CONSOLE = "wandb-summary.json", "output.log"
# Numbers of one history or event line that are looked at.
VALUES_MAX = 2048
NAME_CHARS_MAX = 256
DEPTH_MAX = 16
# Of a config or a summary.
ITEMS_MAX = 10_000
TEXT_CHARS_MAX = 64 * 1024
# Lines of all files of one body.
LINES_MAX = 200_000
OFFSET_MAX = 2**53
_STEP_MAX = 2**63 - 1
_CONSOLE = re.compile(
    r"(?P<error>ERROR )?(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?) ?(?P<text>.*)",
    re.DOTALL,
)
# What a client says of a line, beside what the script logged.
_OWN = re.compile(r"_(?:step|timestamp|runtime)\Z|_wandb")
_WORDS = {
    "nan": math.nan, "infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf,
    "inf": math.inf, "+inf": math.inf, "-inf": -math.inf,
}  # fmt: skip


class Point(NamedTuple):
    """One line of the history, or of the system metrics.

    number     of the line in its file, from 0
    step       `_step`; None where the line does not say
    at_ns      `_timestamp`; None where the line does not say
    runtime_s  seconds since the run began; None where the line does not say
    values     flat name → number: `{"a": {"b": 1}}` is `a.b`, true is 1.0
    skipped    values that are no numbers (text, media, lists)
    left_out   numbers that are left out, by why: `name_too_long`, `too_many_names`, `same_name`
    """

    number: int
    step: int | None
    at_ns: int | None
    runtime_s: float | None
    values: dict[str, float]
    skipped: int
    left_out: Mapping[str, int] = {}


class ConsoleLine(NamedTuple):
    """One line of the console; *at_ns* is None where it does not begin with a time."""

    number: int
    at_ns: int | None
    stream: str
    text: str


class Read(NamedTuple):
    """Console lines out of a file: how many of stdout and of stderr stand before them in it, blank
    ones not counted, and when its first line was printed."""

    stdout: int
    stderr: int
    began_ns: int


class Stream(NamedTuple):
    """One body, read. `*_end` is one past the number of the file's last line here, 0 for none.

    run     the variables of an `UpsertBucket`
    read    where the console lines stand in the file that they are from; these two only our own
            import sends along
    """

    history: list[Point]
    events: list[Point]
    console: list[ConsoleLine]
    summary: dict[str, Any] | None
    history_end: int
    events_end: int
    console_end: int
    complete: bool
    exit_code: int | None
    preempting: bool
    uploaded: int
    malformed: int
    run: dict[str, Any] | None = None
    read: Read | None = None


class _Chunk(msgspec.Struct):
    content: Any = ()
    offset: Any = 0
    read: Any = None


class _Body(msgspec.Struct):
    files: dict[str, _Chunk] | None = None
    uploaded: Any = None
    complete: Any = None
    exitcode: Any = None
    preempting: Any = None
    run: Any = None


_BODY = msgspec.json.Decoder(_Body)
_ANY = msgspec.json.Decoder()


def decode(raw: bytes) -> Stream:
    """The stream of *raw*, a body without its content encoding. Raises Refused for what is no such
    object, and 413 for more than LINES_MAX lines."""
    text, _ = json_body.as_utf8(raw)
    body = json_body.document(text, _BODY)
    files = body.files or {}
    chunks = {name: _lines(chunk) for name, chunk in files.items()}
    total = sum(len(lines) for _, lines in chunks.values())
    if total > LINES_MAX:
        raise Refused(f"{total} lines, limit {LINES_MAX}", field="files", status=413)
    history, bad_history = _points(chunks, HISTORY)
    events, bad_events = _points(chunks, EVENTS)
    summary, bad_summary = _summary(chunks)
    return Stream(
        history,
        events,
        _console(chunks),
        summary,
        _end(chunks, HISTORY),
        _end(chunks, EVENTS),
        _end(chunks, CONSOLE),
        body.complete is True,
        _whole(body.exitcode),
        body.preempting is True,
        len(body.uploaded) if isinstance(body.uploaded, list) else 0,
        bad_history + bad_events + bad_summary,
        body.run if isinstance(body.run, dict) else None,
        _read(files),
    )


def loads(text: str) -> Any:
    """The JSON value of *text*, with bare NaN and Infinity too. Raises ValueError."""
    try:
        return _ANY.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    # Halves of surrogates, which only this decoder lets through, are no text anywhere else.
    return bounded(value) if "\\ud" in text.lower() else value


def bounded(value: Any, depth: int = DEPTH_MAX) -> Any:
    """*value*, of JSON, as any of our stores and answers can carry it: at most *depth* deep and
    ITEMS_MAX wide, with whole numbers of 64 bits and text of TEXT_CHARS_MAX."""
    if isinstance(value, dict):
        if depth == 0:
            return None
        pairs = list(value.items())[:ITEMS_MAX]
        return {_text(str(key)): bounded(nested, depth - 1) for key, nested in pairs}
    if isinstance(value, list):
        return None if depth == 0 else [bounded(one, depth - 1) for one in value[:ITEMS_MAX]]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _number(value)
    return value


def _text(text: str) -> str:
    return text[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode()


def numbers(document: Mapping[str, Any]) -> tuple[dict[str, float], int, dict[str, int]]:
    """The numbers of *document* by flat name, how many values are none, and how many numbers were left
    out, by why.

    What the client itself adds at the top is none of these. A mapping with `_type` is a medium (a
    histogram, an image), which is no number.
    """
    found: dict[str, float] = {}
    left_out: dict[str, int] = {}
    skipped = 0
    # Names of the top come before those within others: they keep theirs where both are the same.
    waiting = deque((name, one, 1) for name, one in document.items() if not _OWN.match(name))
    while waiting:
        name, value, depth = waiting.popleft()
        if isinstance(value, dict) and "_type" not in value and depth < DEPTH_MAX:
            waiting.extend((f"{name}.{below}", one, depth + 1) for below, one in value.items())
            continue
        number = _number(value)
        if number is None:
            skipped += 1
        elif (why := _unfit(name, found)) is not None:
            left_out[why] = left_out.get(why, 0) + 1
        else:
            found[name] = number
    return found, skipped, left_out


def _unfit(name: str, found: Mapping[str, float]) -> str | None:
    """Why a number of this name cannot stand beside those *found*; None where it can."""
    if len(name) > NAME_CHARS_MAX:
        return "name_too_long"
    if name in found:
        # `{"a.b": 1, "a": {"b": 2}}` says one name twice.
        return "same_name"
    return "too_many_names" if len(found) >= VALUES_MAX else None


def point(document: Mapping[str, Any], number: int) -> Point:
    """*document*, the line *number* of its file, as numbers and their time."""
    values, skipped, left_out = numbers(document)
    at_s, runtime_s = _number(document.get("_timestamp")), _number(document.get("_runtime"))
    step = document.get("_step")
    if isinstance(step, float) and step.is_integer():
        step = int(step)
    is_step = isinstance(step, int) and not isinstance(step, bool) and 0 <= step <= _STEP_MAX
    return Point(
        number,
        step if is_step else None,
        None if at_s is None else instant_ns(at_s),
        runtime_s if runtime_s is not None and math.isfinite(runtime_s) else None,
        values,
        skipped,
        left_out,
    )


def instant_ns(at_s: float) -> int | None:
    """Nanoseconds of an instant in seconds; None for what is none. The same float, the same
    instant: it is part of a step's identity."""
    if not math.isfinite(at_s) or not 0 < at_s < instant.AT_NS_MAX / 1e9:
        return None
    return round(at_s * 1e6) * 1000


def console_line(text: str, number: int) -> ConsoleLine:
    """A line of `output.log` as the stream carries it."""
    text = text.rstrip("\r\n")
    match = _CONSOLE.fullmatch(text)
    if match is None:
        return ConsoleLine(number, None, "stdout", _shown(text))
    stream = "stderr" if match["error"] else "stdout"
    try:
        at_ns = instant.parse_any(f"{match['at']}Z")
    except ValueError:
        return ConsoleLine(number, None, stream, _shown(text))
    return ConsoleLine(number, at_ns, stream, _shown(match["text"]))


def _shown(text: str) -> str:
    # What a carriage return wrote over is not seen on a terminal either.
    return cut(text.rstrip("\r").rpartition("\r")[2])


_Lines = tuple[int, list[str]]


def _lines(chunk: _Chunk) -> _Lines:
    content = chunk.content
    if isinstance(content, str):
        content = content.splitlines()
    lines = [str(line) for line in content] if isinstance(content, list) else []
    offset = _whole(chunk.offset) or 0
    return min(max(0, offset), OFFSET_MAX), lines


def _end(chunks: Mapping[str, _Lines], name: str) -> int:
    offset, lines = chunks.get(name, (0, []))
    return offset + len(lines) if lines else 0


def _points(chunks: Mapping[str, _Lines], name: str) -> tuple[list[Point], int]:
    offset, lines = chunks.get(name, (0, []))
    found: list[Point] = []
    malformed = 0
    for number, text in enumerate(lines, offset):
        try:
            document = loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict):
            found.append(point(document, number))
        else:
            malformed += 1
    return found, malformed


def _console(chunks: Mapping[str, _Lines]) -> list[ConsoleLine]:
    offset, lines = chunks.get(CONSOLE, (0, []))
    return [console_line(text, number) for number, text in enumerate(lines, offset)]


def _read(files: Mapping[str, _Chunk]) -> Read | None:
    told = files[CONSOLE].read if CONSOLE in files else None
    if not isinstance(told, list) or len(told) != len(Read._fields):
        return None
    found = [_whole(one) for one in told]
    return None if None in found else Read(*(max(0, one or 0) for one in found))


def _summary(chunks: Mapping[str, _Lines]) -> tuple[dict[str, Any] | None, int]:
    _, lines = chunks.get(SUMMARY, (0, []))
    if not lines:
        return None, 0
    try:
        document = loads(lines[-1])
    except ValueError:
        return None, 1
    return (bounded(document), 0) if isinstance(document, dict) else (None, 1)


def _number(value: Any) -> float | None:
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return _WORDS.get(value.lower()) if isinstance(value, str) and len(value) < 10 else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None
