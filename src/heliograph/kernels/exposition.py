"""The Prometheus text of cells in plain Python: the twin of `cells.Writer`, where that is compiled.

    steps_total{run="a",rank="3"} 41.0

What comes before a number does not change, so each cell keeps it; the rest is `repr`.
"""

from math import isfinite, isnan

from heliograph.kernels import careful, cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def number(value: float) -> str:
    """*value* as text that every parser reads: `42`, `2.0`, `1e-07`, `NaN`, `+Inf`."""
    if isinstance(value, int):
        return str(int(value))
    if isfinite(value):
        return float.__repr__(value)
    if isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def pairs_text(pairs: careful.Labels) -> str:
    """`a="1",b="2"` of *pairs*, escaped."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs if value)


class Writer:
    """A text that grows: `put` bytes, `lines` of a metric, then `finish`."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def put(self, text: bytes) -> None:
        """Append *text*."""
        self._parts.append(text)

    def finish(self) -> bytes:
        """All of it; the writer is empty then."""
        text = b"".join(self._parts)
        self._parts = []
        return text

    def lines(
        self, metric: "Any", own: bool, before: bytes, name: bytes, bounds: list[bytes]
    ) -> None:
        """The samples of *metric* (itself if *own*) and its children, a line each.

        *before* are labels that come first, as text; *bounds* the texts `le="0.1"} ` of a
        histogram.
        """
        spec = metric.spec
        children = list(metric.children())
        if own:
            children.insert(0, metric)
        stem, first = name.decode(), before.decode()
        key = (stem, first)
        for cell in children:
            prefix = cell.prefix
            if prefix is None or prefix[1] != key:
                cell.prefix = (_prefix(stem, spec, first, cell), key)
        if spec.kind == "histogram":
            text = _histograms(stem, children, [bound.decode() for bound in bounds])
        else:
            text = "".join(
                [
                    f"{cell.prefix[0]} {shown}\n"
                    for cell, shown in zip(children, _texts(spec, children), strict=True)
                ]
            )
        self._parts.append(text.encode())


def _texts(spec: "Any", children: "list[Any]") -> list[str]:
    if spec.kind == "gauge" or cells.sums.peers:
        return [number(cell.value()) for cell in children]
    held = cells.own(cells.sums)
    values = [held[cell.at] if cell.at >= 0 else 0.0 for cell in children]
    # One sum tells whether any of them is infinite or NaN.
    return list(map(float.__repr__ if isfinite(sum(values)) else number, values))


def _prefix(name: str, spec: cells.Spec, before: str, cell: "Any") -> str:
    own = pairs_text(careful.pairs_of(cell))
    text = f"{before},{own}" if before and own else before + own
    if spec.kind == "histogram":
        return text
    return f"{name}{{{text}}}" if text else name


def _histograms(name: str, children: "list[Any]", bounds: list[str]) -> str:
    out: list[str] = []
    for cell in children:
        text = cell.prefix[0]
        total, *counts = cell.values()
        begin = f"{name}_bucket{{{text}," if text else f"{name}_bucket{{"
        count = 0
        for bound, more in zip(bounds, counts, strict=True):
            count += int(more)
            out.append(f"{begin}{bound}{count}\n")
        labels = f"{{{text}}}" if text else ""
        out.append(f"{name}_sum{labels} {number(total)}\n{name}_count{labels} {count}\n")
    return "".join(out)
