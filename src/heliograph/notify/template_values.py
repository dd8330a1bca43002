"""What a template sees: plain values that answer by name, and nothing that Python would run.

    .Status .Receiver .ExternalURL .GroupLabels .CommonLabels .CommonAnnotations .Alerts
    .Alerts.Firing .Alerts.Resolved     each: .Status .Labels .Annotations .StartsAt .EndsAt
                                              .GeneratorURL .Fingerprint
    .Labels.SortedPairs .Labels.Names .Labels.Values   (.CommonLabels.Remove .GroupLabels.Names)
    .StartsAt.Format "2006-01-02 15:04:05"

A name is looked up in a table of the value's kind, never as an attribute of a Python object.
Source: Alertmanager, "Notification template reference"; Go `time.Time.Format`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from heliograph.core.errors import HeliographError

VALUE_CHARS_MAX = 64 * 1024


class Failed(HeliographError):
    """A template cannot be rendered: it asks for what is not there, or for too much."""


class Safe(str):
    """Text that a template declared free of markup (`safeHtml`): it is not escaped."""

    __slots__ = ()


class Fields:
    """A value with these fields and no others."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


class Pairs(dict[str, str]):
    """Labels or annotations; a name that is absent is ""."""

    def sorted_names(self) -> list[str]:
        """`alertname` first, then by name."""
        return sorted(self, key=lambda name: (name != "alertname", name))


class PairList(list[Fields]):
    """What `SortedPairs` gives."""


class Alerts(list[Fields]):
    """The alerts of a notification."""


class Moment(NamedTuple):
    """An instant, with the zone it is shown in; None is Go's zero time."""

    at_ns: int | None
    zone: Any = UTC


