"""Records of a `.wandb` file: a protobuf `wandb_internal.Record` each, as far as it means something.

Of a record one field says what it is: 2 history, 3 summary, 5 config, 7 system metrics, 10 alert,
13 console, 17 run, 18 exit, 23 preempting, 26 environment. Values inside are JSON texts, and stay
texts here: a step becomes the very line that the client's stream would carry.
Source: wandb, wandb_internal.proto.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

NESTED_MAX = 32
Path = tuple[str, ...]
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# How an item begins: with its name (field 1) or part of it (2); and how its value (16) does.
_NAMES = b"\x0a\x12"
_VALUE = b"\x82\x01"


class Run(NamedTuple):
    """Who the run is. *config* is path → JSON text; instants are None where the file has none."""

    run_id: str
    entity: str
    project: str
    group: str
    job_type: str
    name: str
    notes: str
    host: str
    tags: tuple[str, ...]
    config: dict[Path, str]
    started_ns: int | None


class Values(NamedTuple):
    """A change of config or summary: path → JSON text, and paths that went."""

    kind: str
    update: dict[Path, str]
    removed: tuple[Path, ...]


class History(NamedTuple):
    """One logged step: *line* is the JSON object of it, as the stream carries it."""

    line: str


class System(NamedTuple):
    """System metrics of an instant: *line* is the JSON object of them, as the stream carries it."""

    line: str


class Console(NamedTuple):
    """Some text that was printed, not always a line."""

    at_ns: int
    stream: str
    text: str


class Alerted(NamedTuple):
    """A `run.alert()`."""

    title: str
    text: str
    level: str


class Environment(NamedTuple):
    """Where the run ran."""

    said: dict[str, Any]


class Exit(NamedTuple):
    """The run's end."""

    code: int


class Preempting(NamedTuple):
    """The run was told that it will be preempted."""


Item = Run | Values | History | System | Console | Alerted | Environment | Exit | Preempting


def items(record: bytes) -> Iterator[Item]:
    """What *record* says; nothing for what means nothing to us. Raises ValueError for what is none."""
    for number, value in _fields(record):
        read = _READERS.get(number)
        if read is not None and isinstance(value, bytes):
            yield read(value)


def _history(data: bytes) -> History:
    texts: dict[str, str] = {}
    step: int | None = None
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            name, text = _pair(value)
            if text:
                texts[name] = text
        elif number == 2 and isinstance(value, bytes):
            step = _whole(value, 1)
    media = tuple(name.removesuffix("_type") for name in texts if name.endswith("._type"))
    if media:
        # Numbers of a picture (its width) are no numbers of the training.
        texts = {name: text for name, text in texts.items() if not name.startswith(media)}
    if step is not None:
        texts.setdefault("_step", str(step))
    return History(_object(texts))


def _system(data: bytes) -> System:
    texts: dict[str, str] = {}
    for number, value in _fields(data):
        if number == 2 and isinstance(value, bytes):
            texts["_timestamp"] = repr(_instant_ns(value) / 1e9)
        elif number == 3 and isinstance(value, bytes):
            name, text = _pair(value)
            if text:
                texts[name if name.startswith("system.") else f"system.{name}"] = text
    return System(_object(texts))


def _console(data: bytes) -> Console:
    stream, at_ns, text = "stderr", 0, ""
    for number, value in _fields(data):
        if number == 1:
            stream = "stdout" if value == 1 else "stderr"
        elif number == 2 and isinstance(value, bytes):
            at_ns = _instant_ns(value)
        elif number == 3 and isinstance(value, bytes):
            text = value.decode("utf-8", "replace")
    return Console(at_ns, stream, text)


def _run(data: bytes) -> Run:
    texts: dict[int, str] = {}
    tags: list[str] = []
    config: dict[Path, str] = {}
    started_ns = None
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 4:
            config = _values("config", value).update
        elif number == 10:
            tags.append(value.decode("utf-8", "replace"))
        elif number == 17:
            started_ns = _instant_ns(value)
        elif number in {1, 2, 3, 6, 7, 8, 9, 13}:
            texts[number] = value.decode("utf-8", "replace")
    names = {1: "run_id", 2: "entity", 3: "project", 6: "group", 7: "job_type"}
    names |= {8: "name", 9: "notes", 13: "host"}
    said = {name: texts.get(number, "") for number, name in names.items()}
    return Run(**said, tags=tuple(tags), config=config, started_ns=started_ns)


