"""The functions that a template may call, each of values to a value; what is not here is not there.

    toUpper toLower title trimSpace join match reReplaceAll stringSlice safeHtml safeUrl html
    urlquery date tz humanizeDuration toJson · len index slice print println printf
    eq ne lt le gt ge not (`and`, `or` are of the language: they stop early)

Patterns are RE2. Source: Alertmanager, "Notification template reference", functions; Go
text/template, "Functions".
"""

import html
import operator
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote_plus, unquote_plus

import msgspec

from heliograph.core.matcher import compile_pattern
from heliograph.notify.template_printf import formatted
from heliograph.notify.template_values import (
    VALUE_CHARS_MAX,
    Failed,
    Fields,
    Moment,
    Pairs,
    Safe,
    in_zone,
    moment_text,
    text_of,
    truth,
)

# Text that a function takes or makes within a step.
STEP_CHARS = 64
Spend: TypeAlias = Callable[[int], None]
# What is one word to Go's titles: over a point or an apostrophe within.
_WORD = re.compile(r"\w+(?:['’.:·]\w+)*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,7}")
_REFERENCE = re.compile(r"\$(?:\$|\{(?P<braced>\w+)\}|(?P<name>\w+))")


def call(name: str, arguments: list[Any], spend: Spend) -> Any:
    """The value of function *name*; what long texts take beyond a step is spent. Raises Failed."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise Failed(f"there is no function {name[:60]}")
    spend(sum(map(_chars, arguments)) // STEP_CHARS)
    try:
        value = function(*arguments)
    except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as error:
        raise Failed(f"{name} does not take these arguments") from error
    if isinstance(value, _Replaced):
        spend(value.times)
        value = value.text
    if _chars(value) > VALUE_CHARS_MAX:
        raise Failed(f"a value of more than {VALUE_CHARS_MAX} characters")
    spend(_chars(value) // STEP_CHARS)
    return value


def _chars(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _title(value: Any) -> str:
    return _WORD.sub(lambda m: _titled(m[0]), _text(value))


def _titled(word: str) -> str:
    """*word* with its first letter large, and the rest small."""
    first = next((n for n, char in enumerate(word) if char.isalpha()), len(word))
    return word[:first] + word[first : first + 1].title() + word[first + 1 :].lower()


def _join(separator: Any, values: Any) -> str:
    if not isinstance(values, list | tuple):
        raise TypeError
    texts = [_text(value) for value in values]
    if sum(map(len, texts)) + len(_text(separator)) * len(texts) > VALUE_CHARS_MAX:
        raise Failed(f"a value of more than {VALUE_CHARS_MAX} characters")
    return str(separator).join(texts)


def _match(pattern: Any, value: Any) -> bool:
    return compile_pattern(_text(pattern)).search(_text(value)) is not None


class _Replaced(NamedTuple):
    """A text, and how often something was replaced in it: each takes a step."""

    text: str
    times: int


def _replaced(pattern: Any, replacement: Any, value: Any) -> _Replaced:
    text, written = _text(value), _text(replacement)
    # At most every character is replaced, each by this much.
    if (len(text) + 1) * max(len(written), 1) > 4 * VALUE_CHARS_MAX:
        raise Failed(f"a value of more than {VALUE_CHARS_MAX} characters")
    parts: list[str] = []
    end = times = 0
    for match in compile_pattern(_text(pattern)).finditer(text):
        if match.start() == match.end() == end and times:
            # Nothing, right behind what was replaced: not so in Go.
            continue
        parts += [text[end : match.start()], _expanded(written, match)]
        end, times = match.end(), times + 1
    return _Replaced("".join([*parts, text[end:]]), times)


def _expanded(written: str, match: Any) -> str:
    """*written* with `$1`, `$name` (as long as it goes) and `${name}` filled in; what the pattern has
    no group for is nothing."""

    def filled(reference: "re.Match[str]") -> str:
        name = reference["braced"] or reference["name"]
        if name is None:
            return "$"
        if _NUMBER.fullmatch(name):
            return match[int(name)] or "" if int(name) <= match.re.groups else ""
        return match[name] or "" if name in match.re.groupindex else ""

    return _REFERENCE.sub(filled, written)


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list | tuple | Pairs):
        return len(value)
    raise TypeError


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Pairs):
            value = value.get(_text(key), "")
        elif isinstance(value, list | tuple) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        else:
            raise Failed("index out of range")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, 0)[0], bounds[1] if len(bounds) > 1 else _len(value)
    if not 0 <= start <= end <= _len(value):
        raise Failed("slice out of range")
    if isinstance(value, str):
        return value.encode()[start:end].decode("utf-8", "replace")
    return value[start:end]


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TypeError
    return any(_same_kind(first, other) and first == other for other in others)


def _same_kind(first: Any, second: Any) -> bool:
    for kind in (bool, str, int | float):
        if isinstance(first, kind) or isinstance(second, kind):
            if isinstance(first, kind) and isinstance(second, kind):
                return isinstance(first, bool) == isinstance(second, bool)
            raise TypeError
    raise TypeError


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def of(first: Any, second: Any) -> bool:
        return _same_kind(first, second) and compare(first, second)

    return of


def _print(*values: Any) -> str:
    """With a space between two of which none is a text."""
    parts: list[str] = []
    for before, value in pairwise(("", *values)):
        parts += [
            "" if isinstance(before, str) or isinstance(value, str) else " ",
            _shown(value),
        ]
    return "".join(parts)


def _println(*values: Any) -> str:
    return " ".join(_shown(value) for value in values) + "\n"


def _shown(value: Any) -> str:
    return "<nil>" if value is None else text_of(value)


def _printf(layout: Any, *values: Any) -> str:
    return formatted(_text(layout), values)


def _span(seconds: Any) -> str:
    """`humanizeDuration`: 3661 → `1h 1m 1s`."""
    left = float(seconds)
    if left != left or abs(left) > 1e15:  # noqa: PLR0124 - NaN
        return text_of(left)
    sign, left = ("-", -left) if left < 0 else ("", left)
    if 0 < left < 1:
        return f"{sign}{left * 1000:.4g}ms"
    whole = int(left)
    days, hours = divmod(whole // 3600, 24)
    parts = [(days, "d"), (hours, "h"), (whole // 60 % 60, "m")]
    first = next((i for i, (amount, _) in enumerate(parts) if amount), len(parts))
    shown = [f"{amount}{unit}" for amount, unit in parts[first:]]
    return sign + " ".join([*shown, f"{left % 60:.4g}s" if not shown else f"{whole % 60}s"])


def _plain(value: Any) -> Any:
    if isinstance(value, Fields):
        return {name: _plain(one) for name, one in value.values.items()}
    if isinstance(value, Moment):
        return moment_text(value, "2006-01-02T15:04:05.999999999Z07:00")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return dict(value) if isinstance(value, Pairs) else value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "toUpper": lambda value: _text(value).upper(),
    "toLower": lambda value: _text(value).lower(),
    "title": _title,
    "trimSpace": lambda value: _text(value).strip(),
    "join": _join,
    "match": _match,
    "reReplaceAll": _replaced,
    "stringSlice": lambda *values: [_text(value) for value in values],
    "list": lambda *values: list(values),
    "safeHtml": lambda value: Safe(_text(value)),
    "safeUrl": lambda value: Safe(_text(value)),
    "html": lambda *values: html.escape(_print(*values)),
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "urlUnescape": lambda value: unquote_plus(_text(value)),
    "date": lambda layout, moment: moment_text(moment, _text(layout)),
    "tz": lambda name, moment: in_zone(moment, _text(name)),
    "humanizeDuration": _span,
    "toJson": lambda value: msgspec.json.encode(_plain(value)).decode(),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": _println,
    "printf": _printf,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
}
