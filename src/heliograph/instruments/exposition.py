"""Metrics as text: the Prometheus text format 0.0.4, and OpenMetrics 1.0.

    # HELP steps_total Steps done
    # TYPE steps_total counter
    steps_total{rank="3"} 41.0

    # HELP loss …

Families are apart by an empty line in the text format, which has a place for it, and end with
`# EOF` in OpenMetrics, which has none. Numbers are the shortest that read back the same; NaN and
±Inf are written as both formats have them.
Source: Prometheus exposition formats (text 0.0.4), OpenMetrics 1.0.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from heliograph.instruments import points, shared_memory
from heliograph.instruments.family import Exemplar, Family, Labels, Point
from heliograph.instruments.metrics import Metric
from heliograph.kernels import cells, exposition
from heliograph.kernels.exposition import number

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Source: TypeAlias = Metric | Family

_Writer = cells.Writer if cells.COMPILED else exposition.Writer
_KINDS = {"counter", "gauge", "histogram", "summary"}
_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_HELP_OPENMETRICS = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def content_type(*, openmetrics: bool) -> str:
    """The media type of what `render` returns."""
    return OPENMETRICS if openmetrics else TEXT


def render(
    metrics: Iterable[Source],
    openmetrics: bool = False,
    labels: Mapping[str, str] | Labels = (),
) -> bytes:
    """The text of *metrics*, in their order.

    *labels* are added to every sample that has no label of that name itself.
    """
    shared_memory.refresh()
    extra = tuple(labels.items()) if isinstance(labels, Mapping) else tuple(labels)
    writer = _Writer()
    between = b""
    for one in metrics:
        writer.put(between)
        _family(writer, one, extra, openmetrics)
        between = b"" if openmetrics else b"\n"
    if openmetrics:
        writer.put(b"# EOF\n")
    text: bytes = writer.finish()
    return text


def _family(writer: Any, source: Source, extra: Labels, openmetrics: bool) -> None:
    """Write one family, from its cells where that can be done."""
    if not isinstance(source, cells.Cell) or source.spec.kind == "summary":
        family = source.family() if isinstance(source, Metric) else source
        _of_points(writer, family, extra, openmetrics)
        return
    spec = source.spec
    names = {name for shape in spec.shapes for name in shape}
    if (
        (openmetrics and (spec.exemplars or any(bound < 0 for bound in spec.bounds[:1])))
        or names.intersection(points.RESERVED.get(spec.kind, ()))
        or names.intersection(name for name, _ in extra)
    ):
        _of_points(writer, source.family(), extra, openmetrics)
        return
    shown = points.shown_labels(spec, source)
    taken = {name for name, _ in shown}
    before = (*((name, value) for name, value in extra if name not in taken), *shown)
    name = spec.name
    writer.put(_head(name, spec.kind, spec.description, spec.unit, openmetrics))
    if openmetrics and spec.kind == "counter" and not name.endswith("_total"):
        name += "_total"
    own = points.is_shown(source, source.labels.series > 0)
    text = exposition.pairs_text(before).encode("utf-8", "replace")
    writer.lines(source, own, text, name.encode(), _bounds(spec, openmetrics))


def _bounds(spec: Any, openmetrics: bool) -> list[bytes]:
    """`le` of each bucket. OpenMetrics wants floats, the text format what was given."""
    if spec.kind != "histogram":
        return []
    texts = [str(float(bound) if openmetrics else bound) for bound in spec.buckets]
    return [f'le="{text}"}} '.encode() for text in (*texts, "+Inf")]


def _head(name: str, kind: str, text: str, unit: str, openmetrics: bool) -> bytes:
    if openmetrics:
        name = name.removesuffix("_total") if kind == "counter" else name
        escaped = text.translate(_HELP_OPENMETRICS)
        unit = f"# UNIT {name} {unit}\n" if unit and name.endswith(f"_{unit}") else ""
    else:
        kind = {"unknown": "untyped", "info": "gauge"}.get(kind, kind)
        escaped = text.translate(_HELP)
        unit = ""
    shown = f"# HELP {name} {escaped}\n" if text else ""
    return f"{shown}# TYPE {name} {kind}\n{unit}".encode("utf-8", "replace")


def _of_points(writer: Any, family: Family, extra: Labels, openmetrics: bool) -> None:
    name, kind = family.name, family.kind
    suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
    if suffix and (openmetrics or any(point.suffix == suffix for point in family.points)):
        # OpenMetrics heads a family without the suffix and always has it in the sample; the text
        # format heads it with what the sample has.
        name = name.removesuffix(suffix)
    else:
        suffix = ""
    shown = name if openmetrics else name + suffix
    writer.put(_head(shown, kind, family.help, family.unit, openmetrics))
    left_out = set() if openmetrics else {"_created"}
    if openmetrics and kind == "histogram" and _may_sink(family):
        # It has neither without the other; how many there are stands at +Inf too.
        left_out = {"_sum", "_count"}
    for point in family.points:
        if point.suffix not in left_out:
            ending = point.suffix or suffix
            sample = _sample(name + ending, kind, point, extra, openmetrics)
            writer.put(sample.encode("utf-8", "replace"))


def _may_sink(histogram: Family) -> bool:
    """Whether its sum may go down, which has no place in OpenMetrics: a bound is negative."""
    return any(float(dict(point.labels).get("le", 0)) < 0 for point in histogram.points)


def _sample(name: str, kind: str, point: Point, extra: Labels, openmetrics: bool) -> str:
    suffix = point.suffix
    taken = {label for label, _ in point.labels}
    pairs = (*((n, v) for n, v in extra if n not in taken), *point.labels)
    if kind == "histogram" and openmetrics and suffix == "_bucket":
        pairs = tuple((n, _bound(v) if n == "le" else v) for n, v in pairs)
    pairs = _last(pairs, "le" if suffix == "_bucket" else "quantile")
    text = exposition.pairs_text(pairs)
    text = f"{{{text}}}" if text else ""
    shown = ""
    if openmetrics and point.exemplar and (kind == "counter" or suffix == "_bucket"):
        shown = _exemplar(point.exemplar)
    return f"{name}{text} {number(point.value)}{shown}\n"


def _bound(text: str) -> str:
    return text if text == "+Inf" else str(float(text))


def _last(pairs: Labels, name: str) -> Labels:
    """*pairs* with that of *name* last, where readers look for it."""
    return (*(p for p in pairs if p[0] != name), *(p for p in pairs if p[0] == name))


def _exemplar(exemplar: Exemplar) -> str:
    at = "" if exemplar.at_s is None else f" {exemplar.at_s:.3f}"
    return f" # {{{exposition.pairs_text(exemplar.labels)}}} {number(exemplar.value)}{at}"