def _values(kind: str, data: bytes) -> Values:
    update: dict[Path, str] = {}
    removed: list[Path] = []
    for number, value in _fields(data):
        if isinstance(value, bytes) and number in {1, 2}:
            path, text = _item(value)
            if number == 1:
                update[path] = text
            else:
                removed.append(path)
    return Values(kind, update, tuple(removed))


def _alert(data: bytes) -> Alerted:
    texts = {
        number: value.decode("utf-8", "replace")
        for number, value in _fields(data)
        if isinstance(value, bytes)
    }
    return Alerted(texts.get(1, ""), texts.get(2, ""), texts.get(3, "INFO") or "INFO")


_ENVIRONMENT = {
    1: "os",
    2: "python",
    6: "program",
    12: "host",
    13: "username",
    14: "executable",
}
_ENVIRONMENT |= {16: "cpu_count", 17: "cpu_count_logical", 18: "gpu", 19: "gpu_count"}


def _environment(data: bytes) -> Environment:
    said: dict[str, Any] = {}
    for number, value in _fields(data):
        if (name := _ENVIRONMENT.get(number)) is not None:
            said[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        elif number == 3 and isinstance(value, bytes):
            said["started_ns"] = _instant_ns(value)
    return Environment(said)


_READERS: dict[int, Callable[[bytes], Item]] = {
    2: _history,
    3: lambda data: _values("summary", data),
    5: lambda data: _values("config", data),
    7: _system,
    10: _alert,
    13: _console,
    17: _run,
    18: lambda data: Exit(_signed(_whole(data, 1) or 0)),
    23: lambda _: Preempting(),
    26: _environment,
}


def _pair(data: bytes) -> tuple[str, str]:
    """(name, JSON text) of an item: a nested name is its parts with dots between."""
    if (found := _short(data)) is not None:
        return found
    path, text = _item(data)
    return ".".join(path), text


def _item(data: bytes) -> tuple[Path, str]:
    """(path, JSON text) of an item."""
    if (found := _short(data)) is not None:
        return (found[0],), found[1]
    name, text = "", ""
    nested: list[str] = []
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 16:
            text = value.decode("utf-8", "replace")
        elif number == 1:
            name = value.decode("utf-8", "replace")
        elif number == 2 and len(nested) < NESTED_MAX:
            nested.append(value.decode("utf-8", "replace"))
    return ((name,) if name or not nested else tuple(nested)), text


def _short(data: bytes) -> tuple[str, str] | None:
    """The same of a short name of one part and a short value, which nearly all have: no walk."""
    if len(data) > 4 and data[0] in _NAMES and data[1] < 0x80:
        end = 2 + data[1]
        if data[end : end + 2] == _VALUE and len(data) == end + 3 + data[end + 2]:
            return _named(data[2:end]), data[end + 3 :].decode("utf-8", "replace")
    return None


@lru_cache(maxsize=4096)
def _named(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _instant_ns(data: bytes) -> int:
    return (_whole(data, 1) or 0) * 10**9 + (_whole(data, 2) or 0)


def _whole(data: bytes, wanted: int) -> int | None:
    found = [value for number, value in _fields(data) if number == wanted]
    return found[-1] if found and isinstance(found[-1], int) else None


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _object(texts: dict[str, str]) -> str:
    return f"{{{','.join([f'{_quoted(name)}:{text}' for name, text in texts.items()])}}}"


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """(number, value) of each field of a message, in order. Raises ValueError for what is none."""
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(data)
    while at < end:
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if wire == _BYTES:
            size, at = (data[at], at + 1) if at < end else (0, end + 1)
            if size > 0x7F:
                size, at = _varint(data, at - 1)
            if at + size > end:
                raise ValueError("a field ends after its message")
            found.append((key >> 3, data[at : at + size]))
            at += size
        elif wire == _VARINT:
            value, at = _varint(data, at)
            found.append((key >> 3, value))
        elif wire in {_FIXED64, _FIXED32}:
            # None of the fields that are read here is one.
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number without an end")