_ZERO = datetime(1, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Go's layout and what it stands for, what begins alike longest first. A name that goes on in small
# letters is none (`Month`).
_LAYOUT: tuple[tuple[str, str], ...] = (
    ("January", "%B"), ("Jan(?![a-z])", "%b"), ("Monday", "%A"), ("Mon(?![a-z])", "%a"),
    ("MST", "%Z"), ("002", "%j"), ("01", "%m"), ("02", "%d"), ("03", "%I"), ("04", "%M"),
    ("05", "%S"), ("06", "%y"), ("15", "%H"), ("1", "%-m"), ("2006", "%Y"), ("2", "%-d"),
    ("__2", "%_j"), ("_2(?!006)", "%_d"), ("3", "%-I"), ("4", "%-M"), ("5", "%-S"), ("PM", "%p"),
    ("pm", "%P"), ("[-Z]07(?::00:00|0000|:00|00)?", "zone"), (r"[.,](?:0+|9+)(?!\d)", "fraction"),
)  # fmt: skip
_PART = re.compile("|".join(f"({go})" for go, _ in _LAYOUT))


def moment_text(moment: Moment, layout: str = "2006-01-02 15:04:05.999999999 -0700 MST") -> str:
    """*moment* as Go's *layout* writes it."""
    shown, fraction_ns = _shown(moment)

    def part(found: "re.Match[str]") -> str:
        assert found.lastindex is not None
        return _part(_LAYOUT[found.lastindex - 1][1], found[0], shown, fraction_ns)

    return _PART.sub(part, layout[:200])


def _shown(moment: Moment) -> tuple[datetime, int]:
    if moment.at_ns is None:
        return _ZERO, 0
    seconds, fraction_ns = divmod(moment.at_ns, 1_000_000_000)
    try:
        return (_EPOCH + timedelta(seconds=seconds)).astimezone(moment.zone), fraction_ns
    except OverflowError as error:
        raise Failed("an instant out of range") from error


def _part(code: str, go: str, shown: datetime, fraction_ns: int) -> str:
    if code == "fraction":
        digits = f"{fraction_ns:09d}"[: len(go) - 1]
        digits = digits.rstrip("0") if go[1] == "9" else digits
        return go[0] + digits if digits else ""
    if code == "zone":
        return _offset(go, shown)
    if code == "%Y":
        return f"{shown.year:04d}"
    if code == "%P":
        return shown.strftime("%p").lower()
    text = shown.strftime(f"%{code[-1]}")
    if code[1] == "-":
        return text.lstrip("0") or "0"
    # Padded with spaces.
    return f"{text.lstrip('0'):>{len(text)}}" if code[1] == "_" else text


def _offset(go: str, shown: datetime) -> str:
    offset = shown.utcoffset() or timedelta(0)
    if go[0] == "Z" and not offset:
        return "Z"
    hours, rest = divmod(abs(round(offset.total_seconds())), 3600)
    parts = [f"{hours:02d}", f"{rest // 60:02d}", f"{rest % 60:02d}"]
    count = len(go.replace(":", "")) // 2
    return ("-" if offset < timedelta(0) else "+") + (":" if ":" in go else "").join(
        parts[:count]
    )


def member(value: Any, name: str) -> Any:
    """Field *name* of *value*, or a method of it (a function of the arguments). Raises Failed."""
    if isinstance(value, Fields) and name in value.values:
        return value.values[name]
    # What a label is called comes before what its kind can do, except for the methods' own names.
    methods = _METHODS.get(type(value), {})
    if name in methods:
        return _bound(methods[name], value)
    if isinstance(value, Pairs):
        return value.get(name, "")
    raise Failed(f"{kind_of(value)} has no {name[:60]}")


def kind_of(value: Any) -> str:
    """What *value* is, in words."""
    return {
        Fields: "the value", Pairs: "the labels", Alerts: "the alerts", PairList: "the pairs",
        Moment: "the time", str: "a text", int: "a number", float: "a number",
        bool: "a truth value", list: "a list", type(None): "nil",
    }.get(type(value), "the value")  # fmt: skip


def truth(value: Any) -> bool:
    """Whether Go's `if` takes it."""
    if isinstance(value, Fields | Moment):
        return True
    return bool(value)


def text_of(value: Any) -> str:
    """As Go prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, Moment):
        return moment_text(value)
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, Fields):
        return "{" + _joined(text_of(one) for one in value.values.values()) + "}"
    if isinstance(value, Pairs):
        return "map[" + _joined(f"{name}:{value[name]}" for name in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + _joined(text_of(one) for one in value) + "]"
    if callable(value):
        raise Failed("a method needs its arguments")
    return str(value)


def float_text(value: float) -> str:
    """As Go's `%v`: in as few digits as say it, with an exponent from a million on."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if abs(value) == float("inf"):
        return "+Inf" if value > 0 else "-Inf"
    exact = Decimal(repr(value)).normalize()
    if not value:
        return format(value, ".0f")
    power = exact.adjusted()
    if -4 <= power < 6:
        return format(exact, "f")
    return f"{exact.scaleb(-power):f}e{power:+03d}"


def _joined(texts: Iterable[str]) -> str:
    parts: list[str] = []
    room = VALUE_CHARS_MAX
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            raise Failed(f"a value of more than {VALUE_CHARS_MAX} characters")
        parts.append(text)
    return " ".join(parts)


def _bound(method: Callable[..., Any], value: Any) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return method(value, *arguments)
        except TypeError as error:
            raise Failed("a method does not take these arguments") from error

    return call


def _sorted_pairs(value: Pairs) -> PairList:
    return PairList(
        Fields({"Name": name, "Value": value[name]}) for name in value.sorted_names()
    )


def _remove(value: Pairs, names: Sequence[str]) -> Pairs:
    gone = set(names)
    return Pairs({name: text for name, text in value.items() if name not in gone})


def _of_status(status: str) -> Callable[[Alerts], Alerts]:
    def chosen(value: Alerts) -> Alerts:
        return Alerts(one for one in value if one.values.get("Status") == status)

    return chosen


def _formatted(value: Moment, layout: str) -> str:
    return moment_text(value, text_of(layout))


def _add(value: Moment, span_ns: float) -> Moment:
    return value if value.at_ns is None else value._replace(at_ns=value.at_ns + int(span_ns))


def _unix(value: Moment) -> int:
    return -62_135_596_800 if value.at_ns is None else value.at_ns // 1_000_000_000


def in_zone(value: Moment, name: str) -> Moment:
    """*value* shown in the zone *name*. Raises Failed."""
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", name):
        raise Failed(f"no time zone {name[:60]!r}")
    try:
        return value._replace(zone=ZoneInfo(name))
    except (OSError, ValueError) as error:
        raise Failed(f"no time zone {name[:60]!r}") from error


_METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    Pairs: {
        "SortedPairs": _sorted_pairs,
        "Names": Pairs.sorted_names,
        "Values": lambda value: [value[name] for name in value.sorted_names()],
        "Remove": _remove,
    },
    PairList: {
        "Names": lambda value: [one.values["Name"] for one in value],
        "Values": lambda value: [one.values["Value"] for one in value],
    },
    Alerts: {"Firing": _of_status("firing"), "Resolved": _of_status("resolved")},
    Moment: {
        "Format": _formatted,
        "Add": _add,
        "UTC": lambda value: value._replace(zone=UTC),
        "Local": lambda value: value._replace(zone=UTC),
        "Unix": _unix,
        "IsZero": lambda value: value.at_ns is None,
        "String": moment_text,
    },
}
