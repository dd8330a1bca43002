"""Durations as people write them: `250ms`, `1h30m`, `7d`. Prometheus grammar, without years.

    duration = ( number unit )+        units in falling order: w d h m s ms, each at most once

A bare `0` is allowed. Days are 24 hours.
"""

import re

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS

UNITS_NS = {
    "w": 7 * DAY_NS,
    "d": DAY_NS,
    "h": HOUR_NS,
    "m": MINUTE_NS,
    "s": SECOND_NS,
    "ms": 1_000_000,
}
DURATION_NS_MAX = 100 * 365 * DAY_NS

_SHAPE = re.compile(
    r"(?=[0-9])" + "".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in UNITS_NS) + r"\Z"
)


def parse(text: str) -> int:
    """Nanoseconds of *text*. Raises ValueError, whose message quotes the text."""
    if text == "0":
        return 0
    match = _SHAPE.match(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r} (write e.g. 30s, 1h30m, 7d)")
    span_ns = sum(
        int(number) * unit_ns
        for number, unit_ns in zip(match.groups(default="0"), UNITS_NS.values(), strict=True)
    )
    if span_ns > DURATION_NS_MAX:
        raise ValueError(f"duration too long: {text!r} (at most 100 years)")
    return span_ns


def format_ns(span_ns: int) -> str:
    """The shortest text that `parse` reads back; fractions of a millisecond are cut."""
    rest_ns, parts = span_ns, []
    for unit, unit_ns in UNITS_NS.items():
        number, rest_ns = divmod(rest_ns, unit_ns)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0"
