"""Memory over time, a line for each rank and device: asked of a service, or gathered from a file.

A line has at most about POINTS points however long the time is, and the largest value of each of its
stretches: what must not be missed in memory is the peak.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.cli.client import ask, get
from heliograph.core import instant

POINTS = 600
LINES_MAX = 64
# Parts of the terminal's axis of time.
TICKS = 6
# What one may ask to see → the counter of an event; `memory_…` is the series.
COUNTERS = {
    "allocated": "allocator_allocated_bytes",
    "reserved": "allocator_reserved_bytes",
    "active": "allocator_active_bytes",
    "inactive": "allocator_inactive_bytes",
    "used": "device_used_bytes",
    "free": "device_free_bytes",
    "total": "device_total_bytes",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Line(NamedTuple):
    """One line, in the order of time."""

    label: str
    at_ns: list[int]
    value: list[float]


class Stream(NamedTuple):
    """Whose readings a line is of."""

    session_id: str
    rank: str
    device: str


class Thinned:
    """Readings of one stream as they come: the largest of each stretch, and the stretches grow."""

    def __init__(self) -> None:
        self._width_ns = 1_000_000
        self._most: dict[int, float] = {}

    def add(self, at_ns: int, value: float) -> None:
        """One reading, in any order."""
        place = at_ns // self._width_ns
        if value > self._most.get(place, -math.inf):
            self._most[place] = value
        while len(self._most) > 2 * POINTS:
            self._width_ns *= 2
            halved: dict[int, float] = {}
            for old, most in self._most.items():
                halved[old // 2] = max(most, halved.get(old // 2, -math.inf))
            self._most = halved

    def line(self, label: str) -> Line:
        """What there is."""
        places = sorted(self._most)
        return Line(
            label, [p * self._width_ns for p in places], [self._most[p] for p in places]
        )


def asked_of(url: str, counter: str, filters: Mapping[str, Any]) -> list[Line]:
    """The lines of a running service. *filters* are those of `/v1/records`; of them session and time
    choose."""
    asked = {name: filters.get(name) for name in ("session_id", "start", "end")}
    first, last = (_end(url, asked, order) for order in ("oldest", "newest"))
    if first is None or last is None:
        return []
    start_s, end_s = first / 1e9 - 0.001, last / 1e9 + 0.001
    step_s = max((end_s - start_s) / POINTS, 0.001)
    answer = ask(
        "GET",
        url,
        "/v1/query/range",
        {"series": [{"labels": dict, "points": [list]}]},
        parameters={
            "metric": f"memory_{counter}",
            "match[]": _matcher(asked["session_id"]),
            "start": f"{start_s:.6f}",
            "end": f"{end_s + step_s:.6f}",
            "step": f"{step_s:.3f}",
            "agg": "max",
        },
    )
    found = {}
    for series in answer["series"]:
        labels = series["labels"]
        device = device_name(labels.get("collector", ""), labels.get("device_id", "-1"))
        stream = Stream(labels.get("session_id", ""), labels.get("rank", "0"), device)
        points = [(t, float(v)) for t, v in series["points"] if isinstance(v, int | float)]
        if points:
            found[stream] = Line("", [t * 1_000_000 for t, _ in points], [v for _, v in points])
    return labelled(found)


def _matcher(session_id: str | None) -> str | None:
    if session_id is None:
        return None
    escaped = session_id.replace("\\", "\\\\").replace('"', '\\"')
    return f'session_id="{escaped}"'


def _end(url: str, asked: Mapping[str, Any], order: str) -> int | None:
    """When the oldest or newest sample was."""
    parameters = {**asked, "event_type": "sample", "order": order, "limit": 1}
    found = get(url, "/v1/records", parameters, {"timestamp_ns": int | str})["items"]
    return int(found[0]["timestamp_ns"]) if found else None


def device_name(collector: str, device_id: object) -> str:
    """`cuda_tracker:0`; the collector's alone where the device has no number."""
    name, number = collector.rpartition(".")[2], str(device_id)
    return name if number == "-1" else f"{name}:{number}"


def labelled(lines: Mapping[Stream, Line]) -> list[Line]:
    """*lines* in the order of ranks, the LINES_MAX with the highest peaks, named by what tells them
    apart."""
    peaks = sorted(lines, key=lambda stream: -max(lines[stream].value))[:LINES_MAX]
    several = len({stream.session_id for stream in peaks}) > 1
    ordered = sorted(peaks, key=lambda one: (_number(one.rank), one.device, one.session_id))
    return [
        lines[one]._replace(
            label=f"rank {one.rank} {one.device}"
            + (f" {one.session_id[-8:]}" if several else "")
        )
        for one in ordered
    ]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def amount(size: float) -> str:
    """`1.5 GiB`."""
    for unit in _UNITS[:-1]:
        if abs(size) < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.4g} {_UNITS[-1]}"


def when(at_ns: int, span_ns: int) -> str:
    """*at_ns* as much as a time of *span_ns* needs."""
    text = instant.text_of(at_ns)
    if span_ns > 2 * 86_400 * 10**9:
        return text[:10]
    return text[11:16] if span_ns > 600 * 10**9 else text[11:19]


def _tick(first_ns: int, tick_ns: int, span_ns: int) -> str:
    """A time of day; of a span whose seconds would be told twice, how long after the first."""
    if span_ns < 2 * TICKS * 10**9:
        return f"{tick_ns / 1e9:.3g} s"
    return when(first_ns + tick_ns, span_ns)


def shown(title: str, lines: Sequence[Line]) -> None:
    """Draw *lines* in the terminal."""
    import shutil
    import sys

    import click
    import plotext

    colored = sys.stdout.isatty()
    figure = plotext.figure
    figure.clear()
    figure.theme("default" if colored else "colorless")
    figure.plot_size(shutil.get_terminal_size((100, 24)).columns, 18)
    first_ns = min(line.at_ns[0] for line in lines)
    peak = max(max(line.value) for line in lines)
    unit = min(int(math.log(max(peak, 1), 1024)), len(_UNITS) - 1)
    figure.title(f"{title}, {_UNITS[unit]}, since {instant.text_of(first_ns)}")
    span_ns = max(line.at_ns[-1] for line in lines) - first_ns
    if span_ns:
        ticks = [span_ns * part // TICKS for part in range(TICKS + 1)]
        texts = [_tick(first_ns, tick, span_ns) for tick in ticks]
        figure.ruler("x").ticks([tick / 1e9 for tick in ticks], texts)
    for line in lines:
        x = [(at_ns - first_ns) / 1e9 for at_ns in line.at_ns]
        figure.draw(figure.signal(x, [value / 1024**unit for value in line.value]).lines())
    click.echo(figure.build().string(not colored).rstrip("\n"))
    for line in lines:
        click.echo(
            f"{line.label:32}  peak {amount(max(line.value))}, last {amount(line.value[-1])}"
        )
