"""What is read off a metric's cells: its `Family`, for whoever does not need the fast text.

family_of(histogram).points == [Point("_bucket", (("le", "0.1"),), 3.0), …]
"""

from typing import TYPE_CHECKING, Any

from heliograph.instruments import shared_memory
from heliograph.instruments.family import Exemplar, Family, Labels, Point
from heliograph.kernels import careful

if TYPE_CHECKING:
    from heliograph.instruments.metrics import _Celled

# Names of labels that the kind itself gives to its points; a user's own of that name gets a prefix,
# as Prometheus does with labels that collide when it scrapes.
RESERVED = {"histogram": ("le",), "summary": ("quantile",)}
COLLIDED_PREFIX = "exported_"


def own_name(name: str, reserved: tuple[str, ...]) -> str:
    """The name under which a user's label *name* is shown."""
    return f"{COLLIDED_PREFIX}{name}" if name in reserved else name


def shown_labels(spec: Any, cell: Any) -> Labels:
    """Constant labels and the cell's own, in this order, under the names to show."""
    reserved = RESERVED.get(spec.kind, ())
    pairs = (*spec.constant, *careful.pairs_of(cell))
    return tuple((own_name(name, reserved), value) for name, value in pairs if value)


def is_shown(metric: Any, has_children: bool) -> bool:
    """Whether the metric itself is a series: not if it wants labels, or only its children count."""
    if metric.spec.declared is not None:
        return False
    return not has_children or has_counted(metric)


def has_counted(cell: Any) -> bool:
    """Whether something was ever counted in the cell itself."""
    kind = cell.spec.kind
    if kind == "gauge":
        return bool(cell.written)
    return cell.value() != 0.0 if kind == "counter" else any(cell.values())


def family_of(metric: "_Celled") -> Family:
    """The family of a counter, gauge or histogram, its children included."""
    shared_memory.look()
    spec = metric.spec
    children = metric.children()
    points: list[Point] = []
    for cell in [metric, *children] if is_shown(metric, bool(children)) else children:
        labels = tuple(sorted(shown_labels(spec, cell)))
        if spec.kind == "histogram":
            points += histogram_points(cell, labels)
        else:
            points.append(Point("", labels, cell.value(), exemplar_of(cell, -1)))
    return Family(spec.name, spec.kind, spec.description, spec.unit, points)


def histogram_points(cell: Any, labels: Labels) -> list[Point]:
    """The points of one histogram: its buckets up to +Inf, its sum, its count."""
    total, *counts = cell.values()
    points = []
    count = 0
    for i, bound in enumerate([*map(str, cell.spec.buckets), "+Inf"]):
        count += int(counts[i])
        with_le = tuple(sorted((*labels, ("le", bound))))
        points.append(Point("_bucket", with_le, count, exemplar_of(cell, i)))
    points.append(Point("_sum", labels, total))
    points.append(Point("_count", labels, count))
    return points


def exemplar_of(cell: Any, bucket: int) -> Exemplar | None:
    """The latest exemplar of *bucket* of *cell*."""
    kept = cell.spec.exemplars.get(cell.at)
    found = kept.get(bucket) if kept else None
    return Exemplar(*found) if found else None
