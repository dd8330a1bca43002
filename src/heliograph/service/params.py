"""Query parameters: read once, refused by name.

start=2026-01-01T00:00:00Z | 1767225600.5      step=30s | 30      limit=50      match[]=k="v"
"""

from collections.abc import Sequence

from starlette.requests import Request

from heliograph.core import duration, instant, matcher
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher

# Compiling a pattern can cost tens of milliseconds.
MATCHERS_MAX = 32
# A pattern, and what is left is a name, and escapes.
MATCHER_CHARS_MAX = 4 * matcher.PATTERN_BYTES_MAX
# No instant and no duration is longer.
TIME_CHARS_MAX = 64
LIMIT_DEFAULT = 50
OFFSET_MAX = 1_000_000


def text(request: Request, name: str, default: str = "") -> str:
    """The parameter as it came, or *default*. Given twice it is refused: which one is meant?"""
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise Refused(f"{name} is given {len(given)} times", field=name)
    return given[0] if given else default


def instant_ns(request: Request, name: str, default_ns: int) -> int:
    """UTC nanoseconds of an RFC 3339 or epoch-seconds parameter."""
    given = _short(request, name)
    if not given:
        return default_ns
    try:
        return instant.parse_any(given)
    except ValueError as error:
        raise Refused(str(error), field=name) from error


def step_ns(request: Request, name: str) -> int | None:
    """Nanoseconds of a duration (`30s`) or a number of seconds; None when absent."""
    given = _short(request, name)
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        try:
            span_ns = duration.parse(given)
        except ValueError as error:
            raise Refused(str(error), field=name) from error
    else:
        # NaN and infinities fail this comparison, as they should.
        span_ns = round(number * 1e9) if 0 < number < 1e9 else 0
    if span_ns < 1_000_000:
        raise Refused(f"{name} must be at least 1ms", field=name)
    return span_ns


def page(request: Request, limit_max: int) -> tuple[int, int]:
    """(offset, limit) of a list."""
    return (
        _integer(request, "offset", 0, 0, OFFSET_MAX),
        _integer(request, "limit", min(LIMIT_DEFAULT, limit_max), 1, limit_max),
    )


def matchers(request: Request, name: str = "match[]") -> list[Matcher]:
    """All matchers given under *name* (`match[]`, and `match` for those who forget the brackets)."""
    given: Sequence[str] = [
        *request.query_params.getlist(name),
        *request.query_params.getlist(name.removesuffix("[]")),
    ]
    if len(given) > MATCHERS_MAX:
        raise Refused(f"{len(given)} matchers, limit {MATCHERS_MAX}", field=name)
    longest = max(map(len, given), default=0)
    if longest > MATCHER_CHARS_MAX:
        raise Refused(f"{longest} characters, limit {MATCHER_CHARS_MAX}", field=name)
    try:
        return [matcher.parse(one) for one in given]
    except ValueError as error:
        raise Refused(str(error), field=name) from error


def choice(request: Request, name: str, allowed: Sequence[str], default: str) -> str:
    """One of *allowed*."""
    given = text(request, name, default)
    if given not in allowed:
        raise Refused(
            f"{name} is one of {', '.join(filter(None, allowed))}; got {given[:50]!r}",
            field=name,
        )
    return given


def known(request: Request, names: Sequence[str]) -> None:
    """Refuse parameters that are not in *names*: a misspelt filter must not match everything."""
    for name in request.query_params:
        if name not in names:
            raise Refused(
                f"unknown parameter {name[:50]!r}; known are {', '.join(sorted(names))}",
                field=name,
            )


def _short(request: Request, name: str) -> str:
    given = text(request, name)
    if len(given) > TIME_CHARS_MAX:
        raise Refused(f"{given[:TIME_CHARS_MAX]!r}… is too long", field=name)
    return given


def _integer(request: Request, name: str, default: int, low: int, high: int) -> int:
    given = text(request, name)
    if not given:
        return default
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise Refused(f"{name} is a whole number; got {given[:50]!r}", field=name)
    number = int(given)
    if not low <= number <= high:
        raise Refused(f"{name} is from {low} to {high}; got {number}", field=name)
    return number
