"""Parts of a decoded configuration, read with the place where they stand: `alerting.route.routes[2]`.

YAML's own types are forgiven as Alertmanager forgives them: a number or a truth value where text is
asked for is its text, and `yes`, `on` and `no`, `off` are truth values. A fraction is not: `1.10`
has become 1.1 before anybody asks, so it must be written in quotes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from heliograph.core import duration
from heliograph.core.duration import DAY_NS
from heliograph.core.errors import ConfigError

_TRUE = {"yes", "on", "y", "true"}
_FALSE = {"no", "off", "n", "false"}
YEAR_NS = 365 * DAY_NS

# (value, place) → what is meant; raises PlaceError.
Read: TypeAlias = Callable[[Any, str], Any]


class PlaceError(ConfigError):
    """*place* is wrong because of *why*; *part* is the key below it that is at fault.

    part   not said in the text, which names it in its own words
    """

    def __init__(self, place: str, why: str, part: str = "") -> None:
        super().__init__(f"{place}: {why}")
        self.place = f"{place}.{part}" if part else place
        self.why = why


def fail(place: str, why: str, part: str = "") -> NoReturn:
    """Raise PlaceError."""
    raise PlaceError(place, why, part)


def mapping(value: Any, place: str, known: Iterable[str] | None = None) -> Mapping[str, Any]:
    """*value* as a mapping with text for keys; None is an empty one. *known* are the keys allowed."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        fail(place, f"expected a mapping of keys, got {_kind(value)}")
    for key in value:
        if not isinstance(key, str):
            fail(place, f"key {key!r} must be text")
        if known is not None and key not in known:
            fail(place, f"unknown key {key} (known: {', '.join(sorted(known))})", key)
    return value


def at_most_one(settings: Mapping[str, Any], place: str, *keys: str) -> None:
    """Raises ConfigError when more than one of *keys* is in *settings*."""
    given = [key for key in keys if settings.get(key)]
    if len(given) > 1:
        fail(place, f"at most one of {' and '.join(given)} may be given")


def items(value: Any, place: str) -> list[Any]:
    """*value* as a list; None is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        fail(place, f"expected a list, got {_kind(value)}")
    return value


def text(value: Any, place: str) -> str:
    """*value* as text; None is ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        fail(place, f"write {value} in quotes")
    if not isinstance(value, str | int):
        fail(place, f"expected text, got {_kind(value)}")
    return str(value)


def texts(value: Any, place: str) -> list[str]:
    """*value* as a list of text."""
    return [text(one, f"{place}[{i}]") for i, one in enumerate(items(value, place))]


def flag(value: Any, place: str) -> bool:
    """*value* as a truth value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    fail(place, f"expected true or false, got {_kind(value)}")


def number(value: Any, place: str) -> int:
    """*value* as a number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        fail(place, f"expected a number, got {_kind(value)}")
    return value


def span_ns(value: Any, place: str) -> int:
    """*value* (`30s`, `1h30m`, `1y`) in nanoseconds; 100 years at most, more is as good as never."""
    written = text(value, place)
    years, unit, rest = written.partition("y")
    try:
        if unit and years.isdecimal() and len(years) < 4:
            total_ns = int(years) * YEAR_NS + (duration.parse(rest) if rest else 0)
            # An instant so much later still has 64 bits.
            return min(total_ns, duration.DURATION_NS_MAX)
        return duration.parse(written)
    except ValueError as error:
        raise PlaceError(place, str(error)) from error


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
