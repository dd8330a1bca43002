"""Memory over time, a line for each rank and device: asked of a service, or gathered from a file.

A line has at most about POINTS points however long the time is, and the largest value of each of its
stretches: what must not be missed in memory is the peak.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.cli.client import ask, get, inert
from heliograph.core import instant

POINTS = 600
LINES_MAX = 64
# Parts of the terminal's axis of time.
TICKS = 6
# What is no count of bytes: a -1 that lost its sign. The service makes no sample of it either.
BYTES_END = 2**63
# Of a session's name in a label: so many characters of its end, more where several end alike.
_ENDING_CHARS = range(16, 64, 8)
_LABEL_CHARS = 32
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
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


class Line(NamedTuple):
    """One line, in the order of time; *last* is the newest reading, which no peak hides."""

    label: str
    at_ns: list[int]
    value: list[float]
    last: float


class Chart(NamedTuple):
    """*lines* to be drawn, of *streams* that there are."""

    lines: list[Line]
    streams: int

    def told(self) -> str:
        """How many lines there are, for people."""
        if self.streams == len(self.lines):
            return f"{self.streams} line{'s' * (self.streams > 1)}"
        return f"{len(self.lines)} of {self.streams:,} lines, those with the highest peaks"


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
        self._last = (-math.inf, 0.0)

    def add(self, at_ns: int, value: float) -> None:
        """One reading, in any order."""
        if at_ns >= self._last[0]:
            self._last = at_ns, value
        place = at_ns // self._width_ns
        if value > self._most.get(place, -math.inf):
            self._most[place] = value
        while len(self._most) > 2 * POINTS:
            self._width_ns *= 2
            halved: dict[int, float] = {}
            for old, most in self._most.items():
                halved[old // 2] = max(most, halved.get(old // 2, -math.inf))
            self._most = halved

    def line(self) -> Line:
        """What there is, without a label."""
        places = sorted(self._most)
        at_ns = [place * self._width_ns for place in places]
        return Line("", at_ns, [self._most[place] for place in places], self._last[1])


def asked_of(url: str, counter: str, filters: Mapping[str, Any]) -> Chart:
    """The lines of a running service. Of *filters*, those of `/v1/records`, session and time choose."""
    asked = {name: filters.get(name) for name in ("session_id", "start", "end")}
    first, last = (_end(url, asked, order) for order in ("oldest", "newest"))
    if first is None or last is None:
        return Chart([], 0)
    step_ms = max(-(-(last - first) // (POINTS * 1_000_000)), 1)
    start_ns = max(first - 1_000_000, instant.AT_NS_MIN)
    # The newest is in it: an end is not, and there is no instant after the last of all.
    end_ns = min(last + (step_ms + 1) * 1_000_000, instant.AT_NS_MAX)
    parameters = {
        "metric": f"memory_{counter}",
        "match[]": _matcher(asked["session_id"]),
        "start": instant.text_of(start_ns),
        "end": instant.text_of(end_ns),
        "step": f"{step_ms / 1000:.3f}",
    }
    most: dict[Stream, dict[int, float]] = {}
    for stream, points in _series(url, {**parameters, "agg": "max"}):
        merged = most.setdefault(stream, {})
        for at_ms, value in points:
            merged[at_ms] = max(value, merged.get(at_ms, -math.inf))
    newest: dict[Stream, tuple[int, float]] = {}
    for stream, points in _series(url, {**parameters, "agg": "last"}):
        newest[stream] = max(newest.get(stream, points[-1]), points[-1])
    lines = {}
    for stream, merged in most.items():
        times = sorted(merged)
        values = [merged[at_ms] for at_ms in times]
        # A sample that came between the two questions has no newest yet.
        _, final = newest.get(stream, (0, values[-1]))
        lines[stream] = Line("", [at_ms * 1_000_000 for at_ms in times], values, final)
    return labelled(lines)


def _series(
    url: str, parameters: Mapping[str, Any]
) -> list[tuple[Stream, list[tuple[int, float]]]]:
    """The stream and the points of each series. One that went on on another node, or in another pod,
    is several series and one stream."""
    shape = {"series": [{"labels": dict, "points": [list]}]}
    found = []
    for series in ask("GET", url, "/v1/query/range", shape, parameters=parameters)["series"]:
        labels = series["labels"]
        device = device_name(labels.get("collector", ""), labels.get("device_id", "-1"))
        stream = Stream(labels.get("session_id", ""), labels.get("rank", "0"), device)
        points = [(t, float(v)) for t, v in series["points"] if isinstance(v, int | float)]
        if points:
            found.append((stream, points))
    return found


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


def labelled(lines: Mapping[Stream, Line]) -> Chart:
    """*lines* in the order of ranks, the LINES_MAX with the highest peaks, named by what tells them
    apart."""
    peaks = sorted(lines, key=lambda stream: -max(lines[stream].value))[:LINES_MAX]
    sessions = _endings({stream.session_id for stream in peaks})
    ordered = sorted(peaks, key=lambda one: (_number(one.rank), one.device, one.session_id))
    named = []
    for one in ordered:
        label = f"rank {one.rank} {one.device}"
        if len(sessions) > 1:
            label += f" {sessions[one.session_id]}"
        named.append(lines[one]._replace(label=inert(label)))
    return Chart(named, len(lines))


def _endings(names: Collection[str]) -> dict[str, str]:
    """Each of *names* by as much of its end as tells them apart."""
    for chars in _ENDING_CHARS:
        ends = {name: name if len(name) <= chars else f"…{name[-chars:]}" for name in names}
        if len(set(ends.values())) == len(names):
            return ends
    return {name: name for name in names}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def amount(size: float) -> str:
    """`1.5 GiB`."""
    for unit in _UNITS[:-1]:
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        if abs(size) < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.4g} {_UNITS[-1]}"


def when(at_ns: int, span_ns: int) -> str:
    """*at_ns* as much as a time of *span_ns* needs."""
    text = instant.text_of(at_ns)
    if span_ns > 2 * 86_400 * 10**9:
        return text[:10]
    return text[11:16] if span_ns > 600 * 10**9 else text[11:19]


def titled(title: str, lines: Sequence[Line]) -> str:
    """*title* with the instant at which *lines* begin."""
    return f"{title}, since {instant.text_of(min(line.at_ns[0] for line in lines))}"


def tick(first_ns: int, tick_ns: int, span_ns: int) -> str:
    """A time of day; of a span whose seconds would be told twice, how long after the first."""
    if span_ns < 2 * TICKS * 10**9:
        return f"{tick_ns / 1e9:.3g} s"
    return when(first_ns + tick_ns, span_ns)


def shown(title: str, chart: Chart) -> None:
    """Draw *chart* in the terminal."""
    import shutil
    import sys

    import click
    import plotext

    lines = chart.lines
    colored = sys.stdout.isatty()
    figure = plotext.figure
    figure.clear()
    figure.theme("default" if colored else "colorless")
    figure.plot_size(shutil.get_terminal_size((100, 24)).columns, 18)
    first_ns = min(line.at_ns[0] for line in lines)
    peak = max(max(line.value) for line in lines)
    unit = min(int(math.log(max(peak, 1), 1024)), len(_UNITS) - 1)
    figure.title(titled(f"{title}, {_UNITS[unit]}", lines))
    span_ns = max(line.at_ns[-1] for line in lines) - first_ns
    ticks = [span_ns * part // TICKS for part in range(TICKS + 1)] if span_ns else [0]
    texts = [tick(first_ns, at_ns, span_ns) for at_ns in ticks]
    figure.ruler("x").ticks([at_ns / 1e9 for at_ns in ticks], texts)
    for line in lines:
        x = [(at_ns - first_ns) / 1e9 for at_ns in line.at_ns]
        figure.draw(figure.signal(x, [value / 1024**unit for value in line.value]).lines())
    click.echo(figure.build().string(not colored).rstrip("\n"))
    width = max(_LABEL_CHARS, *(len(line.label) for line in lines))
    for line in lines:
        told = f"peak {amount(max(line.value))}, last {amount(line.last)}"
        click.echo(f"{line.label:{width}}  {told}")
    if chart.streams > len(lines):
        click.echo(chart.told())
