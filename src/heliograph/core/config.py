"""Configuration in layers: a YAML file, then the environment, then flags; decoded whole or not at all.

    limits: {body: 8MiB, hold: 30s}          heliograph.yaml
    HELIOGRAPH_LIMITS__BODY=16MiB            the environment: section, two underscores, key
    load(Config, path=…, environ=…, overrides={"limits": {"hold": "1m"}})

What the keys are is the caller's `msgspec.Struct`; a key it does not have is an error, whatever
layer it came from. An error names its layer and the place in the document:

    heliograph.yaml: expected int, got str - at $.limits.body
    HELIOGRAPH_LIMITS__BODDY: unknown key boddy - at $.limits (did you mean body?)

Server side: needs msgspec and PyYAML.
"""

import difflib
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import msgspec

from heliograph.core import document, duration
from heliograph.core.errors import ConfigError

PREFIX = "HELIOGRAPH_"
FLAGS = "command line"
UNITS_BYTES = {
    "": 1, "B": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
SIZE_BYTES_MAX = 2**62

_T = TypeVar("_T")
_Place = tuple[str, ...]
_SIZE = re.compile(r"([0-9]{1,19}) ?([A-Za-z]{0,3})\Z")
_HALF = re.compile("[\ud800-\udfff]")
_AT = re.compile(r" - at `(?:key in )?(\$[^`]*)`\Z")


class Duration(int):
    """A span in nanoseconds, written as text: `30s`, `1h30m`, `7d`. Never a bare number."""

    __slots__ = ()

    @classmethod
    def of(cls, text: str) -> "Duration":
        """The span that *text* writes. Raises ValueError."""
        return cls(duration.parse(text))

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return self / duration.SECOND_NS

    def __str__(self) -> str:
        return duration.format_ns(int(self))


class Size(int):
    """A number of bytes, written as a number or as text: `1048576`, `8MiB`, `20 GB`."""

    __slots__ = ()

    @classmethod
    def of(cls, text: str) -> "Size":
        """The size that *text* writes. Raises ValueError."""
        match = _SIZE.match(text)
        if match is None or match[2] not in UNITS_BYTES:
            raise ValueError(f"not a size: {text!r} (write e.g. 1048576, 8MiB, 20GB)")
        size_bytes = int(match[1]) * UNITS_BYTES[match[2]]
        if size_bytes > SIZE_BYTES_MAX:
            raise ValueError(f"size too large: {text!r}")
        return cls(size_bytes)


def load(
    struct_type: type[_T],
    *,
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any],
) -> _T:
    """The configuration of all three layers; a later one wins key by key, lists are replaced whole.

    *path*       the file, or None for none; one that is given must exist
    *environ*    the process's environment; names without `__` count only where they are a key
                 at the top (`HELIOGRAPH_LISTEN`), as the SDK and the commands have their own
    *overrides*  nested like the document; None means that the flag was not given

    Raises ConfigError.
    """
    sources: dict[_Place, str] = {}
    top: dict[str, Any] = {}
    if path is not None:
        _merge(top, _read(path), source=str(path), sources=sources)
    for name, layer in _environment(struct_type, environ):
        _merge(top, layer, source=name, sources=sources)
    _merge(top, _given(overrides), source=FLAGS, sources=sources)
    return decode(struct_type, top, source=str(path or "configuration"), sources=sources)


