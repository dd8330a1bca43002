"""One entry of a log body: the few fields that are used, strictly typed or read with patience.

`decode` tries the typed way first. What it does not like (a number for a pod name, `NaN`, half
a surrogate pair, a 5000 digit integer, a raw control character) is read loosely: the text of a
log entry is worth more than the shape of its neighbours.
"""

import json
from typing import Any, NamedTuple

import msgspec

UNREADABLE = frozenset({"syntax", "too_deep"})
ENTRY_BYTES_MAX = 16 * 1024 * 1024
_DETAIL_CHARS = 80
_DIGITS_MAX = 30


class Pod(msgspec.Struct, frozen=True, gc=False):
    """The `kubernetes` block as Fluent Bit's filter of that name makes it."""

    pod_name: str | None = None
    namespace_name: str | None = None
    pod_id: str | None = None
    host: str | None = None
    container_name: str | None = None


NO_POD = Pod()


class Entry(msgspec.Struct, frozen=True):
    """The fields of an entry that are used; all may be absent."""

    date: int | float | str | None = None
    time: int | float | str | None = None
    stream: str | None = None
    logtag: str | None = None
    message: str | None = None
    log: str | None = None
    message_journald: str | None = msgspec.field(name="MESSAGE", default=None)
    hostname_journald: str | None = msgspec.field(name="_HOSTNAME", default=None)
    hostname: str | None = None
    kubernetes: Pod | None = None

    @property
    def text(self) -> str | None:
        """The text, perhaps "", of several lines, with its newline; None where there is none."""
        if self.message:
            return self.message
        if self.log is not None:
            return self.log
        return self.message_journald if self.message_journald is not None else self.message


class Fault(NamedTuple):
    """Why an element is no entry: `syntax`, `too_deep`, `too_large`, `not_object`, `no_text`."""

    reason: str
    detail: str


_TYPED = msgspec.json.Decoder(Entry)


def decode(element: bytes | msgspec.Raw) -> tuple[Entry, int] | Fault:
    """The entry that *element* is, and how many lone surrogates of its text were replaced."""
    try:
        return _TYPED.decode(element), 0
    except RecursionError:
        return Fault("too_deep", "nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raw = bytes(element)
    if len(raw) > ENTRY_BYTES_MAX:
        return Fault("too_large", f"{len(raw)} bytes, limit {ENTRY_BYTES_MAX}")
    found = loose(raw)
    if isinstance(found, Fault):
        return found
    if not isinstance(found, dict):
        return Fault("not_object", f"expected an object, got {_shown(raw)}")
    return _of_mapping(found)


def loose(raw: bytes) -> Any:
    """The JSON value of *raw* with everything allowed that can be told apart; or a Fault."""
    try:
        return json.loads(raw.decode("utf-8", "replace"), strict=False, parse_int=_integer)
    except RecursionError:
        return Fault("too_deep", "nested too deeply")
    except ValueError:
        return Fault("syntax", f"not JSON: {_shown(raw)}")


def _integer(digits: str) -> int | float:
    # Converting thousands of digits is quadratic, and CPython refuses it; no instant needs it.
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def _shown(raw: bytes) -> str:
    return repr(raw[:_DETAIL_CHARS].decode("utf-8", "replace"))


def _of_mapping(found: dict[str, Any]) -> tuple[Entry, int] | Fault:
    texts = {name: found.get(name) for name in ("message", "log", "MESSAGE")}
    present = [name for name, text in texts.items() if text is not None]
    if present and not any(isinstance(texts[name], str) for name in present):
        return Fault("no_text", f"`{present[0]}` is not a string")
    replaced = 0
    words: dict[str, str | None] = {}
    for name, text in texts.items():
        words[name], count = _whole(text)
        replaced += count
    entry = Entry(
        date=_instant(found.get("date")),
        time=_instant(found.get("time")),
        stream=_word(found.get("stream")),
        logtag=_word(found.get("logtag")),
        message=words["message"],
        log=words["log"],
        message_journald=words["MESSAGE"],
        hostname_journald=_word(found.get("_HOSTNAME")),
        hostname=_word(found.get("hostname")),
        kubernetes=_pod(found.get("kubernetes")),
    )
    return entry, replaced


def _instant(value: object) -> int | float | str | None:
    return value if isinstance(value, int | float | str) else None


def _word(value: object) -> str | None:
    return _whole(value)[0]


def _whole(value: object) -> tuple[str | None, int]:
    """*value* if it is text, with U+FFFD for each lone surrogate; how many those are."""
    if not isinstance(value, str):
        return None, 0
    if value.isascii():
        return value, 0
    lone = sum("\ud800" <= char <= "\udfff" for char in value)
    if lone:
        value = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in value)
    return value, lone


def _pod(value: object) -> Pod | None:
    if not isinstance(value, dict):
        return None
    return Pod(**{name: _word(value.get(name)) for name in Pod.__struct_fields__})
