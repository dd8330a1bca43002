"""Reading a decoded JSON or YAML document key by key, with the name of what is wrong in it.

    fields = Fields(document["pods"][2], "pods[2]")
    fields.text("uid")          # Refused: pods[2].uid: expected text, got a number

Every error is `Refused` with the field as the sender would write it; nothing else is raised,
whatever the document holds.
"""

import difflib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NoReturn

from heliograph.core import instant
from heliograph.core.errors import Refused

TEXT_BYTES_MAX = 1024

_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}


class Fields:
    """A mapping of a document, and its *path* there ("" for the document itself)."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refuse(path, f"expected a mapping, got {kind_of(value)}")
        self.values: dict[str, Any] = value
        self.path = path

    def at(self, key: str) -> str:
        """The path of *key*."""
        return f"{self.path}.{key}" if self.path else key

    def only(self, known: Collection[str]) -> None:
        """Refuse a key that is not *known*."""
        for key in self.values:
            if key in known:
                continue
            if not isinstance(key, str):
                refuse(self.path, f"a key must be text, got {kind_of(key)}")
            near = difflib.get_close_matches(key, known, n=1)
            refuse(
                self.at(key[:64]),
                "unknown key" + (f" (did you mean {near[0]}?)" if near else ""),
                code="unknown_key",
            )

    def text(self, key: str, *, numbers: bool = False) -> str:
        """The text of *key*, which must be there and not empty."""
        value = self.text_or_none(key, numbers=numbers)
        if value is None:
            refuse(self.at(key), "required, and not empty", code="missing")
        return value

    def text_or_none(self, key: str, *, numbers: bool = False) -> str | None:
        """The text of *key*; None where it is absent, null or empty.

        *numbers*: whole numbers are taken too, as an unquoted `id: 0` is one.
        """
        value = self.values.get(key)
        if numbers and isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 2**63 else "?" * (TEXT_BYTES_MAX + 1)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            refuse(self.at(key), f"expected text, got {kind_of(value)}")
        try:
            size_bytes = len(value.encode())
        except UnicodeEncodeError:
            refuse(self.at(key), "not valid Unicode text")
        if size_bytes > TEXT_BYTES_MAX:
            refuse(self.at(key), f"{size_bytes} bytes, limit {TEXT_BYTES_MAX}")
        return value

    def whole_or_none(self, key: str) -> int | None:
        """The whole number of *key*, which fits 64 bits; None where it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
            refuse(self.at(key), f"expected a whole number, got {kind_of(value)}")
        return value

    def flag(self, key: str) -> bool:
        """The boolean of *key*; False where it is absent or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            refuse(self.at(key), f"expected a boolean, got {kind_of(value)}")
        return bool(value)

    def instant_or_none(self, key: str) -> int | None:
        """Nanoseconds of *key*: RFC 3339, epoch seconds, or YAML's own; None where absent."""
        value = self.values.get(key)
        if value is None:
            return None
        try:
            return _instant_ns(value)
        except (ValueError, OverflowError) as error:
            refuse(self.at(key), str(error))

    def each(self, key: str, *, count_max: int) -> Iterator[tuple[str, object]]:
        """Path and value of each element of the list *key*; none where it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            refuse(self.at(key), f"expected a list, got {kind_of(value)}")
        if len(value) > count_max:
            refuse(self.at(key), f"{len(value)} entries, limit {count_max}", status=413)
        for index, element in enumerate(value):
            yield f"{self.at(key)}[{index}]", element


def refuse(field: str, detail: str, *, code: str = "invalid", status: int = 400) -> NoReturn:
    """Raise `Refused`, whose text leads with *field*."""
    text = f"{field}: {detail}" if field else detail
    raise Refused(text, field=field, code=code, status=status)


def kind_of(value: object) -> str:
    """What *value* is, in words for people who write documents."""
    return "null" if value is None else _KINDS.get(type(value), "a mapping")


def json_of(body: bytes) -> Any:
    """The JSON document of *body*; a key that occurs twice is refused, as is text not Unicode.

    A whole number beyond 64 bits becomes a float, as no store of ours holds it. Raises `Refused`.
    """
    try:
        parsed = json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_unique, parse_int=_whole
        )
        if b"\\ud" in body or b"\\uD" in body:
            # Half a surrogate pair passes the parser, and fails whoever writes it out again.
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refused("not valid Unicode: half a surrogate pair") from error
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise Refused("not JSON that we read: nested too deep") from error
    except ValueError as error:
        raise Refused(f"not JSON: {error}") from error
    return parsed


def _whole(text: str) -> int | float:
    number = int(text) if len(text) <= 20 else float(text)
    return number if -(2**63) <= number < 2**63 else float(number)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"key {twice[:64]!r} occurs twice")
    return result


def _instant_ns(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("expected an instant, got a boolean")  # noqa: TRY004 - becomes Refused
    if isinstance(value, int | float):
        return instant.of_written(value)
    if isinstance(value, str):
        return instant.parse(value)
    if isinstance(value, datetime):
        since = value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
        return instant.parse(since.isoformat())
    raise ValueError(f"expected an instant, got {kind_of(value)}")