def passed_over(struct_type: Any, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables of ours that `load` does not read, each with the one that was meant, or ""."""
    tops = _fields(struct_type)
    meant = {
        f"{PREFIX}{top}_{key}".upper(): f"{PREFIX}{top}__{key}".upper()
        for top, expected in tops.items()
        for kind in _alternatives(expected)
        for key in _fields(kind)
    }
    for name in sorted(environ):
        if name.startswith(PREFIX) and not _is_key(name, tops):
            yield name, meant.get(name, "")


def origin(key: str, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> str | None:
    """The flag or the variable that says *key* (`limits.series`, `forward[0].url`); None: neither."""
    if key in overrides:
        return FLAGS
    parts = re.split(r"[.\[]", key)
    names = ("__".join(parts[:end]).upper() for end in range(len(parts), 0, -1))
    return next((PREFIX + name for name in names if PREFIX + name in environ), None)


def decode(
    struct_type: type[_T],
    raw: Any,
    *,
    source: str,
    sources: Mapping[_Place, str] | None = None,
) -> _T:
    """*raw* (mappings, lists, scalars) as a *struct_type*, without unknown keys. A key that has a
    default and no value (YAML's null) is one that is not there.

    *sources* says, by place, where a part came from if not from *source*. Raises ConfigError.
    """
    known = sources or {}
    for place, key, keys in _unknown_keys(struct_type, raw, ()):
        near = difflib.get_close_matches(key, keys, n=1)
        hint = f" (did you mean {near[0]}?)" if near else f" (known: {', '.join(sorted(keys))})"
        origin = _source_of((*place, key), known, source)
        raise ConfigError(f"{origin}: unknown key {key} - at {_written(place)}{hint}")
    try:
        return msgspec.convert(_stated(struct_type, raw), struct_type, dec_hook=_decode_scalar)
    except msgspec.ValidationError as error:
        raise ConfigError(_explained(str(error), known, source)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            # One byte more than allowed is enough for the parser to refuse it.
            text = file.read(document.DOCUMENT_BYTES_MAX + 1).decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    read = _parsed(text, source=str(path))
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise ConfigError(
            f"{path}: expected a mapping of keys, got {type(read).__name__} - at $"
        )
    return read


def _environment(
    struct_type: Any, environ: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(variable, layer of its one key) in the order of names."""
    tops = _fields(struct_type)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or not _is_key(name, tops):
            continue
        parts = name.removeprefix(PREFIX).lower().split("__")
        if not all(parts):
            raise ConfigError(f"{name}: write {PREFIX}<SECTION>__<KEY>")
        value = _scalar(environ[name], _type_at(struct_type, parts), source=name)
        for part in reversed(parts):
            value = {part: value}
        yield name, value


def _is_key(name: str, tops: Mapping[str, Any]) -> bool:
    key = name.removeprefix(PREFIX).lower()
    return "__" in key or key in tops


def _scalar(text: str, expected: Any, *, source: str) -> Any:
    # A password of digits must stay text where text is asked for.
    wanted = _alternatives(expected)
    if type(None) in wanted and text in {"null", "~"}:
        return None
    if {str, Duration, Size, Path} & wanted:
        return text
    return _parsed(text, source=source)


def _parsed(text: str, *, source: str) -> Any:
    read = document.parse(text, source=source)
    place = _halved(read, ())
    if place is not None:
        raise ConfigError(f"{source}: half a surrogate pair - at {_written(place)}")
    return read


def _halved(raw: Any, place: _Place) -> _Place | None:
    """Where in *raw* there is half a character, which nothing that is sent or kept can hold."""
    if isinstance(raw, str):
        return place if _HALF.search(raw) else None
    if isinstance(raw, dict):
        parts = [(value, (*place, str(key))) for key, value in raw.items()]
        parts = [*((key, place) for key in raw), *parts]
    elif isinstance(raw, list):
        parts = [(value, (*place, f"[{index}]")) for index, value in enumerate(raw)]
    else:
        return None
    found = (_halved(part, where) for part, where in parts)
    return next((one for one in found if one is not None), None)


def _given(overrides: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            if inner := _given(value):
                given[key] = inner
        elif value is not None:
            given[key] = value
    return given


def _merge(
    under: dict[str, Any],
    over: Mapping[str, Any],
    *,
    source: str,
    sources: dict[_Place, str],
    place: _Place = (),
) -> None:
    for key, value in over.items():
        here = (*place, str(key))
        below = under.get(key)
        if isinstance(value, Mapping) and (below is None or isinstance(below, dict)):
            target = below if isinstance(below, dict) else {}
            under[key] = target
            sources.setdefault(here, source)
            _merge(target, value, source=source, sources=sources, place=here)
        else:
            under[key] = value
            sources[here] = source


def _unknown_keys(
    expected: Any, raw: Any, place: _Place
) -> Iterator[tuple[_Place, str, list[str]]]:
    """(place, unknown key, keys known there), depth first."""
    if isinstance(raw, Mapping):
        structs = [kind for kind in _alternatives(expected) if _fields(kind)]
        kind = _tagged(structs, raw)
        if kind is not None:
            fields = _fields(kind)
            tag = kind.__struct_config__.tag_field
            for key, value in raw.items():
                if key in fields:
                    yield from _unknown_keys(fields[key], value, (*place, key))
                elif key != tag:
                    yield place, str(key), [*fields, *([tag] if tag else [])]
        elif not structs:
            value_type = _argument(expected, dict, Mapping, at=1)
            for key, value in raw.items():
                yield from _unknown_keys(value_type, value, (*place, str(key)))
    elif isinstance(raw, list):
        item_type = _argument(expected, list, tuple, frozenset, set, at=0)
        for index, value in enumerate(raw):
            yield from _unknown_keys(item_type, value, (*place, f"[{index}]"))


def _stated(expected: Any, raw: Any) -> Any:
    """*raw* without the keys that have no value, where a default stands in for one."""
    if isinstance(raw, list):
        item_type = _argument(expected, list, tuple, frozenset, set, at=0)
        return [_stated(item_type, value) for value in raw]
    if not isinstance(raw, Mapping):
        return raw
    structs = [kind for kind in _alternatives(expected) if _fields(kind)]
    kind = _tagged(structs, raw)
    if kind is None:
        value_type = Any if structs else _argument(expected, dict, Mapping, at=1)
        return {key: _stated(value_type, value) for key, value in raw.items()}
    types = _fields(kind)
    defaults = {
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if not field.required and not {type(None), Any} & _alternatives(field.type)
    }
    return {
        key: _stated(types.get(key, Any), value)
        for key, value in raw.items()
        if value is not None or key not in defaults
    }


def _tagged(structs: list[Any], raw: Mapping[str, Any]) -> Any:
    """The one of *structs* that *raw* says it is; None where msgspec should complain."""
    if len(structs) == 1:
        return structs[0]
    for kind in structs:
        config = kind.__struct_config__
        if config.tag_field and raw.get(config.tag_field) == config.tag:
            return kind
    return None


def _fields(kind: Any) -> dict[str, Any]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def _type_at(struct_type: Any, parts: list[str]) -> Any:
    expected = struct_type
    for part in parts:
        fields: dict[str, Any] = {}
        for kind in _alternatives(expected):
            fields |= _fields(kind)
        expected = fields.get(part, _argument(expected, dict, Mapping, at=1))
    return expected


def _alternatives(expected: Any) -> set[Any]:
    origin = typing.get_origin(expected)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(expected)[0])
    if origin in {typing.Union, UnionType}:
        return {kind for part in typing.get_args(expected) for kind in _alternatives(part)}
    if origin is typing.Literal:
        return {type(value) for value in typing.get_args(expected)}
    return {expected}


def _argument(expected: Any, *containers: Any, at: int) -> Any:
    for kind in _alternatives(expected):
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if isinstance(origin, type) and issubclass(origin, containers) and len(args) > at:
            return args[at]
    return Any


def _decode_scalar(expected: type, raw: Any) -> Any:
    if expected is Path and isinstance(raw, str):
        return Path(raw)
    if expected is Size and isinstance(raw, int) and not isinstance(raw, bool):
        return Size.of(str(raw))
    if expected in {Duration, Size} and isinstance(raw, str):
        return expected.of(raw)
    raise ValueError(f"expected {expected.__name__.lower()}, got {type(raw).__name__}")


def _explained(message: str, sources: Mapping[_Place, str], source: str) -> str:
    found = _AT.search(message)
    what = message[: found.start()] if found else message
    at = found[1] if found else "$"
    place = tuple(part for part in re.split(r"\.|(?=\[)", at[1:]) if part)
    what = what.replace("`", "")
    return f"{_source_of(place, sources, source)}: {what[:1].lower()}{what[1:]} - at {at}"


def _source_of(place: _Place, sources: Mapping[_Place, str], source: str) -> str:
    for end in range(len(place), 0, -1):
        if place[:end] in sources:
            return sources[place[:end]]
    return source


def _written(place: _Place) -> str:
    return "$" + "".join(part if part.startswith("[") else f".{part}" for part in place)
