"""Parts of a rule's document, read with their path: what is wrong is refused by name.

Part.of(document, "").part("rule_config").duration("window", …)
→ Refused("not a duration: '10 m' …", field="rule_config.window")
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from heliograph.core import duration
from heliograph.core import labels as core_labels
from heliograph.core.errors import Refused
from heliograph.core.labels import Labels

TEXTS_MAX = 64
LABELS_MAX = 64
_ABSENT = object()


class Part:
    """One object of a document, and where it stands. Its values are its own copy."""

    __slots__ = ("path", "values")

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self.values = values
        self.path = path

    @classmethod
    def of(cls, value: Any, path: str) -> "Part":
        """The object *value*. Raises Refused when it is none."""
        if not isinstance(value, Mapping):
            raise Refused(f"expected an object, got {kind(value)}", field=path)
        return cls({str(key): one for key, one in value.items()}, path)

    def at(self, key: str) -> str:
        """The path of *key*."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, detail: str, *, code: str = "invalid") -> NoReturn:
        """Raise Refused for *key*."""
        field = self.at(key)
        raise Refused(f"{field}: {detail}", field=field, code=code)

    def only(self, known: Collection[str]) -> None:
        """Refuse keys that are none of *known*: a misspelt one must not be silently unread."""
        for key in self.values:
            if key not in known:
                self.refuse(key, f"unknown key (known: {', '.join(sorted(known))})")

    def part(self, key: str, default: Any = _ABSENT) -> "Part":
        """The object of *key*."""
        value = self.values.get(key)
        if value is None:
            if default is _ABSENT:
                self.refuse(key, "required", code="missing")
            value = default
        if not isinstance(value, Mapping):
            self.refuse(key, f"expected an object, got {kind(value)}")
        return Part.of(value, self.at(key))

    def text(self, key: str, default: Any = _ABSENT, *, chars_max: int = 1024) -> str:
        """The text of *key*, not blank unless that is the *default*."""
        value = self.values.get(key)
        if value is None or value == "":
            if default is _ABSENT:
                self.refuse(key, "required", code="missing")
            return str(default)
        if not isinstance(value, str):
            self.refuse(key, f"expected text, got {kind(value)}")
        self._clean(key, value, chars_max)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of them; () when absent."""
        value = self.values.get(key)
        if value is None:
            return ()
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, Sequence) or len(listed) > TEXTS_MAX:
            self.refuse(
                key, f"expected text or a list of at most {TEXTS_MAX}, got {kind(value)}"
            )
        for number, one in enumerate(listed):
            if not isinstance(one, str) or not one:
                self.refuse(f"{key}[{number}]", "expected text")
            self._clean(key, one, 1024)
        return tuple(listed)

    def labels(self, key: str, *, chars_max: int = 1024) -> Labels:
        """Label names with their values; () when absent. Numbers are their text."""
        value = self.values.get(key)
        if value is None:
            return ()
        part = self.part(key)
        if len(part.values) > LABELS_MAX:
            self.refuse(key, f"{len(part.values)} names, limit {LABELS_MAX}")
        found = {}
        for name, one in part.values.items():
            if not name or isinstance(one, Mapping | list | tuple):
                part.refuse(name, f"expected text, got {kind(one)}")
            found[name] = shown(one)
            part._clean(name, name + found[name], chars_max)  # noqa: SLF001 - of this class
        return core_labels.of(found)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"expected true or false, got {kind(value)}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number; text is read as one."""
        value = self.values.get(key, default)
        if value is None:
            self.refuse(key, "required", code="missing")
        try:
            found = float(value) if not isinstance(value, bool) else None
        except (TypeError, ValueError, OverflowError):
            found = None
        if found is None or found != found or abs(found) == float("inf"):  # noqa: PLR0124
            self.refuse(key, f"expected a number, got {kind(value)}")
        return found

    def whole(self, key: str, *, default: int, least: int, most: int) -> int:
        """A whole number of [least, most]."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(key, f"expected a whole number, got {kind(value)}")
        if not least <= value <= most:
            self.refuse(key, f"{value} is not within {least} and {most}")
        return value

    def duration(
        self, key: str, *, default_ns: int | None, most_ns: int, least_ns: int = 0
    ) -> int:
        """A duration as people write it; a bare number counts seconds."""
        value = self.values.get(key)
        if value is None:
            if default_ns is None:
                self.refuse(key, "required", code="missing")
            return default_ns
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Beyond any bound, and finite when multiplied.
            span_ns = round(max(-1.0, min(self.number(key), 1e12)) * duration.SECOND_NS)
        elif isinstance(value, str):
            try:
                span_ns = duration.parse(value)
            except ValueError as error:
                self.refuse(key, str(error))
        else:
            self.refuse(key, f"expected a duration, got {kind(value)}")
        if not least_ns <= span_ns <= most_ns:
            most = duration.format_ns(most_ns)
            self.refuse(key, f"{value!r} is not within {least_ns // 10**6} ms and {most}")
        return span_ns

    def choice(self, key: str, choices: Collection[str], *, default: str) -> str:
        """One of *choices*."""
        value = self.text(key, default)
        if value not in choices:
            self.refuse(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def _clean(self, key: str, value: str, chars_max: int) -> None:
        if len(value) > chars_max:
            self.refuse(key, f"{len(value)} characters, limit {chars_max}")
        if "\0" in value:
            self.refuse(key, "contains a NUL character")


def kind(value: object) -> str:
    """What *value* is, in JSON's words."""
    if value is None or isinstance(value, bool):
        return shown(value)
    if isinstance(value, str):
        return f"{value[:64]!r}"
    if isinstance(value, int | float):
        return "a number"
    return "an object" if isinstance(value, Mapping) else "a list"


def shown(value: Any) -> str:
    """A scalar as text: JSON's words for true, false and null, which is ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
